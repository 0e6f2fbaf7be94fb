use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use flow::{DropReason, PortId};
use vswitch::{Outcome, router_mac};
use wire::compose::{Endpoint, Packet};
use wire::{MacAddr, icmpv6};

use super::{GUEST6, LINK_LOCAL, ROUTER, Told, bench, guest, world};
use crate::model::bench::{Bench, dropped, via_router};
use crate::model::world::{mac, net, v6};

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

pub(super) fn solicit(src: Ipv6Addr, options: &[u8]) -> Vec<u8> {
    let all = Endpoint {
        mac: MacAddr::of_ipv6_multicast(ALL_ROUTERS),
        ip: ALL_ROUTERS.into(),
        port: 0,
    };
    Packet {
        ttl: 255,
        ..Packet::new(&guest(src, 0), &all, options)
    }
    .ip(58, &[icmpv6::message::ROUTER_SOLICIT, 0, 0, 0, 0, 0, 0, 0])
}

#[track_caller]
fn ask(bench: &mut Bench, frame: &[u8]) -> Told {
    let sent = bench.send(1, frame);
    assert_eq!(sent.outcome, Outcome::Answered);
    let told = Told::read(sent.reply.expect("an answer"));
    assert_eq!((told.from, told.ip.ttl), (router_mac(), 255));
    assert_eq!(told.ip.src, IpAddr::V6(ROUTER));
    told
}

/// The advertisement without its checksum.
fn advert(lifetime: u16) -> Vec<u8> {
    let [high, low] = lifetime.to_be_bytes();
    [
        // Addresses and all else by DHCPv6.
        &[134, 0, 0, 0, 64, 0xc0, high, low, 0, 0, 0, 0, 0, 0, 0, 0][..],
        &[1, 1],
        &router_mac().0,
        &[5, 1, 0, 0, 0, 0, 0x05, 0x78],
        // fd00::/64 is on the link, and nobody makes addresses of it.
        &[3, 4, 64, 0x80],
        &[0xff; 8],
        &[0; 4],
        &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[25, 3, 0, 0, 0xff, 0xff, 0xff, 0xff],
        &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 53],
    ]
    .concat()
}

fn without_checksum(told: &Told) -> Vec<u8> {
    let mut message = told.upper().to_vec();
    message[2..4].fill(0);
    message
}

#[test]
fn a_guest_is_told_of_its_router_and_its_subnet() {
    let mut bench = bench();
    let source = [&[1, 1][..], &mac(1).0].concat();
    let told = ask(&mut bench, &solicit(LINK_LOCAL, &source));
    assert_eq!((told.to, told.ip.dst), (mac(1), LINK_LOCAL.into()));
    assert_eq!(without_checksum(&told), advert(u16::MAX));
    let own = ask(&mut bench, &solicit(GUEST6, &[]));
    assert_eq!(own.ip.dst, IpAddr::V6(GUEST6));
}

#[test]
fn a_guest_without_address_is_told_with_all_others() {
    let told = ask(&mut bench(), &solicit(Ipv6Addr::UNSPECIFIED, &[]));
    let to_all = (MacAddr::of_ipv6_multicast(ALL_NODES), ALL_NODES.into());
    assert_eq!((told.to, told.ip.dst), to_all);
    assert_eq!(without_checksum(&told), advert(u16::MAX));
}

#[test]
fn at_a_second_nic_there_is_a_subnet_and_no_default_route() {
    let mut world = world();
    world.nic(1).primary = false;
    let told = ask(&mut Bench::new(world), &solicit(LINK_LOCAL, &[]));
    assert_eq!(without_checksum(&told), advert(0));
}

#[test]
fn the_router_may_be_asked_alone() {
    let mut frame = solicit(LINK_LOCAL, &[]);
    frame[..6].copy_from_slice(&router_mac().0);
    ask(&mut bench(), &frame);
}

#[test]
fn a_subnet_is_told_once_and_a_small_mtu_never() {
    let mut world = world();
    let nic = world.nic(1);
    nic.addresses.push(v6(0, 0, 99));
    nic.subnets.push(net("fd00::/64"));
    nic.mtu = 1_279;
    let told = ask(&mut Bench::new(world), &solicit(LINK_LOCAL, &[]));
    let expected = advert(u16::MAX).len() - 8;
    assert_eq!(told.upper().len(), expected);
}

#[test]
fn however_much_there_is_to_tell_it_fits_the_smallest_packet() {
    let mut world = world();
    let nic = world.nic(1);
    for n in 0..100 {
        nic.addresses.push(v6(0, n, 7));
        nic.subnets.push(net(&format!("fd00:0:0:{n}::/64")));
    }
    nic.dns_servers = (1..=20).map(|last| v6(0, 9, last)).collect();
    let told = ask(&mut Bench::new(world), &solicit(LINK_LOCAL, &[]));
    assert!(told.ip.l3_len <= 1_280, "{}", told.ip.l3_len);
}

#[test]
fn what_is_no_solicitation_of_this_guest_has_no_answer() {
    let mut bench = bench();
    let mut routed = solicit(LINK_LOCAL, &[]);
    routed[21] = 254;
    let mut damaged = solicit(LINK_LOCAL, &[]);
    damaged[56] ^= 1;
    let source = [&[1, 1][..], &mac(1).0].concat();
    let other = [&[1, 1][..], &mac(2).0].concat();
    let cases = [
        (routed, DropReason::Malformed),
        (damaged, DropReason::Malformed),
        (solicit(LINK_LOCAL, &[1, 0]), DropReason::Malformed),
        (
            solicit(Ipv6Addr::UNSPECIFIED, &source),
            DropReason::Malformed,
        ),
        (
            solicit("fd00::2".parse().expect("an address"), &[]),
            DropReason::SpoofedNeighbour,
        ),
        (solicit(LINK_LOCAL, &other), DropReason::SpoofedNeighbour),
    ];
    for (index, (frame, reason)) in cases.iter().enumerate() {
        let sent = bench.send(1, frame);
        assert_eq!(
            (sent.outcome, sent.reply),
            (dropped(*reason), None),
            "{index}"
        );
    }
}

#[test]
fn a_nic_without_ipv6_has_no_router_of_it() {
    let mut world = world();
    let nic = world.nic(1);
    nic.addresses.truncate(1);
    nic.subnets.truncate(1);
    let mut bench = Bench::new(world);
    let sent = bench.outcome(1, &solicit(LINK_LOCAL, &[]));
    assert_eq!(sent, dropped(DropReason::UnansweredConfiguration));
    bench.pass(Duration::from_secs(3_600));
    assert_eq!(bench.switch.advertise(bench.now), None);
}

#[test]
fn every_half_hour_each_guest_hears_of_its_router_again() {
    let mut world = world();
    world.add_nic(3, 0);
    world.nic(3).addresses.truncate(1);
    let mut bench = Bench::new(world);
    let round = |bench: &mut Bench| -> Vec<(PortId, usize)> {
        let mut told = Vec::new();
        while let Some(port) = bench.switch.advertise(bench.now) {
            let reply = bench.switch.reply().expect("a frame").to_vec();
            let read = Told::read(reply);
            assert_eq!(read.ip.dst, IpAddr::V6(ALL_NODES));
            told.push((port, read.upper().len()));
        }
        told
    };
    assert_eq!(round(&mut bench), [], "new guests ask by themselves");
    bench.pass(Duration::from_secs(1_799));
    assert_eq!(round(&mut bench), []);
    bench.pass(Duration::from_secs(1));
    // The second knows of no subnets and servers, the third has no IPv6.
    let all = [(PortId(1), advert(0).len()), (PortId(2), 32)];
    assert_eq!(round(&mut bench), all);
    assert_eq!(round(&mut bench), []);
    assert_eq!(bench.counters(2).to_guest_packets, 1);
    bench.switch.set_down(PortId(2));
    bench.pass(Duration::from_secs(5 * 1_800));
    assert_eq!(round(&mut bench), all[..1], "once, however late");
}

#[test]
fn a_ping_to_the_router_is_no_question() {
    let router = via_router(guest(ROUTER, 0));
    let frame = wire::compose::echo_request(&guest(GUEST6, 0), &router, 1, b"?");
    let outcome = bench().outcome(1, &frame);
    assert_eq!(outcome, dropped(DropReason::InvalidAddress));
}
