//! The program, one frame at a time: what is delivered, what is an exception, what is dropped.

use std::net::IpAddr;
use std::num::NonZeroU32;

use bpf::{BpfEngine, Config, FlowEngine, Outcome, TestVerdict};
use flow::{DropReason, FlowKey, FlowPair, Half, PortId, PortMode, Stamp, Transposition};
use wire::TcpFlags;
use wire::checksum::Sum;
use wire::compose::{self, Endpoint, Packet};

use crate::lab::{self, Guest, Lab, ROUTER, TCP, UDP, lab};

/// Two guests, and a flow from 4000 of the first to 5000 of the second.
struct Bench {
    engine: BpfEngine,
    guests: [Guest; 2],
    lab: Lab,
}

impl Bench {
    fn new(test: &str) -> Option<Bench> {
        Bench::with(test, |_| {})
    }

    fn with(test: &str, adjust: impl FnOnce(&mut Config)) -> Option<Bench> {
        let lab = lab(test)?;
        let mut config = lab.config();
        adjust(&mut config);
        let (mut engine, _) = lab.open_with(&config);
        let guests = lab.two_guests(&mut engine);
        Some(Bench {
            engine,
            guests,
            lab,
        })
    }

    fn pair(&self, protocol: u8) -> FlowPair {
        let [from, to] = [&self.guests[0], &self.guests[1]].map(Guest::attachment);
        lab::pair(lab::key(1, 2, protocol, 4000, 5000), from, to)
    }

    fn install(&mut self, pair: FlowPair) {
        lab::install(&mut self.engine, &[pair]);
    }

    fn ends(&self) -> (Endpoint, Endpoint) {
        (
            self.guests[0].source(4000),
            self.guests[1].behind_router(5000),
        )
    }

    fn udp(&self, payload: &[u8]) -> Vec<u8> {
        let (from, to) = self.ends();
        compose::udp(&from, &to, payload)
    }

    fn tcp(&self, flags: TcpFlags) -> Vec<u8> {
        let (from, to) = self.ends();
        compose::tcp(&from, &to, flags, b"data")
    }

    fn outcome(&self, frame: &[u8]) -> Option<Outcome> {
        let run = self.engine.test_run(self.guests[0].ifindex, frame).unwrap();
        match run.outcome {
            Some(Outcome::Dropped | Outcome::RateLimited) => {
                assert_eq!(run.verdict, TestVerdict::Shot);
            }
            _ => assert!(
                matches!(run.verdict, TestVerdict::Redirect { .. }),
                "{run:?}"
            ),
        }
        run.outcome
    }

    #[track_caller]
    fn delivers(&self, frame: &[u8]) {
        assert_eq!(self.outcome(frame), Some(Outcome::Delivered));
    }

    #[track_caller]
    fn excepts(&self, frame: &[u8]) {
        assert_eq!(self.outcome(frame), Some(Outcome::Exception));
    }
}

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
    for length in [0, 7, total - 20 + 1] {
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

#[test]
fn entries_act_when_they_are_active_and_match_exactly() {
    let Some(mut bench) = Bench::new("entries_act_when_they_are_active_and_match_exactly") else {
        return;
    };
    let pair = bench.pair(UDP);
    let frame = bench.udp(b"x");
    bench.excepts(&frame);
    let mut refused = Vec::new();
    bench.engine.install(&[pair], &mut refused);
    bench.excepts(&frame);
    bench.engine.activate(&[pair.forward.key]);
    bench.delivers(&frame);
    let (from, to) = bench.ends();
    bench.excepts(&compose::udp(&Endpoint { port: 4001, ..from }, &to, b"x"));
    bench.excepts(&compose::udp(&from, &Endpoint { port: 5001, ..to }, b"x"));
    bench.excepts(&bench.tcp(TcpFlags::ACK));
    // The same tuple from another port is another flow.
    let run = bench
        .engine
        .test_run(bench.guests[1].ifindex, &frame)
        .unwrap();
    assert_eq!(run.outcome, Some(Outcome::Exception));
    bench.engine.remove(&[pair.forward.key], &mut Vec::new());
    bench.excepts(&frame);
}

#[test]
fn a_syn_is_always_an_exception_and_other_flags_are_collected() {
    let Some(mut bench) = Bench::new("a_syn_is_always_an_exception_and_other_flags_are_collected")
    else {
        return;
    };
    bench.install(bench.pair(TCP));
    let key = lab::key(1, 2, TCP, 4000, 5000);
    bench.excepts(&bench.tcp(TcpFlags::SYN));
    bench.excepts(&bench.tcp(TcpFlags::SYN | TcpFlags::FIN));
    let syn_ack = TcpFlags::SYN | TcpFlags::ACK;
    let (fin, rst) = (TcpFlags::FIN | TcpFlags::ACK, TcpFlags::RST);
    for flags in [syn_ack, TcpFlags::ACK, fin, fin, rst, rst] {
        bench.delivers(&bench.tcp(flags));
    }
    let counters = lab::counters(&mut bench.engine, key);
    assert_eq!(counters.packets, 6);
    assert_eq!(counters.tcp_flags.0, (syn_ack.0 | fin.0 | rst.0));
    let mut events = Vec::new();
    let seen = bench
        .engine
        .poll_events(&mut |key, flags| events.push((key, flags.0)));
    assert_eq!((seen, events), (2, vec![(key, fin.0), (key, rst.0)]));
    assert_eq!(bench.engine.poll_events(&mut |_, _| {}), 0);
}

#[test]
fn frames_longer_than_the_receiver_takes_are_exceptions_unless_they_will_be_cut() {
    let name = "frames_longer_than_the_receiver_takes_are_exceptions_unless_they_will_be_cut";
    let Some(mut bench) = Bench::new(name) else {
        return;
    };
    for protocol in [UDP, TCP] {
        let mut pair = bench.pair(protocol);
        pair.forward.transposition.mtu = 600;
        bench.install(pair);
    }
    bench.delivers(&bench.udp(&[0; 600 - 28]));
    bench.excepts(&bench.udp(&[0; 600 - 27]));
    let (from, to) = bench.ends();
    let ifindex = bench.guests[0].ifindex;
    let segments = |frame: &[u8], size| {
        bench
            .engine
            .test_run_segments(ifindex, frame, size)
            .unwrap()
            .outcome
    };
    let tcp = compose::tcp(&from, &to, TcpFlags::ACK, &[0; 2000]);
    assert_eq!(segments(&tcp, 560), Some(Outcome::Delivered));
    assert_eq!(segments(&tcp, 561), Some(Outcome::Exception));
    let udp = compose::udp(&from, &to, &[0; 2000]);
    assert_eq!(segments(&udp, 572), Some(Outcome::Delivered));
    assert_eq!(segments(&udp, 573), Some(Outcome::Exception));
}

#[test]
fn a_synthetic_port_hands_everything_to_the_agent_without_limit() {
    let name = "a_synthetic_port_hands_everything_to_the_agent_without_limit";
    let Some(mut bench) = Bench::with(name, |config| config.exceptions_per_second = 0) else {
        return;
    };
    bench.install(bench.pair(UDP));
    let frame = bench.udp(b"x");
    bench.delivers(&frame);
    for port in [1, 2] {
        bench
            .engine
            .set_mode(PortId(port), PortMode::Synthetic)
            .unwrap();
        bench.excepts(&frame);
        bench.excepts(&frame);
        bench
            .engine
            .set_mode(PortId(port), PortMode::Accelerated)
            .unwrap();
        bench.delivers(&frame);
    }
    assert_eq!(
        bench.outcome(&bench.tcp(TcpFlags::SYN)),
        Some(Outcome::RateLimited)
    );
    assert_eq!(
        bench.engine.set_mode(PortId(3), PortMode::Accelerated),
        Err(flow::Refusal::NoDevice)
    );
}

#[test]
fn exceptions_beyond_the_budget_are_dropped_and_counted() {
    let name = "exceptions_beyond_the_budget_are_dropped_and_counted";
    let Some(bench) = Bench::with(name, |config| config.exceptions_per_second = 1000) else {
        return;
    };
    const FRAMES: u64 = 500;
    const BUDGET: u64 = 68;
    let frame = bench.udp(b"x");
    let window = |tick: flow::Tick| tick.0 >> 26;
    let first = window(lab::now());
    let outcomes: Vec<_> = (0..FRAMES).map(|_| bench.outcome(&frame)).collect();
    // The program's clock may still have been in the window before the first.
    let windows = window(lab::now()) - first + 2;
    let count = |wanted| {
        outcomes
            .iter()
            .filter(|&&outcome| outcome == Some(wanted))
            .count() as u64
    };
    let (passed, limited) = (count(Outcome::Exception), count(Outcome::RateLimited));
    assert_eq!(passed + limited, FRAMES);
    assert!(
        (BUDGET..=BUDGET * windows).contains(&passed),
        "{passed} in {windows} windows"
    );
    let stats = bench.engine.port_stats(PortId(1)).unwrap();
    assert_eq!(
        (stats.exceptions, stats.rate_limited_packets),
        (passed, limited)
    );
    assert_eq!(stats.rate_limited_bytes, limited * frame.len() as u64);
}

#[test]
fn a_stale_entry_is_resimulated_while_the_agent_lives() {
    let Some(mut bench) = Bench::new("a_stale_entry_is_resimulated_while_the_agent_lives") else {
        return;
    };
    let mut pair = bench.pair(UDP);
    let key = pair.forward.key;
    pair.forward.stamp = Stamp {
        policy: 1,
        path: 5,
        mapping_slot: 65_535,
        mapping_version: 9,
    };
    bench.install(pair);
    let frame = bench.udp(b"x");
    let port = PortId(1);
    bench.engine.heartbeat(lab::now()).unwrap();
    bench.engine.set_mapping_versions(&[(65_535, 9)]).unwrap();

    bench.excepts(&frame);
    bench.engine.set_generations(&[(port, 7, 5)]).unwrap();
    bench.delivers(&frame);
    bench
        .engine
        .set_mapping_versions(&[(0, 1), (65_535, 10)])
        .unwrap();
    bench.excepts(&frame);
    let stamp = Stamp {
        mapping_version: 10,
        ..pair.forward.stamp
    };
    bench.engine.restamp(&[(key, stamp)]);
    bench.delivers(&frame);
    assert_eq!(
        lab::counters(&mut bench.engine, key).packets,
        2,
        "re-stamping keeps counters"
    );

    bench.engine.set_generations(&[(port, 7, 6)]).unwrap();
    bench.excepts(&frame);
    let stats = bench.engine.port_stats(port).unwrap();
    assert_eq!(
        (stats.resimulations, stats.exceptions, stats.stale_forwarded),
        (3, 3, 0)
    );
    assert!(
        bench
            .engine
            .set_mapping_versions(&[(1, 1), (65_536, 1)])
            .is_err()
    );
}

#[test]
fn a_stale_entry_goes_on_without_the_agent_or_beyond_the_budget() {
    let name = "a_stale_entry_goes_on_without_the_agent_or_beyond_the_budget";
    let Some(mut bench) = Bench::with(name, |config| config.resimulations_per_second = 0) else {
        return;
    };
    bench.install(bench.pair(UDP));
    let frame = bench.udp(b"x");
    bench.engine.set_generations(&[(PortId(1), 0, 1)]).unwrap();
    bench.delivers(&frame);
    bench.engine.heartbeat(lab::now()).unwrap();
    bench.delivers(&frame);

    let mut config = bench.lab.config();
    config.resimulations_per_second = 1000;
    (bench.engine, _) = bench.lab.open_with(&config);
    bench.excepts(&frame);
    let second = 1_100_000_000;
    bench
        .engine
        .heartbeat(flow::Tick(lab::now().0 - second))
        .unwrap();
    bench.delivers(&frame);
    assert_eq!(
        bench.engine.port_stats(PortId(1)).unwrap().stale_forwarded,
        3
    );
}

fn refusing(key: FlowKey, policy: u32) -> FlowPair {
    let forward = Half {
        key,
        transposition: Transposition::drop(DropReason::NsgDenyOutbound),
        stamp: Stamp {
            policy,
            ..Stamp::default()
        },
        peer: None,
        forward: true,
    };
    FlowPair {
        forward,
        reverse: None,
    }
}

#[test]
fn a_dropping_entry_drops_and_counts_until_the_policy_changes() {
    let Some(mut bench) = Bench::new("a_dropping_entry_drops_and_counts_until_the_policy_changes")
    else {
        return;
    };
    let (port, key) = (PortId(1), lab::key(1, 2, UDP, 4000, 5000));
    bench.install(refusing(key, 3));
    bench.engine.set_generations(&[(port, 3, 8)]).unwrap();
    let frame = bench.udp(b"x");
    let bytes = frame.len() as u64;
    assert_eq!(bench.outcome(&frame), Some(Outcome::Dropped));
    let stats = bench.engine.port_stats(port).unwrap();
    assert_eq!((stats.dropped_packets, stats.dropped_bytes), (1, bytes));
    assert_eq!(
        (stats.from_guest_packets, stats.from_guest_bytes),
        (1, bytes)
    );
    assert_eq!(lab::counters(&mut bench.engine, key).packets, 1);

    // Stale, but with nobody to ask a refused frame stays refused.
    bench.engine.set_generations(&[(port, 4, 8)]).unwrap();
    assert_eq!(bench.outcome(&frame), Some(Outcome::Dropped));
    bench.engine.heartbeat(lab::now()).unwrap();
    bench.excepts(&frame);
}

#[test]
fn watched_drops_go_to_the_agent_and_are_not_counted_twice() {
    let Some(mut bench) = Bench::new("watched_drops_go_to_the_agent_and_are_not_counted_twice")
    else {
        return;
    };
    let (port, key) = (PortId(1), lab::key(1, 2, UDP, 4000, 5000));
    bench.install(refusing(key, 0));
    let frame = bench.udp(b"x");
    bench.engine.set_drops_to_agent(port, true).unwrap();
    bench.excepts(&frame);
    let stats = bench.engine.port_stats(port).unwrap();
    assert_eq!(
        (
            stats.exceptions,
            stats.dropped_packets,
            stats.from_guest_packets
        ),
        (1, 0, 0)
    );
    bench.engine.set_drops_to_agent(port, false).unwrap();
    assert_eq!(bench.outcome(&frame), Some(Outcome::Dropped));
}

#[test]
fn a_device_that_is_no_port_passes_nothing() {
    let Some(mut bench) = Bench::new("a_device_that_is_no_port_passes_nothing") else {
        return;
    };
    bench.install(bench.pair(UDP));
    let frame = bench.udp(b"x");
    bench.delivers(&frame);
    bench.engine.detach(PortId(1)).unwrap();
    assert_eq!(bench.outcome(&frame), Some(Outcome::Dropped));
    let nobody = bench.engine.test_run(0x7fff_ffff, &frame);
    assert!(nobody.is_err());
    assert!(
        bench
            .engine
            .test_run(bench.guests[1].ifindex, &frame[..13])
            .is_err()
    );
    assert!(
        bench
            .engine
            .test_run(bench.guests[1].ifindex, &vec![0; 70_000])
            .is_err()
    );
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
