use super::*;

const MOMENT: f64 = 0.001;

/// How long a pair stays that is prepared by `prepare` and then left alone.
fn lifetime(pair: &FlowPair, prepare: impl Fn(&mut Bench)) -> Duration {
    let mut bench = Bench::new(8, 8);
    bench.insert(pair).expect("room");
    prepare(&mut bench);
    let start = bench.now;
    let timeouts = Timeouts::default();
    for timeout in [
        timeouts.tcp_handshake,
        timeouts.tcp_closing,
        timeouts.drop,
        timeouts.icmp,
        timeouts.idle,
        timeouts.tcp_established,
    ] {
        bench.now = start + (timeout - Duration::from_millis(1));
        bench.expire();
        assert!(bench.holds(&pair.forward.key), "gone before {timeout:?}");
        bench.now = start + timeout;
        bench.expire();
        if !bench.holds(&pair.forward.key) {
            assert!(bench.left().iter().all(|(_, why)| *why == Removal::Expired));
            assert!(bench.table.is_empty());
            return timeout;
        }
    }
    panic!("still there after the longest timeout");
}

#[test]
fn each_state_has_its_timeout_to_the_nanosecond() {
    let timeouts = Timeouts::default();
    let tcp = pair(6, 1);
    let reverse = tcp.reverse.expect("two directions").key;
    let forward = tcp.forward.key;
    assert_eq!(lifetime(&tcp, |_| {}), timeouts.tcp_handshake);
    assert_eq!(
        lifetime(&tcp, |bench| bench.record(&reverse, SYN_ACK)),
        timeouts.tcp_handshake
    );
    assert_eq!(
        lifetime(&tcp, |bench| bench.establish(&tcp)),
        timeouts.tcp_established
    );
    for (side, flag) in [(forward, TcpFlags::FIN), (reverse, TcpFlags::RST)] {
        let end = |bench: &mut Bench| {
            bench.establish(&tcp);
            bench.pass(100.0);
            bench.record(&side, flag);
        };
        assert_eq!(lifetime(&tcp, end), timeouts.tcp_closing);
    }
    assert_eq!(lifetime(&pair(17, 1), |_| {}), timeouts.idle);
    assert_eq!(lifetime(&pair(50, 1), |_| {}), timeouts.idle);
    assert_eq!(lifetime(&pair(1, 1), |_| {}), timeouts.icmp);
    assert_eq!(lifetime(&drop_at(1, 1), |_| {}), timeouts.drop);
}

#[test]
fn either_direction_keeps_a_pair_alive() {
    let mut bench = Bench::new(8, 8);
    let pair = pair(17, 1);
    let sides = [pair.forward.key, pair.reverse.expect("two directions").key];
    bench.insert(&pair).expect("room");
    for round in 0..50 {
        bench.pass(119.0);
        bench.record(&sides[round % 2], TcpFlags(0));
        bench.expire();
    }
    assert!(bench.left().is_empty());
    bench.pass(240.0);
    bench.expire();
    assert_eq!(bench.left().len(), 2);
}

#[test]
fn an_active_pair_at_the_head_does_not_hide_idle_ones_for_long() {
    let mut bench = Bench::new(8, 8);
    let (busy, idle) = (pair(17, 1), pair(17, 2));
    bench.insert(&busy).expect("room");
    bench.insert(&idle).expect("room");
    for _ in 0..130 {
        bench.pass(1.0);
        bench.record(&busy.forward.key, TcpFlags(0));
        bench.expire();
    }
    assert!(bench.holds(&busy.forward.key) && !bench.holds(&idle.forward.key));
}

#[test]
fn the_engine_is_asked_before_a_pair_of_its_own_goes() {
    let mut bench = Bench::new(8, 8);
    let timeouts = Timeouts::default();
    let pair = pair(6, 1);
    let id = bench.insert(&pair).expect("room");
    bench.record(&pair.forward.key, SYN);
    bench.record(&pair.reverse.expect("two directions").key, SYN_ACK);
    bench.table.set_offload(id, Offload::Active);
    bench.pass(timeouts.tcp_handshake.as_secs_f64());
    // The acknowledgement and more went through the engine, a second ago.
    let last_seen = Tick(bench.now.0 - 1_000_000_000);
    let counters = Counters {
        packets: 5,
        bytes: 500,
        tcp_flags: ACK,
        last_seen,
    };
    let mut asked = Vec::new();
    let mut confirm = |key: &FlowKey| {
        asked.push(*key);
        (*key == pair.forward.key).then_some(counters)
    };
    assert!(
        bench
            .table
            .expire(bench.now, &timeouts, 10, &mut confirm, &mut bench.removed)
    );
    assert_eq!(
        asked,
        [pair.forward.key, pair.reverse.expect("two directions").key]
    );
    assert_eq!(bench.table.tcp_state(id), Some(TcpState::Established));
    let seen = bench.table.get(id).expect("alive").counters();
    assert_eq!(
        (seen.packets, seen.last_seen),
        (1, last_seen),
        "the engine still has the counts"
    );

    bench.now = last_seen + timeouts.tcp_established;
    let mut confirm = |_: &FlowKey| Some(counters);
    assert!(
        bench
            .table
            .expire(bench.now, &timeouts, 10, &mut confirm, &mut bench.removed)
    );
    assert_eq!(bench.removed.len(), 2);
    assert!(
        bench
            .removed
            .iter()
            .all(|removed| removed.offload == Offload::Active)
    );
}

#[test]
fn a_budget_is_kept_and_the_next_call_goes_on() {
    let mut bench = Bench::new(200, 200);
    for source_port in 0..40 {
        bench.insert(&pair(17, source_port)).expect("room");
        bench.insert(&drop_at(3, source_port)).expect("room");
    }
    bench.pass(1_000.0);
    let timeouts = Timeouts::default();
    let mut pairs = 0;
    for call in 1..=20 {
        let ask = &mut |_: &FlowKey| None;
        let done = bench
            .table
            .expire(bench.now, &timeouts, 4, ask, &mut bench.removed);
        let gone = bench
            .left()
            .iter()
            .filter(|(key, _)| key.port() != PortId(2))
            .count();
        assert_eq!(gone, 4);
        pairs += gone;
        assert_eq!(done, call == 20 && bench.table.is_empty());
    }
    assert_eq!(pairs, 80);
}

#[test]
fn no_list_waits_for_another_that_never_ends() {
    let mut bench = Bench::new(200, 200);
    for source_port in 0..50 {
        bench.insert(&pair(17, source_port)).expect("room");
    }
    bench.insert(&drop_at(3, 1)).expect("room");
    bench.pass(1_000.0);
    for _ in 0..3 {
        let ask = &mut |_: &FlowKey| None;
        bench
            .table
            .expire(bench.now, &Timeouts::default(), 2, ask, &mut bench.removed);
    }
    assert!(bench.table.len() > 80);
    assert_eq!(bench.table.port_drops(PortId(3)), 0);
}

#[test]
fn a_pair_that_changes_state_waits_for_its_new_timeout() {
    let mut bench = Bench::new(8, 8);
    let pair = pair(6, 1);
    bench.insert(&pair).expect("room");
    bench.pass(4.0);
    bench.establish(&pair);
    bench.pass(60.0);
    bench.expire();
    assert!(bench.holds(&pair.forward.key));
    bench.record(&pair.forward.key, TcpFlags::FIN);
    bench.pass(10.0 - MOMENT);
    bench.record(&pair.reverse.expect("two directions").key, TcpFlags::FIN);
    bench.pass(10.0 - MOMENT);
    bench.expire();
    assert!(
        bench.holds(&pair.forward.key),
        "the second FIN came less than a timeout ago"
    );
    bench.pass(10.0);
    bench.expire();
    assert!(bench.table.is_empty());
}

#[test]
fn a_timeout_of_zero_ends_everything_and_the_call_ends_too() {
    let mut bench = Bench::new(8, 8);
    bench.insert(&pair(17, 1)).expect("room");
    bench.insert(&drop_at(1, 2)).expect("room");
    let zero = Timeouts {
        idle: Duration::ZERO,
        drop: Duration::ZERO,
        ..Timeouts::default()
    };
    let ask = &mut |_: &FlowKey| None;
    assert!(
        bench
            .table
            .expire(bench.now, &zero, usize::MAX, ask, &mut bench.removed)
    );
    assert!(bench.table.is_empty());
}

#[test]
fn a_timeout_of_days_is_kept_and_not_looked_at_all_the_time() {
    let mut bench = Bench::new(8, 8);
    let pair = pair(17, 1);
    bench.insert(&pair).expect("room");
    let day = Duration::from_secs(86_400);
    let timeouts = Timeouts {
        idle: 2 * day,
        ..Timeouts::default()
    };
    let ask = &mut |_: &FlowKey| None;
    for hour in 1..48 {
        bench.now = Tick(0) + Duration::from_secs(3_600 * hour);
        // With a budget of nothing the answer tells whether there was anything to look at.
        if !bench
            .table
            .expire(bench.now, &timeouts, 0, ask, &mut bench.removed)
        {
            assert!(
                bench
                    .table
                    .expire(bench.now, &timeouts, 1, ask, &mut bench.removed)
            );
            assert!(
                bench
                    .table
                    .expire(bench.now, &timeouts, 0, ask, &mut bench.removed)
            );
        }
        assert!(bench.left().is_empty());
    }
    bench.now = Tick(0) + 2 * day;
    assert!(
        bench
            .table
            .expire(bench.now, &timeouts, 1, ask, &mut bench.removed)
    );
    assert!(bench.table.is_empty());
}
