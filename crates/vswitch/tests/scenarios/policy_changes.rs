//! What a change of policy does to what goes on, and what it leaves alone.

use flow::{DropReason, PortId, TcpState};
use policy::input::{MappingTarget, NextHop, RouteSource, VnetId};
use vswitch::Outcome;
use wire::TcpFlags;
use wire::compose::Endpoint;

use crate::model::afar::Afar;
use crate::model::bench::{Bench, Talk, dropped, to};
use crate::model::rules::{deny, nic_group};
use crate::model::world::{World, remote, remote_mac, route, v4, vnet_prefixes};

const ACK: TcpFlags = TcpFlags::ACK;
const SYN_ACK: TcpFlags = TcpFlags(TcpFlags::SYN.0 | ACK.0);

fn connect(bench: &mut Bench, talk: &Talk) {
    assert_eq!(bench.outcome(1, &talk.syn()), to(2));
    assert_eq!(bench.outcome(2, &talk.answer(SYN_ACK)), to(1));
    assert_eq!(bench.outcome(1, &talk.ask(ACK)), to(2));
}

fn state(bench: &Bench, talk: &Talk) -> Option<TcpState> {
    let id = bench.switch.flows().lookup(&talk.key(1, 6))?;
    bench.switch.flows().tcp_state(id)
}

fn deny_all(world: &mut World) {
    world.set_inbound(2, vec![nic_group(vec![deny("nobody", 100)])]);
}

/// NICs 2 and 3 both have this address; the mapping says which of them gets its packets.
const SHARED: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 3, 1));

fn shared_by_two_and_three() -> (Bench, Talk) {
    let mut world = World::of(&[0, 0, 0]);
    for port in [2, 3] {
        world.nic(port).addresses.push(SHARED);
    }
    world.map(0, SHARED, Some(MappingTarget::Port(PortId(2))));
    let bench = Bench::new(world);
    let talk = Talk::new(&bench, 1, 2);
    let talk = Talk {
        server: Endpoint {
            ip: SHARED,
            ..talk.server
        },
        ..talk
    };
    (bench, talk)
}

#[test]
fn an_edit_of_rules_leaves_connections_alone() {
    let mut bench = Bench::new(World::of(&[0, 0]));
    let talk = Talk::new(&bench, 1, 2);
    connect(&mut bench, &talk);
    bench.edit(deny_all);
    assert_eq!(bench.outcome(1, &talk.ask(ACK)), to(2));
    assert_eq!(bench.outcome(2, &talk.answer(ACK)), to(1));
    assert_eq!(bench.counters(1).resimulations, 0, "nobody even looks");
    let new = Talk {
        client: bench.end(1, 40_001),
        ..talk
    };
    assert_eq!(
        bench.outcome(1, &new.syn()),
        dropped(DropReason::NsgDenyInbound)
    );
}

#[test]
fn re_evaluation_ends_what_the_rules_no_longer_allow_and_nothing_else() {
    let mut bench = Bench::new(World::of(&[0, 0, 0]));
    let (doomed, spared) = (Talk::new(&bench, 1, 2), Talk::new(&bench, 1, 3));
    connect(&mut bench, &doomed);
    assert_eq!(bench.outcome(1, &spared.ask_udp(b"?")), to(3));
    bench.edit(|world| {
        deny_all(world);
        world.reevaluate();
    });
    assert_eq!(
        bench.outcome(2, &doomed.answer(ACK)),
        dropped(DropReason::NsgDenyInbound)
    );
    assert_eq!(
        bench.outcome(1, &doomed.ask(ACK)),
        dropped(DropReason::NsgDenyInbound)
    );
    assert_eq!(bench.outcome(3, &spared.answer_udp(b"!")), to(1));
    assert_eq!(bench.outcome(1, &spared.ask_udp(b"?")), to(3));
    assert_eq!(
        bench.counters(3).resimulations + bench.counters(1).resimulations,
        1,
        "once each"
    );
}

#[test]
fn rules_edited_later_without_asking_are_not_asked_of_what_was_judged() {
    let mut bench = Bench::new(World::of(&[0, 0]));
    let talk = Talk::new(&bench, 1, 2);
    connect(&mut bench, &talk);
    bench.edit(World::reevaluate);
    assert_eq!(bench.outcome(1, &talk.ask(ACK)), to(2));
    bench.edit(deny_all);
    bench.edit(World::advance_paths);
    assert_eq!(bench.outcome(2, &talk.answer(ACK)), to(1));
    assert_eq!(bench.outcome(1, &talk.ask(ACK)), to(2));
}

#[test]
fn re_evaluation_waits_for_a_way_that_is_blocked() {
    let mut bench = Bench::new(World::of(&[0, 0]));
    let talk = Talk::new(&bench, 1, 2);
    connect(&mut bench, &talk);
    bench.edit(|world| world.add_route(1, "10.0.0.2/32", NextHop::None));
    bench.edit(|world| {
        deny_all(world);
        world.reevaluate();
    });
    assert_eq!(
        bench.outcome(1, &talk.ask(ACK)),
        dropped(DropReason::NoRoute)
    );
    bench.edit(|world| world.clear_user_routes(1));
    assert_eq!(
        bench.outcome(1, &talk.ask(ACK)),
        dropped(DropReason::NsgDenyInbound)
    );
}

#[test]
fn a_refusal_is_judged_anew_after_any_change() {
    let mut world = World::of(&[0, 0]);
    deny_all(&mut world);
    let mut bench = Bench::new(world);
    let talk = Talk::new(&bench, 1, 2);
    assert_eq!(
        bench.outcome(1, &talk.syn()),
        dropped(DropReason::NsgDenyInbound)
    );
    bench.edit(|world| world.set_inbound(2, Vec::new()));
    assert_eq!(bench.outcome(1, &talk.syn()), to(2));
}

#[test]
fn an_address_that_appears_ends_its_refusal_without_a_new_generation() {
    let mut bench = Bench::new(World::of(&[0, 0]));
    bench.edit(|world| world.nic(2).addresses.push(SHARED));
    let talk = Talk::new(&bench, 1, 2);
    let talk = Talk {
        server: Endpoint {
            ip: SHARED,
            ..talk.server
        },
        ..talk
    };
    for _ in 0..2 {
        assert_eq!(
            bench.outcome(1, &talk.ask_udp(b"?")),
            dropped(DropReason::NoMapping)
        );
    }
    assert_eq!(bench.counters(1).first_packets, 1);
    bench.move_mapping((VnetId(0), SHARED, Some(MappingTarget::Port(PortId(2)))));
    assert_eq!(bench.outcome(1, &talk.ask_udp(b"?")), to(2));
}

#[test]
fn a_connection_follows_its_address_to_another_port() {
    let (mut bench, talk) = shared_by_two_and_three();
    connect(&mut bench, &talk);
    bench.move_mapping((VnetId(0), SHARED, Some(MappingTarget::Port(PortId(3)))));
    assert_eq!(bench.outcome(1, &talk.ask(ACK)), to(3));
    assert_eq!(
        state(&bench, &talk),
        Some(TcpState::Established),
        "it has come as far as it had"
    );
    let answer = Talk {
        server: Endpoint {
            mac: bench.end(3, 0).mac,
            ..talk.server
        },
        ..talk
    };
    assert_eq!(bench.outcome(3, &answer.answer(ACK)), to(1));
    assert_eq!(bench.counters(3).first_packets, 0);
    assert_eq!(
        bench.switch.flows().len(),
        2,
        "nothing is left at the old port"
    );
}

#[test]
fn a_connection_follows_its_address_to_another_host() {
    let (mut bench, talk) = shared_by_two_and_three();
    connect(&mut bench, &talk);
    let elsewhere = remote(9, 0);
    bench.move_mapping((VnetId(0), SHARED, Some(elsewhere)));
    let MappingTarget::Remote { mac, encap, .. } = elsewhere else {
        panic!("on another host")
    };
    let sent = bench.send(1, &talk.ask(ACK));
    let source_port = flow::outer_source_port(&talk.key(1, 6));
    assert_eq!(sent.outcome, Outcome::Uplink { encap, source_port });
    assert_eq!(sent.frame[..6], mac);
    assert_eq!(state(&bench, &talk), Some(TcpState::Established));
    let afar = Afar {
        end: Endpoint {
            mac: remote_mac(9),
            ..talk.server
        },
        ..Afar::new(9, 0, SHARED, 443)
    };
    assert_eq!(bench.arrival(&afar.tcp(&talk.client, ACK)), to(1));
    assert_eq!(
        bench.switch.flows().len(),
        2,
        "nothing is left at the old port"
    );
}

#[test]
fn a_move_of_one_address_is_not_looked_at_by_flows_of_others() {
    let (mut bench, _) = shared_by_two_and_three();
    let talk = Talk::new(&bench, 1, 2);
    connect(&mut bench, &talk);
    bench.move_mapping((VnetId(0), SHARED, None));
    assert_eq!(bench.outcome(1, &talk.ask(ACK)), to(2));
    assert_eq!(bench.counters(1).resimulations, 0);
}

#[test]
fn a_connection_without_a_way_goes_on_when_there_is_one() {
    let mut bench = Bench::new(World::of(&[0, 0]));
    let talk = Talk::new(&bench, 1, 2);
    connect(&mut bench, &talk);
    let key = talk.key(1, 6);
    let packets = |bench: &Bench| {
        let id = bench.switch.flows().lookup(&key).expect("it is kept");
        bench
            .switch
            .flows()
            .get(id)
            .expect("it is kept")
            .counters()
            .packets
    };
    let before = packets(&bench);
    bench.edit(|world| world.add_route(1, "10.0.0.2/32", NextHop::None));
    for _ in 0..3 {
        assert_eq!(
            bench.outcome(1, &talk.ask(ACK)),
            dropped(DropReason::NoRoute)
        );
    }
    assert_eq!(
        bench.outcome(2, &talk.answer(ACK)),
        to(1),
        "the other direction has its way"
    );
    assert_eq!(
        bench.counters(1).resimulations,
        1,
        "what is blocked is looked at once"
    );
    bench.edit(|world| world.clear_user_routes(1));
    assert_eq!(
        bench.outcome(1, &talk.ask(ACK)),
        to(2),
        "without a new handshake"
    );
    assert_eq!(state(&bench, &talk), Some(TcpState::Established));
    assert_eq!(packets(&bench), before + 4, "it goes on counting");
}

#[test]
fn the_end_of_a_peering_is_the_end_of_it_in_both_directions() {
    let mut world = World::of(&[0, 1]);
    for (port, peer) in [(1, 1), (2, 0)] {
        world.change_routes(port, |routes| {
            let hop = NextHop::Vnet(VnetId(peer.into()));
            routes.extend(vnet_prefixes(peer).map(|net| route(net, RouteSource::System, hop)));
        });
    }
    let mut bench = Bench::new(world);
    let talk = Talk::new(&bench, 1, 2);
    connect(&mut bench, &talk);
    bench.edit(|world| {
        for (port, peer) in [(1, 1), (2, 0)] {
            let hop = NextHop::Vnet(VnetId(peer));
            world.change_routes(port, |routes| routes.retain(|route| route.next_hop != hop));
        }
    });
    // Whoever sends first.
    assert_eq!(
        bench.outcome(1, &talk.ask(ACK)),
        dropped(DropReason::NoGateway)
    );
    assert_eq!(
        bench.outcome(2, &talk.answer(ACK)),
        dropped(DropReason::NoGateway)
    );
}

#[test]
fn a_route_to_an_appliance_moves_the_connection_there() {
    let mut world = World::of(&[0, 0, 0]);
    world.nic(3).ip_forwarding = true;
    let mut bench = Bench::new(world);
    let talk = Talk::new(&bench, 1, 2);
    connect(&mut bench, &talk);
    bench.edit(|world| world.add_route(1, "10.0.0.2/32", NextHop::Appliance(v4(0, 0, 3))));
    assert_eq!(bench.outcome(1, &talk.ask(ACK)), to(3));
}

#[test]
fn a_nic_that_the_policy_does_not_know_sends_nothing() {
    let mut bench = Bench::new(World::of(&[0, 0]));
    let talk = Talk::new(&bench, 1, 2);
    connect(&mut bench, &talk);
    bench.edit(|world| world.input.nics.retain(|nic| nic.port != PortId(1)));
    let frame = talk.ask(ACK);
    assert_eq!(bench.outcome(1, &frame), dropped(DropReason::PortDown));
    assert_eq!(
        bench.counters(1).drops.packets(DropReason::PortDown),
        1,
        "and it is counted"
    );
}
