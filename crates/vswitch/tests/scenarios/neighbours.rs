//! ARP (RFC 826) and neighbour discovery (RFC 4861): everything but the guest itself is the router.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flow::DropReason;
use vswitch::{Outcome, router_mac};
use wire::arp::{ArpOperation, ArpRepr, ArpView};
use wire::compose::{self, Endpoint};
use wire::icmpv6::{Icmpv6Repr, Icmpv6View};
use wire::{Kind, dissect};

use crate::model::bench::{Bench, dropped};
use crate::model::world::World;

fn bench() -> Bench {
    Bench::new(World::of(&[0, 0]))
}

fn as_v6(end: Endpoint) -> Ipv6Addr {
    match end.ip {
        IpAddr::V6(address) => address,
        IpAddr::V4(_) => panic!("an end of IPv6"),
    }
}

#[test]
fn arp_for_a_neighbour_for_the_gateway_and_for_nobody_gives_the_router() {
    let mut bench = bench();
    let guest = bench.end(1, 0);
    for target in [[10, 0, 0, 2], [10, 0, 0, 254], [8, 8, 8, 8]].map(Ipv4Addr::from) {
        let sent = bench.send(1, &compose::arp_request(&guest, target));
        assert_eq!(sent.outcome, Outcome::Answered);
        let reply = sent.reply.expect("an answer");
        assert_eq!(
            (&reply[..6], &reply[6..12]),
            (&guest.mac.0[..], &router_mac().0[..])
        );
        let arp = ArpRepr::parse(ArpView::new(&reply[14..]).expect("long enough"));
        let expected = ArpRepr {
            operation: ArpOperation::Reply,
            sender_mac: router_mac(),
            sender_ip: target,
            target_mac: guest.mac,
            target_ip: Ipv4Addr::new(10, 0, 0, 1),
        };
        assert_eq!(arp, Ok(expected));
    }
    assert_eq!(bench.counters(1).answered, 3);
    assert_eq!(bench.counters(1).to_guest_packets, 3);
    assert_eq!(
        bench.counters(2).to_guest_packets,
        0,
        "nobody else hears of it"
    );
}

#[test]
fn arp_that_probes_for_others_is_answered_and_for_the_own_address_is_not() {
    let mut bench = bench();
    let prober = Endpoint {
        ip: Ipv4Addr::UNSPECIFIED.into(),
        ..bench.end(1, 0)
    };
    let mut probe = |target| bench.outcome(1, &compose::arp_request(&prober, target));
    assert_eq!(probe(Ipv4Addr::new(10, 0, 0, 2)), Outcome::Answered);
    let own = probe(Ipv4Addr::new(10, 0, 0, 1));
    assert_eq!(
        own,
        dropped(DropReason::UnansweredNeighbour),
        "its address is not taken"
    );
}

#[test]
fn an_announcement_of_the_own_address_ends_here_and_of_anothers_is_spoofing() {
    let mut bench = bench();
    let (one, two) = (bench.end(1, 0), bench.end(2, 0));
    let honest = compose::arp_reply(&one, &one);
    assert_eq!(
        bench.outcome(1, &honest),
        dropped(DropReason::UnansweredNeighbour)
    );
    let liar = Endpoint { ip: two.ip, ..one };
    let lie = compose::arp_reply(&liar, &two);
    assert_eq!(
        bench.outcome(1, &lie),
        dropped(DropReason::SpoofedNeighbour)
    );
}

#[test]
fn a_solicitation_gives_the_router() {
    let mut bench = bench();
    let guest = bench.end6(1, 0);
    let target = as_v6(bench.end6(2, 0));
    let sent = bench.send(1, &compose::neighbour_solicit(&guest, target));
    assert_eq!(sent.outcome, Outcome::Answered);
    let reply = sent.reply.expect("an answer");
    let dissection = dissect(&reply).expect("well formed");
    let Kind::Ip(ip) = dissection.kind else {
        panic!("{dissection:?}")
    };
    assert_eq!(
        (dissection.dst, ip.src, ip.dst, ip.ttl),
        (guest.mac, target.into(), guest.ip, 255)
    );
    let advert = Icmpv6Repr::parse(Icmpv6View::new(&reply[ip.l4_offset..]).expect("long enough"));
    let expected = Icmpv6Repr::NeighbourAdvert {
        target,
        router: true,
        solicited: true,
        overrides: true,
        target_mac: Some(router_mac()),
    };
    assert_eq!(advert, Ok(expected));
}

#[test]
fn duplicate_address_detection_hears_nothing() {
    let mut bench = bench();
    let nobody = Endpoint {
        ip: Ipv6Addr::UNSPECIFIED.into(),
        ..bench.end6(1, 0)
    };
    for target in [bench.end6(1, 0), bench.end6(2, 0)].map(as_v6) {
        let sent = bench.send(1, &compose::neighbour_solicit(&nobody, target));
        assert_eq!(sent.outcome, dropped(DropReason::UnansweredNeighbour));
        assert_eq!(sent.reply, None);
    }
}

#[test]
fn a_solicitation_from_a_link_local_address_is_answered_and_from_anothers_is_not() {
    let mut bench = bench();
    let target = as_v6(bench.end6(2, 0));
    let link_local = Endpoint {
        ip: "fe80::1".parse().expect("an address"),
        ..bench.end6(1, 0)
    };
    let solicit = compose::neighbour_solicit(&link_local, target);
    assert_eq!(bench.outcome(1, &solicit), Outcome::Answered);
    let liar = Endpoint {
        ip: target.into(),
        ..link_local
    };
    let lie = compose::neighbour_solicit(&liar, Ipv6Addr::LOCALHOST);
    assert_eq!(
        bench.outcome(1, &lie),
        dropped(DropReason::SpoofedNeighbour)
    );
}
