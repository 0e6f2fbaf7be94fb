use super::*;
use crate::{EngineCounters, Refusal};

#[test]
fn a_pair_reads_as_it_was_put_in() {
    let mut bench = Bench::new(8, 8);
    bench.now = Tick(5 << 27);
    let mut pair = pair(6, 1);
    pair.forward.transposition = uplink(7);
    let id = bench.insert(&pair).expect("room");
    let forward = bench.table.get(id).expect("just inserted");
    assert_eq!(forward.half(), pair.forward);
    assert_eq!(
        (forward.created(), forward.counters().last_seen),
        (bench.now, bench.now)
    );
    assert_eq!(forward.offload(), Offload::NotOffloaded(None));
    let peer = forward.peer().expect("two directions");
    let reverse = bench.table.get(peer).expect("in the table");
    assert_eq!(Some(reverse.half()), pair.reverse);
    assert_eq!(reverse.peer(), Some(id));
    assert_eq!(bench.table.lookup(reverse.key()), Some(peer));
    assert_eq!((bench.table.len(), bench.table.iter().count()), (2, 2));
}

#[test]
fn a_drop_has_no_peer_and_no_state() {
    let mut bench = Bench::new(8, 8);
    let drop = drop_at(1, 1);
    let id = bench.insert(&drop).expect("room");
    let entry = bench.table.get(id).expect("just inserted");
    assert_eq!((entry.half(), entry.peer()), (drop.forward, None));
    assert_eq!(bench.table.tcp_state(id), None);
    assert_eq!(
        (
            bench.table.port_len(PortId(1)),
            bench.table.port_drops(PortId(1))
        ),
        (1, 1)
    );
}

#[test]
fn an_id_does_not_outlive_its_entry() {
    let mut bench = Bench::new(2, 2);
    let first = bench.insert(&pair(6, 1)).expect("room");
    assert!(bench.table.remove(first, &mut bench.removed));
    assert!(!bench.table.remove(first, &mut bench.removed));
    let second = bench.insert(&pair(6, 1)).expect("room");
    assert_ne!(first, second);
    assert!(bench.table.get(first).is_none());
    bench.table.record(first, 100, SYN, bench.now);
    assert!(!bench.table.set_offload(first, Offload::Active));
    assert_eq!(
        bench.table.update(first, &allow(1), stamp(1)),
        Err(UpdateError::Gone)
    );
    assert_eq!(bench.table.tcp_state(first), None);
    assert_eq!(
        bench
            .table
            .get(second)
            .map(|entry| entry.counters().packets),
        Some(0)
    );
}

#[test]
fn removing_either_direction_removes_both_the_forward_one_first() {
    for by_reverse in [false, true] {
        let mut bench = Bench::new(8, 8);
        let pair = pair(6, 1);
        let reverse = pair.reverse.expect("two directions");
        bench.insert(&pair).expect("room");
        bench.record(&reverse.key, SYN_ACK);
        let key = if by_reverse {
            reverse.key
        } else {
            pair.forward.key
        };
        let id = bench.table.lookup(&key).expect("in the table");
        bench.table.set_offload(id, Offload::Active);
        assert!(bench.table.remove(id, &mut bench.removed));
        let halves: Vec<Half> = bench.removed.iter().map(|removed| removed.half).collect();
        assert_eq!(halves, [pair.forward, reverse]);
        assert!(
            bench
                .removed
                .iter()
                .all(|removed| removed.offload == Offload::Active)
        );
        assert_eq!(bench.removed[1].counters.packets, 1);
        assert!(bench.table.is_empty());
        assert_eq!(bench.table.port_len(PortId(1)), 0);
    }
}

/// Both directions have their own keys, before anything is rewritten; a tuple that is used again
/// must not leave half of the old connection behind.
#[test]
fn a_replaced_half_takes_its_old_peer_along_and_nobody_else() {
    let mut bench = Bench::new(16, 16);
    let (a, b, c, d, e) = (
        key(1, 6, 1),
        key(2, 6, 2),
        key(2, 6, 3),
        key(3, 6, 4),
        key(3, 6, 5),
    );
    bench.insert(&pair_of(a, b)).expect("room");
    bench.insert(&pair_of(d, e)).expect("room");
    bench.insert(&pair_of(a, c)).expect("room");
    assert_eq!(
        bench.left(),
        [(a, Removal::Replaced), (b, Removal::Replaced)]
    );
    assert!(bench.holds(&a) && bench.holds(&c) && bench.holds(&d) && bench.holds(&e));
    // The reverse key of the new pair is the forward one of an old pair, and the other way round.
    bench.insert(&pair_of(c, d)).expect("room");
    let gone = [a, c, d, e].map(|key| (key, Removal::Replaced));
    assert_eq!(bench.left(), gone);
    assert_eq!(bench.table.len(), 2);
    let peer = |key| bench.table.get(bench.table.lookup(key)?)?.peer_key();
    assert_eq!((peer(&c), peer(&d)), (Some(d), Some(c)));
}

#[test]
fn a_connection_takes_the_place_of_a_drop_of_its_answer() {
    let mut bench = Bench::new(8, 8);
    bench.insert(&drop_at(2, 9)).expect("room");
    bench
        .insert(&pair_of(key(1, 17, 9), key(2, 17, 9)))
        .expect("room");
    assert_eq!(bench.left(), [(key(2, 17, 9), Removal::Replaced)]);
    assert_eq!(
        (
            bench.table.port_drops(PortId(2)),
            bench.table.port_len(PortId(2))
        ),
        (0, 1)
    );
}

#[test]
fn a_connection_to_itself_is_one_entry() {
    let mut bench = Bench::new(8, 8);
    let id = bench
        .insert(&pair_of(key(1, 17, 1), key(1, 17, 1)))
        .expect("room");
    assert_eq!(bench.table.len(), 1);
    assert_eq!(
        bench
            .table
            .get(id)
            .map(|entry| (entry.peer(), entry.forward())),
        Some((None, true))
    );
    assert!(bench.table.remove(id, &mut bench.removed));
    assert_eq!(
        (bench.removed.len(), bench.table.port_len(PortId(1))),
        (1, 0)
    );
}

#[test]
fn a_port_beyond_the_limit_is_an_error() {
    let mut bench = Bench::new(8, 8);
    assert_eq!(bench.insert(&drop_at(9, 1)).map(|_| ()), Ok(()));
    assert_eq!(
        bench.insert(&drop_at(10, 1)),
        Err(InsertError::UnknownPort(PortId(10)))
    );
    let far = pair_between(1, 20_000, 6, 1);
    assert_eq!(
        bench.insert(&far),
        Err(InsertError::UnknownPort(PortId(20_000)))
    );
    assert_eq!(bench.table.port_len(PortId(20_000)), 0);
    assert_eq!(bench.table.len(), 1);
}

#[test]
fn a_port_is_emptied_for_its_next_owner() {
    let mut bench = Bench::new(16, 16);
    bench.insert(&pair_between(1, 2, 6, 1)).expect("room");
    bench.insert(&pair_between(2, 3, 6, 2)).expect("room");
    bench.insert(&pair_between(3, 4, 6, 3)).expect("room");
    bench.insert(&drop_at(2, 4)).expect("room");
    bench.table.remove_port(PortId(2), &mut bench.removed);
    assert_eq!(bench.left().len(), 5);
    assert_eq!((bench.table.len(), bench.table.port_len(PortId(2))), (2, 0));
    assert!(bench.holds(&key(3, 6, 3)));
    bench
        .table
        .remove_port(PortId(u16::MAX), &mut bench.removed);
    assert!(bench.left().is_empty());
}

#[test]
fn re_simulation_keeps_what_was_counted() {
    let mut bench = Bench::new(8, 8);
    let mut pair = pair(6, 1);
    let id = bench.insert(&pair).expect("room");
    bench.establish(&pair);
    let before = bench.table.get(id).expect("in the table").counters();
    assert_eq!(bench.table.update(id, &uplink(1), stamp(40)), Ok(()));
    let entry = bench.table.get(id).expect("in the table");
    assert_eq!(
        (entry.transposition(), entry.stamp()),
        (uplink(1), stamp(40))
    );
    assert_eq!(entry.counters(), before);

    pair.forward.transposition = uplink(2);
    pair.reverse.as_mut().expect("two directions").stamp = stamp(50);
    assert_eq!(bench.table.replace_halves(&pair), Ok(id));
    let entry = bench.table.get(id).expect("in the table");
    assert_eq!((entry.half(), entry.counters()), (pair.forward, before));
    let peer = entry
        .peer()
        .and_then(|peer| bench.table.get(peer))
        .expect("in the table");
    assert_eq!(peer.half(), pair.reverse.expect("two directions"));
    assert_eq!(bench.table.tcp_state(id), Some(TcpState::Established));
}

#[test]
fn a_blocked_connection_is_as_far_as_it_was_when_its_way_opens_again() {
    let mut bench = Bench::new(8, 8);
    let pair = pair(6, 1);
    let id = bench.insert(&pair).expect("room");
    bench.establish(&pair);
    let blocked = Transposition::drop(DropReason::NoRoute);
    assert_eq!(bench.table.update(id, &blocked, stamp(1)), Ok(()));
    assert_eq!(
        bench.table.get(id).map(|entry| entry.transposition()),
        Some(blocked)
    );
    assert_eq!(
        bench.table.port_drops(PortId(1)),
        0,
        "it is no remembered drop"
    );
    // A flag not seen before, while it is blocked, does not make it something else.
    bench.record(&pair.forward.key, TcpFlags(0x08));
    assert_eq!(bench.table.tcp_state(id), Some(TcpState::Established));
    bench.pass(7_999.0);
    bench.expire();
    assert_eq!(
        bench
            .table
            .update(id, &pair.forward.transposition, stamp(2)),
        Ok(())
    );
    assert_eq!(bench.table.tcp_state(id), Some(TcpState::Established));
}

#[test]
fn re_simulation_does_not_make_another_flow() {
    let mut bench = Bench::new(8, 8);
    let pair = pair(6, 1);
    let id = bench.insert(&pair).expect("room");
    let drop = bench.insert(&drop_at(1, 2)).expect("room");
    let verdict = Transposition::drop(DropReason::NoRoute);
    assert_eq!(
        bench.table.update(drop, &allow(1), stamp(1)),
        Err(UpdateError::OtherVerdict)
    );
    assert_eq!(bench.table.update(drop, &verdict, stamp(1)), Ok(()));
    let mut allowed = drop_at(1, 2);
    allowed.forward.transposition = allow(1);
    assert_eq!(
        bench.table.replace_halves(&allowed),
        Err(UpdateError::OtherVerdict)
    );
    let other = pair_of(pair.forward.key, key(2, 6, 77));
    assert_eq!(bench.table.replace_halves(&other), Err(UpdateError::Gone));
    let one = FlowPair {
        reverse: None,
        ..pair
    };
    assert_eq!(
        bench.table.replace_halves(&one),
        Err(UpdateError::OtherPair)
    );
    let turned = pair_of(pair.forward.key.reversed_at(PortId(2)), pair.forward.key);
    assert_eq!(
        bench.table.replace_halves(&turned),
        Err(UpdateError::OtherPair)
    );
    assert_eq!(
        bench.table.get(id).map(|entry| entry.half()),
        Some(pair.forward)
    );
}

#[test]
fn what_an_engine_counted_comes_in_once() {
    let mut bench = Bench::new(8, 8);
    let pair = pair(6, 1);
    let key = pair.forward.key;
    let id = bench.insert(&pair).expect("room");
    bench.record(&key, SYN);
    assert!(
        !bench
            .table
            .set_offload_of(&key.at(PortId(5)), Offload::Active)
    );
    let counted = Counters {
        packets: 7,
        bytes: 700,
        tcp_flags: ACK,
        last_seen: Tick(9),
    };
    let last = EngineCounters {
        key,
        counters: counted,
    };
    assert!(!bench.table.absorb(&last), "it was in no engine");
    assert!(bench.table.set_offload_of(&key, Offload::Active));
    assert!(bench.table.observe(&last));
    let counters = |bench: &Bench| bench.table.get(id).expect("in the table").counters();
    let noted = Counters {
        packets: 1,
        bytes: 100,
        tcp_flags: SYN_ACK,
        last_seen: Tick(9),
    };
    assert_eq!(counters(&bench), noted);
    assert!(bench.table.absorb(&last));
    assert!(!bench.table.absorb(&last), "a second report of the same");
    assert_eq!(
        counters(&bench),
        Counters {
            packets: 8,
            bytes: 800,
            ..noted
        }
    );
    // The other direction is still there.
    let peer = bench
        .table
        .get(id)
        .and_then(|entry| entry.peer())
        .expect("two directions");
    assert_eq!(
        bench.table.get(peer).map(|entry| entry.offload()),
        Some(Offload::Active)
    );
    let unknown = EngineCounters {
        key: key.at(PortId(5)),
        ..last
    };
    assert!(!bench.table.absorb(&unknown) && !bench.table.observe(&unknown));
}

#[test]
fn a_refusal_is_kept_for_the_user() {
    let mut bench = Bench::new(8, 8);
    let pair = pair(6, 1);
    let id = bench.insert(&pair).expect("room");
    let refused = Offload::NotOffloaded(Some(Refusal::System(28)));
    bench.table.set_offload(id, refused);
    assert!(bench.table.iter().all(|entry| entry.offload() == refused));
}

#[test]
fn tunnel_ends_have_a_limit_and_are_given_back() {
    let mut bench = Bench::new(2_000, 2_000);
    let count = u32::from(bench.table.limits().encaps_max());
    let toward = |source_port: u32, host| {
        let mut pair = pair(17, u16::try_from(source_port).expect("few"));
        pair.forward.transposition = uplink(host);
        pair
    };
    for host in 0..count {
        bench.insert(&toward(host, host)).expect("room");
    }
    assert_eq!(
        bench.insert(&toward(count, count)),
        Err(InsertError::EncapsFull)
    );
    assert_eq!(bench.table.len(), 2 * count);
    bench.insert(&toward(count, 0)).expect("a known tunnel end");
    let first = bench
        .table
        .lookup(&toward(1, 1).forward.key)
        .expect("in the table");
    assert_eq!(
        bench.table.update(first, &uplink(count), stamp(1)),
        Err(UpdateError::EncapsFull)
    );
    // Both directions name a tunnel end: the first is given back when there is no second.
    bench.table.remove(first, &mut bench.removed);
    let mut both = toward(1, 5_000);
    both.reverse.as_mut().expect("two directions").transposition = uplink(5_001);
    assert_eq!(bench.insert(&both), Err(InsertError::EncapsFull));
    bench
        .insert(&toward(1, 5_002))
        .expect("the one that was given back");
    // A path that changes gives back the end of the old one.
    let key = toward(1, 0).forward.key;
    let id = bench.table.lookup(&key).expect("in the table");
    for host in 6_000..6_002 {
        assert_eq!(bench.table.update(id, &allow(1), stamp(1)), Ok(()));
        assert_eq!(bench.table.update(id, &uplink(host), stamp(1)), Ok(()));
    }
}
