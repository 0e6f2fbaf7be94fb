//! What a frame says, and what it looks like when it is sent on.

use std::net::{IpAddr, Ipv6Addr};

use flow::{DropReason, FlowKey, PortId, TcpFlags};
use policy::input::{MappingTarget, NicInput};
use vswitch::{Gso, Outcome};
use wire::dissect::{InnerL4, InnerTuple};
use wire::{Family, IpPacket, L4};

use super::{Found, Handled, Judged, NaiveSwitch};

/// Where an Ethernet header ends.
const L3: usize = 14;

/// What a packet is known by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    pub(super) key: FlowKey,
    pub(super) flags: TcpFlags,
}

impl Parts {
    pub(super) fn read(port: PortId, ip: &IpPacket, frame: &[u8]) -> Parts {
        let icmp_type = || u16::from_be_bytes([frame[ip.l4_offset], frame[ip.l4_offset + 1]]);
        let (source, destination, flags) = match ip.l4 {
            L4::Tcp {
                sport,
                dport,
                flags,
            } => (sport, dport, flags.0),
            L4::Udp { sport, dport } => (sport, dport, 0),
            L4::IcmpEcho { ident, .. } => (ident, icmp_type(), 0),
            L4::NonFirstFragment | L4::Other => (0, 0, 0),
            _ => (0, icmp_type(), 0),
        };
        let key = FlowKey::new(port, ip.src, ip.dst, ip.proto, source, destination);
        Parts {
            key,
            flags: TcpFlags(flags),
        }
    }

    pub(super) fn with_ports(self, (source, destination): (u16, u16)) -> Parts {
        let key = self.key;
        let key = FlowKey::new(
            key.port(),
            key.src(),
            key.dst(),
            key.protocol(),
            source,
            destination,
        );
        Parts { key, ..self }
    }

    pub(super) fn is_tcp(&self) -> bool {
        self.key.protocol() == 6
    }
}

/// The key that the answer to the quoted packet would have, sent by the error's sender.
pub(super) fn answer_key(port: PortId, ip: &IpPacket, inner: &InnerTuple) -> Option<FlowKey> {
    if inner.src != ip.dst || inner.src.is_ipv4() != inner.dst.is_ipv4() {
        return None;
    }
    let (source, destination) = match inner.l4 {
        InnerL4::Ports { sport, dport } => (dport, sport),
        InnerL4::Echo { request, ident } => {
            let answers_with = match (inner.src.is_ipv4(), request) {
                (true, true) => 0,
                (true, false) => 8,
                (false, true) => 129,
                (false, false) => 128,
            };
            (ident, answers_with << 8)
        }
        InnerL4::Other => (0, 0),
    };
    Some(FlowKey::new(
        port,
        inner.dst,
        inner.src,
        inner.proto,
        source,
        destination,
    ))
}

/// Anti-spoofing; of what comes off the uplink, only that its addresses are somebody's.
pub(super) fn admit(nic: &NicInput, key: &FlowKey) -> Judged<()> {
    let (src, dst) = (key.src(), key.dst());
    let nobody = |address: IpAddr| match address {
        IpAddr::V4(v4) => {
            v4.is_multicast() || v4.is_loopback() || v4.is_unspecified() || v4.is_broadcast()
        }
        IpAddr::V6(v6) => {
            v6.is_multicast()
                || v6.is_loopback()
                || v6.is_unspecified()
                || v6.segments()[0] & 0xffc0 == 0xfe80
        }
    };
    if nobody(src) || nobody(dst) {
        return Err(DropReason::InvalidAddress);
    }
    match key.port().is_from_uplink() || nic.ip_forwarding || nic.addresses.contains(&src) {
        true => Ok(()),
        false => Err(DropReason::SpoofedIp),
    }
}

/// Whether an ARP frame gets an answer (RFC 826).
pub(super) fn judge_arp(nic: &NicInput, frame: &[u8]) -> Judged<()> {
    let arp = frame.get(L3..L3 + 28).ok_or(DropReason::Malformed)?;
    if arp[..6] != [0, 1, 8, 0, 6, 4] || !matches!(arp[6..8], [0, 1 | 2]) {
        return Err(DropReason::Malformed);
    }
    let address = |at: usize| IpAddr::from([arp[at], arp[at + 1], arp[at + 2], arp[at + 3]]);
    let (sender, target) = (address(14), address(24));
    if arp[8..14] != nic.mac || !(sender.is_unspecified() || nic.addresses.contains(&sender)) {
        return Err(DropReason::SpoofedNeighbour);
    }
    let host = !(target.is_multicast() || target.is_unspecified() || arp[24..28] == [255; 4]);
    match arp[7] == 1 && host && !nic.addresses.contains(&target) {
        true => Ok(()),
        false => Err(DropReason::UnansweredNeighbour),
    }
}

/// Whether a neighbour solicitation gets an answer (RFC 4861).
pub(super) fn judge_solicitation(nic: &NicInput, ip: &IpPacket, target: Ipv6Addr) -> Judged<()> {
    let IpAddr::V6(src) = ip.src else {
        return Err(DropReason::Malformed);
    };
    let target = IpAddr::V6(target);
    if src.is_unspecified() {
        return Err(DropReason::UnansweredNeighbour);
    }
    if !nic.addresses.contains(&ip.src) && src.segments()[0] & 0xffc0 != 0xfe80 {
        return Err(DropReason::SpoofedNeighbour);
    }
    if target.is_multicast() || target.is_unspecified() || nic.addresses.contains(&target) {
        return Err(DropReason::UnansweredNeighbour);
    }
    if ip.ttl == 255 {
        Ok(())
    } else {
        Err(DropReason::Malformed)
    }
}

impl NaiveSwitch {
    /// What is left in the way of a packet that may go: its receiver, its length, its age.
    pub(super) fn send(
        &self,
        nic: &NicInput,
        found: &Found,
        ip: &IpPacket,
        frame: &[u8],
        gso: Option<Gso>,
        replies: &mut bool,
    ) -> Judged<Handled> {
        let way = found.to;
        let (outcome, eth_dst, mtu) = match way.target {
            MappingTarget::Port(port) => {
                let receiver = self.nic(port).expect("the way leads to it");
                if !self.ports[&port].up {
                    return Err(DropReason::PortDown);
                }
                (
                    Outcome::Deliver(port),
                    receiver.mac,
                    usize::from(receiver.mtu),
                )
            }
            MappingTarget::Remote { mac, encap, .. } => {
                if !self.ports[&PortId::UPLINK].up {
                    return Err(DropReason::UplinkUnavailable);
                }
                let uplink = self.input.uplink.expect("the way leads over it");
                let source_port = flow::outer_source_port(&found.parts.key);
                (
                    Outcome::Uplink { encap, source_port },
                    mac,
                    usize::from(uplink.mtu),
                )
            }
        };
        let largest = gso.map_or(ip.l3_len, |gso| {
            headers_len(ip, frame) + usize::from(gso.size)
        });
        if largest > mtu {
            *replies = self.may_complain(nic, &found.parts.key, ip, frame);
            return Err(DropReason::TooBig);
        }
        if way.decrement_ttl && ip.ttl <= 1 {
            *replies = self.may_complain(nic, &found.parts.key, ip, frame);
            return Err(DropReason::TtlExpired);
        }
        let mut sent = frame.to_vec();
        sent[..6].copy_from_slice(&eth_dst);
        sent[6..12].copy_from_slice(&vswitch::router_mac().0);
        if way.decrement_ttl {
            match ip.family {
                Family::V6 => sent[L3 + 7] -= 1,
                Family::V4 => {
                    sent[L3 + 8] -= 1;
                    sum_ipv4_header(&mut sent[L3..ip.l4_offset]);
                }
            }
        }
        Ok(Handled::Sent(outcome, sent))
    }

    /// Whether an ICMP error about this packet is sent: off the host, where it came from.
    fn may_complain(&self, nic: &NicInput, key: &FlowKey, ip: &IpPacket, frame: &[u8]) -> bool {
        let answer = key.reversed_at(nic.port);
        let goes = || match self.way(nic, &answer).0 {
            Ok(way) => matches!(way.target, MappingTarget::Remote { .. }),
            Err(_) => false,
        };
        may_complain(ip, frame) && (!key.port().is_from_uplink() || goes())
    }
}

/// Says that there was congestion on the way.
pub(super) fn mark_congestion(frame: &mut [u8], ip: &IpPacket) {
    match ip.family {
        Family::V6 => frame[L3 + 1] |= 0x30,
        Family::V4 => {
            frame[L3 + 1] |= 3;
            sum_ipv4_header(&mut frame[L3..ip.l4_offset]);
        }
    }
}

/// IP and L4 headers: what every segment that is cut from a super-segment has.
fn headers_len(ip: &IpPacket, frame: &[u8]) -> usize {
    let l4 = match ip.l4 {
        L4::Tcp { .. } => usize::from(frame[ip.l4_offset + 12] >> 4) * 4,
        L4::Udp { .. } => 8,
        _ => 0,
    };
    ip.l4_offset - L3 + l4
}

/// Whether an ICMP error about this packet may be sent (RFC 1122, 3.2.2; RFC 4443, 2.4 (e)). That
/// it is from one host to one host has been seen to.
fn may_complain(ip: &IpPacket, frame: &[u8]) -> bool {
    if frame[6] & 1 == 1 {
        return false;
    }
    if ip.fragment.is_some_and(|fragment| !fragment.is_first()) {
        return false;
    }
    let this_network = matches!(ip.src, IpAddr::V4(src) if src.octets()[0] == 0);
    let kind = frame.get(ip.l4_offset).copied().unwrap_or(0);
    let is_error = match (ip.proto, ip.family) {
        (1, Family::V4) => [3, 4, 5, 11, 12].contains(&kind),
        (58, Family::V6) => kind < 128 || kind == 137,
        _ => false,
    };
    !is_error && !this_network
}

/// RFC 1071.
pub(crate) fn sum_ipv4_header(header: &mut [u8]) {
    header[10..12].fill(0);
    let words = header
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [.., high, low] = (!sum).to_be_bytes();
    header[10..12].copy_from_slice(&[high, low]);
}
