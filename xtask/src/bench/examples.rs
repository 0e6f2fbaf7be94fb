//! The examples of our crates that measure something in process, and what they print: JSON, one
//! figure a line.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use super::interleave::Better;
use crate::process;

/// How long an example may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// A line: one figure.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) value: f64,
    pub(crate) better: Better,
    /// How many there were of what the example grows, if it grows something.
    pub(crate) n: Option<u64>,
}

/// Builds an example in release mode and returns its file.
pub(crate) fn build(package: &str, example: &str) -> Result<PathBuf> {
    let mut command = process::cargo();
    command
        .args(["build", "--release", "-p", package, "--example", example])
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = command.output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("`{}` failed", process::shown(&command));
    }
    executable(&String::from_utf8_lossy(&output.stdout), example)
        .with_context(|| format!("cargo does not say where it put the example {example}"))
}

/// Builds and runs an example, and reads its figures.
pub(crate) fn figures(package: &str, example: &str, arguments: &[&str]) -> Result<Vec<Figure>> {
    run(&build(package, example)?, arguments)
}

/// Runs an example that is built, and reads its figures.
pub(crate) fn run(example: &Path, arguments: &[&str]) -> Result<Vec<Figure>> {
    let mut command = Command::new(example);
    let text = process::capture_within(command.args(arguments), PATIENCE)?;
    read(&text).with_context(|| format!("what `{}` prints", process::shown(&command)))
}

/// Reads lines; an empty one says nothing, any other has to be a figure.
fn read(text: &str) -> Result<Vec<Figure>> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let figures: Vec<Figure> = lines
        .map(|line| {
            let figure: Figure =
                serde_json::from_str(line).with_context(|| format!("no figure: {line}"))?;
            if !figure.value.is_finite() {
                bail!("no number: {line}");
            }
            Ok(figure)
        })
        .collect::<Result<_>>()?;
    if figures.is_empty() {
        bail!("there are no figures");
    }
    Ok(figures)
}

/// The file in cargo's messages (one JSON object a line) that is the example of this name.
fn executable(messages: &str, example: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == example)
        .filter(|message| message["target"]["kind"][0] == "example")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

#[cfg(test)]
mod tests;
