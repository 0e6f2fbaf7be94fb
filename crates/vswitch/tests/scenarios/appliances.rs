//! Traffic through a virtual appliance: web is NIC 1, the appliance NIC 2, the database NIC 3.

use flow::DropReason;
use policy::input::NextHop;
use wire::TcpFlags;

use crate::model::bench::{Bench, Talk, dropped, to};
use crate::model::rules::{deny, nic_group};
use crate::model::world::{World, v4};

const ACK: TcpFlags = TcpFlags::ACK;
const SYN_ACK: TcpFlags = TcpFlags(TcpFlags::SYN.0 | ACK.0);
const APPLIANCE: NextHop =
    NextHop::Appliance(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)));

/// Which ways lead through the appliance.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Through {
    BothWays,
    There,
    Back,
}

fn world(through: Through) -> World {
    let mut world = World::of(&[0, 0, 0]);
    world.nic(2).ip_forwarding = true;
    if through != Through::Back {
        world.add_route(1, "10.0.0.3/32", APPLIANCE);
    }
    if through != Through::There {
        world.add_route(3, "10.0.0.1/32", APPLIANCE);
    }
    world
}

/// The frame, sent by `port`, arrives at `receiver`; what arrives there.
fn passes(bench: &mut Bench, port: u8, frame: &[u8], receiver: u8) -> Vec<u8> {
    let sent = bench.send(port, frame);
    assert_eq!(sent.outcome, to(receiver), "from {port}");
    sent.frame
}

#[test]
fn a_connection_through_the_appliance_both_ways() {
    let mut bench = Bench::new(world(Through::BothWays));
    let talk = Talk::new(&bench, 1, 3);
    for (ask, answer) in [(TcpFlags::SYN, SYN_ACK), (ACK, ACK)] {
        let there = passes(&mut bench, 1, &talk.ask(ask), 2);
        let relayed = Talk::relayed(&bench, 2, &there);
        passes(&mut bench, 2, &relayed, 3);
        let back = passes(&mut bench, 3, &talk.answer(answer), 2);
        let relayed = Talk::relayed(&bench, 2, &back);
        passes(&mut bench, 2, &relayed, 1);
    }
    assert_eq!(
        bench.switch.flows().len(),
        4,
        "two pairs: to the appliance, and from it"
    );
    assert_eq!(
        bench.counters(1).first_packets + bench.counters(2).first_packets,
        2
    );
}

#[test]
fn the_answer_may_come_directly() {
    let mut bench = Bench::new(world(Through::There));
    let talk = Talk::new(&bench, 1, 3);
    let there = passes(&mut bench, 1, &talk.syn(), 2);
    let relayed = Talk::relayed(&bench, 2, &there);
    passes(&mut bench, 2, &relayed, 3);
    passes(&mut bench, 3, &talk.answer(SYN_ACK), 1);
    let there = passes(&mut bench, 1, &talk.ask(ACK), 2);
    let relayed = Talk::relayed(&bench, 2, &there);
    passes(&mut bench, 2, &relayed, 3);
}

#[test]
fn the_answer_may_come_through_it_where_the_question_went_directly() {
    let mut world = world(Through::Back);
    world.set_inbound(1, vec![nic_group(vec![deny("nobody", 100)])]);
    let mut bench = Bench::new(world);
    let talk = Talk::new(&bench, 1, 3);
    passes(&mut bench, 1, &talk.syn(), 3);
    let back = passes(&mut bench, 3, &talk.answer(SYN_ACK), 2);
    let relayed = Talk::relayed(&bench, 2, &back);
    passes(&mut bench, 2, &relayed, 1);
    passes(&mut bench, 1, &talk.ask(ACK), 3);
    // An answer it is, but not a licence: the appliance cannot call.
    let call = Talk::relayed(&bench, 2, &talk.answer(TcpFlags::SYN));
    assert_eq!(bench.outcome(2, &call), dropped(DropReason::NsgDenyInbound));
    let back = passes(&mut bench, 3, &talk.answer(ACK), 2);
    let relayed = Talk::relayed(&bench, 2, &back);
    passes(&mut bench, 2, &relayed, 1);
}

#[test]
fn an_appliance_that_accepts_nothing_stops_the_answers() {
    let mut world = world(Through::Back);
    world.set_inbound(2, vec![nic_group(vec![deny("nobody", 100)])]);
    let mut bench = Bench::new(world);
    let talk = Talk::new(&bench, 1, 3);
    passes(&mut bench, 1, &talk.syn(), 3);
    assert_eq!(
        bench.outcome(3, &talk.answer(SYN_ACK)),
        dropped(DropReason::NsgDenyInbound)
    );
    // To the appliance the answer is a new packet, so an edit that allows it is followed.
    bench.edit(|world| world.set_inbound(2, Vec::new()));
    passes(&mut bench, 3, &talk.answer(SYN_ACK), 2);
}

#[test]
fn answers_that_were_let_through_stay_so_until_their_way_changes() {
    let mut bench = Bench::new(world(Through::Back));
    let talk = Talk::new(&bench, 1, 3);
    passes(&mut bench, 1, &talk.ask_udp(b"?"), 3);
    passes(&mut bench, 3, &talk.answer_udp(b"!"), 2);
    bench.edit(|world| {
        world.set_inbound(2, vec![nic_group(vec![deny("nobody", 100)])]);
        world.advance_paths();
    });
    passes(&mut bench, 3, &talk.answer_udp(b"!"), 2);
    bench.edit(World::reevaluate);
    assert_eq!(
        bench.outcome(3, &talk.answer_udp(b"!")),
        dropped(DropReason::NsgDenyInbound)
    );
}

#[test]
fn a_refusal_at_the_far_end_is_forgotten_when_the_far_end_asks() {
    let mut world = world(Through::Back);
    world.set_inbound(1, vec![nic_group(vec![deny("nobody", 100)])]);
    let mut bench = Bench::new(world);
    let talk = Talk::new(&bench, 1, 3);
    let unasked = passes(&mut bench, 3, &talk.answer(TcpFlags::SYN), 2);
    let relayed = Talk::relayed(&bench, 2, &unasked);
    assert_eq!(
        bench.outcome(2, &relayed),
        dropped(DropReason::NsgDenyInbound)
    );
    passes(&mut bench, 1, &talk.syn(), 3);
    let back = passes(&mut bench, 3, &talk.answer(SYN_ACK), 2);
    let relayed = Talk::relayed(&bench, 2, &back);
    passes(&mut bench, 2, &relayed, 1);
}

#[test]
fn an_appliance_that_may_forward_no_more_neither_receives_nor_sends_for_others() {
    let mut bench = Bench::new(world(Through::BothWays));
    let talk = Talk::new(&bench, 1, 3);
    let there = passes(&mut bench, 1, &talk.syn(), 2);
    let relayed = Talk::relayed(&bench, 2, &there);
    passes(&mut bench, 2, &relayed, 3);
    let forward = |bench: &mut Bench, on| {
        bench.edit(|world| {
            world.nic(2).ip_forwarding = on;
            world.advance_paths();
        });
    };
    forward(&mut bench, false);
    // Whoever of the two sends first: both directions follow.
    assert_eq!(
        bench.outcome(3, &talk.answer(SYN_ACK)),
        dropped(DropReason::ForwardingDisabled)
    );
    assert_eq!(bench.outcome(2, &relayed), dropped(DropReason::SpoofedIp));
    assert_eq!(
        bench.outcome(1, &talk.ask(ACK)),
        dropped(DropReason::ForwardingDisabled)
    );
    forward(&mut bench, true);
    passes(&mut bench, 1, &talk.ask(ACK), 2);
    let relayed = Talk::relayed(&bench, 2, &talk.ask(ACK));
    passes(&mut bench, 2, &relayed, 3);
}

#[test]
fn an_appliance_in_a_peered_network_is_found_by_the_route_to_it() {
    let mut world = World::of(&[0, 1, 0]);
    world.nic(2).ip_forwarding = true;
    world.add_route(1, "10.0.0.3/32", NextHop::Appliance(v4(1, 0, 2)));
    let mut bench = Bench::new(world);
    let talk = Talk::new(&bench, 1, 3);
    assert_eq!(
        bench.outcome(1, &talk.syn()),
        dropped(DropReason::ApplianceUnreachable)
    );
    bench.edit(|world| world.add_route(1, "10.1.0.0/16", NextHop::Vnet(policy::input::VnetId(1))));
    assert_eq!(bench.outcome(1, &talk.syn()), to(2));
}
