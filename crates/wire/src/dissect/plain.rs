//! The commonest packets, read at known places.

use crate::{
    MacAddr, TcpFlags,
    ethernet::{self, EtherType},
    ip::protocol,
    ipv4, ipv6,
    octets::{array_at, u16_at},
    tcp, udp,
};

/// What a fast path needs of a packet that is as most are: TCP or UDP, whole, without IPv4 options
/// or IPv6 extension headers.
///
/// [`super::dissect`] finds the same in every frame for which [`plain`] finds this, and has the last
/// word on all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainPacket<'a> {
    /// Ethernet destination.
    pub dst: MacAddr,
    /// Ethernet source.
    pub src: MacAddr,
    /// Addresses, protocol and ports.
    pub tuple: PlainTuple<'a>,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// Differentiated services and congestion notification; the traffic class of IPv6.
    pub dscp_ecn: u8,
    /// Control bits of a TCP segment; none of a datagram.
    pub tcp_flags: TcpFlags,
    /// Bytes in the IP packet, header included.
    pub l3_len: usize,
    /// Bytes of IP and upper-layer header.
    pub headers_len: usize,
}

/// Addresses, protocol and ports, as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainTuple<'a> {
    /// The IP addresses.
    pub addresses: PlainAddresses<'a>,
    /// TCP or UDP; in a guess any protocol.
    pub proto: u8,
    /// Source and destination port.
    pub ports: [u8; 4],
}

/// Source and destination address side by side, as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainAddresses<'a> {
    /// Of IPv4.
    V4(&'a [u8; 8]),
    /// Of IPv6.
    V6(&'a [u8; 32]),
}

const MORE_FRAGMENTS_AND_OFFSET: u16 = 0x3fff;
const VERSION_4_WITHOUT_OPTIONS: u8 = 0x45;

/// Reads a frame if it is as most are. `None` says nothing about it.
#[inline(always)] // So that what the caller does not want is not built.
#[must_use]
pub fn plain(frame: &[u8]) -> Option<PlainPacket<'_>> {
    plain_head(frame, frame.len())
}

/// As [`plain`], of a frame of `frame_len` bytes of which only the first are at hand: `None` also
/// where its headers are not among them.
#[inline(always)] // So that what the caller does not want is not built.
#[must_use]
pub fn plain_head(head: &[u8], frame_len: usize) -> Option<PlainPacket<'_>> {
    let (ethernet, rest) = head.split_first_chunk::<{ ethernet::HEADER_LEN }>()?;
    let room = frame_len.checked_sub(ethernet::HEADER_LEN)?;
    let ip = match EtherType(u16_at(ethernet, 12)) {
        EtherType::IPV4 => plain_ipv4(rest, room)?,
        EtherType::IPV6 => plain_ipv6(rest, room)?,
        _ => return None,
    };
    let l4 = plain_l4(ip.proto, ip.payload, ip.payload_len)?;
    Some(PlainPacket {
        dst: MacAddr(array_at(ethernet, 0)),
        src: MacAddr(array_at(ethernet, 6)),
        tuple: PlainTuple {
            addresses: ip.addresses,
            proto: ip.proto,
            ports: l4.ports,
        },
        ttl: ip.ttl,
        dscp_ecn: ip.dscp_ecn,
        tcp_flags: l4.tcp_flags,
        l3_len: ip.header_len + ip.payload_len,
        headers_len: ip.header_len + l4.header_len,
    })
}

/// The tuple of a frame, if it is as most are, which is not found out: for looking ahead. Where
/// [`plain`] reads the frame, this is its tuple.
#[inline(always)]
#[must_use]
pub fn guess_tuple(frame: &[u8]) -> Option<PlainTuple<'_>> {
    let (ethernet, rest) = frame.split_first_chunk::<{ ethernet::HEADER_LEN }>()?;
    match EtherType(u16_at(ethernet, 12)) {
        EtherType::IPV4 => {
            let header: &[u8; ipv4::HEADER_LEN + 4] = rest.first_chunk()?;
            Some(PlainTuple {
                addresses: PlainAddresses::V4(header[12..].first_chunk()?),
                proto: header[9],
                ports: *header.last_chunk()?,
            })
        }
        EtherType::IPV6 => {
            let header: &[u8; ipv6::HEADER_LEN + 4] = rest.first_chunk()?;
            Some(PlainTuple {
                addresses: PlainAddresses::V6(header[8..].first_chunk()?),
                proto: header[6],
                ports: *header.last_chunk()?,
            })
        }
        _ => None,
    }
}

struct PlainIp<'a> {
    addresses: PlainAddresses<'a>,
    proto: u8,
    ttl: u8,
    dscp_ecn: u8,
    header_len: usize,
    /// The length that the header gives, which the frame has room for.
    payload_len: usize,
    /// What of it is at hand, with what may follow it.
    payload: &'a [u8],
}

struct PlainL4 {
    ports: [u8; 4],
    tcp_flags: TcpFlags,
    header_len: usize,
}

#[inline(always)]
fn plain_ipv4(bytes: &[u8], room: usize) -> Option<PlainIp<'_>> {
    let (header, payload) = bytes.split_first_chunk::<{ ipv4::HEADER_LEN }>()?;
    let total = usize::from(u16_at(header, 2));
    let is_plain = header[0] == VERSION_4_WITHOUT_OPTIONS
        && u16_at(header, 6) & MORE_FRAGMENTS_AND_OFFSET == 0
        && total <= room
        && checksum_holds(header);
    if !is_plain {
        return None;
    }
    Some(PlainIp {
        addresses: PlainAddresses::V4(header.last_chunk()?),
        proto: header[9],
        ttl: header[ipv4::TTL_AT],
        dscp_ecn: header[1],
        header_len: ipv4::HEADER_LEN,
        payload_len: total.checked_sub(ipv4::HEADER_LEN)?,
        payload,
    })
}

/// As [`crate::ipv4::Ipv4View::checksum_ok`], for the one length that there is here: the words of
/// all the header add up to all ones (RFC 1071).
#[inline(always)]
fn checksum_holds(header: &[u8; ipv4::HEADER_LEN]) -> bool {
    let (words, _) = header.as_chunks::<4>();
    let sum: u64 = words
        .iter()
        .map(|word| u64::from(u32::from_ne_bytes(*word)))
        .sum();
    let sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    // Only the two multiples of 0xffff that such a sum can be come to this.
    (sum & 0xffff) + (sum >> 16) == 0xffff
}

#[inline(always)]
fn plain_ipv6(bytes: &[u8], room: usize) -> Option<PlainIp<'_>> {
    let (header, payload) = bytes.split_first_chunk::<{ ipv6::HEADER_LEN }>()?;
    let payload_len = usize::from(u16_at(header, 4));
    if header[0] >> 4 != 6 || ipv6::HEADER_LEN + payload_len > room {
        return None;
    }
    Some(PlainIp {
        addresses: PlainAddresses::V6(header.last_chunk()?),
        proto: header[6],
        ttl: header[ipv6::HOP_LIMIT_AT],
        dscp_ecn: header[0] << 4 | header[1] >> 4,
        header_len: ipv6::HEADER_LEN,
        payload_len,
        payload,
    })
}

#[inline(always)]
fn plain_l4(proto: u8, bytes: &[u8], payload_len: usize) -> Option<PlainL4> {
    let (tcp_flags, header_len) = match proto {
        protocol::TCP => {
            let header: &[u8; tcp::HEADER_LEN] = bytes.first_chunk()?;
            let header_len = usize::from(header[12] >> 4) * 4;
            if header_len < tcp::HEADER_LEN || header_len > payload_len {
                return None;
            }
            (TcpFlags(header[tcp::FLAGS_AT]), header_len)
        }
        protocol::UDP => {
            let header: &[u8; udp::HEADER_LEN] = bytes.first_chunk()?;
            let len = usize::from(u16_at(header, udp::LENGTH_AT));
            if len < udp::HEADER_LEN || len > payload_len {
                return None;
            }
            (TcpFlags::default(), udp::HEADER_LEN)
        }
        _ => return None,
    };
    Some(PlainL4 {
        ports: *bytes.first_chunk()?,
        tcp_flags,
        header_len,
    })
}

#[cfg(test)]
mod tests;
