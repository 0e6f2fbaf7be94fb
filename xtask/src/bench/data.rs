//! Bench `data`: what the data plane does, beside what the kernel does by itself.

pub(crate) mod in_process;
pub(crate) mod memory;
pub(crate) mod new_flows;
pub(crate) mod one_host;
pub(crate) mod two_hosts;

use anyhow::Result;
use clap::ValueEnum;

use super::{Frame, Section, namespace};
use crate::clearway::Program;

/// What an entrant of ours is called, wherever there is one.
pub(crate) const ACCELERATED: &str = "accelerated";
pub(crate) const SYNTHETIC: &str = "synthetic";

/// A part of the bench; each builds its testbeds, measures, and removes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Traffic between two guests of one host
    OneHost,
    /// Traffic between guests of two hosts, over VXLAN (with --peers)
    TwoHosts,
    /// New flows until something is lost (with --peers)
    NewFlows,
    /// The software paths in process, on one core
    InProcess,
    /// The memory of an agent
    Memory,
}

impl Part {
    /// Whether all it says is how we compare to a peer.
    fn needs_peers(self) -> bool {
        matches!(self, Self::TwoHosts | Self::NewFlows)
    }
}

/// Runs the parts that were asked for.
pub(crate) fn run(frame: &mut Frame) -> Result<Vec<Section>> {
    namespace::remove_abandoned();
    frame.progress.note("building");
    let program = Program::build()?;
    let mut sections = Vec::new();
    for part in parts(&frame.only, frame.peers) {
        sections.push(match part {
            Part::OneHost => one_host::run(frame, &program)?,
            Part::TwoHosts => two_hosts::run(frame, &program)?,
            Part::NewFlows => new_flows::run(frame, &program)?,
            Part::InProcess => in_process::run(frame)?,
            Part::Memory => memory::run(frame, &program)?,
        });
    }
    Ok(sections)
}

/// All, or those that were asked for; without the peers, none that needs them unless asked for.
fn parts(only: &[Part], peers: bool) -> Vec<Part> {
    let all = Part::value_variants().iter().copied();
    all.filter(|part| match only {
        [] => peers || !part.needs_peers(),
        some => some.contains(part),
    })
    .collect()
}

#[cfg(test)]
mod tests;
