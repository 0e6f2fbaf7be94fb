//! Keys of frames that came off the uplink: in every respect their guests'.

use super::*;

/// A connection of the guest behind port 1 with another host.
fn outward(protocol: u8, source_port: u16) -> FlowPair {
    let forward = key(1, protocol, source_port);
    let mut pair = pair_of(forward, forward.reversed_at(PortId(1).from_uplink()));
    pair.forward.transposition = uplink(9);
    pair
}

/// One that the other host opened.
fn inward(protocol: u8, source_port: u16) -> FlowPair {
    let forward = key(1, protocol, source_port).at(PortId(1).from_uplink());
    let mut pair = pair_of(forward, forward.reversed_at(PortId(1)));
    if let Some(reverse) = &mut pair.reverse {
        reverse.transposition = uplink(9);
    }
    pair
}

#[test]
fn both_directions_count_at_the_guests_port() {
    let mut bench = Bench::new(100, 10);
    bench.insert(&outward(17, 1)).expect("room");
    bench.insert(&inward(17, 2)).expect("room");
    assert_eq!(bench.table.port_len(PortId(1)), 4);
    assert_eq!(bench.table.port_len(PortId(1).from_uplink()), 0);
    bench.table.remove_port(PortId(1), &mut bench.removed);
    assert_eq!((bench.table.len(), bench.left().len()), (0, 4));
}

#[test]
fn the_same_tuple_from_the_guest_and_off_the_uplink_are_two_flows() {
    let mut bench = Bench::new(100, 10);
    let (own, other) = (outward(17, 1), inward(17, 1));
    assert_eq!(
        own.forward.key.at(other.forward.key.port()),
        other.forward.key
    );
    bench.insert(&own).expect("room");
    bench.insert(&other).expect("room");
    assert_eq!(bench.table.len(), 4);
    bench.record(&other.forward.key, ACK);
    let packets = |key| {
        let id = bench.table.lookup(key).expect("in the table");
        bench.table.get(id).expect("just found").counters().packets
    };
    assert_eq!(
        [&own, &other].map(|pair| packets(&pair.forward.key)),
        [0, 1]
    );
}

#[test]
fn a_flood_of_handshakes_from_afar_recycles_itself_and_spares_what_is_established() {
    let mut bench = Bench::new(100, 6);
    let open = inward(6, 1);
    bench.insert(&open).expect("room");
    bench.establish(&open);
    for source_port in 2..9 {
        bench
            .insert(&inward(6, source_port))
            .expect("room that was made");
        assert_eq!(
            bench.table.port_len(PortId(1)),
            (2 * u32::from(source_port)).min(6)
        );
    }
    assert!(bench.holds(&open.forward.key));
    // And makes room for what the guest begins itself.
    bench.insert(&outward(6, 9)).expect("room that was made");
}

#[test]
fn what_is_refused_from_afar_has_the_guests_share_of_refusals() {
    let mut bench = Bench::new(100, 8);
    for source_port in 1..=5 {
        let mut refused = drop_at(1, source_port);
        refused.forward.key = refused.forward.key.at(PortId(1).from_uplink());
        bench.insert(&refused).expect("room that was made");
    }
    assert_eq!(bench.table.port_drops(PortId(1)), 2, "a quarter");
    assert_eq!(bench.table.drops_of(PortId(1)).count(), 2);
    assert_eq!(
        bench.insert(&FlowPair {
            forward: Half {
                key: key(10, 17, 1).at(PortId(10).from_uplink()),
                ..drop_at(1, 1).forward
            },
            reverse: None,
        }),
        Err(InsertError::UnknownPort(PortId(10)))
    );
}
