//! The way of a frame into the tunnel and out of it, byte by byte.

use std::net::IpAddr;

use bpf::{FlowEngine, Outcome, TestVerdict};
use flow::{Family, FlowKey, PortId, PortMode, Stamp, UnderlayLink, outer_source_port};
use wire::TcpFlags;
use wire::compose::{self, Endpoint, Packet};

use super::bench::Bench;
use crate::lab::far::{TUNNEL_MTU, wrapped};
use crate::lab::{self, Far, Guest, ROUTER, TCP, UDP};

/// A bench with an uplink, and flows from guest 1 to guest 3 on the other host.
pub(super) struct UplinkBench {
    pub(super) bench: Bench,
    pub(super) far: Far,
}

impl UplinkBench {
    pub(super) fn new(test: &str, is_ipv6: bool) -> Option<UplinkBench> {
        UplinkBench::with(test, is_ipv6, |_| {})
    }

    pub(super) fn with(
        test: &str,
        is_ipv6: bool,
        adjust: impl FnOnce(&mut bpf::Config),
    ) -> Option<UplinkBench> {
        let mut bench = Bench::with(test, adjust)?;
        let far = Far::new(&bench.lab, is_ipv6);
        far.attach(&mut bench.engine);
        Some(UplinkBench { bench, far })
    }

    /// Installs both directions of what guest 1 sends with this key.
    pub(super) fn install(&mut self, key: FlowKey) {
        self.bench.install(self.far.pair(key));
    }

    pub(super) fn arrives(&self, frame: &[u8]) -> bpf::TestRun {
        self.bench.engine.test_run_uplink(frame).unwrap()
    }

    #[track_caller]
    pub(super) fn outcome(&self, frame: &[u8]) -> Option<Outcome> {
        let run = self.arrives(frame);
        match run.outcome {
            Some(Outcome::Dropped | Outcome::RateLimited) => {
                assert_eq!(run.verdict, TestVerdict::Shot);
            }
            Some(Outcome::NotOurs) => {
                assert_eq!((run.verdict, &run.frame[..]), (TestVerdict::Next, frame));
            }
            Some(Outcome::Exception) => {
                assert!(matches!(run.verdict, TestVerdict::Redirect { .. }));
                assert_eq!(run.frame, frame, "the agent reads the wire's own bytes");
            }
            _ => assert!(matches!(run.verdict, TestVerdict::Redirect { .. })),
        }
        run.outcome
    }
}

/// The two ends of a conversation of guest 1 with guest 3, as guest 1 writes them.
pub(super) fn ends(is_ipv6: bool) -> (Endpoint, Endpoint) {
    let [mut near, mut far] = [1, 3].map(|number| {
        let mac = if number == 1 {
            wire::MacAddr([2, 0, 0, 0, 0, 1])
        } else {
            ROUTER
        };
        Endpoint::new(mac, &format!("10.0.0.{number}"), 4000)
    });
    far.port = 5000;
    if is_ipv6 {
        near.ip = Guest::ipv6_of(1).into();
        far.ip = Guest::ipv6_of(3).into();
    }
    (near, far)
}

/// The same as guest 3 writes them: it knows guest 1's own address.
pub(super) fn ends_back(is_ipv6: bool) -> (Endpoint, Endpoint) {
    let (near, far) = ends(is_ipv6);
    let mac = wire::MacAddr([2, 0, 0, 0, 0, 3]);
    (Endpoint { mac, ..far }, near)
}

pub(super) fn key(protocol: u8, is_ipv6: bool) -> FlowKey {
    let (near, far) = ends(is_ipv6);
    FlowKey::new(PortId(1), near.ip, far.ip, protocol, near.port, far.port)
}

/// Which families the outer and the inner packet have.
const FAMILIES: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

fn family(is_ipv6: bool) -> Family {
    if is_ipv6 { Family::V6 } else { Family::V4 }
}

#[test]
fn a_frame_is_pushed_as_the_switch_would() {
    for (outer, inner) in FAMILIES {
        let name = "a_frame_is_pushed_as_the_switch_would";
        let Some(mut bench) = UplinkBench::new(name, outer) else {
            return;
        };
        let key = key(UDP, inner);
        let mut pair = bench.far.pair(key);
        pair.forward.transposition.decrement_ttl = true;
        bench.bench.install(pair);
        let ((from, to), mut bytes, mut sent) = (ends(inner), 0, 0);
        for dscp_ecn in [0, 1, 2, 3, 0xb8, 0xff] {
            let frame = Packet {
                dscp_ecn,
                ..Packet::new(&from, &to, b"to another host")
            }
            .udp();
            let ifindex = bench.bench.guests[0].ifindex;
            let run = bench.bench.engine.test_run(ifindex, &frame).unwrap();
            let mut rewritten = frame.clone();
            flow::apply(
                &pair.forward.transposition,
                &mut rewritten,
                14,
                family(inner),
            )
            .unwrap();
            let mut expected = vec![0; 200];
            let link = UnderlayLink {
                src: from.mac,
                dst: to.mac,
            };
            let port = outer_source_port(&key);
            let encap = bench.far.encap();
            let length = flow::encapsulate(&encap, link, port, &rewritten, &mut expected).unwrap();
            expected.truncate(length);
            let verdict = TestVerdict::Redirect {
                ifindex: bench.far.ifindex,
            };
            assert_eq!((run.outcome, run.verdict), (Some(Outcome::Uplink), verdict));
            // The addresses in front are the kernel's to write.
            assert_eq!(run.frame, expected, "ECN {dscp_ecn}");
            (bytes, sent) = (frame.len() as u64, run.frame.len() as u64);
        }
        let counters = lab::counters(&mut bench.bench.engine, key);
        assert_eq!((counters.packets, counters.bytes), (6, 6 * bytes));
        let [guest, uplink] =
            [PortId(1), PortId::UPLINK].map(|port| bench.bench.engine.port_stats(port).unwrap());
        assert_eq!(
            (guest.from_guest_packets, guest.from_guest_bytes),
            (6, 6 * bytes)
        );
        assert_eq!(
            (uplink.to_guest_packets, uplink.to_guest_bytes),
            (6, 6 * sent)
        );
    }
}

#[test]
fn a_frame_of_a_flow_comes_out_of_its_tunnel() {
    for (outer, inner) in FAMILIES {
        let name = "a_frame_of_a_flow_comes_out_of_its_tunnel";
        let Some(mut bench) = UplinkBench::new(name, outer) else {
            return;
        };
        let mut pair = bench.far.pair(key(UDP, inner));
        let back = pair.reverse.as_mut().unwrap();
        back.transposition.decrement_ttl = true;
        let (key, transposition) = (back.key, back.transposition);
        bench.bench.install(pair);
        let (from, to) = ends_back(inner);
        let frame = compose::udp(&from, &to, b"from another host");
        let wrapped = bench.far.wrapped(&frame);
        let run = bench.arrives(&wrapped);
        let mut expected = frame.clone();
        flow::apply(&transposition, &mut expected, 14, family(inner)).unwrap();
        assert_eq!(run.outcome, Some(Outcome::Delivered));
        let ifindex = bench.bench.guests[0].ifindex;
        assert_eq!(run.verdict, TestVerdict::Redirect { ifindex });
        assert_eq!(run.frame, expected);
        let counters = lab::counters(&mut bench.bench.engine, key);
        assert_eq!((counters.packets, counters.bytes), (1, frame.len() as u64));
        let [guest, uplink] =
            [PortId(1), PortId::UPLINK].map(|port| bench.bench.engine.port_stats(port).unwrap());
        assert_eq!(
            (guest.to_guest_packets, guest.to_guest_bytes),
            (1, frame.len() as u64)
        );
        let on_the_wire = (1, wrapped.len() as u64);
        assert_eq!(
            (uplink.from_guest_packets, uplink.from_guest_bytes),
            on_the_wire
        );
    }
}

/// RFC 6040, 4.2: what the underlay marked is marked, what it cannot mark is dropped.
#[test]
fn congestion_marks_come_out_of_the_tunnel() {
    for (outer, inner) in FAMILIES {
        let name = "congestion_marks_come_out_of_the_tunnel";
        let Some(mut bench) = UplinkBench::new(name, outer) else {
            return;
        };
        let key = key(UDP, inner);
        bench.install(key);
        let (from, to) = ends_back(inner);
        let composed = |dscp_ecn, ident| {
            Packet {
                dscp_ecn,
                ident,
                ..Packet::new(&from, &to, b"x")
            }
            .udp()
        };
        for (outer_ecn, inner_ecn) in (0..16).map(|both| (both / 4, both % 4)) {
            let mut tunnel = bench.far.tunnel();
            tunnel.dscp_ecn = 0xb8 | outer_ecn;
            // Identifications that take the checksum through its carries.
            for ident in (0..=u16::MAX).step_by(4099) {
                let run = bench.arrives(&wrapped(&tunnel, &composed(0x28 | inner_ecn, ident)));
                let marked = match (outer_ecn, inner_ecn) {
                    (3, 0) => {
                        assert_eq!(run.outcome, Some(Outcome::Exception));
                        continue;
                    }
                    (3, _) => 3,
                    _ => inner_ecn,
                };
                let mut expected = composed(0x28 | marked, ident);
                expected[6..12].copy_from_slice(&ROUTER.0);
                assert_eq!(
                    run.frame, expected,
                    "{outer_ecn} outside, {inner_ecn} inside"
                );
            }
        }
    }
}

#[test]
fn what_a_remote_host_opens_has_entries_of_its_own() {
    let name = "what_a_remote_host_opens_has_entries_of_its_own";
    let Some(mut bench) = UplinkBench::new(name, false) else {
        return;
    };
    let (from, to) = ends_back(false);
    let opener = FlowKey::new(
        PortId(1).from_uplink(),
        from.ip,
        to.ip,
        TCP,
        from.port,
        to.port,
    );
    bench.install(opener);
    let segment = |flags| bench.far.wrapped(&compose::tcp(&from, &to, flags, b""));
    let syn_ack = TcpFlags::SYN | TcpFlags::ACK;
    assert_eq!(
        bench.outcome(&segment(TcpFlags::SYN)),
        Some(Outcome::Exception)
    );
    assert_eq!(
        bench.outcome(&segment(TcpFlags::ACK)),
        Some(Outcome::Delivered)
    );
    let (near, far) = ends(false);
    let answer = compose::tcp(&near, &far, syn_ack, b"");
    assert_eq!(bench.bench.outcome(&answer), Some(Outcome::Uplink));
    // A guest of this host that writes the same tuple is somebody else.
    let other = bench.bench.guests[1].ifindex;
    let forged = compose::tcp(&from, &far, TcpFlags::ACK, b"");
    let run = bench.bench.engine.test_run(other, &forged).unwrap();
    assert_eq!(run.outcome, Some(Outcome::Exception));
    let mut told = Vec::new();
    bench
        .bench
        .engine
        .poll_events(&mut |key, flags| told.push((key, flags)));
    assert_eq!(told, [(opener.reversed_at(PortId(1)), syn_ack)]);
}

#[test]
fn what_the_tunnel_cannot_take_is_an_exception() {
    for outer in [false, true] {
        let name = "what_the_tunnel_cannot_take_is_an_exception";
        let Some(mut bench) = UplinkBench::new(name, outer) else {
            return;
        };
        bench.install(key(UDP, false));
        let (from, to) = ends(false);
        let room = usize::from(TUNNEL_MTU) - 28;
        let sends = |length| {
            bench
                .bench
                .outcome(&compose::udp(&from, &to, &vec![0; length]))
        };
        assert_eq!(sends(room), Some(Outcome::Uplink));
        assert_eq!(sends(room + 1), Some(Outcome::Exception));
    }
}

/// The kernel does not say here that they are TCP's, so it would not cut them right later. Whole
/// ones are in the traffic tests.
#[test]
fn super_segments_of_no_kind_go_to_the_agent() {
    let Some(mut bench) = UplinkBench::new("super_segments_of_no_kind_go_to_the_agent", false)
    else {
        return;
    };
    bench.install(key(TCP, false));
    let ((near, far), (from, to)) = (ends(false), ends_back(false));
    let leaving = compose::tcp(&near, &far, TcpFlags::ACK, &[0; 3000]);
    let engine = &bench.bench.engine;
    let ifindex = bench.bench.guests[0].ifindex;
    let run = engine.test_run_segments(ifindex, &leaving, 1000).unwrap();
    assert_eq!(
        (run.outcome, run.frame),
        (Some(Outcome::Exception), leaving)
    );
    let arriving = bench
        .far
        .wrapped(&compose::tcp(&from, &to, TcpFlags::ACK, &[0; 3000]));
    let run = engine.test_run_uplink_segments(&arriving, 1000).unwrap();
    assert_eq!(
        (run.outcome, run.frame),
        (Some(Outcome::Exception), arriving)
    );
}

#[test]
fn either_end_may_be_synthetic() {
    let Some(mut bench) = UplinkBench::with("either_end_may_be_synthetic", false, |config| {
        config.exceptions_per_second = 0;
    }) else {
        return;
    };
    bench.install(key(UDP, false));
    let ((from, to), (near, far)) = (ends_back(false), ends(false));
    let arriving = bench.far.wrapped(&compose::udp(&from, &to, b"x"));
    let leaving = compose::udp(&near, &far, b"x");
    assert_eq!(bench.outcome(&arriving), Some(Outcome::Delivered));
    for port in [PortId(1), PortId::UPLINK] {
        bench
            .bench
            .engine
            .set_mode(port, PortMode::Synthetic)
            .unwrap();
        for _ in 0..3 {
            assert_eq!(bench.outcome(&arriving), Some(Outcome::Exception), "{port}");
            assert_eq!(
                bench.bench.outcome(&leaving),
                Some(Outcome::Exception),
                "{port}"
            );
        }
        bench
            .bench
            .engine
            .set_mode(port, PortMode::Accelerated)
            .unwrap();
        assert_eq!(bench.outcome(&arriving), Some(Outcome::Delivered));
        assert_eq!(bench.bench.outcome(&leaving), Some(Outcome::Uplink));
    }
    bench.bench.engine.detach_uplink().unwrap();
    let mode = PortMode::Synthetic;
    let refused = bench.bench.engine.set_mode(PortId::UPLINK, mode);
    assert_eq!(refused, Err(flow::Refusal::NoDevice));
}

#[test]
fn the_receivers_policy_makes_its_entries_stale() {
    let Some(mut bench) = UplinkBench::new("the_receivers_policy_makes_its_entries_stale", false)
    else {
        return;
    };
    let mut pair = bench.far.pair(key(UDP, false));
    let back = pair.reverse.as_mut().unwrap();
    back.stamp = Stamp {
        path: 5,
        ..Stamp::default()
    };
    let key = back.key;
    bench.bench.install(pair);
    let (from, to) = ends_back(false);
    let frame = bench.far.wrapped(&compose::udp(&from, &to, b"x"));
    let engine = &mut bench.bench.engine;
    engine.heartbeat(lab::now()).unwrap();
    engine.set_generations(&[(PortId(2), 0, 5)]).unwrap();
    assert_eq!(bench.outcome(&frame), Some(Outcome::Exception));
    let engine = &mut bench.bench.engine;
    engine.set_generations(&[(PortId(1), 0, 5)]).unwrap();
    assert_eq!(bench.outcome(&frame), Some(Outcome::Delivered));
    let engine = &mut bench.bench.engine;
    engine.set_generations(&[(PortId(1), 0, 6)]).unwrap();
    assert_eq!(bench.outcome(&frame), Some(Outcome::Exception));
    // With nobody to ask it serves on.
    let silent = flow::Tick(lab::now().0 - 1_100_000_000);
    bench.bench.engine.heartbeat(silent).unwrap();
    assert_eq!(bench.outcome(&frame), Some(Outcome::Delivered));
    let stats = bench.bench.engine.port_stats(PortId::UPLINK).unwrap();
    assert_eq!((stats.resimulations, stats.stale_forwarded), (2, 1));
    assert_eq!(lab::counters(&mut bench.bench.engine, key).packets, 2);
}

#[test]
fn a_host_whose_address_changed_family_asks_the_agent() {
    let name = "a_host_whose_address_changed_family_asks_the_agent";
    let Some(mut bench) = UplinkBench::new(name, false) else {
        return;
    };
    bench.install(key(UDP, false));
    let (near, far) = ends(false);
    let leaving = compose::udp(&near, &far, b"x");
    assert_eq!(bench.bench.outcome(&leaving), Some(Outcome::Uplink));
    let moved = bpf::UplinkAttachment {
        address: IpAddr::from([0xfd, 0, 0, 0xaa, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        ..bench.far.attachment()
    };
    bench.bench.engine.attach_uplink(moved).unwrap();
    bench.bench.excepts(&leaving);
}
