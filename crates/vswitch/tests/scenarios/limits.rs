//! What happens when something is full.

use std::num::NonZeroU32;
use std::time::Duration;

use flow::{DropReason, PortId};
use vswitch::Limits;
use wire::compose;

use crate::model::bench::{Bench, ROOMY, Talk, dropped, to};
use crate::model::rules::{deny, nic_group};
use crate::model::world::World;

fn at_most(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).expect("tests use limits above zero")
}

/// A conversation between the same two, by another client port.
fn other(talk: &Talk, number: u16) -> Talk {
    let mut other = *talk;
    other.client.port = 50_000 + number;
    other
}

#[test]
fn a_port_that_is_full_refuses_what_is_new_and_serves_what_is_old() {
    let limits = Limits {
        flows_per_port_max: at_most(4),
        ..ROOMY
    };
    let mut bench = Bench::with_limits(World::of(&[0, 0, 0]), limits);
    let talk = Talk::new(&bench, 1, 2);
    for number in 0..4 {
        assert_eq!(bench.outcome(1, &other(&talk, number).ask_udp(b"?")), to(2));
    }
    for number in 4..7 {
        let full = bench.outcome(1, &other(&talk, number).ask_udp(b"?"));
        assert_eq!(full, dropped(DropReason::FlowTableFull));
    }
    assert_eq!(
        bench.counters(1).drops.packets(DropReason::FlowTableFull),
        3
    );
    assert_eq!(bench.outcome(1, &other(&talk, 0).ask_udp(b"?")), to(2));
    assert_eq!(bench.outcome(2, &other(&talk, 3).answer_udp(b"!")), to(1));
    // Of the answering port's limit the caller does not get around, either.
    let third = Talk::new(&bench, 3, 2);
    assert_eq!(
        bench.outcome(3, &third.ask_udp(b"?")),
        dropped(DropReason::FlowTableFull)
    );
    bench.pass(Duration::from_secs(300));
    bench.sweep();
    assert_eq!(
        bench.outcome(1, &other(&talk, 9).ask_udp(b"?")),
        to(2),
        "when the old have aged"
    );
}

#[test]
fn unanswered_handshakes_make_room_and_open_connections_do_not() {
    let limits = Limits {
        flows_per_port_max: at_most(4),
        ..ROOMY
    };
    let mut bench = Bench::with_limits(World::of(&[0, 0]), limits);
    let talk = Talk::new(&bench, 1, 2);
    let (syn, ack) = (wire::TcpFlags::SYN, wire::TcpFlags::ACK);
    bench.send(1, &talk.syn());
    bench.send(2, &talk.answer(wire::TcpFlags(syn.0 | ack.0)));
    bench.send(1, &talk.ask(ack));
    for number in 0..50 {
        assert_eq!(bench.outcome(1, &other(&talk, number).syn()), to(2));
    }
    assert_eq!(
        bench.outcome(1, &talk.ask(ack)),
        to(2),
        "a flood does not wash it away"
    );
    assert_eq!(bench.switch.port(PortId(1)).expect("there").flows, 4);
}

#[test]
fn refusals_do_not_crowd_out_connections() {
    let limits = Limits {
        flows_per_port_max: at_most(8),
        ..ROOMY
    };
    let mut world = World::of(&[0, 0, 0]);
    world.set_inbound(3, vec![nic_group(vec![deny("nobody", 100)])]);
    let mut bench = Bench::with_limits(world, limits);
    let (good, bad) = (Talk::new(&bench, 1, 2), Talk::new(&bench, 1, 3));
    for number in 0..100 {
        let refused = bench.outcome(1, &other(&bad, number).ask_udp(b"?"));
        assert_eq!(
            refused,
            dropped(DropReason::NsgDenyInbound),
            "remembered or not"
        );
    }
    assert!(bench.switch.flows().port_drops(PortId(1)) <= 2, "a quarter");
    for number in 0..8 {
        assert_eq!(bench.outcome(1, &other(&good, number).ask_udp(b"?")), to(2));
    }
}

#[test]
fn first_packets_have_a_rate_and_flows_have_none() {
    let limits = Limits {
        first_packets_per_second: 60,
        ..ROOMY
    };
    let mut bench = Bench::with_limits(World::of(&[0, 0]), limits);
    let talk = Talk::new(&bench, 1, 2);
    let mut admitted = 0;
    for number in 0..100 {
        let outcome = bench.outcome(1, &other(&talk, number).ask_udp(b"?"));
        admitted += u32::from(outcome == to(2));
    }
    assert_eq!(
        admitted, 4,
        "sixty a second is four in the 67 ms of a window"
    );
    let dropped_packets = bench
        .counters(1)
        .drops
        .packets(DropReason::ExceptionRateLimited);
    assert_eq!((dropped_packets, bench.counters(1).first_packets), (96, 4));
    for _ in 0..100 {
        assert_eq!(bench.outcome(1, &other(&talk, 0).ask_udp(b"?")), to(2));
    }
    // Another port has its own rate.
    assert_eq!(
        bench.outcome(2, &Talk::new(&bench, 2, 1).ask_udp(b"?")),
        to(1)
    );
    bench.pass(Duration::from_millis(68));
    assert_eq!(bench.outcome(1, &other(&talk, 50).ask_udp(b"?")), to(2));
}

#[test]
fn resimulation_has_a_rate_and_beyond_it_the_old_way_serves() {
    let limits = Limits {
        resimulations_per_second: 30,
        ..ROOMY
    };
    let mut bench = Bench::with_limits(World::of(&[0, 0]), limits);
    let talk = Talk::new(&bench, 1, 2);
    for number in 0..10 {
        bench.send(1, &other(&talk, number).ask_udp(b"?"));
    }
    bench.pass(Duration::from_millis(68));
    bench.edit(World::advance_paths);
    let round = |bench: &mut Bench| {
        for number in 0..10 {
            assert_eq!(bench.outcome(1, &other(&talk, number).ask_udp(b"?")), to(2));
        }
        (
            bench.counters(1).resimulations,
            bench.counters(1).stale_forwarded,
        )
    };
    assert_eq!(
        round(&mut bench),
        (2, 8),
        "thirty a second is two in a window"
    );
    bench.pass(Duration::from_millis(68));
    assert_eq!(round(&mut bench), (4, 14));
    for _ in 0..4 {
        bench.pass(Duration::from_millis(68));
        round(&mut bench);
    }
    assert_eq!(round(&mut bench), (10, 8 + 6 + 4 + 2), "each flow once");
}

#[test]
fn fragmented_packets_of_one_port_leave_room_for_another() {
    let limits = Limits {
        fragments_per_port_max: at_most(2),
        ..ROOMY
    };
    let mut bench = Bench::with_limits(World::of(&[0, 0]), limits);
    let (there, back) = (Talk::new(&bench, 1, 2), Talk::new(&bench, 2, 1));
    let first = |talk: &Talk, ident| {
        compose::fragments(&talk.ask_udp(&[0; 1_000]), ident, 400).swap_remove(0)
    };
    for ident in 0..2 {
        assert_eq!(bench.outcome(1, &first(&there, ident)), to(2));
    }
    let full = dropped(DropReason::FragmentTableFull);
    assert_eq!(bench.outcome(1, &first(&there, 2)), full);
    assert_eq!(
        bench.outcome(1, &first(&there, 1)),
        to(2),
        "the same again is none more"
    );
    assert_eq!(bench.outcome(2, &first(&back, 2)), to(1));
    bench.pass(Duration::from_secs(6));
    assert_eq!(
        bench.outcome(1, &first(&there, 2)),
        to(2),
        "the old ones have aged"
    );
}
