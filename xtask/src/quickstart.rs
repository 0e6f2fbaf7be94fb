//! `cargo xtask quickstart`: the product at work, on real Linux network stacks.
//!
//! It starts an agent with `examples/quickstart.yaml` and holds it to what Clearway promises: both
//! paths decide alike, the accelerated one leaves the agent alone, connections outlive both a
//! revoked VF and a killed agent, and being accelerated pays. Everything is removed at the end.

mod expectations;
mod figures;
mod policy;
mod probe;
mod promises;
mod servers;
mod survival;
mod transfer;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::clearway::{Instance, Program};
use crate::process;
use crate::setup::{self, Consent, Purpose};
use promises::Promises;
use servers::Servers;

/// The agent's instance, apart from any other that a user may have.
const INSTANCE: &str = "quickstart";
const TOPOLOGY: &str = "examples/quickstart.yaml";

/// Arguments of `cargo xtask quickstart`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Install missing tools without asking
    #[arg(long)]
    yes: bool,
    /// Leave the agent and its guests there, and say what to try
    #[arg(long)]
    keep: bool,
    /// Shorter transfers and samples: shows that it works, the figures prove nothing
    #[arg(long)]
    quick: bool,
}

/// How long things go on.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Between the turns of a transfer.
    turn: Duration,
    /// One sample of a measurement.
    sample: Duration,
    /// Samples of each measurement on each path.
    runs: u32,
}

impl Pace {
    const DEFAULT: Self = Self {
        turn: Duration::from_millis(1500),
        sample: Duration::from_secs(2),
        runs: 3,
    };
    const QUICK: Self = Self {
        turn: Duration::from_millis(700),
        sample: Duration::from_millis(500),
        runs: 1,
    };
}

/// Runs `cargo xtask quickstart`.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let consent = if arguments.yes {
        Consent::Given
    } else {
        Consent::Ask
    };
    setup::ensure(&Purpose::Quickstart.needs(), consent)?;
    if !process::is_root() {
        bail!("the quickstart makes network namespaces: run it as root");
    }
    let program = Program::build()?;
    let topology = crate::repository().join(TOPOLOGY);
    let (instance, status) = Instance::start(program, INSTANCE, &topology)?;
    println!(
        "agent of instance {INSTANCE} with {TOPOLOGY}, pid {}, {}",
        status.pid, status.engine
    );

    let pace = if arguments.quick {
        Pace::QUICK
    } else {
        Pace::DEFAULT
    };
    let mut promises = Promises::default();
    let outcome = show(&instance, pace, &mut promises);
    if arguments.keep {
        print_what_to_try(&instance);
        instance.keep()?;
        outcome?;
    } else {
        let removed = instance.remove();
        outcome?;
        removed?;
        println!("\n5. What is left");
        promises.hold(
            "`clearway down` removes everything",
            remains(INSTANCE).is_empty(),
            || format!("still there: {}", list(&remains(INSTANCE))),
        );
    }
    Ok(promises.verdict())
}

fn show(instance: &Instance, pace: Pace, promises: &mut Promises) -> Result<()> {
    let servers = Servers::start(instance)?;
    println!("\n1. One policy on two paths");
    policy::show(instance, promises)?;
    println!("\n2. A VF revoked and restored during a transfer");
    survival::of_revocation(instance, pace.turn, promises)?;
    println!("\n3. The agent killed during a transfer");
    survival::of_the_agent(instance, pace.turn, promises)?;
    // The measurement has servers of its own, on the same ports.
    drop(servers);
    println!("\n4. What the accelerated path is worth");
    figures::show(instance, pace, promises)
}

/// What of an instance can still be found: network namespaces, sockets and pinned programs.
fn remains(instance: &str) -> BTreeSet<String> {
    let namespaces = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let prefix = format!("{instance}-");
    let mut remains: BTreeSet<String> = namespaces
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(&prefix))
        .map(|name| format!("network namespace {name}"))
        .collect();
    let files = [
        format!("/run/clearway/{instance}/agent.sock"),
        format!("/sys/fs/bpf/clearway/{instance}"),
    ];
    remains.extend(files.into_iter().filter(|file| Path::new(file).exists()));
    remains
}

fn list(what: &BTreeSet<String>) -> String {
    what.iter().cloned().collect::<Vec<_>>().join(", ")
}

fn print_what_to_try(instance: &Instance) {
    let clearway = format!(
        "{} --instance {}",
        shortened(instance.program().file()).display(),
        instance.name()
    );
    println!("\nThe agent goes on. Try:");
    for (command, what) in [
        ("nic list", "the NICs, and who serves them"),
        ("exec client-1 -- ping -c 3 10.0.1.4", "a guest's own view"),
        (
            "explain client-1 'tcp 10.0.2.4:40000 -> 10.1.1.4:5432'",
            "which rule denies this, and why",
        ),
        (
            "vf revoke web-1",
            "back to the synthetic path; `vf restore web-1` undoes it",
        ),
        ("down", "remove everything"),
    ] {
        println!("  {clearway} {command}\n      {what}");
    }
}

/// Relative to where the user is, if it is below.
fn shortened(file: &Path) -> &Path {
    std::env::current_dir()
        .ok()
        .and_then(|here| file.strip_prefix(here).ok())
        .unwrap_or(file)
}

/// The address of one of the example's guests.
fn address_of(guest: &str) -> Result<&'static str> {
    expectations::ADDRESSES
        .iter()
        .find(|(name, _)| *name == guest)
        .map(|(_, address)| *address)
        .with_context(|| format!("the example has no guest {guest}"))
}

#[cfg(test)]
mod tests;
