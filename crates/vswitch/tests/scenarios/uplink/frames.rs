//! What is wrong with frames off the uplink, or only odd.

use std::time::Duration;

use flow::{DropReason, PortId};
use vswitch::{Gso, Limits, Outcome};
use wire::compose::{self, Endpoint, Packet};
use wire::icmp_reply::{IcmpError, Responder, icmp_error};
use wire::{Kind, L4, dissect};

use super::{Afar, Bench, SYN, SYN_ACK, Talk, World};
use super::{afar, allow, deny, dropped, leaves, nic_group, off_uplink, outward, to, world};
use super::{tunnel, v4, vni};
use crate::model::afar::{congested, wrap_of};
use crate::model::bench::{ROOMY, via_router};
use crate::model::world::remote;

/// A greeting to NIC 1 from the NIC on host 9, and what is changed of it.
fn greeting(bench: &Bench) -> (Endpoint, Vec<u8>) {
    let to_guest = bench.end(1, 443);
    let inner = compose::udp(&afar(40_000).end, &to_guest, b"hello");
    (to_guest, inner)
}

#[test]
fn provider_addresses_are_held_against_the_policy_of_now() {
    let mut bench = Bench::new(world(1));
    let (to_guest, _) = greeting(&bench);
    let stranger = Afar {
        host: 8,
        ..afar(40_000)
    };
    let unknown = dropped(DropReason::UnknownProvider);
    let refused = bench.arrive(&stranger.udp(&to_guest, b"?"));
    assert_eq!((refused.outcome, refused.owner), (unknown, PortId::UPLINK));
    assert_eq!(
        refused.inner.len(),
        refused.whole.len(),
        "all of it is shown"
    );
    bench.move_mapping((policy::input::VnetId(0), v4(0, 1, 2), Some(remote(8, 0))));
    assert_eq!(bench.arrival(&stranger.udp(&to_guest, b"?")), to(1));
    // An established flow is not spared.
    bench.move_mapping((policy::input::VnetId(0), v4(0, 1, 2), None));
    assert_eq!(bench.arrival(&stranger.udp(&to_guest, b"?")), unknown);
    assert_eq!(
        off_uplink(&bench)
            .drops
            .packets(DropReason::UnknownProvider),
        2
    );
}

#[test]
fn a_peers_hosts_may_give_the_vni_of_either_network() {
    let mut world = World::of(&[0]);
    world.map(1, v4(1, 1, 1), Some(remote(9, 1)));
    let mut bench = Bench::new(world);
    let peer = Afar::new(9, 0, v4(1, 1, 1), 40_000);
    let (to_guest, _) = greeting(&bench);
    assert_eq!(
        bench.arrival(&peer.udp(&to_guest, b"?")),
        dropped(DropReason::UnknownProvider)
    );
    assert_eq!(
        bench.arrival(&Afar { vnet: 1, ..peer }.udp(&to_guest, b"?")),
        dropped(DropReason::UnknownVni)
    );
    bench.edit(|world| {
        world.receive_off_uplink(0).push(policy::input::VnetId(1));
        let vnets = world.receive_off_uplink(1);
        vnets.push(policy::input::VnetId(0));
    });
    assert_eq!(bench.arrival(&peer.udp(&to_guest, b"?")), to(1));
    assert_eq!(
        bench.arrival(&Afar { vnet: 1, ..peer }.udp(&to_guest, b"?")),
        to(1)
    );
}

#[test]
fn what_is_no_tunnel_is_malformed() {
    let mut bench = Bench::new(world(1));
    let (_, inner) = greeting(&bench);
    let whole = afar(40_000).wrap(&inner);
    let malformed = dropped(DropReason::Malformed);
    let fragment = compose::fragments(&whole, 1, 32).swap_remove(0);
    let mut unflagged = whole.clone();
    unflagged[42] = 0;
    let mut short = afar(40_000).wrap(&inner[..20]);
    short.truncate(55);
    for frame in [&fragment, &unflagged, &short, &inner] {
        let arrived = bench.arrive(frame);
        assert_eq!(
            (arrived.outcome, arrived.owner),
            (malformed, PortId::UPLINK)
        );
    }
    // Reserved bits and an outer checksum are not looked at (RFC 7348, 4.1 and 5).
    let mut reserved = whole;
    reserved[40..42].copy_from_slice(&[0xde, 0xad]);
    reserved[42] |= 0xf7;
    reserved[43..46].fill(0xff);
    reserved[49] = 0xff;
    assert_eq!(bench.arrival(&reserved), to(1));
}

#[test]
fn what_is_inside_has_to_be_a_packet_for_a_nic() {
    let mut bench = Bench::new(world(1));
    let (to_guest, inner) = greeting(&bench);
    let changed = |at: usize, bytes: &[u8]| {
        let mut inner = inner.clone();
        inner[at..at + bytes.len()].copy_from_slice(bytes);
        afar(40_000).wrap(&inner)
    };
    let loopback = Afar::new(9, 0, std::net::Ipv4Addr::LOCALHOST.into(), 40_000);
    let cases = [
        (
            changed(0, &[0xff; 6]),
            DropReason::Broadcast,
            PortId::UPLINK,
        ),
        (
            changed(0, &[1, 0, 0x5e, 0, 0, 1]),
            DropReason::Multicast,
            PortId::UPLINK,
        ),
        (
            changed(0, &[2, 9, 9, 9, 9, 9]),
            DropReason::UnknownDestinationMac,
            PortId::UPLINK,
        ),
        (
            changed(12, &[0x81, 0]),
            DropReason::UnsupportedEthertype,
            PortId(1),
        ),
        (
            changed(12, &[0x08, 0x06]),
            DropReason::UnsupportedEthertype,
            PortId(1),
        ),
        (changed(24, &[0, 0]), DropReason::Malformed, PortId(1)),
        (
            loopback.udp(&to_guest, b"?"),
            DropReason::InvalidAddress,
            PortId(1),
        ),
    ];
    for (frame, reason, owner) in cases {
        let arrived = bench.arrive(&frame);
        assert_eq!((arrived.outcome, arrived.owner), (dropped(reason), owner));
    }
}

#[test]
fn a_nic_that_is_not_attached_yet_is_down_and_the_uplink_counts_it() {
    let mut bench = Bench::new(world(2));
    let whole = afar(40_000).udp(&bench.end(2, 443), b"?");
    let down = dropped(DropReason::PortDown);
    bench.switch.set_down(PortId(2));
    let arrived = bench.arrive(&whole);
    assert_eq!((arrived.outcome, arrived.owner), (down, PortId(2)));
    bench.switch.remove_port(PortId(2));
    let arrived = bench.arrive(&whole);
    assert_eq!((arrived.outcome, arrived.owner), (down, PortId::UPLINK));
    let drops = &off_uplink(&bench).drops;
    let bytes = u64::try_from(whole.len()).expect("short");
    assert_eq!(drops.bytes(DropReason::PortDown), bytes);
    assert!(bench.switch.flows().is_empty());
}

#[test]
fn neighbour_discovery_never_comes_from_another_link() {
    let mut bench = Bench::new(world(1));
    let to_guest = bench.end6(1, 0);
    let from = Afar::new(9, 0, super::v6(0, 1, 1), 0).end;
    for kind in [133_u8, 134, 135, 136, 137] {
        let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
        message.extend([0xfd; 16]);
        let packet = Packet {
            ttl: 255,
            ..Packet::new(&from, &to_guest, b"")
        };
        let arrived = bench.arrival(&afar(0).wrap(&packet.ip(58, &message)));
        let ended = [DropReason::UnansweredNeighbour, DropReason::Malformed].map(dropped);
        assert!(ended.contains(&arrived), "type {kind}: {arrived:?}");
    }
    assert!(bench.switch.flows().is_empty());
}

#[test]
fn congestion_in_the_underlay_is_told_to_the_guest() {
    let mut bench = Bench::new(world(1));
    let to_guest = bench.end(1, 443);
    let with = |ecn, v6: bool| {
        let (from, to) = match v6 {
            false => (afar(40_000).end, to_guest),
            true => (
                Afar::new(9, 0, super::v6(0, 1, 1), 40_000).end,
                bench.end6(1, 443),
            ),
        };
        let packet = Packet {
            dscp_ecn: 0b1010_1000 | ecn,
            ..Packet::new(&from, &to, b"hello")
        };
        packet.udp()
    };
    let frames: Vec<_> = [false, true]
        .into_iter()
        .flat_map(|v6| (0..4_u8).map(move |ecn| (ecn, v6)))
        .map(|(ecn, v6)| (ecn, with(ecn, v6)))
        .collect();
    for (ecn, inner) in frames {
        for marked in [false, true] {
            let whole = afar(40_000).wrap(&inner);
            let whole = if marked { congested(whole) } else { whole };
            let arrived = bench.arrive(&whole);
            if marked && ecn == 0 {
                let reason = DropReason::CongestionNotEcnCapable;
                assert_eq!(arrived.outcome, dropped(reason));
                continue;
            }
            assert_eq!(arrived.outcome, to(1));
            let expected = if marked { 3 } else { ecn };
            let Kind::Ip(ip) = dissect(arrived.shown()).expect("sums hold").kind else {
                panic!("a packet")
            };
            assert_eq!(
                ip.dscp_ecn,
                0b1010_1000 | expected,
                "and the rest as it was"
            );
        }
    }
}

#[test]
fn the_inner_ttl_is_counted_where_the_sender_is() {
    let mut world = world(1);
    world.nic(1).decrement_ttl = true;
    let mut bench = Bench::new(world);
    let to_guest = bench.end(1, 443);
    let last_hop = Packet {
        ttl: 1,
        ..Packet::new(&afar(9).end, &to_guest, b"far")
    };
    let arrived = bench.arrive(&afar(9).wrap(&last_hop.udp()));
    assert_eq!(arrived.outcome, to(1));
    assert_eq!(arrived.shown()[22], 1);
    let talk = outward(&bench);
    let left = leaves(&mut bench, 1, &talk.ask_udp(b"?"));
    assert_eq!(left[22], 63);
}

#[test]
fn a_packet_too_long_for_the_underlay_is_told_its_mtu() {
    let mut bench = Bench::new(world(1));
    let talk = outward(&bench);
    let sent = bench.send(1, &talk.ask_udp(&[0; 1_423]));
    assert_eq!(sent.outcome, dropped(DropReason::TooBig));
    let reply = sent.reply.expect("its sender is told");
    // Next-hop MTU (RFC 1191, 4).
    assert_eq!(reply[14 + 20 + 6..14 + 20 + 8], 1_450_u16.to_be_bytes());
    leaves(&mut bench, 1, &talk.ask_udp(&[0; 1_422]));
    // What will be cut is as long as its pieces.
    let gso = Some(Gso { size: 1_410 });
    let long = compose::tcp(&talk.client, &via_router(talk.server), SYN, &[0; 9_000]);
    let sent = bench.send_gso(PortId(1), &long, gso);
    assert!(matches!(sent.outcome, Outcome::Uplink { .. }));
    let gso = Some(Gso { size: 1_411 });
    let sent = bench.send_gso(PortId(1), &long, gso);
    assert_eq!(sent.outcome, dropped(DropReason::TooBig));
}

#[test]
fn a_packet_too_long_for_its_guest_is_complained_about_to_the_other_host() {
    let mut world = world(1);
    world.nic(1).mtu = 1_280;
    world.nic(1).gateways = vec![v4(0, 0, 254)];
    let mut bench = Bench::new(world);
    let to_guest = bench.end(1, 443);
    let arrived = bench.arrive(&afar(40_000).udp(&to_guest, &[0; 1_300]));
    assert_eq!(arrived.outcome, dropped(DropReason::TooBig));
    let (encap, source_port, reply) = arrived.reply.expect("its sender is told");
    assert_eq!(encap, tunnel(9, 0));
    assert!(source_port >= 49_152);
    let told = dissect(&reply).expect("well formed");
    assert_eq!(told.dst, afar(0).end.mac);
    let Kind::Ip(ip) = told.kind else {
        panic!("a packet")
    };
    assert_eq!((ip.src, ip.dst), (v4(0, 0, 254), afar(0).end.ip));
    let L4::IcmpError { inner: Some(about) } = ip.l4 else {
        panic!("an error about a packet")
    };
    assert_eq!((about.src, about.dst), (afar(0).end.ip, to_guest.ip));
    let counters = off_uplink(&bench);
    assert_eq!((counters.answered, counters.to_guest_packets), (1, 1));
    assert_eq!(
        counters.to_guest_bytes,
        u64::try_from(reply.len() + encap.overhead()).expect("short")
    );
    // At a bounded rate.
    let told = (0..1_000)
        .filter(|_| {
            let again = bench.arrive(&afar(40_000).udp(&to_guest, &[0; 1_300]));
            again.reply.is_some()
        })
        .count();
    assert!((1..200).contains(&told), "{told}");
    // And no longer when the host is not one that the NIC can reach.
    bench.pass(Duration::from_secs(1));
    let none = policy::input::NextHop::None;
    bench.edit(|world| world.add_route(1, "10.0.1.1/32", none));
    let arrived = bench.arrive(&afar(40_000).udp(&to_guest, &[0; 1_300]));
    assert_eq!(
        (arrived.outcome, arrived.reply),
        (dropped(DropReason::TooBig), None)
    );
}

#[test]
fn icmp_errors_from_afar_belong_to_their_flow() {
    let mut world = world(1);
    world.set_inbound(1, vec![nic_group(vec![deny("nobody", 100)])]);
    let mut bench = Bench::new(world);
    let talk = outward(&bench);
    let left = leaves(&mut bench, 1, &talk.ask_udp(b"?"));
    let complaint = |about: &[u8]| {
        let responder = Responder {
            mac: afar(0).end.mac,
            ip: afar(0).end.ip,
        };
        let mut out = vec![0; 600];
        let error = IcmpError::HostUnreachable;
        let len = icmp_error(about, error, responder, &mut out).expect("due");
        out.truncate(len);
        out[..6].copy_from_slice(&talk.client.mac.0);
        afar(0).wrap(&out)
    };
    assert_eq!(bench.arrival(&complaint(&left)), to(1));
    let other = Talk {
        client: bench.end(1, 40_001),
        ..talk
    };
    assert_eq!(
        bench.arrival(&complaint(&other.ask_udp(b"?"))),
        dropped(DropReason::IcmpErrorNoFlow)
    );
    // And the guest's own, about what it got.
    bench.edit(|world| world.set_inbound(1, vec![nic_group(vec![allow("all", 100)])]));
    let arrived = bench.arrive(&afar(50_000).udp(&bench.end(1, 9), b"?"));
    assert_eq!(arrived.outcome, to(1));
    let responder = Responder {
        mac: talk.client.mac,
        ip: talk.client.ip,
    };
    let mut out = vec![0; 600];
    let len = icmp_error(
        arrived.shown(),
        IcmpError::HostUnreachable,
        responder,
        &mut out,
    )
    .expect("due");
    leaves(&mut bench, 1, &out[..len]);
}

#[test]
fn fragments_off_the_uplink_find_the_flow_of_their_first() {
    let mut bench = Bench::new(world(2));
    let to_guest = bench.end(1, 443);
    let whole = compose::udp(&afar(40_000).end, &to_guest, &[7; 1_000]);
    let parts = compose::fragments(&whole, 77, 400);
    let wrapped = |part: &Vec<u8>| afar(0).wrap(part);
    assert_eq!(
        bench.arrival(&wrapped(&parts[1])),
        dropped(DropReason::FragmentWithoutFirst)
    );
    for part in &parts {
        assert_eq!(bench.arrival(&wrapped(part)), to(1));
    }
    // A guest here with the same numbers is somebody else.
    let mut stray = parts[1].clone();
    stray[..6].copy_from_slice(&vswitch::router_mac().0);
    stray[6..12].copy_from_slice(&to_guest.mac.0);
    bench.edit(|world| world.nic(1).ip_forwarding = true);
    assert_eq!(
        bench.outcome(1, &stray),
        dropped(DropReason::FragmentWithoutFirst)
    );
    bench.switch.remove_port(PortId(1));
    assert_eq!(bench.switch.fragments_len(), 0, "they go with the port");
}

#[test]
fn a_flood_from_afar_leaves_a_guest_its_own_first_packets() {
    let limits = Limits {
        first_packets_per_second: 100,
        ..ROOMY
    };
    let mut bench = Bench::with_limits(world(1), limits);
    let to_guest = bench.end(1, 443);
    let outcomes: Vec<_> = (0..100)
        .map(|number| bench.arrival(&afar(40_000 + number).tcp(&to_guest, SYN)))
        .collect();
    let limited = dropped(DropReason::ExceptionRateLimited);
    assert!(outcomes.contains(&limited) && outcomes.contains(&to(1)));
    let own = outward(&bench).syn();
    leaves(&mut bench, 1, &own);
}

#[test]
fn a_tunnel_over_ipv6_is_one_too() {
    let mut world = World::of(&[0]);
    let provider: std::net::IpAddr = "2001:db8::9".parse().expect("an address");
    let policy::input::MappingTarget::Remote { mac, encap, .. } = remote(9, 0) else {
        panic!("on another host")
    };
    let encap = flow::Encap {
        outer_src: "2001:db8::1".parse().expect("an address"),
        outer_dst: provider,
        ..encap
    };
    let target = policy::input::MappingTarget::Remote {
        mac,
        encap,
        vni_of_sender: false,
    };
    world.map(0, v4(0, 1, 1), Some(target));
    let mut bench = Bench::new(world);
    let (_, inner) = greeting(&bench);
    assert_eq!(bench.arrival(&wrap_of(vni(0), 9, true, &inner)), to(1));
    let before = off_uplink(&bench).to_guest_bytes;
    let talk = outward(&bench);
    let frame = talk.ask_udp(b"?");
    assert!(matches!(
        bench.outcome(1, &frame),
        Outcome::Uplink { encap: found, .. } if found == encap
    ));
    let bytes = off_uplink(&bench).to_guest_bytes - before;
    assert_eq!(bytes, u64::try_from(frame.len()).expect("short") + 70);
}

#[test]
fn what_the_uplink_carries_is_counted_with_its_outer_headers() {
    let mut bench = Bench::new(world(1));
    let talk = outward(&bench);
    let syn = talk.syn();
    let answer = afar(443).tcp(&talk.client, SYN_ACK);
    leaves(&mut bench, 1, &syn);
    bench.arrive(&answer);
    let bytes = |frame: &[u8]| u64::try_from(frame.len()).expect("short");
    let uplink = off_uplink(&bench);
    assert_eq!(
        (uplink.to_guest_packets, uplink.to_guest_bytes),
        (1, bytes(&syn) + 50)
    );
    assert_eq!(
        (uplink.from_guest_packets, uplink.from_guest_bytes),
        (1, bytes(&answer))
    );
    let guest = bench.counters(1);
    assert_eq!(
        (guest.to_guest_packets, guest.to_guest_bytes),
        (1, bytes(&answer) - 50)
    );
}
