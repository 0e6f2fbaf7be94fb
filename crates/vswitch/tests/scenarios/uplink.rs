//! Guests of several hosts. NIC 1 (and others) are here; 10.0.1.1 is on host 9.

mod appliances;
mod frames;
mod moves;

use flow::{DropReason, FlowKey, PortId, TcpState};
use vswitch::Outcome;
use wire::TcpFlags;
use wire::compose::Endpoint;

use crate::model::afar::Afar;
use crate::model::bench::{Bench, Talk, dropped, to};
use crate::model::rules::{Narrow, allow, deny, nic_group};
use crate::model::world::{World, remote, remote_by_sender, remote_mac, tunnel, v4, v6, vni};

const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;
const SYN_ACK: TcpFlags = TcpFlags(SYN.0 | ACK.0);

/// A world with so many NICs of network 0, and one more on host 9.
fn world(nics: usize) -> World {
    let mut world = World::of(&vec![0; nics]);
    for address in [v4(0, 1, 1), v6(0, 1, 1)] {
        world.map(0, address, Some(remote(9, 0)));
    }
    world
}

/// The NIC on host 9.
fn afar(port: u16) -> Afar {
    Afar::new(9, 0, v4(0, 1, 1), port)
}

/// NIC 1 as client of the NIC on host 9.
fn outward(bench: &Bench) -> Talk {
    Talk {
        client: bench.end(1, 40_000),
        server: afar(443).end,
    }
}

fn key(port: PortId, from: &Endpoint, to: &Endpoint) -> FlowKey {
    FlowKey::new(port, from.ip, to.ip, 6, from.port, to.port)
}

/// As it leaves from NIC 1 for the NIC on host 9.
fn leaves(bench: &mut Bench, port: u8, frame: &[u8]) -> Vec<u8> {
    let sent = bench.send(port, frame);
    let Outcome::Uplink { encap, .. } = sent.outcome else {
        panic!("{:?} from {port}", sent.outcome)
    };
    assert_eq!(encap, tunnel(9, 0));
    sent.frame
}

fn state(bench: &Bench, key: &FlowKey) -> Option<TcpState> {
    let flows = bench.switch.flows();
    flows.tcp_state(flows.lookup(key)?)
}

#[test]
fn a_connection_to_another_host_is_established_and_stays() {
    let mut bench = Bench::new(world(1));
    let talk = outward(&bench);
    let server = afar(443);
    leaves(&mut bench, 1, &talk.syn());
    assert_eq!(bench.arrival(&server.tcp(&talk.client, SYN_ACK)), to(1));
    leaves(&mut bench, 1, &talk.ask(ACK));
    let opener = talk.key(1, 6);
    assert_eq!(state(&bench, &opener), Some(TcpState::Established));
    bench.pass(std::time::Duration::from_secs(3_600));
    bench.sweep();
    assert_eq!(bench.arrival(&server.tcp(&talk.client, ACK)), to(1));
    leaves(&mut bench, 1, &talk.ask(ACK));
    assert_eq!(bench.switch.flows().len(), 2);
    assert_eq!(
        (
            bench.counters(1).first_packets,
            off_uplink(&bench).first_packets
        ),
        (1, 0),
        "answers are not judged"
    );
}

#[test]
fn a_connection_from_another_host_is_established_and_stays() {
    let mut bench = Bench::new(world(1));
    let talk = Talk {
        client: bench.end(1, 443),
        server: afar(40_000).end,
    };
    let client = afar(40_000);
    assert_eq!(bench.arrival(&client.tcp(&talk.client, SYN)), to(1));
    leaves(&mut bench, 1, &talk.ask(SYN_ACK));
    assert_eq!(bench.arrival(&client.tcp(&talk.client, ACK)), to(1));
    let opener = key(PortId(1).from_uplink(), &client.end, &talk.client);
    assert_eq!(state(&bench, &opener), Some(TcpState::Established));
    bench.pass(std::time::Duration::from_secs(3_600));
    bench.sweep();
    leaves(&mut bench, 1, &talk.ask(ACK));
    assert_eq!(
        (
            bench.counters(1).first_packets,
            off_uplink(&bench).first_packets
        ),
        (0, 1),
        "the uplink pays for what comes off it"
    );
}

#[test]
fn the_receivers_rules_are_asked_of_what_comes_off_the_uplink_and_no_others() {
    let mut world = world(1);
    world.set_outbound(1, vec![nic_group(vec![deny("nothing", 100)])]);
    let https = allow("https", 100).proto(6).port(443);
    world.set_inbound(1, vec![nic_group(vec![https, deny("rest", 200)])]);
    let mut bench = Bench::new(world);
    let client = afar(40_000);
    let (https, telnet) = (bench.end(1, 443), bench.end(1, 23));
    assert_eq!(bench.arrival(&client.tcp(&https, SYN)), to(1));
    let refused = bench.arrive(&client.tcp(&telnet, SYN));
    assert_eq!(refused.outcome, dropped(DropReason::NsgDenyInbound));
    assert_eq!(refused.owner, PortId(1), "counted where the rules are");
    assert_eq!(
        bench.counters(1).drops.bytes(DropReason::NsgDenyInbound),
        u64::try_from(refused.inner.len()).expect("short")
    );
    // Answers are nobody's to forbid.
    let talk = Talk {
        client: https,
        server: client.end,
    };
    leaves(&mut bench, 1, &talk.ask(SYN_ACK));
    // But a call is.
    assert_eq!(
        bench.outcome(1, &outward(&bench).syn()),
        dropped(DropReason::NsgDenyOutbound)
    );
}

#[test]
fn a_segment_off_the_uplink_that_opens_nothing_and_belongs_to_nothing_ends() {
    let mut bench = Bench::new(world(1));
    let to_guest = bench.end(1, 443);
    for flags in [ACK, SYN_ACK, TcpFlags::RST] {
        assert_eq!(
            bench.arrival(&afar(40_000).tcp(&to_guest, flags)),
            dropped(DropReason::TcpNoConnection)
        );
    }
    assert!(bench.switch.flows().is_empty(), "and is not remembered");
}

#[test]
fn a_guest_behind_one_nic_is_not_reached_through_another() {
    let mut bench = Bench::new(world(2));
    // The inner Ethernet address says NIC 2, the inner IP address NIC 1.
    let to_guest = Endpoint {
        mac: bench.end(2, 0).mac,
        ..bench.end(1, 443)
    };
    let arrived = bench.arrive(&afar(40_000).tcp(&to_guest, SYN));
    assert_eq!(arrived.outcome, dropped(DropReason::ForwardingDisabled));
    assert_eq!(arrived.owner, PortId(2));
}

#[test]
fn the_vni_is_of_the_destinations_network_or_of_the_senders_as_the_mapping_says() {
    let mut world = World::of(&[0]);
    let hop = policy::input::NextHop::Vnet(policy::input::VnetId(1));
    world.add_route(1, "10.1.0.0/16", hop);
    world.map(1, v4(1, 1, 1), Some(remote(9, 1)));
    world.map(1, v4(1, 1, 2), Some(remote_by_sender(9, 1)));
    let mut bench = Bench::new(world);
    for (last, expected) in [(1, vni(1)), (2, vni(0))] {
        let talk = Talk {
            client: bench.end(1, 40_000),
            server: Afar::new(9, 1, v4(1, 1, last), 443).end,
        };
        let sent = bench.send(1, &talk.syn());
        let Outcome::Uplink { encap, source_port } = sent.outcome else {
            panic!("{:?}", sent.outcome)
        };
        assert_eq!(encap.vni, expected);
        assert_eq!(source_port, flow::outer_source_port(&talk.key(1, 6)));
        assert_eq!(sent.frame[..6], remote_mac(9).0);
    }
}

#[test]
fn without_an_uplink_nothing_leaves_and_nothing_arrives() {
    let mut bench = Bench::new(world(1));
    let talk = outward(&bench);
    leaves(&mut bench, 1, &talk.syn());
    let answer = afar(443).tcp(&talk.client, SYN_ACK);
    let unavailable = dropped(DropReason::UplinkUnavailable);
    bench.switch.set_down(PortId::UPLINK);
    assert_eq!(bench.outcome(1, &talk.ask(ACK)), unavailable);
    assert_eq!(bench.arrival(&answer), unavailable);
    bench
        .switch
        .add_port(PortId::UPLINK, flow::PortMode::Synthetic);
    assert_eq!(bench.arrival(&answer), to(1));
    bench.edit(|world| {
        world.input.uplink = None;
        world.advance_paths();
    });
    assert_eq!(bench.outcome(1, &talk.ask(ACK)), unavailable);
    assert_eq!(bench.arrival(&answer), unavailable);
    bench.edit(|world| {
        world.input.uplink = Some(crate::model::world::UPLINK);
        world.advance_paths();
    });
    leaves(&mut bench, 1, &talk.ask(ACK));
    assert_eq!(bench.arrival(&answer), to(1), "the connection goes on");
    bench.switch.remove_port(PortId::UPLINK);
    assert_eq!(bench.arrival(&answer), unavailable);
    assert_eq!(bench.outcome(1, &talk.ask(ACK)), unavailable);
}

#[test]
fn a_way_off_the_host_that_was_blocked_is_taken_again_without_a_handshake() {
    let mut bench = Bench::new(world(1));
    let talk = outward(&bench);
    leaves(&mut bench, 1, &talk.syn());
    assert_eq!(bench.arrival(&afar(443).tcp(&talk.client, SYN_ACK)), to(1));
    leaves(&mut bench, 1, &talk.ask(ACK));
    let none = policy::input::NextHop::None;
    bench.edit(|world| world.add_route(1, "10.0.1.1/32", none));
    assert_eq!(
        bench.outcome(1, &talk.ask(ACK)),
        dropped(DropReason::NoRoute)
    );
    bench.edit(|world| world.clear_user_routes(1));
    leaves(&mut bench, 1, &talk.ask(ACK));
    let opener = talk.key(1, 6);
    assert_eq!(state(&bench, &opener), Some(TcpState::Established));
}

#[test]
fn re_evaluation_ends_what_the_rules_no_longer_allow_from_afar() {
    let mut bench = Bench::new(world(1));
    let client = afar(40_000);
    let talk = Talk {
        client: bench.end(1, 443),
        server: client.end,
    };
    assert_eq!(bench.arrival(&client.tcp(&talk.client, SYN)), to(1));
    leaves(&mut bench, 1, &talk.ask(SYN_ACK));
    let close = |world: &mut World| {
        world.set_inbound(1, vec![nic_group(vec![deny("nobody", 100)])]);
    };
    bench.edit(close);
    assert_eq!(bench.arrival(&client.tcp(&talk.client, ACK)), to(1));
    bench.edit(World::reevaluate);
    // Whoever of the two sends first.
    assert_eq!(
        bench.outcome(1, &talk.ask(ACK)),
        dropped(DropReason::NsgDenyInbound)
    );
    assert_eq!(
        bench.arrival(&client.tcp(&talk.client, ACK)),
        dropped(DropReason::NsgDenyInbound)
    );
}

#[test]
fn two_networks_with_the_same_addresses_stay_apart() {
    let mut world = world(1);
    // NIC 2 of network 1 has the addresses of NIC 1, and the same peer on host 9.
    let (addresses, routes) = (world.nic(1).addresses.clone(), world.nic(1).routes.clone());
    world.add_nic(2, 1);
    let nic = world.nic(2);
    (nic.addresses, nic.routes) = (addresses, routes);
    world.change_routes(2, |routes| {
        for route in routes {
            if route.next_hop == policy::input::NextHop::Vnet(policy::input::VnetId(0)) {
                route.next_hop = policy::input::NextHop::Vnet(policy::input::VnetId(1));
            }
        }
    });
    world.map(1, v4(0, 1, 1), Some(remote(9, 1)));
    let mut bench = Bench::new(world);
    let client = afar(40_000);
    let (one, two) = (bench.end(1, 443), bench.end(2, 443));
    assert_eq!(one.ip, two.ip);
    assert_eq!(bench.arrival(&client.tcp(&one, SYN)), to(1));
    let other = Afar { vnet: 1, ..client };
    assert_eq!(
        bench.arrival(&other.tcp(&two, ACK)),
        dropped(DropReason::TcpNoConnection),
        "the other network's connection is not its own"
    );
    assert_eq!(bench.arrival(&other.tcp(&two, SYN)), to(2));
    let answer = Talk {
        client: two,
        server: client.end,
    };
    let Outcome::Uplink { encap, .. } = bench.outcome(2, &answer.ask(SYN_ACK)) else {
        panic!("it leaves")
    };
    assert_eq!(encap, tunnel(9, 1));
}

fn off_uplink(bench: &Bench) -> &vswitch::PortCounters {
    let uplink = bench.switch.port(PortId::UPLINK);
    uplink.expect("every bench has one").counters
}
