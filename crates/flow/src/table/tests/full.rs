use super::*;

#[test]
fn a_full_port_recycles_the_oldest_unanswered_handshake() {
    let mut bench = Bench::new(100, 3);
    for source_port in 1..=3 {
        bench.insert(&pair(6, source_port)).expect("room");
    }
    bench.insert(&pair(6, 4)).expect("room that was made");
    let gone = [key(1, 6, 1), key(1, 6, 1).reversed_at(PortId(2))];
    assert_eq!(bench.left(), gone.map(|key| (key, Removal::Evicted)));
    assert_eq!(bench.table.port_len(PortId(1)), 3);
}

#[test]
fn what_was_answered_is_never_recycled() {
    let mut bench = Bench::new(100, 3);
    let answered = pair(6, 1);
    bench.insert(&answered).expect("room");
    bench.record(&answered.forward.key, SYN);
    bench.record(&answered.reverse.expect("two directions").key, SYN_ACK);
    let open = pair(6, 2);
    bench.insert(&open).expect("room");
    bench.establish(&open);
    bench.insert(&pair(17, 3)).expect("room");
    assert_eq!(
        bench.insert(&pair(6, 4)),
        Err(InsertError::PortFull(PortId(1)))
    );
    assert!(bench.left().is_empty());
    // Established connections go on, other ports too.
    bench.record(&open.forward.key, ACK);
    bench
        .insert(&pair_between(3, 4, 6, 5))
        .expect("room at another port");
    assert_eq!(
        DropReason::from(InsertError::PortFull(PortId(1))),
        DropReason::FlowTableFull
    );
}

#[test]
fn the_answering_port_recycles_too() {
    let mut bench = Bench::new(100, 2);
    for from in 3..=4 {
        bench.insert(&pair_between(from, 2, 6, from)).expect("room");
    }
    bench
        .insert(&pair_between(5, 2, 6, 5))
        .expect("room that was made");
    assert!(!bench.holds(&key(3, 6, 3)) && bench.holds(&key(4, 6, 4)));
    assert_eq!(bench.table.port_len(PortId(2)), 2);
}

#[test]
fn drops_go_before_handshakes() {
    let mut bench = Bench::new(100, 4);
    bench.insert(&pair(6, 1)).expect("room");
    bench.insert(&drop_at(1, 2)).expect("room");
    bench.insert(&pair(6, 3)).expect("room");
    bench.insert(&pair(6, 4)).expect("room");
    bench.insert(&pair(6, 5)).expect("room that was made");
    assert_eq!(bench.left(), [(key(1, 17, 2), Removal::Evicted)]);
}

#[test]
fn drops_are_at_most_a_quarter_and_recycle_each_other() {
    let mut bench = Bench::new(100, 8);
    for source_port in 1..=5 {
        bench.insert(&drop_at(1, source_port)).expect("room");
    }
    let gone = [1, 2, 3].map(|source_port| (key(1, 17, source_port), Removal::Evicted));
    assert_eq!(bench.left(), gone);
    assert_eq!(bench.table.port_drops(PortId(1)), 2);
    // The same drop again recycles nothing.
    bench.insert(&drop_at(1, 5)).expect("room");
    assert_eq!(bench.left(), [(key(1, 17, 5), Removal::Replaced)]);
    assert_eq!(bench.table.port_drops(PortId(1)), 2);
}

#[test]
fn a_drop_recycles_no_connection() {
    let mut bench = Bench::new(100, 4);
    for source_port in 1..=4 {
        bench.insert(&pair(6, source_port)).expect("room");
    }
    assert_eq!(
        bench.insert(&drop_at(1, 5)),
        Err(InsertError::PortFull(PortId(1)))
    );
    assert!(bench.left().is_empty());
}

#[test]
fn a_full_table_recycles_from_the_ports_in_turn() {
    let mut bench = Bench::new(8, 8);
    for (from, to) in [(1, 2), (3, 4), (5, 6), (7, 8)] {
        bench
            .insert(&pair_between(from, to, 6, from))
            .expect("room");
    }
    for source_port in 20..24 {
        let new = pair_between(1, 2, 17, source_port);
        bench.insert(&new).expect("room that was made");
    }
    let gone: Vec<u16> = bench.left().iter().map(|(key, _)| key.port().0).collect();
    assert_eq!(gone, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(
        bench.insert(&pair_between(1, 2, 17, 30)),
        Err(InsertError::TableFull)
    );
    assert_eq!(bench.table.len(), 8);
}

#[test]
fn after_an_error_nothing_was_replaced() {
    let mut bench = Bench::new(4, 4);
    let old = pair_between(1, 2, 17, 1);
    bench.insert(&old).expect("room");
    bench.insert(&drop_at(3, 7)).expect("room");
    bench
        .insert(&pair_of(key(3, 17, 8), key(3, 17, 8)))
        .expect("room");
    // Two entries for one drop: the drop's place is not enough.
    bench.table.lookup(&key(3, 17, 7)).expect("in the table");
    let new = pair_of(key(3, 17, 7), key(4, 17, 9));
    assert_eq!(bench.insert(&new), Err(InsertError::TableFull));
    assert!(bench.holds(&old.forward.key) && bench.holds(&key(3, 17, 8)));
    assert!(
        !bench
            .removed
            .iter()
            .any(|removed| removed.why == Removal::Replaced)
    );
}

#[test]
fn replacing_needs_no_room() {
    let mut bench = Bench::new(2, 1);
    let old = pair(17, 1);
    bench.insert(&old).expect("room");
    bench.insert(&old).expect("the room of the old one");
    assert_eq!(bench.left().len(), 2);
    assert_eq!(bench.table.len(), 2);
}

#[test]
fn a_pair_that_never_fits_recycles_nothing() {
    let mut bench = Bench::new(100, 1);
    bench.insert(&pair(6, 1)).expect("room");
    let both = pair_between(1, 1, 6, 2);
    assert_eq!(bench.insert(&both), Err(InsertError::PortFull(PortId(1))));
    let mut tiny = Bench::new(1, 5);
    tiny.insert(&drop_at(1, 1)).expect("room");
    assert_eq!(tiny.insert(&pair(6, 1)), Err(InsertError::TableFull));
    assert!(bench.left().is_empty() && tiny.left().is_empty());
}
