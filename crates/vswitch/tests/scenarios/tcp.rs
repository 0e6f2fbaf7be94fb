//! TCP connections between two guests.

use std::time::Duration;

use flow::{DropReason, TcpState};
use wire::TcpFlags;

use crate::model::bench::{Bench, Talk, dropped, to};
use crate::model::rules::{Narrow, allow, deny, nic_group};
use crate::model::world::World;

const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;
const SYN_ACK: TcpFlags = TcpFlags(SYN.0 | ACK.0);
const FIN_ACK: TcpFlags = TcpFlags(TcpFlags::FIN.0 | ACK.0);
const RST: TcpFlags = TcpFlags::RST;

fn state(bench: &Bench, talk: &Talk) -> Option<TcpState> {
    let id = bench.switch.flows().lookup(&talk.key(1, 6))?;
    bench.switch.flows().tcp_state(id)
}

/// NIC 1 has called NIC 2.
fn established(world: World) -> (Bench, Talk) {
    let mut bench = Bench::new(world);
    let talk = Talk::new(&bench, 1, 2);
    assert_eq!(bench.outcome(1, &talk.syn()), to(2));
    assert_eq!(bench.outcome(2, &talk.answer(SYN_ACK)), to(1));
    assert_eq!(bench.outcome(1, &talk.ask(ACK)), to(2));
    (bench, talk)
}

#[test]
fn a_connection_from_its_first_segment_to_its_last() {
    let mut bench = Bench::new(World::of(&[0, 0]));
    let talk = Talk::new(&bench, 1, 2);
    let steps = [
        (1, talk.syn(), TcpState::SynSent),
        (2, talk.answer(SYN_ACK), TcpState::SynReceived),
        (1, talk.ask(ACK), TcpState::Established),
        (2, talk.answer(ACK), TcpState::Established),
        (1, talk.ask(FIN_ACK), TcpState::Closing),
        (2, talk.answer(ACK), TcpState::Closing),
        (2, talk.answer(FIN_ACK), TcpState::TimeWait),
        (1, talk.ask(ACK), TcpState::TimeWait),
    ];
    for (sender, frame, expected) in steps {
        assert_eq!(bench.outcome(sender, &frame), to(3 - sender));
        assert_eq!(state(&bench, &talk), Some(expected));
    }
    assert_eq!(
        bench.counters(1).first_packets,
        1,
        "one walk of the policy for all of it"
    );
    assert_eq!(bench.counters(2).first_packets, 0);
    bench.pass(Duration::from_secs(21));
    bench.sweep();
    assert!(bench.switch.flows().is_empty());
    assert_eq!(
        bench.outcome(1, &talk.ask(ACK)),
        dropped(DropReason::TcpNoConnection)
    );
}

#[test]
fn what_a_guest_receives_has_its_address_and_the_routers() {
    let mut bench = Bench::new(World::of(&[0, 0]));
    let talk = Talk::new(&bench, 1, 2);
    let syn = talk.syn();
    let sent = bench.send(1, &syn);
    assert_eq!(sent.frame[..6], bench.end(2, 0).mac.0);
    assert_eq!(sent.frame[6..12], vswitch::router_mac().0);
    assert_eq!(sent.frame[12..], syn[12..], "nothing else is touched");
}

#[test]
fn a_handshake_is_forgotten_in_seconds_and_an_open_connection_is_kept_for_hours() {
    let (mut bench, talk) = established(World::of(&[0, 0]));
    let other = Talk {
        client: bench.end(1, 40_001),
        ..talk
    };
    bench.send(1, &other.syn());
    bench.pass(Duration::from_secs(12));
    bench.sweep();
    assert_eq!(state(&bench, &other), None);
    bench.pass(Duration::from_secs(7_000));
    bench.sweep();
    assert_eq!(state(&bench, &talk), Some(TcpState::Established));
    assert_eq!(bench.outcome(2, &talk.answer(ACK)), to(1));
}

#[test]
fn a_reset_is_not_the_end_at_once() {
    let (mut bench, talk) = established(World::of(&[0, 0]));
    bench.send(2, &talk.answer(RST));
    assert_eq!(state(&bench, &talk), Some(TcpState::Reset));
    assert_eq!(
        bench.outcome(1, &talk.ask(ACK)),
        to(2),
        "it may not have been in the window"
    );
}

#[test]
fn a_segment_of_no_connection_is_dropped_and_not_remembered() {
    let mut bench = Bench::new(World::of(&[0, 0]));
    let talk = Talk::new(&bench, 1, 2);
    for flags in [ACK, SYN_ACK, FIN_ACK, RST, TcpFlags(0)] {
        assert_eq!(
            bench.outcome(1, &talk.ask(flags)),
            dropped(DropReason::TcpNoConnection)
        );
    }
    assert!(bench.switch.flows().is_empty());
    assert_eq!(bench.outcome(1, &talk.syn()), to(2));
}

#[test]
fn a_new_connection_on_the_ports_of_an_old_one_needs_no_waiting() {
    let (mut bench, talk) = established(World::of(&[0, 0]));
    bench.send(1, &talk.ask(FIN_ACK));
    bench.send(2, &talk.answer(FIN_ACK));
    assert_eq!(state(&bench, &talk), Some(TcpState::TimeWait));
    assert_eq!(bench.outcome(1, &talk.syn()), to(2));
    assert_eq!(state(&bench, &talk), Some(TcpState::SynSent));
    assert_eq!(bench.switch.flows().len(), 2, "in place of the old one");
}

#[test]
fn a_syn_that_is_refused_leaves_the_connection_of_its_tuple_alone() {
    let (mut bench, talk) = established(World::of(&[0, 0]));
    bench.edit(|world| world.set_inbound(2, vec![nic_group(vec![deny("no more", 100)])]));
    for _ in 0..2 {
        assert_eq!(
            bench.outcome(1, &talk.syn()),
            dropped(DropReason::NsgDenyInbound)
        );
        assert_eq!(bench.outcome(1, &talk.ask(ACK)), to(2));
        assert_eq!(bench.outcome(2, &talk.answer(ACK)), to(1));
    }
    assert_eq!(state(&bench, &talk), Some(TcpState::Established));
}

#[test]
fn who_was_called_cannot_call_back_by_the_same_ports_where_rules_forbid_it() {
    let mut world = World::of(&[0, 0]);
    world.set_inbound(1, vec![nic_group(vec![deny("nobody", 100)])]);
    let (mut bench, talk) = established(world);
    assert_eq!(
        bench.outcome(2, &talk.answer(SYN)),
        dropped(DropReason::NsgDenyInbound)
    );
    assert_eq!(bench.outcome(2, &talk.answer(ACK)), to(1));
    assert_eq!(bench.outcome(1, &talk.ask(ACK)), to(2));
}

#[test]
fn both_may_call_at_once() {
    let mut bench = Bench::new(World::of(&[0, 0]));
    let talk = Talk::new(&bench, 1, 2);
    let steps = [
        (1, talk.syn()),
        (2, talk.answer(SYN)),
        (1, talk.ask(SYN_ACK)),
        (2, talk.answer(SYN_ACK)),
        (1, talk.ask(ACK)),
    ];
    for (sender, frame) in steps {
        assert_eq!(bench.outcome(sender, &frame), to(3 - sender));
    }
    assert_eq!(state(&bench, &talk), Some(TcpState::Established));
    assert_eq!(bench.switch.flows().len(), 2);
}

#[test]
fn a_refusal_is_remembered_and_walks_the_policy_once() {
    let mut world = World::of(&[0, 0]);
    let web = allow("web", 100).proto(6).port(80);
    world.set_inbound(2, vec![nic_group(vec![web, deny("rest", 200)])]);
    let mut bench = Bench::new(world);
    let talk = Talk::new(&bench, 1, 2);
    for _ in 0..5 {
        assert_eq!(
            bench.outcome(1, &talk.syn()),
            dropped(DropReason::NsgDenyInbound)
        );
    }
    assert_eq!(bench.counters(1).first_packets, 1);
    assert_eq!(
        bench.counters(1).drops.packets(DropReason::NsgDenyInbound),
        5
    );
    let web = Talk {
        server: bench.end(2, 80),
        ..talk
    };
    assert_eq!(bench.outcome(1, &web.syn()), to(2));
}
