//! `cargo xtask setup`: installs what a machine lacks, and the function other commands use for it.
//!
//! A tool is found by looking for it, never by asking the package manager, so that a tool built by
//! hand counts. Only Debian and its relatives are installed from; elsewhere the message names
//! everything that is missing.

pub(crate) mod apt;
mod consent;
mod tools;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::ValueEnum;

pub(crate) use consent::Consent;
use tools::Source;
pub(crate) use tools::{Need, Purpose};

use crate::process;
use crate::progress::Progress;

/// Arguments of `cargo xtask setup`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Install without asking
    #[arg(long)]
    yes: bool,
    /// Only what this purpose needs [default: every purpose]
    #[arg(long = "for", value_enum)]
    purpose: Option<Purpose>,
}

/// Runs `cargo xtask setup`.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let purposes = match arguments.purpose {
        Some(purpose) => vec![purpose],
        None => Purpose::value_variants().to_vec(),
    };
    let needs: Vec<Need> = purposes
        .iter()
        .flat_map(|purpose| purpose.needs())
        .collect();
    let consent = if arguments.yes {
        Consent::Given
    } else {
        Consent::Ask
    };
    let lacking = ensure(&needs, consent)?;
    if !lacking.is_empty() {
        bail!("{} of the tools are still missing", lacking.len());
    }
    eprintln!("nothing is missing");
    Ok(ExitCode::SUCCESS)
}

/// Installs what is missing of `needs`, and returns what is still missing afterwards.
///
/// # Errors
/// When a tool that is needed absolutely cannot be had: no consent, no package manager, or the
/// installation failed. Missing optional tools are returned instead.
pub(crate) fn ensure(needs: &[Need], consent: Consent) -> Result<Vec<Need>> {
    let missing = missing_of(needs, |need| need.tool.is_present());
    if missing.is_empty() {
        return Ok(missing);
    }
    eprintln!("missing on this machine:");
    for need in &missing {
        eprintln!("  {:<14} {}", need.tool.name(), need.why);
    }
    let refusal = match consent::ask(consent, &missing)? {
        true => install(&missing).err(),
        false => Some(anyhow::anyhow!("not installed: {}", by_hand(&missing))),
    };
    let lacking = missing_of(&missing, |need| need.tool.is_present());
    if let Some(refusal) = refusal {
        if lacking.iter().any(|need| need.required) {
            return Err(refusal);
        }
        eprintln!("going on without: {refusal:#}");
    }
    Ok(lacking)
}

/// The needs that `present` denies, each tool once; required if any of its needs is.
fn missing_of(needs: &[Need], present: impl Fn(&Need) -> bool) -> Vec<Need> {
    let mut missing: Vec<Need> = Vec::new();
    for need in needs.iter().filter(|need| !present(need)) {
        match missing.iter_mut().find(|known| known.tool == need.tool) {
            Some(known) => known.required |= need.required,
            None => missing.push(*need),
        }
    }
    missing
}

fn install(missing: &[Need]) -> Result<()> {
    let alternatives: Vec<&[&str]> = missing
        .iter()
        .filter_map(|need| match need.tool.source() {
            Source::Debian(names) => Some(names),
            Source::Cargo(_) => None,
        })
        .collect();
    if !alternatives.is_empty() {
        if process::find("apt-get").is_none() {
            bail!("this machine has no apt-get; {}", by_hand(missing));
        }
        apt::install(&alternatives)?;
    }
    for need in missing {
        if let Source::Cargo(name) = need.tool.source() {
            let progress = Progress::start(&format!("building {name} (takes some minutes)"));
            process::capture(process::cargo().args(["install", name, "--locked"]))?;
            progress.keep(&format!("installed {name}"));
        }
    }
    Ok(())
}

/// What to type where we may not, or cannot, install.
fn by_hand(missing: &[Need]) -> String {
    let (mut debian, mut cargo) = (Vec::new(), Vec::new());
    for need in missing {
        match need.tool.source() {
            Source::Debian(names) => debian.extend(names.first().copied()),
            Source::Cargo(name) => cargo.push(name),
        }
    }
    let mut text = String::from("install by hand");
    if !debian.is_empty() {
        text += &format!(" the packages {} (Debian's names)", debian.join(" "));
    }
    if !cargo.is_empty() {
        let and = if debian.is_empty() { "" } else { " and" };
        text += &format!("{and} `cargo install --locked {}`", cargo.join(" "));
    }
    text
}

#[cfg(test)]
mod tests;
