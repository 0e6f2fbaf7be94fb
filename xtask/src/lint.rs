//! `cargo xtask lint`: every check that needs no running network.

use std::process::ExitCode;

use anyhow::Result;

use crate::setup::{self, Consent, Purpose};
use crate::step::{Outcome, summarise};
use crate::{bpf, process, tidy};

/// Runs all checks, also after one has failed, and prints one summary.
///
/// In continuous integration the eBPF compiler is installed if need be, because there the objects
/// must be proved to be those of their sources.
pub(crate) fn run() -> Result<ExitCode> {
    if process::is_ci() {
        setup::ensure(&Purpose::Bpf.needs(), Consent::Ask)?;
    }
    let steps = [
        ("formatting", cargo(&["fmt", "--all", "--check"])),
        (
            "clippy",
            cargo(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ]),
        ),
        ("documentation", documentation().into()),
        ("tidy", tidy::check_repository().into()),
        ("dependencies", dependencies()),
        ("eBPF objects", bpf::check(&bpf::programs_folder()).into()),
    ];
    Ok(summarise(&steps))
}

fn cargo(arguments: &[&str]) -> Outcome {
    let shown = format!("cargo {}", arguments.join(" "));
    eprintln!("--- {shown}");
    process::succeeds(process::cargo().args(arguments))
        .map(|success| Outcome::from_success(success, &format!("`{shown}`")))
        .into()
}

fn documentation() -> Result<Outcome> {
    eprintln!("--- cargo doc");
    let mut command = process::cargo();
    command
        .args(["doc", "--no-deps", "--workspace", "--quiet"])
        .env("RUSTDOCFLAGS", "-D warnings");
    Ok(Outcome::from_success(
        process::succeeds(&mut command)?,
        "`cargo doc --no-deps --workspace`",
    ))
}

fn dependencies() -> Outcome {
    if process::find("cargo-deny").is_none() {
        return Outcome::Skipped("cargo-deny is not installed".to_owned());
    }
    cargo(&["deny", "check"])
}
