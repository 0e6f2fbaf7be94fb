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
pub(crate) mod derived;
pub(crate) mod entrants;
pub(crate) mod examples;
pub(crate) mod flood;
pub(crate) mod guard;
pub(crate) mod inside;
pub(crate) mod interleave;
pub(crate) mod iperf;
pub(crate) mod kernel_peers;
pub(crate) mod machine;
pub(crate) mod namespace;
pub(crate) mod new_flow_beds;
pub(crate) mod nft_rules;
pub(crate) mod print;
pub(crate) mod probe;
pub(crate) mod rate_search;
pub(crate) mod rows;
pub(crate) mod security_group;
pub(crate) mod testbed;
pub(crate) mod two_host_beds;
pub(crate) mod workload;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
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
const SAMPLE: Duration = Duration::from_millis(1500);
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
    /// Measure every peer, and what only says how we compare to one
    #[arg(long)]
    peers: bool,
    /// Measure only this part; may be there several times
    #[arg(long, value_enum, value_name = "PART")]
    only: Vec<data::Part>,
    /// Of traffic, measure only kinds with this in their names, such as `connect`; may be there
    /// several times
    #[arg(long, value_name = "TEXT")]
    rows: Vec<String>,
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
    /// nanoseconds [default: CLEARWAY_BENCH_NEAR_NS, or 1.5 times the lower ones of two seconds]
    #[arg(long)]
    near_ns: Option<f64>,
}

/// The benchmarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// What the data plane does, beside what the kernel does by itself
    Data,
}

/// What the frame lends to a benchmark.
pub(crate) struct Frame {
    /// Runs of each contestant.
    pub(crate) runs: u32,
    /// The length of one sample.
    pub(crate) sample: Duration,
    /// Whether samples are to be short, and figures worth nothing.
    pub(crate) quick: bool,
    /// Whether to measure every peer.
    pub(crate) peers: bool,
    /// The parts to measure; all if there are none.
    pub(crate) only: Vec<data::Part>,
    /// Parts of the names of the kinds of traffic to measure; all if there are none.
    pub(crate) rows: Vec<String>,
    pub(crate) guard: Guard,
    pub(crate) progress: Progress,
}

/// What a part of a benchmark hands back.
pub(crate) struct Section {
    pub(crate) title: &'static str,
    pub(crate) series: Vec<Series>,
    pub(crate) bars: Vec<Bar>,
    /// What figures do not say.
    pub(crate) notes: Vec<String>,
}

/// What `--json` writes and `--compare` reads.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Document {
    pub(crate) bench: String,
    pub(crate) machine: Machine,
    /// Why samples were not guarded, if they were not.
    pub(crate) unguarded: Option<String>,
    /// The longest cache-line round trip that was near, in nanoseconds.
    #[serde(default)]
    pub(crate) near_ns: Option<f64>,
    /// The share of the processors that others used before the first sample, from 0 to 1.
    pub(crate) background: f64,
    pub(crate) runs: u32,
    /// What figures do not say, part by part.
    #[serde(default)]
    pub(crate) notes: Vec<String>,
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
    let sections = match arguments.name {
        Name::Data => data::run(&mut frame)?,
    };
    let Frame {
        progress,
        guard,
        runs,
        ..
    } = frame;
    drop(progress);

    let series: Vec<Series> = sections
        .iter()
        .flat_map(|section| section.series.iter().cloned())
        .collect();
    let bars: Vec<Bar> = sections
        .iter()
        .flat_map(|section| section.bars.iter().cloned())
        .collect();
    let document = Document {
        bench: format!("{:?}", arguments.name).to_lowercase(),
        machine: Machine::describe(),
        background,
        unguarded: guard.off_because().map(str::to_owned),
        near_ns: guard.limit_ns(),
        runs,
        notes: sections
            .iter()
            .flat_map(|section| section.notes.iter().cloned())
            .collect(),
        rows: rows::rows_of(&series, &bars),
    };
    println!("{}", print::results(&document, &sections));
    if let Some(old) = &old {
        println!("{}", compare::text(old, &document));
    }
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(&document)?;
        fs::write(file, text + "\n").with_context(|| format!("cannot write {}", file.display()))?;
    }
    if arguments.check {
        Ok(checked(&document.rows, &series, &bars))
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
        cpus => {
            let probe = Box::new(move || probe::round_trip_ns(cpus));
            let pause = Box::new(std::thread::sleep);
            match near_ns {
                Some(near_ns) => Guard::with_limit(probe, pause, near_ns, patience)?,
                None => Guard::calibrate(probe, pause, patience)?,
            }
        }
    };
    if let Some(why) = guard.off_because() {
        progress.keep(&format!("samples are not guarded, because {why}"));
    }
    Ok(Frame {
        runs,
        sample,
        quick: arguments.quick,
        peers: arguments.peers,
        only: arguments.only.clone(),
        rows: arguments.rows.clone(),
        guard,
        progress,
    })
}

fn read_document(file: &Path) -> Result<Document> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no benchmark", file.display()))
}

/// Success if every bar is reached; names those that are not, and those that nothing measured.
fn checked(rows: &[Row], series: &[Series], bars: &[Bar]) -> ExitCode {
    let vain = rows::bars_without_row(series, bars);
    for bar in &vain {
        eprintln!("misses its bar: {}, {}: not measured", bar.name, bar.ours);
    }
    let missed: Vec<&Row> = rows.iter().filter(|row| row.pass == Some(false)).collect();
    for row in &missed {
        eprintln!("misses its bar: {}", row.verdict());
    }
    let passed = rows.iter().filter(|row| row.pass == Some(true)).count();
    eprintln!("{passed} of {} bars are reached", bars.len());
    if passed > 0 && passed == bars.len() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
