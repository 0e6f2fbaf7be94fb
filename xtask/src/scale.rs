//! `cargo xtask scale`: grow one thing at a time, and see what grows with it.
//!
//! Each figure at all sizes is fitted by a power law, whose exponent says what the cost of the next
//! order of magnitude is: 0 nothing, 1 as much again as all before. Policy and the switch's flow
//! table are measured in process, by the examples of their crates; everything else on a real agent.

mod agent_api;
mod bed;
mod changes;
mod document;
mod engine_flows;
mod fit;
mod nics;
mod point;
mod table;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Serialize;

use crate::bench::examples;
use crate::bench::interleave::Better;
use crate::bench::machine::Machine;
use crate::clearway::Program;
use crate::progress::Progress;
use crate::setup::{self, Consent, Purpose};
use point::{Growth, Point};

/// Flows in the switch's table.
const TABLE_FLOWS: [u32; 5] = [1_000, 10_000, 100_000, 1_000_000, 4_000_000];
const TABLE_FLOWS_QUICK: [u32; 3] = [100, 1_000, 10_000];

/// Arguments of `cargo xtask scale`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Grow only these
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Grown>,
    /// Write the figures, their fits and a description of this machine as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Small sizes and short samples: shows that it works, proves nothing
    #[arg(long)]
    quick: bool,
}

/// What can be grown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Grown {
    /// Rules of a group, 10 to 10,000
    Rules,
    /// Prefixes of a rule, 1 to 1,000
    Prefixes,
    /// Routes, to 100,000
    Routes,
    /// Mappings, to 1,000,000
    Mappings,
    /// Flows in the switch's table, to 4,000,000
    Flows,
    /// NICs of a host, 2 to 1,000
    Nics,
    /// Flows in the flow engine, to 1,000,000
    EngineFlows,
    /// Nothing, but ten changes of policy a second under traffic
    Changes,
}

/// What is lent to those that measure.
pub(crate) struct Scale {
    pub(crate) quick: bool,
    pub(crate) progress: Progress,
    program: Option<Program>,
    points: Vec<Point>,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Document {
    machine: Machine,
    growths: Vec<Growth>,
}

/// Runs `cargo xtask scale`.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    setup::ensure(&Purpose::Bench.needs(), Consent::Ask)?;
    let all = Grown::value_variants();
    let wanted = if arguments.only.is_empty() {
        all
    } else {
        &arguments.only
    };
    let mut scale = Scale {
        quick: arguments.quick,
        progress: Progress::start("growing"),
        program: None,
        points: Vec::new(),
    };
    for grown in wanted {
        scale.grow(*grown)?;
    }
    let growths = Growth::all(&scale.points);
    drop(scale);
    println!("{}", table::text(&growths));
    if let Some(file) = &arguments.json {
        let machine = Machine::describe();
        let text = serde_json::to_string_pretty(&Document { machine, growths })?;
        fs::write(file, text + "\n").with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Scale {
    fn grow(&mut self, grown: Grown) -> Result<()> {
        match grown {
            Grown::Rules => self.policy("rules"),
            Grown::Prefixes => self.policy("prefixes"),
            Grown::Routes => self.policy("routes"),
            Grown::Mappings => self.policy("mappings"),
            Grown::Flows => self.table_flows(),
            Grown::Nics => nics::grow(self),
            Grown::EngineFlows => engine_flows::grow(self),
            Grown::Changes => changes::measure(self),
        }
    }

    /// The product, built when it is first needed.
    pub(crate) fn program(&mut self) -> Result<Program> {
        if let Some(program) = &self.program {
            return Ok(program.clone());
        }
        let program = Program::build()?;
        Ok(self.program.insert(program).clone())
    }

    /// Notes a figure.
    pub(crate) fn put(
        &mut self,
        grown: &str,
        name: &str,
        unit: &str,
        better: Better,
        n: u64,
        value: f64,
    ) {
        self.progress
            .keep(&format!("{grown} {n}: {name} {value:.3} {unit}"));
        self.points.push(Point {
            grown: grown.to_owned(),
            name: name.to_owned(),
            unit: unit.to_owned(),
            better,
            n,
            value,
        });
    }

    fn policy(&mut self, grown: &str) -> Result<()> {
        self.progress.note(&format!("growing {grown}"));
        let arguments = ["--json", "--only", grown];
        for figure in examples::figures("policy", "policy_cost", &arguments)? {
            // One without a size is not of something that was grown.
            if let Some(n) = figure.n {
                self.put(
                    grown,
                    &figure.name,
                    &figure.unit,
                    figure.better,
                    n,
                    figure.value,
                );
            }
        }
        Ok(())
    }

    fn table_flows(&mut self) -> Result<()> {
        let sizes: &[u32] = if self.quick {
            &TABLE_FLOWS_QUICK
        } else {
            &TABLE_FLOWS
        };
        for flows in sizes {
            self.progress.note(&format!("{flows} flows in the switch"));
            let arguments = ["--json", "--flows", &flows.to_string()];
            let size = format!("/{flows}-flows");
            for figure in examples::figures("vswitch", "fast_path", &arguments)? {
                // Those that have no size in their name are of something else.
                let Some(name) = figure.name.strip_suffix(&size) else {
                    continue;
                };
                let (unit, n) = (&figure.unit, u64::from(*flows));
                self.put(
                    "flows in the switch",
                    name,
                    unit,
                    figure.better,
                    n,
                    figure.value,
                );
            }
        }
        Ok(())
    }
}

/// The middle one; of none, zero.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
