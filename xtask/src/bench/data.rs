//! Bench `data`: traffic between two guests of one host, over each path that could carry it.

use std::num::NonZeroU16;

use anyhow::Result;

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

/// What a row has to reach, by the names of measurement and contestants.
const BARS: [Bar; 0] = [];

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
        bars: BARS.to_vec(),
    })
}

/// Every path, built. A further path is one more entrant here, and its bars above.
fn entrants(peers: bool) -> Result<Vec<Entrant>> {
    let mut entrants = vec![
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
