//! From a dissected packet to the key of its flow.

use flow::{FlowKey, PortId, TcpFlags};
use wire::dissect::{IpPacket, L4, PlainAddresses, PlainPacket, PlainTuple};
use wire::ethernet::HEADER_LEN as ETHERNET_LEN;

use crate::switch::Gso;

/// The parts of a packet the switch decides by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) key: FlowKey,
    pub(crate) tcp_flags: TcpFlags,
    pub(crate) l3_offset: usize,
    /// The length the receiver's MTU is held against: of the packet, or of the largest segment
    /// that offloads will make of it.
    pub(crate) largest_packet: usize,
    pub(crate) ttl: u8,
    /// Whether ports were found: false only for a later fragment.
    pub(crate) later_fragment: bool,
}

impl Packet {
    /// Reads the key off a packet that `port` sent. Ports of a later fragment are left zero.
    pub(crate) fn new(port: PortId, ip: &IpPacket, frame: &[u8], gso: Option<Gso>) -> Packet {
        let (source_port, destination_port, tcp_flags) = match ip.l4 {
            L4::Tcp {
                sport,
                dport,
                flags,
            } => (sport, dport, TcpFlags(flags.0)),
            L4::Udp { sport, dport } => (sport, dport, TcpFlags::default()),
            L4::IcmpEcho { ident, .. } => (ident, icmp_type(ip, frame), TcpFlags::default()),
            L4::NonFirstFragment | L4::Other => (0, 0, TcpFlags::default()),
            _ => (0, icmp_type(ip, frame), TcpFlags::default()),
        };
        let key = FlowKey::new(
            port,
            ip.src,
            ip.dst,
            ip.proto,
            source_port,
            destination_port,
        );
        let headers = ip.l4_offset - ip.l3_offset + l4_header_len(ip, frame);
        let largest_packet = gso.map_or(ip.l3_len, |gso| headers + usize::from(gso.size));
        Packet {
            key,
            tcp_flags,
            l3_offset: ip.l3_offset,
            largest_packet,
            ttl: ip.ttl,
            later_fragment: matches!(ip.l4, L4::NonFirstFragment),
        }
    }

    /// The same for a packet that is as most are.
    #[inline]
    pub(crate) fn of_plain(port: PortId, packet: &PlainPacket<'_>, gso: Option<Gso>) -> Packet {
        Packet {
            key: key_of(port, &packet.tuple),
            tcp_flags: packet.tcp_flags,
            l3_offset: ETHERNET_LEN,
            largest_packet: gso.map_or(packet.l3_len, |gso| {
                packet.headers_len + usize::from(gso.size)
            }),
            ttl: packet.ttl,
            later_fragment: false,
        }
    }

    /// Whether this is a TCP segment that opens a connection.
    pub(crate) fn opens(&self) -> bool {
        self.is_tcp() && self.tcp_flags.opens()
    }

    /// Whether this is a TCP segment.
    pub(crate) fn is_tcp(&self) -> bool {
        self.key.protocol() == 6
    }

    /// The same packet with the ports its first fragment had.
    pub(crate) fn with_ports(self, source: u16, destination: u16) -> Packet {
        let key = self.key;
        let key = FlowKey::new(
            key.port(),
            key.src(),
            key.dst(),
            key.protocol(),
            source,
            destination,
        );
        Packet { key, ..self }
    }
}

/// The key of a packet with this tuple that `port` sent.
#[inline]
pub(crate) fn key_of(port: PortId, tuple: &PlainTuple<'_>) -> FlowKey {
    let (proto, ports) = (tuple.proto, tuple.ports);
    match tuple.addresses {
        PlainAddresses::V4(addresses) => FlowKey::of_ipv4(port, addresses, proto, ports),
        PlainAddresses::V6(addresses) => FlowKey::of_ipv6(port, addresses, proto, ports),
    }
}

/// Type and code, as [`FlowKey`] keeps them in the destination port.
fn icmp_type(ip: &IpPacket, frame: &[u8]) -> u16 {
    match frame.get(ip.l4_offset..ip.l4_offset + 2) {
        Some(&[kind, code]) => u16::from_be_bytes([kind, code]),
        _ => 0,
    }
}

fn l4_header_len(ip: &IpPacket, frame: &[u8]) -> usize {
    match ip.l4 {
        L4::Tcp { .. } => frame
            .get(ip.l4_offset + 12)
            .map_or(20, |byte| usize::from(byte >> 4) * 4),
        L4::Udp { .. } => 8,
        _ => 0,
    }
}
