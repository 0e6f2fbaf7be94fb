//! `cargo xtask test`: every test, one summary, and nothing skipped in silence.
//!
//! A test that cannot run on this machine passes, says `skipped, because REASON` on standard error
//! and appends `name<TAB>reason` to the file that `CLEARWAY_SKIPPED_FILE` names. The runner hides
//! the output of passing tests, so the summary here reads that file.

mod journal;
mod machine;
mod report;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::process;
use crate::setup::{self, Consent, Purpose};
use report::Counts;

/// The variable through which tests learn where to note that they were skipped.
const SKIPPED_FILE: &str = "CLEARWAY_SKIPPED_FILE";

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Do not look for missing tools
    #[arg(long)]
    no_setup: bool,
    /// Arguments for `cargo nextest run`, such as a filter
    #[arg(last = true)]
    nextest: Vec<String>,
}

/// Runs `cargo xtask test`.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if !arguments.no_setup {
        setup::ensure(&Purpose::Test.needs(), Consent::Ask)?;
    }
    machine::describe();
    process::run(process::cargo().args(["build", "--workspace", "--bins"]))?;

    let journal = tempfile::Builder::new()
        .prefix("clearway-skipped")
        .tempfile()?;
    let junit = junit_file();
    // The report of an earlier run must not speak for this one.
    let _ = std::fs::remove_file(&junit);
    let tests_passed = process::succeeds(
        process::cargo()
            .args(["nextest", "run", "--workspace"])
            .args(&arguments.nextest)
            .env(SKIPPED_FILE, journal.path()),
    )?;
    let (doc_passed, doc_counts) = run_doc_tests(journal.path())?;

    let skipped = journal::read(&std::fs::read_to_string(journal.path())?);
    let counts = std::fs::read_to_string(&junit)
        .ok()
        .and_then(|text| Counts::from_junit(&text));
    println!("\n{}", report::summary(counts, doc_counts, &skipped));
    Ok(if tests_passed && doc_passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Where nextest writes its report (`[profile.default.junit]` in `.config/nextest.toml`): below the
/// workspace, wherever cargo puts what it builds.
fn junit_file() -> PathBuf {
    crate::repository().join("target/nextest/default/junit.xml")
}

/// Runs the documentation's examples, passing their output on while adding up the results.
fn run_doc_tests(journal: &std::path::Path) -> Result<(bool, Counts)> {
    let mut child = process::cargo()
        .args(["test", "--doc", "--workspace", "--no-fail-fast"])
        .env(SKIPPED_FILE, journal)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start `cargo test --doc`")?;
    let mut counts = Counts::default();
    if let Some(pipe) = child.stdout.take() {
        for line in BufReader::new(pipe).lines() {
            let line = line?;
            counts.add_libtest_line(&line);
            println!("{line}");
        }
    }
    Ok((child.wait()?.success(), counts))
}

#[cfg(test)]
mod tests;
