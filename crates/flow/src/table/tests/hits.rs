use super::*;

/// Keys of IPv6 that are alike in all that lies in the near half of an entry, and of IPv4.
fn keys() -> Vec<FlowKey> {
    let v6 = |last: u8| {
        let mut addresses = [7; 32];
        addresses[24] = last;
        FlowKey::of_ipv6(PortId(1), &addresses, 17, [1, 2, 3, 4])
    };
    let v4 = (1..40).map(|source_port| key(1, 17, source_port));
    (1..30).map(v6).chain(v4).collect()
}

fn filled(keys: &[FlowKey]) -> Bench {
    let mut bench = Bench::new(256, 256);
    for key in keys {
        let pair = pair_of(*key, key.reversed_at(PortId(2)));
        bench.insert(&pair).expect("room");
    }
    bench
}

fn counted(bench: &Bench, key: &FlowKey) -> (u64, u64) {
    let id = bench.table.lookup(key).expect("in the table");
    let entry = bench.table.get(id).expect("looked up");
    assert_eq!(entry.key(), key);
    (entry.counters().packets, entry.counters().bytes)
}

/// Each key is counted for itself, with its own hint, with another's and with none.
#[test]
fn a_hint_is_no_more_than_a_hint() {
    let keys = keys();
    let mut bench = filled(&keys);
    let mut hints = [Hint::NONE; FlowTable::AHEAD_MAX];
    let asked = keys.iter().map(|key| Some(*key));
    let count = bench.table.look_ahead(asked, &mut hints);
    assert_eq!(count, FlowTable::AHEAD_MAX.min(keys.len()));
    for (at, key) in keys.iter().enumerate() {
        let own = hints.get(at).copied().unwrap_or(Hint::NONE);
        for hint in [own, hints[(at + 1) % count], Hint::NONE, Hint(0)] {
            let mut hit = bench.table.hit(key, hint).expect("in the table");
            hit.record(at as u64, bench.now);
        }
    }
    for (at, key) in keys.iter().enumerate() {
        assert_eq!(counted(&bench, key), (4, 4 * at as u64));
    }
}

#[test]
fn most_hints_are_right() {
    let keys = keys();
    let bench = filled(&keys);
    let mut hints = [Hint::NONE; FlowTable::AHEAD_MAX];
    let asked = keys.iter().map(|key| Some(*key));
    let count = bench.table.look_ahead(asked, &mut hints);
    let slots = keys.iter().map(|key| bench.table.find(key));
    let right = slots
        .zip(&hints)
        .filter(|(slot, hint)| *slot == Some(hint.0));
    assert!(right.count() > count * 9 / 10);
}

#[test]
fn what_is_unknown_or_gone_is_not_hit() {
    let keys = keys();
    let mut bench = filled(&keys);
    let (gone, unknown) = (keys[3], keys[3].at(PortId(9)));
    let mut hints = [Hint::NONE; FlowTable::AHEAD_MAX];
    let asked = [Some(gone), None, Some(unknown)].into_iter();
    assert_eq!(bench.table.look_ahead(asked, &mut hints), 3);
    let id = bench.table.lookup(&gone).expect("in the table");
    assert!(bench.table.remove(id, &mut bench.removed));
    for hint in hints[..3].iter().copied().chain([Hint(0), Hint(u32::MAX)]) {
        assert!(bench.table.hit(&gone, hint).is_none());
        assert!(bench.table.hit(&unknown, hint).is_none());
    }
}
