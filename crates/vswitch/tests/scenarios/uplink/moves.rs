//! Addresses that move between hosts, and the connections that go with them.

use flow::{DropReason, PortId, TcpState};
use policy::input::{MappingTarget, VnetId};
use wire::compose::Endpoint;

use super::{ACK, Afar, Bench, SYN, SYN_ACK, Talk, World};
use super::{afar, deny, dropped, key, leaves, nic_group, outward, state, to, world};
use crate::model::bench::via_router;
use crate::model::world::{remote, remote_mac, v4, v6};

/// The address that moves: at first on host 9.
const MOVER: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 1, 1));

/// NIC 2 has the address of the NIC on host 9 as well: it gets its packets when the mapping says so.
fn shared() -> World {
    let mut world = world(2);
    world.nic(2).addresses.push(MOVER);
    world
}

fn move_to(bench: &mut Bench, target: Option<MappingTarget>) {
    bench.move_mapping((VnetId(0), MOVER, target));
}

fn here() -> Option<MappingTarget> {
    Some(MappingTarget::Port(PortId(2)))
}

/// The mover, behind NIC 2.
fn at_two(bench: &Bench, port: u16) -> Endpoint {
    Endpoint {
        mac: bench.end(2, 0).mac,
        ip: MOVER,
        port,
    }
}

/// NIC 1 has opened a connection to the mover on host 9.
fn called_afar(bench: &mut Bench) -> Talk {
    let talk = outward(bench);
    leaves(bench, 1, &talk.syn());
    assert_eq!(bench.arrival(&afar(443).tcp(&talk.client, SYN_ACK)), to(1));
    leaves(bench, 1, &talk.ask(ACK));
    talk
}

/// The mover on host 9 has opened a connection to NIC 1, whose rules forbid another.
fn called_from_afar(bench: &mut Bench) -> Talk {
    let client = afar(40_000);
    let talk = Talk {
        client: bench.end(1, 443),
        server: client.end,
    };
    assert_eq!(bench.arrival(&client.tcp(&talk.client, SYN)), to(1));
    leaves(bench, 1, &talk.ask(SYN_ACK));
    assert_eq!(bench.arrival(&client.tcp(&talk.client, ACK)), to(1));
    bench.edit(|world| world.set_inbound(1, vec![nic_group(vec![deny("nobody", 100)])]));
    talk
}

#[test]
fn from_one_host_to_another_whoever_opened() {
    for opens_here in [true, false] {
        let mut world = world(1);
        // Nobody else is on host 9.
        world.map(0, v6(0, 1, 1), None);
        let mut bench = Bench::new(world);
        let (talk, port) = match opens_here {
            true => (called_afar(&mut bench), 443),
            false => (called_from_afar(&mut bench), 40_000),
        };
        move_to(&mut bench, Some(remote(8, 0)));
        let moved = Afar {
            host: 8,
            ..afar(port)
        };
        // Its packets come from its new host, and are trusted from there alone.
        assert_eq!(bench.arrival(&moved.tcp(&talk.client, ACK)), to(1));
        assert_eq!(
            bench.arrival(&afar(port).tcp(&talk.client, ACK)),
            dropped(DropReason::UnknownProvider)
        );
        let sent = bench.send(1, &talk.ask(ACK));
        let vswitch::Outcome::Uplink { encap, .. } = sent.outcome else {
            panic!("{:?}", sent.outcome)
        };
        assert_eq!(encap.outer_dst, crate::model::world::provider(8));
        assert_eq!(sent.frame[..6], remote_mac(8).0);
        assert_eq!(bench.switch.flows().len(), 2);
    }
}

#[test]
fn a_called_guest_that_comes_here_is_followed() {
    // Whoever sends first after the move.
    for guest_first in [true, false] {
        let mut bench = Bench::new(shared());
        let talk = called_afar(&mut bench);
        move_to(&mut bench, here());
        let back = Talk {
            client: talk.client,
            server: at_two(&bench, 443),
        };
        if guest_first {
            assert_eq!(bench.outcome(2, &back.answer(ACK)), to(1));
        }
        assert_eq!(bench.outcome(1, &talk.ask(ACK)), to(2));
        assert_eq!(bench.outcome(2, &back.answer(ACK)), to(1));
        let opener = talk.key(1, 6);
        assert_eq!(state(&bench, &opener), Some(TcpState::Established));
        assert_eq!(
            bench.switch.flows().len(),
            2,
            "nothing is left of the other"
        );
    }
}

#[test]
fn a_calling_guest_that_comes_here_is_followed_although_the_rules_are_new() {
    for guest_first in [true, false] {
        let mut bench = Bench::new(shared());
        let talk = called_from_afar(&mut bench);
        move_to(&mut bench, here());
        let caller = Talk {
            client: at_two(&bench, 40_000),
            server: talk.client,
        };
        if guest_first {
            assert_eq!(bench.outcome(2, &caller.ask(ACK)), to(1));
        }
        assert_eq!(bench.outcome(1, &talk.ask(ACK)), to(2));
        assert_eq!(bench.outcome(2, &caller.ask(ACK)), to(1));
        let opener = key(PortId(2), &caller.client, &talk.client);
        assert_eq!(state(&bench, &opener), Some(TcpState::Established));
        assert_eq!(bench.switch.flows().len(), 2);
        // Where it was, it is no more.
        assert_ne!(
            bench.arrival(&afar(40_000).tcp(&talk.client, ACK)),
            to(1),
            "nobody is on that host"
        );
    }
}

/// The same two guests, both here at first.
fn both_here(two_calls: bool) -> (Bench, Talk) {
    let mut world = shared();
    world.map(0, MOVER, here());
    // So that somebody is on host 9.
    world.map(0, v4(0, 1, 2), Some(remote(9, 0)));
    let mut bench = Bench::new(world);
    let two = at_two(&bench, if two_calls { 40_000 } else { 443 });
    let one = bench.end(1, if two_calls { 443 } else { 40_000 });
    let talk = match two_calls {
        true => Talk {
            client: two,
            server: one,
        },
        false => Talk {
            client: one,
            server: two,
        },
    };
    let (caller, called) = if two_calls { (2, 1) } else { (1, 2) };
    assert_eq!(bench.outcome(caller, &talk.syn()), to(called));
    assert_eq!(bench.outcome(called, &talk.answer(SYN_ACK)), to(caller));
    assert_eq!(bench.outcome(caller, &talk.ask(ACK)), to(called));
    bench.edit(|world| world.set_inbound(1, vec![nic_group(vec![deny("nobody", 100)])]));
    (bench, talk)
}

/// Both directions between NIC 1 and the mover on host 9.
fn goes_on_afar(bench: &mut Bench, talk: &Talk, two_calls: bool, afar_first: bool) {
    let (one, mover) = match two_calls {
        true => (talk.server, talk.client),
        false => (talk.client, talk.server),
    };
    let mover = Afar::new(9, 0, mover.ip, mover.port);
    let from_one = wire::compose::tcp(&one, &via_router(mover.end), ACK, b"");
    let from_afar = mover.tcp(&one, ACK);
    if afar_first {
        assert_eq!(bench.arrival(&from_afar), to(1));
    }
    leaves(bench, 1, &from_one);
    assert_eq!(bench.arrival(&from_afar), to(1));
    let marked = PortId(1).from_uplink();
    let opener = match two_calls {
        true => key(marked, &mover.end, &one),
        false => key(PortId(1), &one, &mover.end),
    };
    assert_eq!(state(bench, &opener), Some(TcpState::Established));
    assert_eq!(bench.switch.flows().len(), 2);
}

#[test]
fn a_guest_that_leaves_for_another_host_is_followed() {
    for (two_calls, afar_first) in [(true, true), (true, false), (false, false)] {
        let (mut bench, talk) = both_here(two_calls);
        move_to(&mut bench, Some(remote(9, 0)));
        goes_on_afar(&mut bench, &talk, two_calls, afar_first);
    }
}

#[test]
fn a_guest_whose_nic_is_removed_is_followed_as_well() {
    for (two_calls, afar_first) in [(true, true), (true, false), (false, true), (false, false)] {
        let (mut bench, talk) = both_here(two_calls);
        bench.edit(|world| {
            world.input.nics.retain(|nic| nic.port != PortId(2));
            world.map(0, MOVER, Some(remote(9, 0)));
        });
        bench.switch.remove_port(PortId(2));
        goes_on_afar(&mut bench, &talk, two_calls, afar_first);
    }
}

#[test]
fn a_nic_that_is_removed_and_is_nowhere_else_takes_its_connections_with_it() {
    for two_calls in [true, false] {
        let (mut bench, _) = both_here(two_calls);
        bench.edit(|world| {
            world.input.nics.retain(|nic| nic.port != PortId(2));
            world.map(0, MOVER, None);
        });
        bench.switch.remove_port(PortId(2));
        assert!(bench.switch.flows().is_empty());
    }
}

#[test]
fn rules_that_are_to_be_asked_again_are_asked_of_who_moved() {
    let mut bench = Bench::new(shared());
    let talk = called_from_afar(&mut bench);
    bench.edit(World::reevaluate);
    move_to(&mut bench, here());
    let caller = Talk {
        client: at_two(&bench, 40_000),
        server: talk.client,
    };
    assert_eq!(
        bench.outcome(2, &caller.ask(ACK)),
        dropped(DropReason::NsgDenyInbound)
    );
    assert_ne!(bench.outcome(1, &talk.ask(ACK)), to(2));
}

#[test]
fn an_engine_is_told_of_the_new_keys_and_whose_flags_they_inherit() {
    let mut bench = Bench::new(shared());
    let talk = called_from_afar(&mut bench);
    let work = bench.work();
    for pair in &work.install {
        for half in std::iter::once(pair.forward).chain(pair.reverse) {
            let active = flow::Offload::Active;
            assert!(bench.switch.flows_mut().set_offload_of(&half.key, active));
        }
    }
    move_to(&mut bench, here());
    assert_eq!(bench.outcome(1, &talk.ask(ACK)), to(2));
    let work = bench.work();
    let marked = key(PortId(1).from_uplink(), &talk.server, &talk.client);
    let answers = key(PortId(1), &talk.client, &talk.server);
    let moved = key(PortId(2), &talk.server, &talk.client);
    assert_eq!(work.remove, [marked, answers]);
    assert!(work.moved.contains(&(marked, moved)));
    assert_eq!(work.install.len(), 1);
    assert_eq!(work.install[0].forward.key, moved);
}
