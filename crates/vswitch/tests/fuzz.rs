//! Whatever guests send and whenever policy changes, the switch neither panics nor loses count.
//!
//! The target runs under bolero, with random bytes here and with a coverage-guided engine under
//! `cargo bolero test`, and over the committed files in `tests/corpus`, which are operations that
//! mean something. `UPDATE_CORPUS=1` rewrites those.

use std::fs;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use flow::{DropReason, PortId, PortMode};
use policy::input::{MappingTarget, NextHop, VnetId};
use vswitch::{Gso, Limits, Outcome};
use wire::dissect;

use crate::model::afar::{Afar, congested};
use crate::model::bench::{Bench, ROOMY, Talk};
use crate::model::rules::{Narrow, allow, deny, nic_group};
use crate::model::world::{World, remote, v4, v6};

/// Small, so that everything gets full.
const LIMITS: Limits = Limits {
    flows_max: NonZeroU32::new(12).expect("not zero"),
    flows_per_port_max: NonZeroU32::new(6).expect("not zero"),
    fragments_max: NonZeroU32::new(3).expect("not zero"),
    fragments_per_port_max: NonZeroU32::new(2).expect("not zero"),
    first_packets_per_second: 300,
    resimulations_per_second: 60,
};

const NICS: u8 = 3;

/// Where what is counted for the uplink is kept.
const UPLINK: usize = 0;

/// How an input is read: operations, each a byte and what it needs.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// As many bytes as the next two say, or as there are.
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::from(u16::from_be_bytes([self.byte()?, self.byte()?]));
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        Some(bytes)
    }
}

fn world() -> World {
    let mut world = World::of(&[0, 0, 1]);
    world.nic(2).ip_forwarding = true;
    world.nic(1).decrement_ttl = true;
    world.nic(3).mtu = 1_280;
    let rules = vec![deny("telnet", 100).port(23), allow("rest", 200)];
    world.set_inbound(2, vec![nic_group(rules)]);
    for address in [v4(0, 1, 1), v6(0, 1, 1)] {
        world.map(0, address, Some(remote(9, 0)));
    }
    world.map(1, v4(1, 1, 1), Some(remote(9, 1)));
    // So that it can come here.
    world.nic(2).addresses.push(v4(0, 1, 1));
    world.add_route(1, "10.1.0.0/16", NextHop::Appliance(v4(0, 0, 2)));
    world.add_route(2, "10.1.0.0/16", NextHop::Vnet(VnetId(1)));
    world
}

fn fuzz(bytes: &[u8]) {
    let mut bench = Bench::with_limits(world(), LIMITS);
    let mut input = Input(bytes);
    let mut sent = [0_u64; NICS as usize + 1];
    let mut dropped = [0_u64; NICS as usize + 1];
    while let Some(op) = input.byte() {
        let port = 1 + op % NICS;
        match op / NICS {
            // Mostly frames: as they are, or sent as by the guest behind the port.
            0..=34 => {
                let Some(bytes) = input.bytes() else { break };
                let gso = (op & 4 != 0).then_some(Gso { size: 1_000 });
                let mut frame = bytes.to_vec();
                if op & 8 == 0 && frame.len() >= 12 {
                    frame[..6].copy_from_slice(&vswitch::router_mac().0);
                    frame[6..12].copy_from_slice(&bench.end(port, 0).mac.0);
                }
                sent[usize::from(port)] += 1;
                dropped[usize::from(port)] += u64::from(send(&mut bench, port, &frame, gso));
            }
            // Off the uplink, likewise: as they are, or in a tunnel to the guest behind the port.
            35..=49 => {
                let Some(bytes) = input.bytes() else { break };
                let gso = (op & 4 != 0).then_some(Gso { size: 1_000 });
                let frame = match op & 8 {
                    0 => wrapped(&bench, port, bytes),
                    _ => bytes.to_vec(),
                };
                sent[UPLINK] += 1;
                if let Some(owner) = arrive(&mut bench, &frame, gso) {
                    dropped[usize::from(owner.0) % usize::from(PortId::UPLINK.0)] += 1;
                }
            }
            change => take(&mut bench, change, port),
        }
    }
    for port in 0..=NICS {
        let id = if port == 0 {
            PortId::UPLINK
        } else {
            PortId(port.into())
        };
        let counters = bench.switch.port(id).expect("never removed").counters;
        assert_eq!(counters.from_guest_packets, sent[usize::from(port)]);
        let counted: u64 = counters.drops.iter().map(|(_, packets, _)| packets).sum();
        assert_eq!(
            counted,
            dropped[usize::from(port)],
            "every drop has its reason"
        );
    }
}

/// Whether the frame was dropped.
fn send(bench: &mut Bench, port: u8, frame: &[u8], gso: Option<Gso>) -> bool {
    let sent = bench.send_gso(PortId(port.into()), frame, gso);
    assert_eq!(sent.frame.len(), frame.len());
    assert!(bench.switch.flows().len() <= LIMITS.flows_max.get());
    assert!(bench.switch.fragments_len() <= 3);
    if let Some(reply) = &sent.reply {
        dissect(reply).expect("what the switch says is well formed");
    }
    match sent.outcome {
        Outcome::Deliver(_) | Outcome::Uplink { .. } => {
            let whole = dissect(&sent.frame).expect("it was before");
            assert_eq!(whole.src, vswitch::router_mac());
        }
        Outcome::Answered => assert!(sent.reply.is_some()),
        Outcome::Dropped(reason) => {
            assert_eq!(sent.frame, frame, "as it was");
            let told = [DropReason::TooBig, DropReason::TtlExpired];
            assert!(sent.reply.is_none() || told.contains(&reason));
        }
    }
    matches!(sent.outcome, Outcome::Dropped(_))
}

/// A frame to the guest behind the port, in the tunnel from host 9.
fn wrapped(bench: &Bench, port: u8, bytes: &[u8]) -> Vec<u8> {
    let mut inner = bytes.to_vec();
    inner.resize(inner.len().max(14), 0);
    inner[..6].copy_from_slice(&bench.end(port, 0).mac.0);
    let vnet = u8::from(port == 3);
    Afar::new(9, vnet, v4(0, 1, 1), 0).wrap(&inner)
}

/// Whom the frame was dropped for, if it was.
fn arrive(bench: &mut Bench, frame: &[u8], gso: Option<Gso>) -> Option<PortId> {
    let arrived = bench.arrive_gso(frame, gso);
    assert!(bench.switch.flows().len() <= LIMITS.flows_max.get());
    assert!(bench.switch.fragments_len() <= 3);
    if let Some((_, _, reply)) = &arrived.reply {
        dissect(reply).expect("what the switch says is well formed");
    }
    match arrived.outcome {
        Outcome::Deliver(port) => {
            assert_eq!(port, arrived.owner);
            let whole = dissect(arrived.shown()).expect("it was before");
            assert_eq!(whole.src, vswitch::router_mac());
            None
        }
        Outcome::Dropped(_) => {
            assert_eq!(arrived.whole, frame, "as it was");
            Some(arrived.owner)
        }
        outcome => panic!("{outcome:?} of a frame off the uplink"),
    }
}

fn take(bench: &mut Bench, change: u8, port: u8) {
    let id = PortId(port.into());
    match change {
        50..=54 => bench.pass(Duration::from_millis(100)),
        55..=58 => bench.pass(Duration::from_secs(7)),
        59 | 60 => bench.sweep(),
        61 => drop(bench.work()),
        62 => bench.switch.set_down(id),
        63..=65 => bench.switch.add_port(id, PortMode::Accelerated),
        66..=68 => bench.edit(World::advance_paths),
        69 | 70 => bench.edit(World::reevaluate),
        71 | 72 => bench.edit(|world| world.add_route(port, "10.0.0.0/16", NextHop::None)),
        73 | 74 => bench.edit(|world| world.clear_user_routes(port)),
        75..=79 => {
            let target = Some(MappingTarget::Port(id));
            bench.move_mapping((VnetId(0), v4(0, 0, 2), target));
        }
        80 => bench.move_mapping((VnetId(0), v4(0, 0, 2), None)),
        81 | 82 => {
            let target = Some(MappingTarget::Port(PortId(2)));
            bench.move_mapping((VnetId(0), v4(0, 1, 1), target));
        }
        _ => bench.move_mapping((VnetId(0), v4(0, 1, 1), Some(remote(9, 0)))),
    }
}

#[test]
fn nothing_makes_the_switch_panic_or_lose_count() {
    bolero::check!()
        .with_iterations(600)
        .with_max_len(1_024)
        .for_each(fuzz);
}

/// A frame off the uplink, for which bit 3 says that it has its tunnel.
const AS_IT_IS: u8 = 35 * NICS;
const _: () = assert!(AS_IT_IS & 8 != 0 && AS_IT_IS & 4 == 0 && AS_IT_IS / NICS < 50);

/// Operations as bytes.
#[derive(Default)]
struct Story(Vec<u8>);

impl Story {
    fn send(mut self, port: u8, frame: &[u8]) -> Story {
        let [high, low] = u16::try_from(frame.len()).expect("short").to_be_bytes();
        self.0.extend([port - 1, high, low]);
        self.0.extend(frame);
        self
    }

    /// A frame in its tunnel comes off the uplink.
    fn arrive(mut self, frame: &[u8]) -> Story {
        let [high, low] = u16::try_from(frame.len()).expect("short").to_be_bytes();
        self.0.extend([AS_IT_IS, high, low]);
        self.0.extend(frame);
        self
    }

    fn then(mut self, change: u8, port: u8) -> Story {
        self.0.push(change * NICS + port - 1);
        self
    }
}

/// The committed stories.
fn corpus() -> Vec<(&'static str, Vec<u8>)> {
    let bench = Bench::with_limits(world(), ROOMY);
    let (near, far) = (Talk::new(&bench, 1, 2), Talk::new(&bench, 1, 3));
    let (syn, ack) = (wire::TcpFlags::SYN, wire::TcpFlags::ACK);
    let syn_ack = wire::TcpFlags(syn.0 | ack.0);
    let handshake = || {
        let story = Story::default()
            .send(1, &near.ask(syn))
            .send(2, &near.answer(syn_ack));
        story.send(1, &near.ask(ack))
    };
    let relayed = Talk::relayed(&bench, 2, &far.ask_udp(b"?"));
    let parts = wire::compose::fragments(&near.ask_udp(&[0; 600]), 7, 200);
    let fragments = parts
        .iter()
        .fold(Story::default(), |story, part| story.send(1, part));
    let solicit = match bench.end6(2, 0).ip {
        std::net::IpAddr::V6(target) => wire::compose::neighbour_solicit(&bench.end6(1, 0), target),
        std::net::IpAddr::V4(_) => panic!("an end of IPv6"),
    };
    let flood = (0..9).fold(Story::default(), |story, number| {
        let mut other = near;
        other.client.port += number;
        story.send(1, &other.ask(syn))
    });
    let afar = Afar::new(9, 0, v4(0, 1, 1), 40_000);
    let server = bench.end(1, 443);
    let answers = Talk {
        client: server,
        server: afar.end,
    };
    let called = || {
        Story::default()
            .arrive(&afar.tcp(&server, syn))
            .send(1, &answers.ask(syn_ack))
            .arrive(&afar.tcp(&server, ack))
    };
    let parts_afar =
        wire::compose::fragments(&wire::compose::udp(&afar.end, &server, &[0; 600]), 7, 200);
    let tunnelled = parts_afar.iter().fold(Story::default(), |story, part| {
        story.arrive(&afar.wrap(part))
    });
    vec![
        (
            "blocked.bin",
            handshake()
                .then(71, 1)
                .send(1, &near.ask(ack))
                .then(73, 1)
                .0,
        ),
        ("flood.bin", flood.then(61, 1).then(55, 1).then(59, 1).0),
        ("fragments.bin", fragments.then(55, 1).send(1, &parts[1]).0),
        (
            "moved.bin",
            handshake()
                .then(75, 3)
                .send(1, &near.ask(ack))
                .send(2, &near.answer(ack))
                .0,
        ),
        (
            "moved_here.bin",
            called().then(81, 1).send(1, &answers.ask(ack)).0,
        ),
        ("neighbour.bin", Story::default().send(1, &solicit).0),
        (
            "reevaluated.bin",
            handshake().then(69, 1).send(2, &near.answer(ack)).0,
        ),
        (
            "relayed.bin",
            Story::default()
                .send(1, &far.ask_udp(b"?"))
                .send(2, &relayed)
                .0,
        ),
        (
            "too_big.bin",
            Story::default()
                .send(2, &Talk::new(&bench, 2, 3).ask_udp(&[0; 1_300]))
                .0,
        ),
        (
            "tunnelled.bin",
            tunnelled.arrive(&congested(afar.udp(&server, b"?"))).0,
        ),
    ]
}

#[test]
fn the_committed_stories_are_replayed() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let stories = corpus();
    if std::env::var_os("UPDATE_CORPUS").is_some() {
        fs::create_dir_all(&folder).expect("a folder for the corpus");
        for (name, bytes) in &stories {
            fs::write(folder.join(name), bytes).expect("the corpus is ours to write");
        }
    }
    let mut names: Vec<String> = fs::read_dir(&folder)
        .expect("the corpus is committed")
        .map(|file| {
            file.expect("a file")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    let known: Vec<&str> = stories.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, known);
    for (name, bytes) in stories {
        let committed = fs::read(folder.join(name)).expect("listed");
        assert_eq!(
            committed, bytes,
            "{name}: frames are composed otherwise than before"
        );
        fuzz(&committed);
    }
}
