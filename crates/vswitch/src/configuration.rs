//! Configuration of guests: DHCP, DHCPv6 and router solicitations, which the switch answers itself
//! from the NIC's policy. There is no server process and no state: what a NIC may be told is what
//! it has, so every answer can be made at any time, and after a restart is the same.
//!
//! Each NIC is told of its own addresses only. What has no answer, like a message of BOOTP, of a
//! relay or for another server, or one that wants none (RELEASE and DECLINE of IPv4: an address is
//! its NIC's for ever), ends as [`DropReason::UnansweredConfiguration`].

mod adverts;
mod dhcp4;
mod dhcp6;
mod router_advert;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flow::{DropReason, Tick};
use policy::NicPolicy;
use wire::udp::UdpView;
use wire::{IpPacket, L4, MacAddr, dhcpv4, dhcpv6};

use crate::neighbour::ROUTER_MAC;
use crate::switch::{Outcome, Switch};

pub(crate) use adverts::Adverts;

/// For how long what a guest is told is good: a day, within which it asks again after a half. An
/// agent may be away for the other half, and no address is in danger: each is its NIC's anyway.
const LEASE_SECONDS: u32 = 24 * 60 * 60;
/// When a client asks its server again (T1: RFC 2131, 4.4.5; RFC 8415, 21.4).
const RENEWAL_SECONDS: u32 = LEASE_SECONDS / 2;

/// The virtual router's address on every link: in IPv6, routers and servers speak from one of these
/// (RFC 4861, 4.2).
const ROUTER_LINK_LOCAL: Ipv6Addr = link_local(ROUTER_MAC);

/// What a guest asks about its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Dhcpv4,
    Dhcpv6,
    RouterSolicit,
}

impl Question {
    /// What this packet asks, if anything: it went to all, or to the virtual router itself.
    pub(crate) fn of(nic: &NicPolicy, ip: &IpPacket) -> Option<Question> {
        match (ip.l4, ip.dst) {
            (L4::RouterSolicit, _) => Some(Question::RouterSolicit),
            (L4::Udp { dport, .. }, IpAddr::V4(dst)) if dport == dhcpv4::SERVER_PORT => {
                let ours = dst.is_broadcast() || nic.gateway_for(ip.dst) == Some(ip.dst);
                ours.then_some(Question::Dhcpv4)
            }
            (L4::Udp { dport, .. }, IpAddr::V6(dst)) if dport == dhcpv6::SERVER_PORT => {
                let router = dst == ROUTER_LINK_LOCAL || nic.gateway_for(ip.dst) == Some(ip.dst);
                (dst == dhcpv6::ALL_AGENTS || router).then_some(Question::Dhcpv6)
            }
            _ => None,
        }
    }
}

impl Switch {
    /// Answers a question, at a bounded rate.
    pub(crate) fn configure(
        &mut self,
        nic: &NicPolicy,
        question: Question,
        ip: &IpPacket,
        frame: &[u8],
        now: Tick,
    ) -> Result<Outcome, DropReason> {
        let port = self.port_mut(nic.port).ok_or(DropReason::PortDown)?;
        if !port.questions.admit(now) {
            return Err(DropReason::ExceptionRateLimited);
        }
        let answer = match question {
            Question::Dhcpv4 => dhcp4::answer,
            Question::Dhcpv6 => dhcp6::answer,
            Question::RouterSolicit => router_advert::answer,
        };
        self.reply_len = answer(nic, ip, frame, &mut self.reply)?;
        Ok(Outcome::Answered)
    }
}

/// What a datagram carries. Its checksum is not looked at: a guest may leave that to its device
/// (virtio 1.2, 5.1.6.2), and nothing has been on a wire.
fn payload<'f>(ip: &IpPacket, frame: &'f [u8]) -> Result<&'f [u8], DropReason> {
    if ip.fragment.is_some() {
        return Err(DropReason::UnansweredConfiguration);
    }
    let packet = frame.get(ip.l4_offset..ip.l3_offset + ip.l3_len);
    let datagram = packet.and_then(|packet| UdpView::new(packet).ok());
    datagram
        .map(|datagram| datagram.payload())
        .ok_or(DropReason::Malformed)
}

fn v4(address: &IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(v4) => Some(*v4),
        IpAddr::V6(_) => None,
    }
}

fn v6(address: &IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => Some(*v6),
    }
}

/// The link-local address that an Ethernet address makes (RFC 4291, appendix A).
const fn link_local(mac: MacAddr) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;

    Ipv6Addr::new(
        0xfe80,
        0,
        0,
        0,
        u16::from_be_bytes([a ^ 0x02, b]),
        u16::from_be_bytes([c, 0xff]),
        u16::from_be_bytes([0xfe, d]),
        u16::from_be_bytes([e, f]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_router_has_the_address_its_mac_makes() {
        assert_eq!(ROUTER_LINK_LOCAL.to_string(), "fe80::63:77ff:fe00:1");
    }
}
