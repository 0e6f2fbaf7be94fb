//! Traffic between two guests of one host, over each path that could carry it.

use std::num::NonZeroU16;

use anyhow::Result;

use super::{ACCELERATED, SYNTHETIC};
use crate::bench::clearway_bed::ClearwayBed;
use crate::bench::derived;
use crate::bench::entrants::{Entrant, measure};
use crate::bench::interleave::Side;
use crate::bench::kernel_peers::{KernelBridge, RULES_DEFAULT, RawVeth};
use crate::bench::rows::Bar;
use crate::bench::workload::{Transport, UdpFlow, Waiting, Workload};
use crate::bench::{Frame, Section};
use crate::clearway::Program;

const RAW: &str = "raw veth";
/// With [`RULES_DEFAULT`] rules.
const BRIDGE: &str = "bridge+nft 1000";

/// Sockets that open connections at once: enough to keep both processors busy.
const SOCKETS: NonZeroU16 = NonZeroU16::new(8).unwrap();

const WORKLOADS: [Workload; 8] = [
    Workload::TcpThroughput,
    Workload::UdpRate {
        flow: UdpFlow::Established,
    },
    Workload::UdpRate {
        flow: UdpFlow::Unanswered,
    },
    Workload::RequestResponse {
        transport: Transport::Udp,
        waiting: Waiting::Spin,
    },
    Workload::RequestResponse {
        transport: Transport::Tcp,
        waiting: Waiting::Spin,
    },
    Workload::RequestResponse {
        transport: Transport::Udp,
        waiting: Waiting::Block,
    },
    Workload::RequestResponse {
        transport: Transport::Tcp,
        waiting: Waiting::Block,
    },
    Workload::ConnectRate { sockets: SOCKETS },
];

/// Whose processor time is compared beyond that of the guests' own stacks, which is the raw pair's.
const CPU: &str = "udp 18 B, cpu";

/// Measurements in which the accelerated path has to be ahead of the synthetic one. Opening
/// connections is none: the first packet of each goes the synthetic way on both.
const AHEAD_OF_SYNTHETIC: [&str; 17] = [
    "tcp throughput",
    "tcp throughput, cpu",
    "udp 18 B, received",
    "udp 18 B, cpu",
    "udp 18 B unanswered, received",
    "udp 18 B unanswered, cpu",
    "udp 64 B spin, p50",
    "udp 64 B spin, p99",
    "udp 64 B spin, jitter",
    "udp 64 B block, p50",
    "udp 64 B block, p99",
    "udp 64 B block, jitter",
    "udp 64 B block, cpu each",
    "tcp 64 B block, p50",
    "tcp 64 B block, p99",
    "tcp 64 B block, jitter",
    "tcp 64 B block, cpu each",
];

/// Throughputs, rates and latencies: in none may the accelerated path be behind the bridge, nor the
/// synthetic path fall below a tenth of the accelerated one.
const FIGURES: [&str; 17] = [
    "tcp throughput",
    "udp 18 B, received",
    "udp 18 B unanswered, received",
    "udp 64 B spin, p50",
    "udp 64 B spin, p99",
    "udp 64 B spin, p99.9",
    "tcp 64 B spin, p50",
    "tcp 64 B spin, p99",
    "tcp 64 B spin, p99.9",
    "udp 64 B block, p50",
    "udp 64 B block, p99",
    "udp 64 B block, p99.9",
    "tcp 64 B block, p50",
    "tcp 64 B block, p99",
    "tcp 64 B block, p99.9",
    "tcp connect x8, opened",
    "tcp connect x8, p99",
];

/// The smallest ratio that is ahead rather than level.
const AHEAD: f64 = 1.0 + f64::EPSILON;
const NOT_BEHIND: f64 = 1.0;
const A_TENTH: f64 = 0.1;
const RAW_THROUGHPUT: f64 = 0.95;
/// A median at most 1.05 times the raw pair's, a tail at most 1.1 times as far from its median.
const RAW_LATENCY: f64 = 1.0 / 1.05;
const RAW_TAIL: f64 = 1.0 / 1.1;
const CPU_SHARE_MAX: f64 = 0.5;

/// Runs every workload on every path.
pub(crate) fn run(frame: &mut Frame, program: &Program) -> Result<Section> {
    frame.progress.note("building the testbeds of one host");
    let [synthetic, accelerated] = ClearwayBed::open_both(program, RULES_DEFAULT)?;
    let entrants = [
        Entrant::new(ACCELERATED, Side::Ours, accelerated),
        Entrant::new(SYNTHETIC, Side::OursToBeat, synthetic),
        Entrant::new(RAW, Side::Peer, RawVeth::open()?),
        Entrant::new(BRIDGE, Side::Peer, KernelBridge::open(RULES_DEFAULT)?),
    ];
    let mut series = measure(frame, "", &WORKLOADS, &entrants)?;
    let beyond = derived::beyond(&series, CPU, RAW);
    let share = derived::share(&beyond, ACCELERATED, BRIDGE);
    series.extend(beyond);
    series.extend(share);
    Ok(Section {
        title: "one host",
        series,
        bars: bars(),
        notes: Vec::new(),
    })
}

/// What rows have to reach.
fn bars() -> Vec<Bar> {
    let mut bars = vec![Bar::ratio(
        "tcp throughput",
        ACCELERATED,
        RAW,
        RAW_THROUGHPUT,
    )];
    for transport in ["udp", "tcp"] {
        let name = |what: &str| format!("{transport} 64 B block, {what}");
        bars.push(Bar::ratio(name("p50"), ACCELERATED, RAW, RAW_LATENCY));
        bars.push(Bar::ratio(name("p99.9/p50"), ACCELERATED, RAW, RAW_TAIL));
    }
    for name in FIGURES {
        bars.push(Bar::ratio(name, ACCELERATED, BRIDGE, NOT_BEHIND));
        bars.push(Bar::ratio(name, SYNTHETIC, ACCELERATED, A_TENTH));
    }
    for name in AHEAD_OF_SYNTHETIC {
        bars.push(Bar::ratio(name, ACCELERATED, SYNTHETIC, AHEAD));
    }
    let share = derived::share_name(&derived::beyond_name(CPU), BRIDGE);
    bars.push(Bar::limit(share, ACCELERATED, CPU_SHARE_MAX));
    bars
}

#[cfg(test)]
mod tests;
