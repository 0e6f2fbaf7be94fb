//! The packets of established flows take no memory, whatever becomes of them.

use flow::DropReason;
use vswitch::Outcome;
use wire::TcpFlags;
use wire::compose::{self, Packet};

use crate::model::afar::{Afar, congested};
use crate::model::bench::{Bench, Talk, dropped, to, via_router};
use crate::model::rules::{deny, nic_group};
use crate::model::world::{World, remote, v4};

const ROUNDS: u32 = 100;

/// A world in which hits of every kind happen: guest 1 is served by 2, refused by 3, and knows of
/// somebody on another host.
fn bench() -> Bench {
    let mut world = World::of(&[0, 0, 0]);
    world.nic(1).decrement_ttl = true;
    world.nic(2).mtu = 1_280;
    world.set_inbound(3, vec![nic_group(vec![deny("nobody", 100)])]);
    world.map(0, v4(0, 1, 1), Some(remote(9, 0)));
    Bench::new(world)
}

/// Each with what becomes of it.
fn frames(bench: &Bench) -> Vec<(Outcome, Vec<u8>)> {
    let talk = Talk::new(bench, 1, 2);
    let v6 = Talk::v6(bench, 1, 2);
    let refused = Talk::new(bench, 1, 3);
    let mut away = talk;
    away.server.ip = v4(0, 1, 1);
    let policy::input::MappingTarget::Remote { encap, .. } = remote(9, 0) else {
        panic!("on another host")
    };
    let echo = compose::echo_request(&talk.client, &via_router(talk.server), 7, b"ping");
    let arp = compose::arp_request(&talk.client, std::net::Ipv4Addr::new(10, 0, 0, 2));
    vec![
        (to(2), talk.ask_udp(b"hello")),
        (to(2), v6.ask_udp(b"hello")),
        (to(2), talk.ask(wire::TcpFlags::ACK)),
        (to(2), echo),
        (
            Outcome::Uplink {
                encap,
                source_port: flow::outer_source_port(&away.key(1, 17)),
            },
            away.ask_udp(b"hello"),
        ),
        (
            dropped(DropReason::NsgDenyInbound),
            refused.ask_udp(b"hello"),
        ),
        (dropped(DropReason::TooBig), talk.ask_udp(&[0; 1_300])),
        (Outcome::Answered, arp),
    ]
}

#[test]
fn tier_one_takes_no_memory() {
    let mut bench = bench();
    bench.outcome(1, &Talk::new(&bench, 1, 2).syn());
    let frames = frames(&bench);
    frames
        .iter()
        .for_each(|(expected, frame)| assert_eq!(bench.outcome(1, frame), *expected));
    let mut copies: Vec<Vec<u8>> = frames.iter().map(|(_, frame)| frame.clone()).collect();
    let port = flow::PortId(1);
    let now = bench.now;
    let mut outcomes = Vec::with_capacity(frames.len());
    let used = allocation_counter::measure(|| {
        for _ in 0..ROUNDS {
            outcomes.clear();
            for ((_, frame), copy) in frames.iter().zip(&mut copies) {
                copy.copy_from_slice(frame);
                outcomes.push(bench.switch.process(port, copy, None, now));
            }
        }
    });
    assert_eq!(used.count_total, 0);
    assert!(
        outcomes
            .iter()
            .eq(frames.iter().map(|(expected, _)| expected))
    );
    assert_eq!(
        bench.counters(1).first_packets,
        6,
        "the first round, and no other"
    );
}

#[test]
fn tier_two_takes_no_memory_once_a_batch_has_been_as_long() {
    let mut bench = bench();
    let talk = Talk::new(&bench, 1, 2);
    let frame = talk.ask_udp(b"hello");
    let mut copy = frame.clone();
    bench.outcome(1, &frame);
    let mut work = vswitch::EngineWork::default();
    let mut batch = |bench: &mut Bench, work: &mut vswitch::EngineWork| {
        bench.edit(World::advance_paths);
        let port = flow::PortId(1);
        let now = bench.now;
        allocation_counter::measure(|| {
            for _ in 0..3 {
                copy.copy_from_slice(&frame);
                assert_eq!(bench.switch.process(port, &mut copy, None, now), to(2));
            }
            bench.switch.take_work(work);
        })
    };
    // The two lists change places with each other.
    batch(&mut bench, &mut work);
    batch(&mut bench, &mut work);
    assert_eq!(batch(&mut bench, &mut work).count_total, 0);
    assert_eq!(bench.counters(1).resimulations, 3);
}

#[test]
fn nor_do_frames_off_the_uplink() {
    let mut bench = bench();
    let server = bench.end(1, 443);
    let refused = bench.end(3, 443);
    let afar = Afar::new(9, 0, v4(0, 1, 1), 40_000);
    assert_eq!(bench.arrival(&afar.tcp(&server, TcpFlags::SYN)), to(1));
    let talk = Talk {
        client: Talk::new(&bench, 1, 2).client,
        server: Afar::new(9, 0, v4(0, 1, 1), 443).end,
    };
    bench.outcome(1, &talk.ask_udp(b"hello"));
    let answers = Afar {
        end: talk.server,
        ..afar
    };
    let stranger = Afar { host: 7, ..afar };
    let mut capable = Packet::new(&afar.end, &server, b"slowly");
    capable.dscp_ecn = 1;
    let frames = [
        (to(1), afar.tcp(&server, TcpFlags::ACK)),
        (to(1), answers.udp(&talk.client, b"hello")),
        (to(1), congested(afar.wrap(&capable.udp()))),
        (
            dropped(DropReason::NsgDenyInbound),
            afar.udp(&refused, b"?"),
        ),
        (dropped(DropReason::TooBig), afar.udp(&server, &[0; 1_600])),
        (
            dropped(DropReason::UnknownProvider),
            stranger.udp(&server, b"?"),
        ),
    ];
    for (expected, frame) in &frames {
        assert_eq!(bench.arrival(frame), *expected);
    }
    let mut copies: Vec<Vec<u8>> = frames.iter().map(|(_, frame)| frame.clone()).collect();
    let now = bench.now;
    let used = allocation_counter::measure(|| {
        for _ in 0..ROUNDS {
            for ((expected, frame), copy) in frames.iter().zip(&mut copies) {
                copy.copy_from_slice(frame);
                let arrived = bench.switch.process_uplink(copy, None, now);
                assert_eq!(arrived.outcome, *expected);
            }
        }
    });
    assert_eq!(used.count_total, 0);
}
