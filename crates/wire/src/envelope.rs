//! Ethernet, IP and UDP headers around a message that is already in its place: how the network
//! answers a guest without a second buffer.

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::{
    EmitError, Header, MacAddr,
    checksum::Sum,
    error::room,
    ethernet::{self, EtherType, EthernetRepr},
    icmpv6,
    ip::{FragmentOffset, protocol},
    ipv4::{self, Ipv4Repr},
    ipv6::{self, FlowLabel, Ipv6Repr},
    octets::put_u16,
    options::HeaderOptions,
    udp::{self, UdpRepr},
};

/// Where the payload of a UDP datagram over IPv4 begins in its frame.
pub const UDP_V4_PAYLOAD_AT: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN + udp::HEADER_LEN;
/// Where the payload of a UDP datagram over IPv6 begins in its frame.
pub const UDP_V6_PAYLOAD_AT: usize = ethernet::HEADER_LEN + ipv6::HEADER_LEN + udp::HEADER_LEN;
/// Where an ICMPv6 message begins in its frame.
pub const ICMPV6_AT: usize = ethernet::HEADER_LEN + ipv6::HEADER_LEN;

/// Hops a datagram may travel.
const HOP_LIMIT: u8 = 64;

/// From whom a frame is and for whom, with IP addresses of type `A`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends<A> {
    /// Ethernet source.
    pub src_mac: MacAddr,
    /// Ethernet destination.
    pub dst_mac: MacAddr,
    /// IP source.
    pub src: A,
    /// IP destination.
    pub dst: A,
}

impl<A> Ends<A> {
    fn ethernet(&self, ethertype: EtherType) -> EthernetRepr {
        EthernetRepr {
            dst: self.dst_mac,
            src: self.src_mac,
            ethertype,
        }
    }
}

/// Makes a frame of the `payload_len` bytes that `out` has from [`UDP_V4_PAYLOAD_AT`] on: headers,
/// checksums. Ports are source and destination. Returns the frame's length.
pub fn udp_v4(
    out: &mut [u8],
    ends: &Ends<Ipv4Addr>,
    ports: (u16, u16),
    payload_len: usize,
) -> Result<usize, EmitError> {
    let udp = udp_header(ports, payload_len)?;
    let total = udp_total(Header::Ipv4, payload_len)?;
    let out = room(out, UDP_V4_PAYLOAD_AT + payload_len)?;
    let mut at = ends.ethernet(EtherType::IPV4).emit(out)?;
    let ip = Ipv4Repr {
        dscp_ecn: 0,
        // RFC 6864: a packet that is never fragmented needs no identification.
        ident: 0,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: FragmentOffset::ZERO,
        ttl: HOP_LIMIT,
        protocol: protocol::UDP,
        src: ends.src,
        dst: ends.dst,
        options: HeaderOptions::NONE,
        payload_len: total,
    };
    at += ip.emit(&mut out[at..])?;
    udp.emit(&mut out[at..])?;
    let pseudo = Sum::pseudo_v4(ends.src, ends.dst, protocol::UDP, total);
    fill(out, at, udp::CHECKSUM_AT, protocol::UDP, pseudo);
    Ok(out.len())
}

/// As [`udp_v4`] for IPv6, whose payload is at [`UDP_V6_PAYLOAD_AT`].
pub fn udp_v6(
    out: &mut [u8],
    ends: &Ends<Ipv6Addr>,
    ports: (u16, u16),
    payload_len: usize,
) -> Result<usize, EmitError> {
    let udp = udp_header(ports, payload_len)?;
    let total = udp_total(Header::Ipv6, payload_len)?;
    let out = room(out, UDP_V6_PAYLOAD_AT + payload_len)?;
    let at = v6_headers(out, ends, protocol::UDP, HOP_LIMIT, total)?;
    udp.emit(&mut out[at..])?;
    let pseudo = Sum::pseudo_v6(ends.src, ends.dst, protocol::UDP, u32::from(total));
    fill(out, at, udp::CHECKSUM_AT, protocol::UDP, pseudo);
    Ok(out.len())
}

/// Makes a frame of the ICMPv6 message of `message_len` bytes that `out` has from [`ICMPV6_AT`] on,
/// and fills its checksum. Returns the frame's length.
pub fn icmpv6(
    out: &mut [u8],
    ends: &Ends<Ipv6Addr>,
    hop_limit: u8,
    message_len: usize,
) -> Result<usize, EmitError> {
    let total = bounded(Header::Ipv6, message_len)?;
    if message_len < icmpv6::HEADER_LEN {
        let (need, have) = (icmpv6::HEADER_LEN, message_len);
        return Err(EmitError::BufferTooSmall { need, have });
    }
    let out = room(out, ICMPV6_AT + message_len)?;
    let at = v6_headers(out, ends, protocol::ICMPV6, hop_limit, total)?;
    put_u16(out, at + icmpv6::CHECKSUM_AT, 0);
    let pseudo = Sum::pseudo_v6(ends.src, ends.dst, protocol::ICMPV6, u32::from(total));
    fill(out, at, icmpv6::CHECKSUM_AT, protocol::ICMPV6, pseudo);
    Ok(out.len())
}

fn v6_headers(
    out: &mut [u8],
    ends: &Ends<Ipv6Addr>,
    next_header: u8,
    hop_limit: u8,
    payload_len: u16,
) -> Result<usize, EmitError> {
    let at = ends.ethernet(EtherType::IPV6).emit(out)?;
    let ip = Ipv6Repr {
        traffic_class: 0,
        flow_label: FlowLabel::ZERO,
        payload_len,
        next_header,
        hop_limit,
        src: ends.src,
        dst: ends.dst,
    };
    Ok(at + ip.emit(&mut out[at..])?)
}

fn udp_header((src_port, dst_port): (u16, u16), payload_len: usize) -> Result<UdpRepr, EmitError> {
    Ok(UdpRepr {
        src_port,
        dst_port,
        payload_len: bounded(Header::Udp, payload_len)?,
    })
}

/// The length of a datagram as IP sees it.
fn udp_total(header: Header, payload_len: usize) -> Result<u16, EmitError> {
    bounded(header, payload_len.saturating_add(udp::HEADER_LEN))
}

fn bounded(header: Header, len: usize) -> Result<u16, EmitError> {
    let max = usize::from(u16::MAX);
    u16::try_from(len).map_err(|_| EmitError::PayloadTooLong { header, len, max })
}

/// Writes the checksum of what begins at `at`, whose own field is zero.
fn fill(frame: &mut [u8], at: usize, field: usize, proto: u8, pseudo: Sum) {
    let checksum = pseudo.and(Sum::of(&frame[at..])).finish();
    put_u16(frame, at + field, crate::checksum::written(proto, checksum));
}

#[cfg(test)]
mod tests;
