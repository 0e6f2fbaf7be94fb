//! The outer headers of a tunnel, written in front of a frame where it lies.

use std::net::IpAddr;

use wire::vxlan::PushError;
use wire::{EmitError, Header};

use crate::apply::{OUTER_TTL, ecn_of};
use crate::{Encap, UnderlayLink};

/// Bytes in front of a frame into which the outer headers of any tunnel fit: Ethernet, IPv6, UDP and
/// VXLAN.
pub const HEADROOM: usize = ETHERNET + IPV6 + TUNNEL;

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const IPV6: usize = 40;
/// UDP and VXLAN.
const TUNNEL: usize = 8 + 8;
const UDP: u8 = 17;
const VXLAN_VNI_VALID: u8 = 0x08;

/// Writes the outer headers that [`encapsulate`](crate::encapsulate()) would write, in front of the
/// frame `buffer[start..]`, and says where in the buffer the packet begins: the frame is not moved.
///
/// Without a `link` the packet begins with its IP header, as a raw socket takes it.
///
/// # Errors
/// The frame is too long for a tunnel, there is no room in front of it ([`HEADROOM`] always is
/// enough), or the tunnel's ends are of different families. The buffer is then as it was.
#[inline]
pub fn push_in_place(
    encap: &Encap,
    link: Option<UnderlayLink>,
    source_port: u16,
    buffer: &mut [u8],
    start: usize,
) -> Result<usize, PushError> {
    let no_room = EmitError::BufferTooSmall {
        need: start,
        have: buffer.len(),
    };
    let (headroom, frame) = buffer.split_at_mut_checked(start).ok_or(no_room)?;
    match (encap.outer_src, encap.outer_dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let lengths = Lengths::of(frame, IPV4)?;
            let out = last_bytes::<{ IPV4 + TUNNEL }>(headroom, link)?;
            let ends = [src.octets(), dst.octets()];
            write_ipv4(out, ends, ecn_of(frame), lengths.counted);
            write_tunnel(&mut out[IPV4..], encap, source_port, lengths.udp);
            Ok(write_ethernet(headroom, IPV4, link, [0x08, 0x00]))
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let lengths = Lengths::of(frame, 0)?;
            let out = last_bytes::<{ IPV6 + TUNNEL }>(headroom, link)?;
            let ends = [src.octets(), dst.octets()];
            write_ipv6(out, ends, ecn_of(frame), lengths.udp);
            write_tunnel(&mut out[IPV6..], encap, source_port, lengths.udp);
            Ok(write_ethernet(headroom, IPV6, link, [0x86, 0xdd]))
        }
        (outer_src, outer_dst) => Err(PushError::MixedFamilies {
            outer_src,
            outer_dst,
        }),
    }
}

/// The lengths that the outer headers give.
struct Lengths {
    /// That of IP, which counts its own header or not.
    counted: u16,
    udp: u16,
}

impl Lengths {
    /// `own` is what the IP length counts of its own header.
    #[inline]
    fn of(frame: &[u8], own: usize) -> Result<Lengths, EmitError> {
        let too_long = || EmitError::PayloadTooLong {
            header: Header::Vxlan,
            len: frame.len(),
            max: usize::from(u16::MAX) - TUNNEL - own,
        };
        let length = |len: usize| u16::try_from(len).map_err(|_| too_long());
        Ok(Lengths {
            counted: length(own + TUNNEL + frame.len())?,
            udp: length(TUNNEL + frame.len())?,
        })
    }
}

/// The last bytes of the headroom, if an Ethernet header that is asked for fits before them.
#[inline]
fn last_bytes<const LEN: usize>(
    headroom: &mut [u8],
    link: Option<UnderlayLink>,
) -> Result<&mut [u8; LEN], EmitError> {
    let need = LEN + if link.is_some() { ETHERNET } else { 0 };
    let have = headroom.len();
    let too_small = EmitError::BufferTooSmall { need, have };
    let fits = have >= need;
    headroom.last_chunk_mut().filter(|_| fits).ok_or(too_small)
}

#[inline]
fn write_ipv4(out: &mut [u8; IPV4 + TUNNEL], ends: [[u8; 4]; 2], ecn: u8, total: u16) {
    let [high, low] = total.to_be_bytes();
    // Not to be fragmented, so it needs no identification (RFC 6864, 4.1).
    out[..8].copy_from_slice(&[0x45, ecn, high, low, 0, 0, 0x40, 0]);
    let sum = ipv4_checksum(ends.map(u32::from_be_bytes), ecn, total);
    let [sum_high, sum_low] = sum.to_be_bytes();
    out[8..12].copy_from_slice(&[OUTER_TTL, UDP, sum_high, sum_low]);
    out[12..16].copy_from_slice(&ends[0]);
    out[16..20].copy_from_slice(&ends[1]);
}

/// The checksum of such a header (RFC 1071), from the values that are put in: to read back what was
/// just written in other widths would make the processor wait for it.
#[inline]
fn ipv4_checksum(ends: [u32; 2], ecn: u8, total: u16) -> u16 {
    const FIXED: u32 = 0x4500 + 0x4000 + ((OUTER_TTL as u32) << 8) + UDP as u32;
    let [src, dst] = ends.map(|end| (end >> 16) + (end & 0xffff));
    let sum = FIXED + u32::from(ecn) + u32::from(total) + src + dst;
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    (!sum & 0xffff) as u16
}

#[inline]
fn write_ipv6(out: &mut [u8; IPV6 + TUNNEL], ends: [[u8; 16]; 2], ecn: u8, payload: u16) {
    let [high, low] = payload.to_be_bytes();
    out[..8].copy_from_slice(&[0x60, ecn << 4, 0, 0, high, low, UDP, OUTER_TTL]);
    out[8..24].copy_from_slice(&ends[0]);
    out[24..40].copy_from_slice(&ends[1]);
}

/// UDP without a checksum (RFC 7348, 5; RFC 6935 for IPv6), and VXLAN.
#[inline]
fn write_tunnel(out: &mut [u8], encap: &Encap, source_port: u16, len: u16) {
    let ([a, b], [c, d]) = (source_port.to_be_bytes(), encap.dst_port.to_be_bytes());
    let [len_high, len_low] = len.to_be_bytes();
    let [_, x, y, z] = encap.vni.get().to_be_bytes();
    let vxlan = VXLAN_VNI_VALID;
    out[..TUNNEL].copy_from_slice(&[
        a, b, c, d, len_high, len_low, 0, 0, vxlan, 0, 0, 0, x, y, z, 0,
    ]);
}

/// The Ethernet header, if there is to be one; where the packet begins.
#[inline]
fn write_ethernet(
    headroom: &mut [u8],
    ip: usize,
    link: Option<UnderlayLink>,
    ethertype: [u8; 2],
) -> usize {
    let start = headroom.len() - ip - TUNNEL;
    let Some(link) = link else { return start };
    let at = start - ETHERNET;
    headroom[at..at + 6].copy_from_slice(&link.dst.0);
    headroom[at + 6..at + 12].copy_from_slice(&link.src.0);
    headroom[at + 12..start].copy_from_slice(&ethertype);
    at
}

#[cfg(test)]
mod tests;
