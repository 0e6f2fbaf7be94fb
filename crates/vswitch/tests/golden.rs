//! Golden traces: what guests sent, what came of it, and every counter that moved.
//!
//! `tests/golden/<name>` has `input.pcap`, sent through the switch in the world of that name below;
//! `expected.pcap`, all that guests received and what went to other hosts, in order; and
//! `expected.counters`, all counters that are not zero. One that moved and is not named there fails
//! the test, as does one that is named and did not move. `UPDATE_GOLDEN=1` rewrites all three: then
//! the difference is what is to be reviewed.
//!
//! A frame's sender is the guest that has its source address, or guest 1 when nobody has it. What
//! comes from the underlay's next hop comes off the uplink; what goes to other hosts is in its tunnel.

mod stories;

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use flow::PortId;
use vswitch::{Outcome, PortCounters};
use wire::pcap::{Reader, SNAPLEN_MAX, Writer};

use self::stories::{STORIES, Story};
use crate::model::afar::{NEXT_HOP, push};
use crate::model::bench::Bench;

/// The time of the first frame: 1 January 2026, UTC.
const EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// A frame and when it was sent, since the story began.
type Timed = (Duration, Vec<u8>);

#[test]
fn the_switch_does_what_it_did() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    for story in STORIES {
        let folder = folder(story.name);
        let told = pcap(&(story.tell)(&Bench::new((story.world)())));
        if update {
            fs::create_dir_all(&folder).expect("a folder for the trace");
            fs::write(folder.join("input.pcap"), &told).expect("ours to write");
        }
        let input = fs::read(folder.join("input.pcap")).expect("the trace is committed");
        assert!(
            input == told,
            "{}: frames are composed otherwise than before",
            story.name
        );
        let (output, counters) = replay(story, &input);
        if update {
            fs::write(folder.join("expected.pcap"), &output).expect("ours to write");
            fs::write(folder.join("expected.counters"), &counters).expect("ours to write");
        }
        let expected = fs::read_to_string(folder.join("expected.counters")).expect("committed");
        assert_eq!(counters, expected, "{}", story.name);
        let expected = fs::read(folder.join("expected.pcap")).expect("committed");
        compare(story.name, &frames(&output), &frames(&expected));
        assert!(output == expected, "{}: other times", story.name);
    }
}

#[test]
fn every_golden_trace_has_its_story() {
    let root = folder("");
    let mut found: Vec<String> = fs::read_dir(root)
        .expect("the traces are committed")
        .map(|entry| entry.expect("a folder"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    let mut told: Vec<&str> = STORIES.iter().map(|story| story.name).collect();
    told.sort_unstable();
    assert_eq!(found, told);
}

/// Sends the trace through a switch; what came out, and what it counted.
fn replay(story: &Story, input: &[u8]) -> (Vec<u8>, String) {
    let mut bench = Bench::new((story.world)());
    let start = bench.now;
    let mut changes = story.changes.iter().peekable();
    let mut output = Vec::new();
    for (at, frame) in frames(input) {
        while let Some((_, change)) = changes.next_if(|(when, _)| *when <= at) {
            bench.edit(change);
        }
        bench.now = start + at;
        let sent = if frame.get(6..12) == Some(&NEXT_HOP.0) {
            arrive(&mut bench, &frame)
        } else {
            send(&mut bench, &frame)
        };
        output.extend(sent.into_iter().map(|frame| (at, frame)));
    }
    assert_eq!(
        changes.count(),
        0,
        "{}: a change after the last frame",
        story.name
    );
    (pcap(&output), counters(&bench))
}

/// What comes of a frame that a guest sent.
fn send(bench: &mut Bench, frame: &[u8]) -> Vec<Vec<u8>> {
    let sent = bench.send(sender(bench, frame), frame);
    let mut output = Vec::new();
    match sent.outcome {
        Outcome::Deliver(_) => output.push(sent.frame),
        Outcome::Uplink { encap, source_port } => {
            output.push(push(&encap, source_port, &sent.frame));
        }
        Outcome::Answered | Outcome::Dropped(_) => {}
    }
    output.extend(sent.reply);
    output
}

/// What comes of a frame off the uplink.
fn arrive(bench: &mut Bench, frame: &[u8]) -> Vec<Vec<u8>> {
    let arrived = bench.arrive(frame);
    let mut output = Vec::new();
    if let Outcome::Deliver(_) = arrived.outcome {
        output.push(arrived.shown().to_vec());
    }
    let reply = arrived.reply;
    output.extend(reply.map(|(encap, source_port, reply)| push(&encap, source_port, &reply)));
    output
}

fn sender(bench: &Bench, frame: &[u8]) -> u8 {
    let known = bench
        .world
        .input
        .nics
        .iter()
        .find(|nic| frame.get(6..12) == Some(&nic.mac[..]));
    known.map_or(1, |nic| u8::try_from(nic.port.0).expect("few ports"))
}

/// All counters that are not zero, a line each.
fn counters(bench: &Bench) -> String {
    let mut lines = String::new();
    let nics = bench.world.input.nics.iter().map(|nic| nic.port);
    for port in nics.chain([PortId::UPLINK]) {
        let PortCounters {
            from_guest_packets,
            from_guest_bytes,
            to_guest_packets,
            to_guest_bytes,
            first_packets,
            resimulations,
            stale_forwarded,
            answered,
            ref drops,
        } = *bench.switch.port(port).expect("attached").counters;
        let plain = [
            ("from_guest_packets", from_guest_packets),
            ("from_guest_bytes", from_guest_bytes),
            ("to_guest_packets", to_guest_packets),
            ("to_guest_bytes", to_guest_bytes),
            ("first_packets", first_packets),
            ("resimulations", resimulations),
            ("stale_forwarded", stale_forwarded),
            ("answered", answered),
        ];
        let plain = plain.map(|(name, value)| (name.to_owned(), value));
        let reasons = drops.iter().flat_map(|(reason, packets, bytes)| {
            [
                (format!("drops {reason} packets"), packets),
                (format!("drops {reason} bytes"), bytes),
            ]
        });
        for (name, value) in plain
            .into_iter()
            .chain(reasons)
            .filter(|(_, value)| *value > 0)
        {
            writeln!(lines, "{port} {name} {value}").expect("a string takes it");
        }
    }
    let flows = bench.switch.flows().len();
    writeln!(lines, "flows {flows}").expect("a string takes it");
    lines
}

fn compare(name: &str, got: &[Timed], expected: &[Timed]) {
    for (index, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert_eq!(got, expected, "{name}: frame {index}");
    }
    assert_eq!(got.len(), expected.len(), "{name}: frames");
}

fn pcap(frames: &[Timed]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), SNAPLEN_MAX).expect("memory takes it");
    for (at, frame) in frames {
        writer.write(EPOCH + *at, frame).expect("memory takes it");
    }
    writer.into_inner()
}

fn frames(trace: &[u8]) -> Vec<Timed> {
    let records = Reader::new(trace).expect("a trace");
    let timed = records.map(|record| {
        let record = record.expect("a whole record");
        (record.since_epoch - EPOCH, record.frame.to_vec())
    });
    timed.collect()
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}
