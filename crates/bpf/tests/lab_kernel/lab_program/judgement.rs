//! Which entries count, and what a port may ask of the agent.

use bpf::{FlowEngine, Outcome};
use flow::{DropReason, FlowKey, FlowPair, Half, PortId, PortMode, Stamp, Transposition};
use wire::TcpFlags;
use wire::compose::{self, Endpoint};

use super::bench::Bench;
use crate::lab::{self, TCP, UDP};

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
