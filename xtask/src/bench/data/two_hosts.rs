//! Traffic between guests of two hosts that VXLAN joins.

use anyhow::Result;

use super::ACCELERATED;
use crate::bench::entrants::{Entrant, measure};
use crate::bench::interleave::Side;
use crate::bench::kernel_peers::RULES_DEFAULT;
use crate::bench::rows::Bar;
use crate::bench::two_host_beds::{ClearwayHosts, KernelVxlan};
use crate::bench::workload::{Transport, UdpFlow, Waiting, Workload};
use crate::bench::{Frame, Section};
use crate::clearway::Program;

/// With [`RULES_DEFAULT`] rules.
const VXLAN: &str = "vxlan+bridge+nft 1000";
const PREFIX: &str = "vxlan, ";

const WORKLOADS: [Workload; 5] = [
    Workload::TcpThroughput,
    Workload::UdpRate {
        flow: UdpFlow::Established,
    },
    Workload::RequestResponse {
        transport: Transport::Udp,
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
];

const THROUGHPUT: f64 = 1.1;
const LATENCY: f64 = 1.0;

/// Runs every workload on both paths.
pub(crate) fn run(frame: &mut Frame, program: &Program) -> Result<Section> {
    frame.progress.note("building the testbeds of two hosts");
    let entrants = [
        Entrant::new(
            ACCELERATED,
            Side::Ours,
            ClearwayHosts::open(program, RULES_DEFAULT)?,
        ),
        Entrant::new(VXLAN, Side::Peer, KernelVxlan::open(RULES_DEFAULT)?),
    ];
    Ok(Section {
        title: "two hosts, joined by VXLAN over an MTU of 1,550",
        series: measure(frame, PREFIX, &WORKLOADS, &entrants)?,
        bars: bars(),
        notes: Vec::new(),
    })
}

/// What rows have to reach.
fn bars() -> Vec<Bar> {
    let bar = |what: &str, at| Bar::ratio(format!("{PREFIX}{what}"), ACCELERATED, VXLAN, at);
    vec![
        bar("tcp throughput", THROUGHPUT),
        bar("udp 64 B spin, p50", LATENCY),
        bar("udp 64 B block, p50", LATENCY),
        bar("tcp 64 B block, p50", LATENCY),
    ]
}
