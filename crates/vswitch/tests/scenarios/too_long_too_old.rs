//! Packets that are too long for their receiver, or have come too far: their sender is told.

use std::net::IpAddr;

use flow::DropReason;
use vswitch::Gso;
use wire::compose::Packet;
use wire::{Kind, L4, TcpFlags, dissect};

use crate::model::bench::{Bench, Talk, dropped, to, via_router};
use crate::model::world::World;

/// IP and ICMP headers before what the error quotes.
const V4_QUOTE: usize = 14 + 20 + 8;
const V6_QUOTE: usize = 14 + 40 + 8;

fn small_receiver() -> Bench {
    let mut world = World::of(&[0, 0]);
    world.nic(2).mtu = 1_280;
    Bench::new(world)
}

fn hop() -> Bench {
    let mut world = World::of(&[0, 0]);
    world.nic(1).decrement_ttl = true;
    Bench::new(world)
}

/// Of a frame that is an ICMP error: sender, receiver, and the ICMP message.
fn error(frame: &[u8]) -> (IpAddr, IpAddr, &[u8]) {
    let dissection = dissect(frame).expect("well formed");
    let Kind::Ip(ip) = dissection.kind else {
        panic!("{dissection:?}")
    };
    assert!(matches!(ip.l4, L4::IcmpError { inner: Some(_) }), "{ip:?}");
    assert_eq!(dissection.src, vswitch::router_mac());
    (ip.src, ip.dst, &frame[ip.l4_offset..])
}

#[test]
fn fragmentation_needed_says_how_much_fits() {
    let mut bench = small_receiver();
    let talk = Talk::new(&bench, 1, 2);
    let frame = talk.ask_udp(&[0; 1_253]);
    let sent = bench.send(1, &frame);
    assert_eq!(sent.outcome, dropped(DropReason::TooBig));
    assert_eq!(sent.frame, frame, "as it was");
    let reply = sent.reply.expect("an error");
    let (src, dst, message) = error(&reply);
    assert_eq!((src, dst), (talk.server.ip, talk.client.ip));
    // RFC 1191, section 4.
    assert_eq!((message[0], message[1]), (3, 4));
    assert_eq!(message[6..8], 1_280_u16.to_be_bytes());
    assert_eq!(reply[V4_QUOTE..V4_QUOTE + 28], frame[14..42]);
    assert_eq!(
        bench.outcome(1, &talk.ask_udp(&[0; 1_252])),
        to(2),
        "what fits, fits"
    );
}

#[test]
fn packet_too_big_says_how_much_fits() {
    let mut bench = small_receiver();
    let talk = Talk::v6(&bench, 1, 2);
    let frame = talk.ask_udp(&[0; 1_233]);
    let sent = bench.send(1, &frame);
    assert_eq!(sent.outcome, dropped(DropReason::TooBig));
    let reply = sent.reply.expect("an error");
    let (src, dst, message) = error(&reply);
    assert_eq!((src, dst), (talk.server.ip, talk.client.ip));
    // RFC 4443, section 3.2.
    assert_eq!((message[0], message[1]), (2, 0));
    assert_eq!(message[4..8], 1_280_u32.to_be_bytes());
    assert_eq!(reply[V6_QUOTE..V6_QUOTE + 48], frame[14..62]);
    assert_eq!(
        bench.outcome(1, &talk.ask_udp(&[0; 1_232])),
        to(2),
        "what fits, fits"
    );
}

#[test]
fn a_super_segment_is_as_long_as_its_segments() {
    let mut bench = small_receiver();
    let talk = Talk::new(&bench, 1, 2);
    let (src, dst) = (talk.client, via_router(talk.server));
    let frame = Packet::new(&src, &dst, &[0; 20_000]).tcp(TcpFlags::SYN, 1, 1);
    let port = flow::PortId(1);
    let fits = bench.send_gso(port, &frame, Some(Gso { size: 1_240 }));
    assert_eq!(fits.outcome, to(2));
    let too_long = bench.send_gso(port, &frame, Some(Gso { size: 1_241 }));
    assert_eq!(too_long.outcome, dropped(DropReason::TooBig));
    assert_eq!(
        bench.send_gso(port, &frame, None).outcome,
        dropped(DropReason::TooBig)
    );
}

#[test]
fn the_last_hop_is_the_last() {
    let mut bench = hop();
    for talk in [Talk::new(&bench, 1, 2), Talk::v6(&bench, 1, 2)] {
        let (src, dst) = (talk.client, via_router(talk.server));
        let aged = |ttl| {
            Packet {
                ttl,
                ..Packet::new(&src, &dst, b"far away")
            }
            .udp()
        };
        let sent = bench.send(1, &aged(1));
        assert_eq!(sent.outcome, dropped(DropReason::TtlExpired));
        let reply = sent.reply.expect("an error");
        let (from, to_whom, message) = error(&reply);
        assert_eq!((from, to_whom), (talk.server.ip, talk.client.ip));
        let expected = if src.ip.is_ipv4() { (11, 0) } else { (3, 0) };
        assert_eq!((message[0], message[1]), expected);

        let sent = bench.send(1, &aged(2));
        assert_eq!(sent.outcome, to(2));
        assert_eq!(sent.frame, {
            let mut expected = aged(1);
            expected[..6].copy_from_slice(&talk.server.mac.0);
            expected[6..12].copy_from_slice(&vswitch::router_mac().0);
            expected
        });
    }
    assert_eq!(bench.counters(1).answered, 2);
}

#[test]
fn without_a_router_hop_age_does_not_matter() {
    let mut bench = Bench::new(World::of(&[0, 0]));
    let (src, dst) = (bench.end(1, 9), via_router(bench.end(2, 9)));
    let frame = Packet {
        ttl: 1,
        ..Packet::new(&src, &dst, b"old")
    }
    .udp();
    let sent = bench.send(1, &frame);
    assert_eq!(sent.outcome, to(2));
    assert_eq!(sent.frame[14..], frame[14..]);
}

#[test]
fn nobody_is_told_about_errors_and_later_fragments() {
    let mut bench = hop();
    let talk = Talk::new(&bench, 1, 2);
    let (src, dst) = (talk.client, via_router(talk.server));
    let datagram = Packet {
        ttl: 1,
        ..Packet::new(&src, &dst, &[0; 1_000])
    }
    .udp();
    let parts = wire::compose::fragments(&datagram, 7, 400);
    let replies: Vec<bool> = parts
        .iter()
        .map(|part| bench.send(1, part).reply.is_some())
        .collect();
    assert_eq!(replies, [true, false, false]);
    assert_eq!(bench.counters(1).drops.packets(DropReason::TtlExpired), 3);
}
