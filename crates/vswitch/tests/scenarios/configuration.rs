//! DHCP (RFC 2131), DHCPv6 (RFC 8415) and router discovery (RFC 4861): a guest is told of what its
//! NIC has, and of nothing else.

mod any;
mod dhcp4;
mod dhcp6;
mod router;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vswitch::Outcome;
use wire::checksum::{L4Check, verify_l4};
use wire::compose::Endpoint;
use wire::dhcpv4::MessageType;
use wire::dhcpv6::message;
use wire::{IpPacket, Kind, MacAddr, dissect};

use crate::model::afar::Afar;
use crate::model::bench::Bench;
use crate::model::world::{World, mac, net, remote, v4, v6};

/// Two NICs of one network; the first has all there is.
fn world() -> World {
    let mut world = World::of(&[0, 0]);
    let nic = world.nic(1);
    nic.subnets = vec![net("10.0.0.0/24"), net("fd00::/64")];
    nic.gateways = vec![v4(0, 0, 254), v6(0, 0, 254)];
    nic.dns_servers = vec![v4(0, 9, 53), v6(0, 9, 53), v4(0, 9, 54)];
    nic.mtu = 1_400;
    world
}

fn bench() -> Bench {
    Bench::new(world())
}

const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);
const GUEST6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// Made of the router's Ethernet address.
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x63, 0x77ff, 0xfe00, 1);

/// The first NIC's guest, under some address.
fn guest(ip: impl Into<IpAddr>, port: u16) -> Endpoint {
    Endpoint {
        mac: mac(1),
        ip: ip.into(),
        port,
    }
}

/// Whom an answer is for, and its upper layer's payload.
struct Told {
    to: MacAddr,
    from: MacAddr,
    ip: IpPacket,
    frame: Vec<u8>,
}

impl Told {
    fn read(frame: Vec<u8>) -> Told {
        let dissection = dissect(&frame).expect("well formed");
        let Kind::Ip(ip) = dissection.kind else {
            panic!("{dissection:?}")
        };
        assert_eq!(verify_l4(&frame, &ip), Ok(L4Check::Valid));
        Told {
            to: dissection.dst,
            from: dissection.src,
            ip,
            frame,
        }
    }

    /// From the upper-layer header on.
    fn upper(&self) -> &[u8] {
        &self.frame[self.ip.l4_offset..]
    }

    fn datagram(&self) -> &[u8] {
        &self.upper()[8..]
    }
}

#[test]
fn nobody_asks_from_another_host() {
    let mut world = world();
    world.map(0, v4(0, 1, 1), Some(remote(9, 0)));
    let mut bench = Bench::new(world);
    let stranger = Afar::new(9, 0, v4(0, 1, 1), 0);
    let questions = [
        dhcp4::to_all(&dhcp4::Client::says(MessageType::Discover).message()),
        dhcp4::Client::says(MessageType::Inform)
            .has(GUEST)
            .to_gateway(),
        dhcp6::says(message::SOLICIT, &[dhcp6::association(1, &[])]),
        router::solicit(LINK_LOCAL, &[]),
    ];
    for mut question in questions {
        assert_eq!(bench.outcome(1, &question), Outcome::Answered);
        question[..6].copy_from_slice(&mac(1).0);
        let arrived = bench.arrive(&stranger.wrap(&question));
        assert!(
            matches!(arrived.outcome, Outcome::Dropped(_)),
            "{arrived:?}"
        );
        assert_eq!(arrived.reply, None);
    }
}
