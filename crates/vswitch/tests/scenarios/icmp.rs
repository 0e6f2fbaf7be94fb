//! ICMP: echoes are flows, errors belong to the flow of the packet that they are about.

use flow::DropReason;
use policy::input::NextHop;
use wire::compose::{self, Endpoint, Packet};
use wire::icmp_reply::{IcmpError, Responder, icmp_error};

use crate::model::bench::{Bench, Talk, dropped, to, via_router};
use crate::model::rules::{deny, nic_group};
use crate::model::world::{World, v4};

/// The error that the guest behind `port` sends about a frame it received, or pretends to have.
fn error_about(bench: &Bench, port: u8, about: &[u8], what: IcmpError) -> Vec<u8> {
    let mut about = about.to_vec();
    about[6..12].copy_from_slice(&vswitch::router_mac().0);
    let end = match about[12..14] {
        [0x08, 0x00] => bench.end(port, 0),
        _ => bench.end6(port, 0),
    };
    let mut out = [0; 1_500];
    let responder = Responder {
        mac: end.mac,
        ip: end.ip,
    };
    let len = icmp_error(&about, what, responder, &mut out).expect("an error is due");
    out[..len].to_vec()
}

#[test]
fn an_echo_and_its_reply_are_one_flow() {
    let mut bench = Bench::new(World::of(&[0, 0]));
    for (one, two) in [
        (bench.end(1, 0), bench.end(2, 0)),
        (bench.end6(1, 0), bench.end6(2, 0)),
    ] {
        let request = compose::echo_request(&one, &via_router(two), 9, b"ping");
        assert_eq!(bench.outcome(1, &request), to(2));
        assert_eq!(
            bench.outcome(2, &compose::echo_reply(&two, &via_router(one), 9, b"ping")),
            to(1)
        );
    }
    assert_eq!(bench.counters(2).first_packets, 0, "replies need no rule");
}

#[test]
fn a_reply_to_nothing_is_judged_like_any_packet() {
    let mut world = World::of(&[0, 0]);
    world.set_inbound(2, vec![nic_group(vec![deny("nothing", 100)])]);
    let mut bench = Bench::new(world);
    let (one, two) = (bench.end(1, 0), via_router(bench.end(2, 0)));
    let reply = compose::echo_reply(&one, &two, 9, b"pong");
    assert_eq!(
        bench.outcome(1, &reply),
        dropped(DropReason::NsgDenyInbound)
    );
}

#[test]
fn an_error_reaches_who_sent_the_packet_whatever_rules_say() {
    let mut world = World::of(&[0, 0]);
    world.set_inbound(1, vec![nic_group(vec![deny("nothing", 100)])]);
    let mut bench = Bench::new(world);
    for talk in [Talk::new(&bench, 1, 2), Talk::v6(&bench, 1, 2)] {
        let received = bench.send(1, &talk.ask_udp(b"?")).frame;
        let error = error_about(&bench, 2, &received, IcmpError::HostUnreachable);
        let sent = bench.send(2, &error);
        assert_eq!(sent.outcome, to(1));
        assert_eq!(sent.frame[..6], talk.client.mac.0);
        assert_eq!(sent.frame[14..], error[14..]);
    }
}

#[test]
fn an_error_about_an_answer_reaches_who_answered() {
    let mut bench = Bench::new(World::of(&[0, 0]));
    let talk = Talk::new(&bench, 1, 2);
    bench.send(1, &talk.ask_udp(b"?"));
    let received = bench.send(2, &talk.answer_udp(b"!")).frame;
    let error = error_about(&bench, 1, &received, IcmpError::HostUnreachable);
    assert_eq!(bench.outcome(1, &error), to(2));
}

#[test]
fn an_error_about_an_echo_reaches_who_sent_it() {
    let mut bench = Bench::new(World::of(&[0, 0]));
    let (one, two) = (bench.end(1, 0), via_router(bench.end(2, 0)));
    let received = bench
        .send(1, &compose::echo_request(&one, &two, 9, b"ping"))
        .frame;
    let error = error_about(&bench, 2, &received, IcmpError::Prohibited);
    assert_eq!(bench.outcome(2, &error), to(1));
}

#[test]
fn an_appliance_on_the_way_may_complain() {
    let mut world = World::of(&[0, 0, 0]);
    world.nic(2).ip_forwarding = true;
    world.add_route(1, "10.0.0.3/32", NextHop::Appliance(v4(0, 0, 2)));
    let mut bench = Bench::new(world);
    let talk = Talk::new(&bench, 1, 3);
    let received = bench.send(1, &talk.syn()).frame;
    let error = error_about(&bench, 2, &received, IcmpError::HopLimitExceeded);
    assert_eq!(bench.outcome(2, &error), to(1));
}

#[test]
fn an_error_about_what_was_never_sent_goes_nowhere() {
    let mut bench = Bench::new(World::of(&[0, 0, 0]));
    let talk = Talk::new(&bench, 1, 2);
    let received = bench.send(1, &talk.ask_udp(b"?")).frame;
    let no_flow = dropped(DropReason::IcmpErrorNoFlow);
    // From one that the packet never came to.
    let forged = error_about(&bench, 3, &received, IcmpError::HostUnreachable);
    assert_eq!(bench.outcome(3, &forged), no_flow);
    // About another packet.
    let other = Talk {
        client: bench.end(1, 40_001),
        ..talk
    };
    let forged = error_about(&bench, 2, &other.ask_udp(b"?"), IcmpError::HostUnreachable);
    assert_eq!(bench.outcome(2, &forged), no_flow);
    // To somebody else than the packet's sender.
    let (two, three) = (bench.end(2, 0), via_router(bench.end(3, 0)));
    let forged = Packet::new(&two, &three, &received[14..]).ip(1, &[3, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bench.outcome(2, &forged), no_flow);
    assert_eq!(
        bench.counters(1).to_guest_packets + bench.counters(3).to_guest_packets,
        0
    );
}

#[test]
fn an_error_about_a_refusal_goes_nowhere() {
    let mut world = World::of(&[0, 0]);
    world.set_inbound(1, vec![nic_group(vec![deny("nothing", 100)])]);
    let mut bench = Bench::new(world);
    let talk = Talk::new(&bench, 1, 2);
    assert_eq!(
        bench.outcome(2, &talk.answer_udp(b"!")),
        dropped(DropReason::NsgDenyInbound)
    );
    let forged = error_about(&bench, 2, &talk.ask_udp(b"?"), IcmpError::HostUnreachable);
    assert_eq!(
        bench.outcome(2, &forged),
        dropped(DropReason::IcmpErrorNoFlow)
    );
}

#[test]
fn an_error_follows_its_flow_to_where_the_address_has_moved() {
    let mut world = World::of(&[0, 0, 0]);
    let (vip, one) = (v4(0, 3, 1), v4(0, 0, 1));
    for port in [1, 3] {
        world.nic(port).addresses.push(vip);
    }
    let at = |port| Some(policy::input::MappingTarget::Port(flow::PortId(port)));
    world.map(0, vip, at(1));
    let mut bench = Bench::new(world);
    let Talk { client, server } = Talk::new(&bench, 1, 2);
    let talk = Talk {
        client: Endpoint { ip: vip, ..client },
        server,
    };
    assert_ne!(one, vip);
    let received = bench.send(1, &talk.ask_udp(b"?")).frame;
    let error = error_about(&bench, 2, &received, IcmpError::HostUnreachable);
    assert_eq!(bench.outcome(2, &error), to(1));
    bench.move_mapping((policy::input::VnetId(0), vip, at(3)));
    assert_eq!(bench.outcome(2, &error), to(3));
}
