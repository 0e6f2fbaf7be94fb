//! Bench `data`: traffic between two guests of one host, over each path that could carry it.

use std::num::NonZeroU16;

use anyhow::Result;

use super::clearway_bed::ClearwayBed;
use super::interleave::{Contestant, Side, interleave};
use super::kernel_peers::{KernelBridge, RULES_DEFAULT, RawVeth};
use super::rows::Bar;
use super::testbed::Bed;
use super::workload::{Transport, UdpFlow, Waiting, Workload};
use super::{Frame, Results, namespace};

/// Sockets that open connections at once: enough to keep both processors busy.
const SOCKETS: NonZeroU16 = NonZeroU16::new(8).unwrap();

const WORKLOADS: [Workload; 7] = [
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
        transport: Transport::Udp,
        waiting: Waiting::Block,
    },
    Workload::RequestResponse {
        transport: Transport::Tcp,
        waiting: Waiting::Block,
    },
    Workload::ConnectRate { sockets: SOCKETS },
];

const SYNTHETIC: &str = "synthetic";
const ACCELERATED: &str = "accelerated";

/// Measurements in which the accelerated path has to be ahead of the synthetic one. Opening
/// connections is none: the first packet of each goes the synthetic way on both.
const ACCELERATED_AHEAD: [&str; 17] = [
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

/// The smallest ratio that is ahead rather than level.
const AHEAD: f64 = 1.0 + f64::EPSILON;

/// A path that takes part.
struct Entrant {
    name: String,
    side: Side,
    bed: Box<dyn Bed>,
}

/// Runs every workload on every path.
pub(crate) fn run(frame: &mut Frame) -> Result<Results> {
    namespace::remove_abandoned();
    frame.progress.note("building the testbeds");
    let entrants = entrants(frame.peers)?;
    let mut series = Vec::new();
    for workload in WORKLOADS {
        let mut contestants: Vec<Contestant<'_>> = entrants
            .iter()
            .map(|entrant| Contestant {
                name: entrant.name.clone(),
                side: entrant.side,
                run: Box::new(|| workload.run(entrant.bed.testbed(), frame.sample)),
            })
            .collect();
        let progress = &frame.progress;
        let note = |what: &str| progress.note(&format!("{}: {what}", workload.name()));
        series.extend(interleave(
            &mut contestants,
            frame.runs,
            &mut frame.guard,
            note,
        )?);
    }
    Ok(Results {
        series,
        bars: bars(),
    })
}

/// What rows have to reach.
fn bars() -> Vec<Bar> {
    ACCELERATED_AHEAD
        .map(|name| Bar {
            name,
            ours: ACCELERATED,
            peer: Some(SYNTHETIC),
            at: AHEAD,
        })
        .to_vec()
}

/// Every path, built. A further path is one more entrant here, and its bars above.
fn entrants(peers: bool) -> Result<Vec<Entrant>> {
    let [synthetic, accelerated] = ClearwayBed::open_both(RULES_DEFAULT)?;
    let mut entrants = vec![
        Entrant {
            name: ACCELERATED.to_owned(),
            side: Side::Ours,
            bed: Box::new(accelerated),
        },
        Entrant {
            name: SYNTHETIC.to_owned(),
            side: Side::OursToBeat,
            bed: Box::new(synthetic),
        },
        peer("raw veth", RawVeth::open()?),
        peer(
            format!("bridge+nft {RULES_DEFAULT}"),
            KernelBridge::open(RULES_DEFAULT)?,
        ),
    ];
    if peers {
        entrants.push(peer("bridge", KernelBridge::open(0)?));
    }
    Ok(entrants)
}

fn peer(name: impl Into<String>, bed: impl Bed + 'static) -> Entrant {
    Entrant {
        name: name.into(),
        side: Side::Peer,
        bed: Box::new(bed),
    }
}
