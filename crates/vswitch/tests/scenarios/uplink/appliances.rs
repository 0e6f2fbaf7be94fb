//! Appliances with other hosts around them. NIC 1 is a guest, NIC 2 an appliance; 10.0.1.1 is on
//! host 9, 10.0.1.2 on host 8.

use flow::DropReason;
use policy::input::NextHop;
use vswitch::Outcome;
use wire::compose::{self, Endpoint};

use super::{ACK, Afar, Bench, SYN, SYN_ACK, Talk, World};
use super::{afar, deny, dropped, leaves, nic_group, to, world};
use crate::model::world::{provider, remote, v4};

const HERE: NextHop =
    NextHop::Appliance(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)));
const AFAR: NextHop =
    NextHop::Appliance(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 1, 2)));

fn with_appliance() -> World {
    let mut world = world(2);
    world.nic(2).ip_forwarding = true;
    world.map(0, v4(0, 1, 2), Some(remote(8, 0)));
    world
}

/// What arrives for `dst` at the appliance.
fn at_two(bench: &Bench, dst: Endpoint) -> Endpoint {
    Endpoint {
        mac: bench.end(2, 0).mac,
        ..dst
    }
}

/// The host that a frame of this port goes to.
fn host_of(bench: &mut Bench, port: u8, frame: &[u8]) -> std::net::IpAddr {
    match bench.outcome(port, frame) {
        Outcome::Uplink { encap, .. } => encap.outer_dst,
        outcome => panic!("{outcome:?} from {port}"),
    }
}

#[test]
fn an_appliance_here_between_two_other_hosts() {
    let mut bench = Bench::new(with_appliance());
    let (a, b) = (afar(40_000), Afar::new(8, 0, v4(0, 1, 2), 443));
    for (ask, answer) in [(SYN, SYN_ACK), (ACK, ACK)] {
        for (from, over, flags) in [(a, b, ask), (b, a, answer)] {
            let arrived = bench.arrive(&from.tcp(&at_two(&bench, over.end), flags));
            assert_eq!(arrived.outcome, to(2));
            let relayed = Talk::relayed(&bench, 2, arrived.shown());
            assert_eq!(host_of(&mut bench, 2, &relayed), provider(over.host));
        }
    }
    assert_eq!(
        bench.switch.flows().len(),
        4,
        "two pairs: to it, and from it"
    );
    let opened = bench.counters(2).first_packets + super::off_uplink(&bench).first_packets;
    assert_eq!(opened, 2);
}

#[test]
fn a_guest_calls_another_host_through_the_appliance_and_is_answered_directly() {
    let mut world = with_appliance();
    world.add_route(1, "10.0.1.1/32", HERE);
    world.set_inbound(1, vec![nic_group(vec![deny("nobody", 100)])]);
    let mut bench = Bench::new(world);
    let talk = super::outward(&bench);
    // What it refused before it asked is forgotten.
    assert_eq!(
        bench.arrival(&afar(443).udp(&talk.client, b"!")),
        dropped(DropReason::NsgDenyInbound)
    );
    let sent = bench.send(1, &talk.ask_udp(b"?"));
    assert_eq!(sent.outcome, to(2));
    let relayed = Talk::relayed(&bench, 2, &sent.frame);
    leaves(&mut bench, 2, &relayed);
    assert_eq!(bench.arrival(&afar(443).udp(&talk.client, b"!")), to(1));
    for (ask, answer) in [(SYN, SYN_ACK), (ACK, ACK)] {
        let sent = bench.send(1, &talk.ask(ask));
        assert_eq!(sent.outcome, to(2));
        let relayed = Talk::relayed(&bench, 2, &sent.frame);
        leaves(&mut bench, 2, &relayed);
        assert_eq!(bench.arrival(&afar(443).tcp(&talk.client, answer)), to(1));
    }
    assert_eq!(
        bench.arrival(&afar(443).tcp(&talk.client, SYN)),
        dropped(DropReason::NsgDenyInbound),
        "an answer it is, but not a licence"
    );
}

#[test]
fn a_guest_is_called_directly_and_answers_through_the_appliance() {
    let mut world = with_appliance();
    world.add_route(1, "10.0.1.1/32", HERE);
    let mut bench = Bench::new(world);
    let client = afar(40_000);
    let talk = Talk {
        client: bench.end(1, 443),
        server: client.end,
    };
    for (ask, answer) in [(SYN, SYN_ACK), (ACK, ACK)] {
        assert_eq!(bench.arrival(&client.tcp(&talk.client, ask)), to(1));
        let sent = bench.send(1, &talk.ask(answer));
        assert_eq!(sent.outcome, to(2));
        let relayed = Talk::relayed(&bench, 2, &sent.frame);
        leaves(&mut bench, 2, &relayed);
    }
}

#[test]
fn answers_from_afar_may_come_through_the_appliance_if_its_rules_let_them() {
    let mut bench = Bench::new(with_appliance());
    let talk = super::outward(&bench);
    leaves(&mut bench, 1, &talk.syn());
    let answer = afar(443).tcp(&at_two(&bench, talk.client), SYN_ACK);
    let arrived = bench.arrive(&answer);
    assert_eq!(arrived.outcome, to(2));
    let relayed = Talk::relayed(&bench, 2, arrived.shown());
    assert_eq!(bench.outcome(2, &relayed), to(1));
    let stray = afar(444).tcp(&at_two(&bench, talk.client), SYN_ACK);
    assert_eq!(
        bench.arrival(&stray),
        dropped(DropReason::TcpNoConnection),
        "an answer to nothing"
    );
    let mut world = with_appliance();
    world.set_inbound(2, vec![nic_group(vec![deny("nobody", 100)])]);
    let mut bench = Bench::new(world);
    leaves(&mut bench, 1, &talk.syn());
    assert_eq!(
        bench.arrival(&answer),
        dropped(DropReason::NsgDenyInbound),
        "to the appliance it is new"
    );
}

#[test]
fn two_guests_here_talk_through_an_appliance_on_another_host() {
    let mut world = with_appliance();
    world.add_nic(3, 0);
    world.add_route(1, "10.0.0.3/32", AFAR);
    world.add_route(3, "10.0.0.1/32", AFAR);
    let mut bench = Bench::new(world);
    let talk = Talk::new(&bench, 1, 3);
    let appliance = Afar::new(8, 0, v4(0, 1, 2), 0);
    let (one, three) = (bench.end(1, 40_000), bench.end(3, 443));
    for (ask, answer) in [(SYN, SYN_ACK), (ACK, ACK)] {
        assert_eq!(host_of(&mut bench, 1, &talk.ask(ask)), provider(8));
        let relayed = appliance.wrap(&compose::tcp(&one, &three, ask, b""));
        assert_eq!(bench.arrival(&relayed), to(3));
        assert_eq!(host_of(&mut bench, 3, &talk.answer(answer)), provider(8));
        let relayed = appliance.wrap(&compose::tcp(&three, &one, answer, b""));
        assert_eq!(bench.arrival(&relayed), to(1));
    }
    assert_eq!(bench.switch.flows().len(), 4);
    // Directly again, as soon as the routes say so; whoever sends first.
    bench.edit(|world| {
        world.clear_user_routes(1);
        world.clear_user_routes(3);
    });
    assert_eq!(bench.outcome(3, &talk.answer(ACK)), to(1));
    assert_eq!(bench.outcome(1, &talk.ask(ACK)), to(3));
    assert_eq!(bench.switch.flows().len(), 2);
}
