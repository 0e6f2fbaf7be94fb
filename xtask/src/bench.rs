//! `cargo xtask bench NAME`: side-by-side measurements that a person can repeat and trust.
//!
//! A benchmark names contestants and what to measure on them. The frame does the rest, the same
//! for all: it [interleaves](interleave) the contestants' runs, [guards](guard) each sample with a
//! [probe] of the distance between the two processors, takes medians into [rows], prints
//! them, writes JSON, [compares](compare) with an earlier file and checks the bars.

pub(crate) mod clearway_bed;
pub(crate) mod compare;
pub(crate) mod cpu_time;
pub(crate) mod cpus;
pub(crate) mod data;
pub(crate) mod guard;
pub(crate) mod inside;
pub(crate) mod interleave;
pub(crate) mod iperf;
pub(crate) mod kernel_peers;
pub(crate) mod machine;
pub(crate) mod namespace;
pub(crate) mod nft_rules;
pub(crate) mod print;
pub(crate) mod probe;
pub(crate) mod rows;
pub(crate) mod testbed;
pub(crate) mod workload;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{ValueEnum, value_parser};
use serde::{Deserialize, Serialize};

use crate::progress::Progress;
use crate::setup::{self, Consent, Purpose};
use guard::{Guard, Patience};
use interleave::Series;
use machine::Machine;
use rows::{Bar, Row};

/// Runs of each contestant, unless the command line says more; fewer make no median.
const RUNS_DEFAULT: u32 = 5;
const RUNS_QUICK: u32 = 3;
const SAMPLE: Duration = Duration::from_secs(3);
const SAMPLE_QUICK: Duration = Duration::from_millis(500);
/// How long to listen for what else runs here, and how much of it may be ignored.
pub(crate) const LISTENING: Duration = Duration::from_millis(500);
pub(crate) const BACKGROUND_QUIET: f64 = 0.05;

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What to measure
    #[arg(value_enum)]
    name: Name,
    /// Measure the peers that are no baseline as well
    #[arg(long)]
    peers: bool,
    /// Runs of each contestant, at least 5 [default: 5]
    #[arg(long, value_parser = value_parser!(u32).range(5..=1000))]
    runs: Option<u32>,
    /// Write the rows and a description of this machine as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Say what moved since an earlier `--json`
    #[arg(long, value_name = "OLD.json")]
    compare: Option<PathBuf>,
    /// Fail if a row misses its bar
    #[arg(long)]
    check: bool,
    /// Short samples, three runs: shows that it works, proves nothing
    #[arg(long, conflicts_with = "runs")]
    quick: bool,
    /// Count a sample only if the processors' cache-line round trip is at most this, in
    /// nanoseconds [default: 220, or CLEARWAY_BENCH_NEAR_NS]
    #[arg(long)]
    near_ns: Option<f64>,
}

/// The benchmarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Traffic between two guests of one host
    Data,
}

/// What the frame lends to a benchmark.
pub(crate) struct Frame {
    /// Runs of each contestant.
    pub(crate) runs: u32,
    /// The length of one sample.
    pub(crate) sample: Duration,
    /// Whether to measure the peers that are no baseline.
    pub(crate) peers: bool,
    pub(crate) guard: Guard,
    pub(crate) progress: Progress,
}

/// What a benchmark hands back.
pub(crate) struct Results {
    pub(crate) series: Vec<Series>,
    pub(crate) bars: Vec<Bar>,
}

/// What `--json` writes and `--compare` reads.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Document {
    pub(crate) bench: String,
    pub(crate) machine: Machine,
    /// Why samples were not guarded, if they were not.
    pub(crate) unguarded: Option<String>,
    /// The share of the processors that others used before the first sample, from 0 to 1.
    pub(crate) background: f64,
    pub(crate) runs: u32,
    pub(crate) rows: Vec<Row>,
}

/// Runs `cargo xtask bench`.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let purpose = if arguments.peers {
        Purpose::Peers
    } else {
        Purpose::Bench
    };
    setup::ensure(&purpose.needs(), Consent::Ask)?;
    // Read first: a mistyped name should not cost the minutes of a measurement.
    let old = arguments
        .compare
        .as_deref()
        .map(read_document)
        .transpose()?;

    let background = cpu_time::background(LISTENING)?;
    let mut frame = frame(arguments)?;
    if background > BACKGROUND_QUIET {
        let percent = background * 100.0;
        frame
            .progress
            .keep(&format!("others use {percent:.0} % of the processors"));
    }
    let results = match arguments.name {
        Name::Data => data::run(&mut frame)?,
    };
    let Frame {
        progress,
        guard,
        runs,
        ..
    } = frame;
    drop(progress);

    let document = Document {
        bench: format!("{:?}", arguments.name).to_lowercase(),
        machine: Machine::describe(),
        background,
        unguarded: guard.off_because().map(str::to_owned),
        runs,
        rows: rows::rows_of(&results.series, &results.bars),
    };
    println!("{}", print::results(&document, &results.series));
    if let Some(old) = &old {
        println!("{}", compare::text(old, &document));
    }
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(&document)?;
        fs::write(file, text + "\n").with_context(|| format!("cannot write {}", file.display()))?;
    }
    if arguments.check {
        checked(&document.rows, &results)
    } else {
        Ok(ExitCode::SUCCESS)
    }
}

fn frame(arguments: &Arguments) -> Result<Frame> {
    let (runs, sample, patience) = if arguments.quick {
        (RUNS_QUICK, SAMPLE_QUICK, Patience::QUICK)
    } else {
        (
            arguments.runs.unwrap_or(RUNS_DEFAULT),
            SAMPLE,
            Patience::DEFAULT,
        )
    };
    let near_ns = guard::near_ns(
        arguments.near_ns,
        std::env::var("CLEARWAY_BENCH_NEAR_NS").ok(),
    )?;
    let progress = Progress::start("probing the distance between two processors");
    let guard = match cpus::Cpus::detect()? {
        cpus::Cpus { server, client } if server == client => {
            Guard::off("this machine has one processor")
        }
        cpus => Guard::calibrate(
            Box::new(move || probe::round_trip_ns(cpus)),
            Box::new(std::thread::sleep),
            near_ns,
            patience,
        )?,
    };
    if let Some(why) = guard.off_because() {
        progress.keep(&format!("samples are not guarded, because {why}"));
    }
    Ok(Frame {
        runs,
        sample,
        peers: arguments.peers,
        guard,
        progress,
    })
}

fn read_document(file: &Path) -> Result<Document> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no benchmark", file.display()))
}

/// Success if every row with a bar reaches it; names those that do not.
fn checked(rows: &[Row], results: &Results) -> Result<ExitCode> {
    if let Some(bar) = rows::bars_without_row(&results.series, &results.bars).first() {
        bail!("there is a bar for `{}`, which nothing measures", bar.name);
    }
    if rows.iter().all(|row| row.pass.is_none()) {
        bail!("no row has a bar to check");
    }
    let missed: Vec<&Row> = rows.iter().filter(|row| row.pass == Some(false)).collect();
    for row in &missed {
        eprintln!("misses its bar: {}", row.verdict());
    }
    Ok(if missed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
