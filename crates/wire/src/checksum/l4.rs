//! TCP, UDP, ICMP and SCTP checksums inside a frame.

use core::{
    net::{Ipv4Addr, Ipv6Addr},
    ops::Range,
};

use super::{Sum, crc32c};
use crate::{
    Family, Header, IpPacket, ParseError, icmpv4, icmpv6,
    ip::protocol,
    octets::{array_at, put_u16, u16_at},
    tcp, udp,
};

/// What an upper-layer checksum says about its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum L4Check {
    /// It matches.
    Valid,
    /// It does not.
    Invalid,
    /// There is none to check: a UDP checksum of zero, a fragment, or a protocol without checksum.
    /// In IPv6 a zero UDP checksum is legal for tunnels only (RFC 6935); that judgement is the
    /// caller's.
    Absent,
}

impl L4Check {
    fn of(matches: bool) -> L4Check {
        if matches {
            L4Check::Valid
        } else {
            L4Check::Invalid
        }
    }
}

/// Checks the TCP, UDP, ICMP or SCTP checksum of a packet that [`crate::dissect()`] found in `frame`.
///
/// The addresses are read from the frame, not from `packet`. With an IPv6 routing header that has
/// segments left, the checksum is over the final destination (RFC 8200 section 8.1) and is reported
/// as invalid.
pub fn verify_l4(frame: &[u8], packet: &IpPacket) -> Result<L4Check, ParseError> {
    if let Some(range) = crc32c::place(frame, packet) {
        return Ok(L4Check::of(crc32c::is_valid(frame, range)));
    }
    let Some(place) = Place::find(frame, packet)? else {
        return Ok(L4Check::Absent);
    };
    if packet.proto == protocol::UDP && u16_at(frame, place.field) == 0 {
        return Ok(L4Check::Absent);
    }
    let sum = place.pseudo.and(Sum::of(&frame[place.range]));
    Ok(L4Check::of(sum.finish() == 0))
}

/// Computes and writes the TCP, UDP, ICMP or SCTP checksum of a packet that [`crate::dissect()`]
/// found in `frame`. Returns `false`, having changed nothing, for a fragment or a protocol without checksum.
pub fn fill_l4(frame: &mut [u8], packet: &IpPacket) -> Result<bool, ParseError> {
    if let Some(range) = crc32c::place(frame, packet) {
        crc32c::fill(frame, range);
        return Ok(true);
    }
    let Some(place) = Place::find(frame, packet)? else {
        return Ok(false);
    };
    put_u16(frame, place.field, 0);
    let checksum = place.pseudo.and(Sum::of(&frame[place.range])).finish();
    put_u16(frame, place.field, written(packet.proto, checksum));
    Ok(true)
}

/// Writes the pseudo header's sum into the TCP or UDP checksum field, for a device to finish
/// (virtio 1.2 section 5.1.6.2). Returns `false`, having changed nothing, where [`fill_l4`] would
/// or for ICMP.
pub fn prepare_partial_l4(frame: &mut [u8], packet: &IpPacket) -> Result<bool, ParseError> {
    if !matches!(packet.proto, protocol::TCP | protocol::UDP) {
        return Ok(false);
    }
    let Some(place) = Place::find(frame, packet)? else {
        return Ok(false);
    };
    put_u16(frame, place.field, place.pseudo.folded());
    Ok(true)
}

/// UDP's zero means "none", so a computed zero travels as its equal, all ones (RFC 768).
pub(crate) const fn written(proto: u8, checksum: u16) -> u16 {
    if proto == protocol::UDP && checksum == 0 {
        0xffff
    } else {
        checksum
    }
}

struct Place {
    /// The upper-layer packet.
    range: Range<usize>,
    /// Its checksum field, inside `range`.
    field: usize,
    pseudo: Sum,
}

impl Place {
    /// `None` if there is no checksum to speak of.
    fn find(frame: &[u8], packet: &IpPacket) -> Result<Option<Self>, ParseError> {
        let (header, field_at) = match (packet.proto, packet.family) {
            (protocol::TCP, _) => (Header::Tcp, tcp::CHECKSUM_AT),
            (protocol::UDP, _) => (Header::Udp, udp::CHECKSUM_AT),
            (protocol::ICMPV4, Family::V4) => (Header::Icmpv4, icmpv4::CHECKSUM_AT),
            (protocol::ICMPV6, Family::V6) => (Header::Icmpv6, icmpv6::CHECKSUM_AT),
            _ => return Ok(None),
        };
        if packet.fragment.is_some() {
            return Ok(None);
        }
        let start = packet.l4_offset;
        let mut end = packet.l3_offset.saturating_add(packet.l3_len);
        let truncated = |need: usize| ParseError::Truncated {
            header,
            need,
            have: frame.len(),
        };
        // The IP header precedes `start`, so this also covers the addresses read below.
        let l3_header = match packet.family {
            Family::V4 => crate::ipv4::HEADER_LEN,
            Family::V6 => crate::ipv6::HEADER_LEN,
        };
        let smallest = start.max(packet.l3_offset.saturating_add(l3_header));
        let smallest = smallest.saturating_add(field_at + 2);
        if end > frame.len() || smallest > end {
            return Err(truncated(smallest.max(end)));
        }
        if packet.proto == protocol::UDP {
            let total = usize::from(u16_at(frame, start + udp::LENGTH_AT));
            if total < udp::HEADER_LEN || start + total > end {
                let have = end - start;
                return Err(ParseError::TotalLengthExceedsFrame {
                    header,
                    total,
                    have,
                });
            }
            end = start + total;
        }
        let pseudo = pseudo_of(frame, packet, end - start, header)?;
        Ok(Some(Self {
            range: start..end,
            field: start + field_at,
            pseudo,
        }))
    }
}

/// The pseudo header for `len` bytes of upper layer; none for ICMPv4.
fn pseudo_of(
    frame: &[u8],
    packet: &IpPacket,
    len: usize,
    header: Header,
) -> Result<Sum, ParseError> {
    let at = packet.l3_offset;
    let len = u16::try_from(len).map_err(|_| ParseError::TotalLengthExceedsFrame {
        header,
        total: len,
        have: usize::from(u16::MAX),
    })?;
    Ok(match packet.family {
        Family::V4 if packet.proto == protocol::ICMPV4 => Sum::default(),
        Family::V4 => {
            let (src, dst) = (array_at::<4>(frame, at + 12), array_at::<4>(frame, at + 16));
            Sum::pseudo_v4(Ipv4Addr::from(src), Ipv4Addr::from(dst), packet.proto, len)
        }
        Family::V6 => {
            let (src, dst) = (
                array_at::<16>(frame, at + 8),
                array_at::<16>(frame, at + 24),
            );
            let (src, dst) = (Ipv6Addr::from(src), Ipv6Addr::from(dst));
            Sum::pseudo_v6(src, dst, packet.proto, u32::from(len))
        }
    })
}
