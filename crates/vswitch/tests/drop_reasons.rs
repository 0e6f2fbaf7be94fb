//! Each reason for a drop, reached. Whoever adds a reason adds its case, or says who else produces
//! it.

use std::net::Ipv4Addr;
use std::num::NonZeroU32;

use flow::{DropReason, PortId};
use policy::input::{Layer, NextHop};
use vswitch::Limits;
use wire::compose::{self, Endpoint, Packet};
use wire::{MacAddr, TcpFlags};

use crate::model::afar::{Afar, congested};
use crate::model::bench::{Bench, ROOMY, Talk, dropped, via_router};
use crate::model::rules::{deny, nic_group, set};
use crate::model::world::{World, mac, remote, v4};

/// A bench, and the frame that NIC 1 sends there last.
type Case = fn() -> (Bench, Vec<u8>);

const CASES: &[(DropReason, Case)] = &[
    (DropReason::Malformed, || {
        let (bench, mut frame) = greeting(World::of(&[0, 0]));
        frame.truncate(30);
        (bench, frame)
    }),
    (DropReason::UnsupportedEthertype, || {
        changed(12, &[0x81, 0x00])
    }),
    (DropReason::SpoofedMac, || changed(6, &[2, 9, 9, 9, 9, 9])),
    (DropReason::SpoofedIp, || {
        addressed(|client, _| client.ip = v4(0, 0, 2))
    }),
    (DropReason::SpoofedNeighbour, || {
        let bench = Bench::new(World::of(&[0, 0]));
        let liar = Endpoint {
            ip: v4(0, 0, 2),
            ..bench.end(1, 0)
        };
        (
            bench,
            compose::arp_request(&liar, Ipv4Addr::new(10, 0, 0, 9)),
        )
    }),
    (DropReason::InvalidAddress, || {
        addressed(|_, server| server.ip = Ipv4Addr::LOCALHOST.into())
    }),
    (DropReason::UnknownDestinationMac, || {
        changed(0, &[2, 9, 9, 9, 9, 9])
    }),
    (DropReason::Broadcast, || changed(0, &[0xff; 6])),
    (DropReason::Multicast, || {
        changed(0, &[0x01, 0x00, 0x5e, 0, 0, 0xfb])
    }),
    (DropReason::UnansweredNeighbour, || {
        let bench = Bench::new(World::of(&[0, 0]));
        let asker = bench.end(1, 0);
        (
            bench,
            compose::arp_request(&asker, Ipv4Addr::new(10, 0, 0, 1)),
        )
    }),
    (DropReason::UnansweredConfiguration, || {
        let bench = Bench::new(World::of(&[0, 0]));
        let nobody = Endpoint {
            ip: Ipv4Addr::UNSPECIFIED.into(),
            ..bench.end(1, 68)
        };
        let all = Endpoint {
            mac: wire::MacAddr::BROADCAST,
            ip: Ipv4Addr::BROADCAST.into(),
            port: wire::dhcpv4::SERVER_PORT,
        };
        // BOOTP has no message type.
        let head = wire::dhcpv4::Dhcpv4Repr {
            reply: false,
            xid: 1,
            broadcast: false,
            client_address: Ipv4Addr::UNSPECIFIED,
            your_address: Ipv4Addr::UNSPECIFIED,
            client_mac: nobody.mac,
        };
        let mut message = [0; 300];
        let writer = wire::dhcpv4::Dhcpv4Writer::new(&mut message, &head).expect("room");
        let len = writer.finish();
        (bench, compose::udp(&nobody, &all, &message[..len]))
    }),
    (DropReason::AdminDeny, || {
        let mut world = World::of(&[0, 0]);
        let admin = set("admin", Layer::SecurityAdmin, vec![deny("never", 100)]);
        world.set_inbound(2, vec![admin]);
        greeting(world)
    }),
    (DropReason::NsgDenyOutbound, || {
        let mut world = World::of(&[0, 0]);
        world.set_outbound(1, vec![nic_group(vec![deny("out", 100)])]);
        greeting(world)
    }),
    (DropReason::NsgDenyInbound, || {
        let mut world = World::of(&[0, 0]);
        world.set_inbound(2, vec![nic_group(vec![deny("in", 100)])]);
        greeting(world)
    }),
    (DropReason::NoRoute, || routed(NextHop::None)),
    (DropReason::NoGateway, || routed(NextHop::Internet)),
    (DropReason::NoMapping, || {
        addressed(|_, server| server.ip = v4(0, 0, 200))
    }),
    (DropReason::ApplianceUnreachable, || {
        routed(NextHop::Appliance(v4(0, 0, 200)))
    }),
    (DropReason::ForwardingDisabled, || {
        routed(NextHop::Appliance(v4(0, 0, 3)))
    }),
    (DropReason::RouteLoop, || {
        routed(NextHop::Appliance(v4(0, 0, 1)))
    }),
    (DropReason::TcpNoConnection, || {
        let bench = Bench::new(World::of(&[0, 0]));
        let frame = Talk::new(&bench, 1, 2).ask(TcpFlags::ACK);
        (bench, frame)
    }),
    (DropReason::IcmpErrorNoFlow, || {
        let bench = Bench::new(World::of(&[0, 0]));
        let (src, dst) = (bench.end(1, 0), via_router(bench.end(2, 0)));
        // Port unreachable, about nothing.
        let frame = Packet::new(&src, &dst, &[0; 28]).ip(1, &[3, 3, 0, 0, 0, 0, 0, 0]);
        (bench, frame)
    }),
    (DropReason::FragmentWithoutFirst, || {
        let (bench, frame) = long_greeting(ROOMY);
        (bench, compose::fragments(&frame, 7, 400).swap_remove(1))
    }),
    (DropReason::FragmentTableFull, || {
        let (mut bench, frame) = long_greeting(Limits {
            fragments_max: one(),
            ..ROOMY
        });
        bench.send(1, &compose::fragments(&frame, 7, 400)[0]);
        (bench, compose::fragments(&frame, 8, 400).swap_remove(0))
    }),
    (DropReason::FlowTableFull, || {
        let limits = Limits {
            flows_max: NonZeroU32::new(2).expect("not zero"),
            ..ROOMY
        };
        let mut bench = Bench::with_limits(World::of(&[0, 0]), limits);
        let talk = Talk::new(&bench, 1, 2);
        bench.send(1, &talk.ask_udp(b"the only one"));
        let other = Talk {
            client: bench.end(1, 40_001),
            ..talk
        };
        (bench, other.ask_udp(b"one too many"))
    }),
    (DropReason::TtlExpired, || {
        let mut world = World::of(&[0, 0]);
        world.nic(1).decrement_ttl = true;
        let bench = Bench::new(world);
        let (src, dst) = (bench.end(1, 9), via_router(bench.end(2, 9)));
        let frame = Packet {
            ttl: 1,
            ..Packet::new(&src, &dst, b"far")
        }
        .udp();
        (bench, frame)
    }),
    (DropReason::TooBig, || {
        let bench = Bench::new(World::of(&[0, 0]));
        let frame = Talk::new(&bench, 1, 2).ask_udp(&[0; 1_600]);
        (bench, frame)
    }),
    (DropReason::ExceptionRateLimited, || {
        let limits = Limits {
            first_packets_per_second: 1,
            ..ROOMY
        };
        let mut bench = Bench::with_limits(World::of(&[0, 0]), limits);
        let talk = Talk::new(&bench, 1, 2);
        bench.send(1, &talk.ask_udp(b"one in 67 ms"));
        let other = Talk {
            client: bench.end(1, 40_001),
            ..talk
        };
        (bench, other.ask_udp(b"two"))
    }),
    (DropReason::PortDown, || {
        let (mut bench, frame) = greeting(World::of(&[0, 0]));
        bench.switch.set_down(PortId(2));
        (bench, frame)
    }),
];

/// Whom a frame off the uplink was counted for.
type Owner = PortId;

/// A bench, and the frame that comes off the uplink there last.
const CASES_OFF_UPLINK: &[(DropReason, Owner, Case)] = &[
    (DropReason::UplinkUnavailable, PortId::UPLINK, || {
        let (mut bench, frame) = called(9, 0, mac(1));
        bench.switch.set_down(PortId::UPLINK);
        (bench, frame)
    }),
    (DropReason::Malformed, PortId::UPLINK, || {
        let (bench, mut frame) = called(9, 0, mac(1));
        frame.truncate(60);
        (bench, frame)
    }),
    (DropReason::UnknownVni, PortId::UPLINK, || {
        called(9, 9, mac(1))
    }),
    (DropReason::UnknownProvider, PortId::UPLINK, || {
        called(8, 0, mac(1))
    }),
    (DropReason::UnknownDestinationMac, PortId::UPLINK, || {
        called(9, 0, mac(9))
    }),
    (DropReason::Broadcast, PortId::UPLINK, || {
        called(9, 0, MacAddr::BROADCAST)
    }),
    (DropReason::Multicast, PortId::UPLINK, || {
        called(9, 0, MacAddr([1, 0, 0x5e, 0, 0, 0xfb]))
    }),
    (DropReason::CongestionNotEcnCapable, PortId(1), || {
        let (bench, frame) = called(9, 0, mac(1));
        (bench, congested(frame))
    }),
    (DropReason::NsgDenyInbound, PortId(1), || {
        let (mut bench, frame) = called(9, 0, mac(1));
        bench.edit(|world| world.set_inbound(1, vec![nic_group(vec![deny("in", 100)])]));
        (bench, frame)
    }),
    (DropReason::ForwardingDisabled, PortId(2), || {
        called(9, 0, mac(2))
    }),
    (DropReason::PortDown, PortId(1), || {
        let (mut bench, frame) = called(9, 0, mac(1));
        bench.switch.set_down(PortId(1));
        (bench, frame)
    }),
];

/// Noted by the caller, who owns devices: here, or before a frame gets here.
const COUNTED_FOR_THE_CALLER: [DropReason; 4] = [
    DropReason::TransmitFailed,
    DropReason::ExceptionQueueFull,
    DropReason::UnsupportedOffload,
    DropReason::NoReceiveBuffer,
];

#[test]
fn every_reason_is_reached() {
    for (reason, case) in CASES {
        let (mut bench, frame) = case();
        assert_eq!(bench.outcome(1, &frame), dropped(*reason));
        let bytes = u64::try_from(frame.len()).expect("short");
        let counted: Vec<_> = bench.counters(1).drops.iter().collect();
        assert_eq!(
            counted,
            [(*reason, 1, bytes)],
            "counted once, and nothing else"
        );
    }
}

#[test]
fn every_reason_off_the_uplink_is_reached() {
    for (reason, owner, case) in CASES_OFF_UPLINK {
        let (mut bench, frame) = case();
        let arrived = bench.arrive(&frame);
        assert_eq!((arrived.outcome, arrived.owner), (dropped(*reason), *owner));
        assert_eq!(arrived.whole, frame, "as it was");
        let bytes = u64::try_from(arrived.inner.len()).expect("short");
        let counted: Vec<_> = [PortId::UPLINK, PortId(1), PortId(2)]
            .into_iter()
            .flat_map(|port| {
                let view = bench.switch.port(port).expect("every port is there");
                view.counters.drops.iter().map(move |drop| (port, drop))
            })
            .collect();
        assert_eq!(counted, [(*owner, (*reason, 1, bytes))], "counted once");
    }
}

#[test]
fn there_are_no_other_reasons() {
    let mut reached: Vec<DropReason> = CASES.iter().map(|(reason, _)| *reason).collect();
    reached.extend(CASES_OFF_UPLINK.iter().map(|(reason, ..)| *reason));
    reached.extend(COUNTED_FOR_THE_CALLER);
    reached.sort();
    reached.dedup();
    assert_eq!(reached, DropReason::ALL);
}

#[test]
fn what_the_caller_could_not_send_is_counted_at_its_sender() {
    let mut world = World::of(&[0]);
    world.map(0, v4(0, 1, 1), Some(remote(9, 0)));
    let mut bench = Bench::new(world);
    bench
        .switch
        .count_drop(PortId(1), DropReason::UplinkUnavailable, 100);
    bench
        .switch
        .count_drop(PortId(1), DropReason::TransmitFailed, 200);
    // Of a port that is gone meanwhile there is nothing to count.
    bench
        .switch
        .count_drop(PortId(77), DropReason::TransmitFailed, 200);
    let counted: Vec<_> = bench.counters(1).drops.iter().collect();
    let uplink = (DropReason::UplinkUnavailable, 1, 100);
    assert_eq!(counted, [uplink, (DropReason::TransmitFailed, 1, 200)]);
}

/// A call from 10.0.1.1 on host 9 to NIC 1, told to come from that host, of that network and to that
/// Ethernet address.
fn called(host: u8, vnet: u8, to: MacAddr) -> (Bench, Vec<u8>) {
    let mut world = World::of(&[0, 0]);
    world.map(0, v4(0, 1, 1), Some(remote(9, 0)));
    let bench = Bench::new(world);
    let server = Endpoint {
        mac: to,
        ..bench.end(1, 443)
    };
    let client = Afar::new(host, vnet, v4(0, 1, 1), 40_000);
    (bench, client.tcp(&server, TcpFlags::SYN))
}

fn one() -> NonZeroU32 {
    NonZeroU32::new(1).expect("not zero")
}

/// NIC 1 greets NIC 2.
fn greeting(world: World) -> (Bench, Vec<u8>) {
    let bench = Bench::new(world);
    let frame = Talk::new(&bench, 1, 2).ask_udp(b"hello");
    (bench, frame)
}

/// With the bytes at an offset changed.
fn changed(at: usize, bytes: &[u8]) -> (Bench, Vec<u8>) {
    let (bench, mut frame) = greeting(World::of(&[0, 0]));
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    (bench, frame)
}

/// With other addresses.
fn addressed(change: fn(&mut Endpoint, &mut Endpoint)) -> (Bench, Vec<u8>) {
    let bench = Bench::new(World::of(&[0, 0]));
    let Talk {
        mut client,
        mut server,
    } = Talk::new(&bench, 1, 2);
    change(&mut client, &mut server);
    (bench, Talk { client, server }.ask_udp(b"hello"))
}

/// With a user route to NIC 2.
fn routed(hop: NextHop) -> (Bench, Vec<u8>) {
    let mut world = World::of(&[0, 0, 0]);
    world.add_route(1, "10.0.0.2/32", hop);
    greeting(world)
}

/// A datagram of a few fragments, of which no flow is known yet.
fn long_greeting(limits: Limits) -> (Bench, Vec<u8>) {
    let bench = Bench::with_limits(World::of(&[0, 0]), limits);
    let frame = Talk::new(&bench, 1, 2).ask_udp(&[0x5a; 1_000]);
    (bench, frame)
}
