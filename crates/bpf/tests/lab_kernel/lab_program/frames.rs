//! Which frames are of which flow, and what becomes of them.

use std::net::IpAddr;
use std::num::NonZeroU32;

use bpf::{Outcome, TestVerdict};
use flow::{FlowKey, PortId};
use wire::TcpFlags;
use wire::checksum::Sum;
use wire::compose::{self, Endpoint, Packet};

use super::bench::Bench;
use crate::lab::{self, Guest, ROUTER, TCP, UDP};

#[test]
fn a_frame_of_a_flow_is_rewritten_counted_and_delivered() {
    let Some(mut bench) = Bench::new("a_frame_of_a_flow_is_rewritten_counted_and_delivered") else {
        return;
    };
    bench.install(bench.pair(UDP));
    let frame = bench.udp(b"hello");
    let started = lab::now();
    let run = bench
        .engine
        .test_run(bench.guests[0].ifindex, &frame)
        .unwrap();
    assert_eq!(
        run.verdict,
        TestVerdict::Redirect {
            ifindex: bench.guests[1].ifindex
        }
    );
    let mut expected = frame.clone();
    expected[..6].copy_from_slice(&bench.guests[1].attachment().mac.0);
    expected[6..12].copy_from_slice(&ROUTER.0);
    assert_eq!(run.frame, expected);

    let counters = lab::counters(&mut bench.engine, lab::key(1, 2, UDP, 4000, 5000));
    assert_eq!((counters.packets, counters.bytes), (1, frame.len() as u64));
    // The kernel's coarse clock may lag by a tick of its timer.
    assert!(counters.last_seen.since(started).as_secs() == 0);
    assert!(started.0 - counters.last_seen.0.min(started.0) < 20_000_000);
    let [sender, receiver] = [1, 2].map(|port| bench.engine.port_stats(PortId(port)).unwrap());
    assert_eq!(
        (sender.from_guest_packets, sender.from_guest_bytes),
        (1, frame.len() as u64)
    );
    assert_eq!(
        (receiver.to_guest_packets, receiver.to_guest_bytes),
        (1, frame.len() as u64)
    );
    assert_eq!((sender.exceptions, receiver.from_guest_packets), (0, 0));
}

#[test]
fn ttl_goes_down_by_one_with_its_checksum_and_never_to_zero() {
    let Some(mut bench) = Bench::new("ttl_goes_down_by_one_with_its_checksum_and_never_to_zero")
    else {
        return;
    };
    let mut pair = bench.pair(UDP);
    pair.forward.transposition.decrement_ttl = true;
    bench.install(pair);
    let (from, to) = bench.ends();
    for ttl in [2, 3, 64, 128, 255] {
        // Identifications that take the checksum through all its carries.
        for ident in (0..=u16::MAX).step_by(1021) {
            let frame = Packet {
                ttl,
                ident,
                ..Packet::new(&from, &to, b"x")
            }
            .udp();
            let run = bench
                .engine
                .test_run(bench.guests[0].ifindex, &frame)
                .unwrap();
            let mut expected = frame.clone();
            let family = flow::Family::V4;
            flow::apply(&pair.forward.transposition, &mut expected, 14, family).unwrap();
            assert_eq!(run.frame, expected, "ttl {ttl} ident {ident}");
        }
    }
    for ttl in [0, 1] {
        bench.excepts(
            &Packet {
                ttl,
                ..Packet::new(&from, &to, b"x")
            }
            .udp(),
        );
    }
}

#[test]
fn ipv6_flows_are_executed_with_their_hop_limit() {
    let Some(mut bench) = Bench::new("ipv6_flows_are_executed_with_their_hop_limit") else {
        return;
    };
    let [src, dst] = [1, 2].map(|number| IpAddr::from(Guest::ipv6_of(number)));
    let key = FlowKey::new(PortId(1), src, dst, UDP, 4000, 5000);
    let [from, to] = [&bench.guests[0], &bench.guests[1]].map(Guest::attachment);
    let mut pair = lab::pair(key, from, to);
    pair.forward.transposition.decrement_ttl = true;
    bench.install(pair);
    let from = Endpoint {
        ip: src,
        ..bench.guests[0].source(4000)
    };
    let to = Endpoint {
        ip: dst,
        ..bench.guests[1].behind_router(5000)
    };
    let frame = compose::udp(&from, &to, b"six");
    let run = bench
        .engine
        .test_run(bench.guests[0].ifindex, &frame)
        .unwrap();
    let mut expected = frame.clone();
    flow::apply(
        &pair.forward.transposition,
        &mut expected,
        14,
        flow::Family::V6,
    )
    .unwrap();
    assert_eq!(
        (run.outcome, run.frame),
        (Some(Outcome::Delivered), expected)
    );
    bench.excepts(
        &Packet {
            ttl: 1,
            ..Packet::new(&from, &to, b"six")
        }
        .udp(),
    );
    // An extension header, a jumbogram's empty length, a truncated packet.
    bench.excepts(&Packet::new(&from, &to, b"six").ip(60, &[17, 0, 1, 4, 0, 0, 0, 0]));
    for length in [0, u16::try_from(frame.len() - 14 - 40 + 1).unwrap()] {
        let mut odd = frame.clone();
        odd[18..20].copy_from_slice(&length.to_be_bytes());
        bench.excepts(&odd);
    }
}

#[test]
fn echo_requests_and_replies_have_keys_of_their_own() {
    let Some(mut bench) = Bench::new("echo_requests_and_replies_have_keys_of_their_own") else {
        return;
    };
    let [from, to] = [&bench.guests[0], &bench.guests[1]].map(Guest::attachment);
    bench.install(lab::pair(lab::key(1, 2, 1, 77, 0x0800), from, to));
    let (from, to) = bench.ends();
    bench.delivers(&compose::echo_request(&from, &to, 77, b"ping"));
    bench.excepts(&compose::echo_request(&from, &to, 78, b"ping"));
    bench.excepts(&compose::echo_reply(&from, &to, 77, b"ping"));
    let (answerer, asker) = (bench.guests[1].source(0), bench.guests[0].behind_router(0));
    let reply = compose::echo_reply(&answerer, &asker, 77, b"ping");
    let run = bench
        .engine
        .test_run(bench.guests[1].ifindex, &reply)
        .unwrap();
    assert_eq!(run.outcome, Some(Outcome::Delivered));
    // Unreachable, code 1, as an answer would carry it; and an echo with a code.
    let error = Packet::new(&from, &to, &[0; 28]).ip(1, &[3, 1, 0, 0, 0, 0, 0, 0]);
    bench.excepts(&error);
    bench.excepts(&Packet::new(&from, &to, b"ping").ip(1, &[8, 1, 0, 0, 0, 77, 0, 0]));
}

/// Each of these would be delivered, but for one thing.
#[test]
fn whatever_is_odd_is_an_exception() {
    let Some(mut bench) = Bench::new("whatever_is_odd_is_an_exception") else {
        return;
    };
    bench.install(bench.pair(UDP));
    bench.install(bench.pair(TCP));
    let good = bench.udp(b"payload");
    bench.delivers(&good);
    let ip = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut frame = good.clone();
        edit(&mut frame);
        frame[24..26].fill(0);
        let sum = Sum::of(&frame[14..34]).finish();
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        frame
    };
    bench.delivers(&ip(&|_| {}));
    let total = u16::try_from(good.len() - 14).unwrap();
    let odd: [(&str, Vec<u8>); 12] = [
        ("another's address", {
            let mut f = good.clone();
            f[11] ^= 1;
            f
        }),
        ("not to the router", {
            let mut f = good.clone();
            f[5] ^= 1;
            f
        }),
        ("no IP", {
            let mut f = good.clone();
            f[12..14].copy_from_slice(&[8, 6]);
            f
        }),
        ("tagged", {
            let mut f = good.clone();
            f.splice(12..12, [0x81, 0, 0, 5]);
            f
        }),
        ("bad checksum", {
            let mut f = good.clone();
            f[24] ^= 1;
            f
        }),
        ("version 5", ip(&|f| f[14] = 0x55)),
        ("options", ip(&|f| f[14] = 0x46)),
        ("more fragments", ip(&|f| f[20] |= 0x20)),
        ("a later fragment", ip(&|f| f[21] = 1)),
        (
            "longer than the frame",
            ip(&|f| f[16..18].copy_from_slice(&(total + 1).to_be_bytes())),
        ),
        (
            "shorter than its header",
            ip(&|f| f[16..18].copy_from_slice(&19_u16.to_be_bytes())),
        ),
        (
            "no room for UDP",
            ip(&|f| f[16..18].copy_from_slice(&27_u16.to_be_bytes())),
        ),
    ];
    for (what, frame) in &odd {
        assert_eq!(bench.outcome(frame), Some(Outcome::Exception), "{what}");
    }
}

#[test]
fn a_transport_header_must_fit_its_packet() {
    let Some(mut bench) = Bench::new("a_transport_header_must_fit_its_packet") else {
        return;
    };
    bench.install(bench.pair(UDP));
    bench.install(bench.pair(TCP));
    let good = bench.udp(b"payload");
    let room = u16::try_from(good.len() - 14 - 20).unwrap();
    for length in [0, 7, room + 1] {
        let mut frame = good.clone();
        frame[38..40].copy_from_slice(&length.to_be_bytes());
        bench.excepts(&frame);
    }
    let tcp = bench.tcp(TcpFlags::ACK);
    bench.delivers(&tcp);
    for offset in [0, 4, 7, 15] {
        let mut frame = tcp.clone();
        frame[46] = offset << 4;
        bench.excepts(&frame);
    }
    // Padding behind the packet is legal (IEEE 802.3, 3.2.8).
    bench.delivers(&[&good[..], &[0; 16]].concat());
    // The kernel runs no frame here whose IP header is cut; guests send some in the traffic tests.
    for length in 34..good.len() {
        bench.excepts(&good[..length]);
    }
}

/// Hostile bytes are never delivered: no entry covers them, and none may be read past their end.
#[test]
fn no_mutilated_frame_is_delivered_as_another_flow() {
    let name = "no_mutilated_frame_is_delivered_as_another_flow";
    let Some(mut bench) = Bench::with(name, |config| {
        config.flows_max = NonZeroU32::new(16).unwrap();
        config.exceptions_per_second = u32::MAX;
    }) else {
        return;
    };
    bench.install(bench.pair(UDP));
    let good = bench.udp(b"payload");
    for bit in 0..(14 + 20 + 8) * 8 {
        let mut frame = good.clone();
        frame[bit / 8] ^= 1 << (bit % 8);
        // The UDP checksum is the receiver's to judge, and the only one here that is.
        let covered = !(40..42).contains(&(bit / 8));
        let shorter = (38..40).contains(&(bit / 8))
            && (8..=15).contains(&u16::from_be_bytes([frame[38], frame[39]]));
        let expected = if covered && !shorter {
            Outcome::Exception
        } else {
            Outcome::Delivered
        };
        assert_eq!(bench.outcome(&frame), Some(expected), "bit {bit}");
    }
}
