//! `cargo xtask soak`: the random life of an agent that the test suite runs for some seconds, for as
//! long as one likes.
//!
//! What it does and what it holds to be right is in the test, `lab_soak` of the product's own; here
//! it only gets its length, its seed and a terminal.

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};

use crate::process;

/// The test, in the test binary `lab_product`.
const TEST: &str = "lab_soak::nothing_wrong_lost_or_left_in_a_long_random_life";
/// The variables that it reads.
const SECONDS: &str = "CLEARWAY_SOAK_SECONDS";
const SEED: &str = "CLEARWAY_SOAK_SEED";
/// How long it lasts, unless told otherwise.
const MINUTES: u64 = 10;

/// Arguments of `cargo xtask soak`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How long [default: 10]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    minutes: Option<u64>,
    /// How long, in seconds
    #[arg(long, conflicts_with = "minutes", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// Where all random choices come from, to see the same again [default: another each time]
    #[arg(long)]
    seed: Option<u64>,
    /// Use the release build: faster, and without the checks of a debug build
    #[arg(long)]
    release: bool,
}

/// Runs `cargo xtask soak`.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if !process::is_root() {
        bail!("making network namespaces needs root");
    }
    let seconds = match (arguments.seconds, arguments.minutes) {
        (Some(seconds), _) => seconds,
        (None, minutes) => minutes.unwrap_or(MINUTES) * 60,
    };
    let seed = arguments.seed.unwrap_or_else(fresh_seed);
    println!("cargo xtask soak --seconds {seconds} --seed {seed}");
    let mut command = process::cargo();
    command.args(["test", "--quiet", "--package", "clearway"]);
    if arguments.release {
        command.arg("--release");
    }
    command
        .args([
            "--test",
            "lab_product",
            TEST,
            "--",
            "--exact",
            "--nocapture",
        ])
        .env(SECONDS, seconds.to_string())
        .env(SEED, seed.to_string());
    Ok(if process::succeeds(&mut command)? {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A number that is short enough to be typed again.
fn fresh_seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::from(since.unwrap_or(Duration::ZERO).subsec_micros())
}
