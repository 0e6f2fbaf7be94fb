//! New flows a second, until the first is lost.
//!
//! The sender raises its rate burst by burst; the figure is the highest rate at which the receiving
//! guest got every packet. Then half as much again is offered, beside a flow that is established
//! and sends 1,000 packets a second: what is lost has to be new.

use std::cell::{Cell, RefCell};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use super::ACCELERATED;
use crate::bench::cpus::Cpus;
use crate::bench::flood::{Burst, Flood};
use crate::bench::inside::{Server, run_client};
use crate::bench::interleave::{Contestant, Measurement, Side, interleave};
use crate::bench::new_flow_beds::{BLOCKS, ClearwayRouting, FlowBed, KernelRouting};
use crate::bench::rate_search::{Attempt, Search, Steps};
use crate::bench::rows::Bar;
use crate::bench::testbed::Testbed;
use crate::bench::{Frame, Section};
use crate::clearway::Program;
use crate::load::udp_rate::{Received, Sent};

const ROUTING: &str = "routing+nft 1000";
const WITHOUT_LOSS: &str = "new flows without loss";
const ESTABLISHED_LOST: &str = "established flow beside them, lost";
const TIMES_ROUTING: f64 = 10.0;

/// Long against any queue on the way at the rates in question, short against the flow tables.
const BURST: Duration = Duration::from_millis(500);
const BURST_QUICK: Duration = Duration::from_millis(250);
const STEPS: Steps = Steps {
    first: 20_000.0,
    factor: 1.5,
    precision: 1.06,
    sender_share: 0.9,
};
/// A later run begins at this part of what an earlier one found.
const HEAD_START: f64 = 0.6;
const OVERLOAD: f64 = 1.5;
/// A sender that had its processor for less of a burst was disturbed by others: the burst says
/// nothing. So many of a search are repeated.
const SENDER_SHARE: f64 = 0.95;
const DISTURBED_MAX: u32 = 10;
/// How long earlier flows may take until they are forgotten.
const FORGETTING: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(200);
/// The established flow, and for how long it runs before the burst and after.
const STREAM_RATE: &str = "1000";
const STREAM_MARGIN: Duration = Duration::from_millis(300);

/// Searches on both paths, in turns.
pub(crate) fn run(frame: &mut Frame, program: &Program) -> Result<Section> {
    let length = if frame.quick { BURST_QUICK } else { BURST };
    let notes = RefCell::new(Vec::new());
    let seen = [Cell::new(None), Cell::new(None)];
    let mut contestants = [
        Contestant {
            name: ACCELERATED.to_owned(),
            side: Side::Ours,
            run: Box::new(|| {
                let bed = ClearwayRouting::open(program)?;
                one_run(ACCELERATED, &bed, length, &seen[0], &notes)
            }),
        },
        Contestant {
            name: ROUTING.to_owned(),
            side: Side::Peer,
            run: Box::new(|| {
                let bed = KernelRouting::open()?;
                one_run(ROUTING, &bed, length, &seen[1], &notes)
            }),
        },
    ];
    let progress = &frame.progress;
    let note = |what: &str| progress.note(&format!("new flows: {what}"));
    let series = interleave(&mut contestants, frame.runs, &mut frame.guard, note)?;
    drop(contestants);
    Ok(Section {
        title: "new flows, 1,000 rules, spread over them evenly",
        series,
        bars: bars(),
        notes: notes.into_inner(),
    })
}

/// What rows have to reach.
fn bars() -> Vec<Bar> {
    vec![
        Bar::ratio(WITHOUT_LOSS, ACCELERATED, ROUTING, TIMES_ROUTING),
        Bar::limit(ESTABLISHED_LOST, ACCELERATED, 0.0),
    ]
}

/// One search and one overload on a bed that nobody has used.
fn one_run(
    name: &str,
    bed: &dyn FlowBed,
    length: Duration,
    seen: &Cell<Option<f64>>,
    notes: &RefCell<Vec<String>>,
) -> Result<Vec<Measurement>> {
    let mut flood = Flood::prepare(bed.testbed(), BLOCKS)?;
    let first = seen.get().map_or(STEPS.first, |rate| rate * HEAD_START);
    let mut search = Search::new(Steps { first, ..STEPS });
    let mut disturbed = 0;
    while let Some(rate) = search.rate() {
        wait_until_idle(bed)?;
        let burst = flood.burst(rate, length)?;
        if burst.sender_share < SENDER_SHARE && disturbed < DISTURBED_MAX {
            disturbed += 1;
            continue;
        }
        search.tell(Attempt {
            achieved: burst.rate(),
            lossless: burst.sent > 0 && burst.lost() == 0,
        });
    }
    let best = search.best();
    if best == 0.0 {
        bail!("packets of new flows are lost at any rate");
    }
    seen.set(Some(best));
    wait_until_idle(bed)?;
    let drops = bed.drops()?;
    let (burst, stream_lost) = overload(&mut flood, bed.testbed(), best * OVERLOAD, length)?;
    let dropped = since(&drops, bed.drops()?);
    notes.borrow_mut().push(told(
        name,
        &search,
        disturbed,
        &burst,
        &dropped,
        stream_lost,
    ));
    Ok(vec![
        Measurement::higher(WITHOUT_LOSS, "k/s", best / 1e3),
        Measurement::lower(
            "new flows, 1.5 times as many, lost",
            "%",
            100.0 * burst.lost() as f64 / burst.sent.max(1) as f64,
        ),
        Measurement::lower(ESTABLISHED_LOST, "packets", stream_lost as f64),
    ])
}

fn wait_until_idle(bed: &dyn FlowBed) -> Result<()> {
    let begun = Instant::now();
    while !bed.is_idle()? {
        if begun.elapsed() > FORGETTING {
            bail!("flows are not forgotten in {} s", FORGETTING.as_secs());
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

/// A burst beside an established flow; what that one lost.
fn overload(
    flood: &mut Flood,
    testbed: &Testbed,
    rate: f64,
    length: Duration,
) -> Result<(Burst, u64)> {
    let cpus = Cpus::detect()?;
    let words = |words: &[&str]| {
        words
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    let sink = Server::start(
        &testbed.server,
        &words(&[
            "udp-sink",
            "--bind",
            &testbed.server_addr.to_string(),
            "--cpu",
            &cpus.server.to_string(),
        ]),
    )?;
    let streaming = length + 2 * STREAM_MARGIN;
    let stream = words(&[
        "udp-blast",
        "--to",
        &sink.address().to_string(),
        "--cpu",
        &cpus.client.to_string(),
        "--seconds",
        &streaming.as_secs_f64().to_string(),
        "--rate",
        STREAM_RATE,
        "--greet",
    ]);
    let (sent, burst) = thread::scope(|scope| {
        let stream = scope.spawn(|| run_client::<Sent>(&testbed.client, &stream, streaming));
        thread::sleep(STREAM_MARGIN);
        let burst = flood.burst(rate, length);
        let sent = stream
            .join()
            .map_err(|_| anyhow!("the stream panicked"))??;
        anyhow::Ok((sent, burst?))
    })?;
    let received: Received = sink.finish()?;
    Ok((burst, sent.datagrams.saturating_sub(received.datagrams)))
}

/// What was counted since `before`.
fn since(before: &[(String, u64)], now: Vec<(String, u64)>) -> Vec<(String, u64)> {
    now.into_iter()
        .map(|(reason, packets)| {
            let earlier = before.iter().find(|(known, _)| *known == reason);
            let earlier = earlier.map_or(0, |(_, packets)| *packets);
            (reason, packets.saturating_sub(earlier))
        })
        .filter(|(_, packets)| *packets > 0)
        .collect()
}

/// What a person is told about a run.
fn told(
    name: &str,
    search: &Search,
    disturbed: u32,
    burst: &Burst,
    dropped: &[(String, u64)],
    stream_lost: u64,
) -> String {
    let best = search.best() / 1e3;
    let mut text = format!("{name}: without loss {best:.0} k/s");
    if search.is_sender_bound() {
        text += " (its work is done in the sender's time, which so offers no more)";
    }
    let (rate, lost) = (burst.rate() / 1e3, burst.lost());
    text += &format!("; at {rate:.0} k/s lost {lost} of {} new flows", burst.sent);
    let mut elsewhere = lost;
    for (reason, packets) in dropped {
        text += &format!(", {packets} {reason}");
        elsewhere = elsewhere.saturating_sub(*packets);
    }
    if elsewhere > 0 {
        text += &format!(", {elsewhere} in queues on the way");
    }
    text += &format!("; the established flow lost {stream_lost}");
    if disturbed > 0 {
        text += &format!("; {disturbed} bursts were disturbed and repeated");
    }
    text
}

#[cfg(test)]
mod tests;
