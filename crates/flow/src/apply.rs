use thiserror::Error;
use wire::vxlan::{PushError, VxlanEncap, push_vxlan, push_vxlan_ip};
use wire::{MacAddr, checksum};

use crate::{DropReason, Encap, Family, FlowKey, Transposition};

/// Why a frame was not rewritten. It is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ApplyError {
    /// Time to live or hop limit would reach zero.
    #[error("time to live expired")]
    TtlExpired,
    /// The frame ends before the header that the offset promises.
    #[error("frame too short for its headers")]
    Truncated,
    /// The transposition is a drop: there is nothing to rewrite for.
    #[error("flow dropped: {0}")]
    Dropped(DropReason),
}

impl From<ApplyError> for DropReason {
    fn from(error: ApplyError) -> DropReason {
        match error {
            ApplyError::TtlExpired => DropReason::TtlExpired,
            ApplyError::Truncated => DropReason::Malformed,
            ApplyError::Dropped(reason) => reason,
        }
    }
}

/// The addresses of the Ethernet destination and source.
const MACS_LEN: usize = 12;
const IPV4_LEN: usize = 20;
const IPV4_TTL: usize = 8;
const IPV4_CHECKSUM: usize = 10;
const IPV6_LEN: usize = 40;
const IPV6_HOP_LIMIT: usize = 7;

/// Rewrites a frame in place as its flow says: Ethernet addresses, and where the transposition asks
/// for it one hop less. `l3_offset` is where the IP header of that family begins.
///
/// The frame has the bytes the receiver gets, or after an error those it had.
#[inline]
pub fn apply(
    transposition: &Transposition,
    frame: &mut [u8],
    l3_offset: usize,
    family: Family,
) -> Result<(), ApplyError> {
    if let Some(reason) = transposition.drop_reason() {
        return Err(ApplyError::Dropped(reason));
    }
    if frame.len() < MACS_LEN || l3_offset < MACS_LEN {
        return Err(ApplyError::Truncated);
    }
    if transposition.decrement_ttl {
        take_hop(frame, l3_offset, family)?;
    }
    frame[..6].copy_from_slice(&transposition.eth_dst.0);
    frame[6..MACS_LEN].copy_from_slice(&transposition.eth_src.0);
    Ok(())
}

/// The Ethernet addresses of the underlay: this host's, and those of the next hop to the tunnel's
/// other end. Who owns the uplink knows them; a flow does not, and outlives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnderlayLink {
    /// The uplink's address.
    pub src: MacAddr,
    /// The next hop's address.
    pub dst: MacAddr,
}

/// The outer TTL or hop limit (SEMANTICS D3).
pub(crate) const OUTER_TTL: u8 = 64;

/// Writes the outer headers and `frame` behind them to `out`, and returns the length of both.
///
/// The outer packet is not to be fragmented, has TTL 64 and no DSCP (SEMANTICS D3), and the inner
/// packet's ECN field (RFC 6040, 4.1); nothing else of the inner header shows in it but what
/// `source_port` gives away ([`outer_source_port`]).
pub fn encapsulate(
    encap: &Encap,
    link: UnderlayLink,
    source_port: u16,
    frame: &[u8],
    out: &mut [u8],
) -> Result<usize, PushError> {
    push_vxlan(frame, &outer(encap, link, source_port, frame), out)
}

/// As [`encapsulate`], without the outer Ethernet header: the IP packet that a raw socket takes.
/// The kernel's routes and neighbours then say what stands before it.
pub fn encapsulate_ip(
    encap: &Encap,
    source_port: u16,
    frame: &[u8],
    out: &mut [u8],
) -> Result<usize, PushError> {
    let nowhere = UnderlayLink {
        src: MacAddr([0; 6]),
        dst: MacAddr([0; 6]),
    };
    push_vxlan_ip(frame, &outer(encap, nowhere, source_port, frame), out)
}

fn outer(encap: &Encap, link: UnderlayLink, source_port: u16, frame: &[u8]) -> VxlanEncap {
    VxlanEncap {
        outer_src_mac: link.src,
        outer_dst_mac: link.dst,
        outer_src: encap.outer_src,
        outer_dst: encap.outer_dst,
        vni: encap.vni,
        src_port: source_port,
        dst_port: encap.dst_port,
        dscp_ecn: ecn_of(frame),
        ttl: OUTER_TTL,
        // What is not to be fragmented needs no identification (RFC 6864, 4.1).
        ip_id: 0,
        dont_fragment: true,
    }
}

/// The outer UDP source port of a flow: the same for all its packets, in the dynamic range 49152 to
/// 65535, and spread over it so that the underlay's load balancing has something to go by (RFC
/// 7348, section 5).
#[inline]
pub fn outer_source_port(key: &FlowKey) -> u16 {
    const FIRST: u16 = 49_152;
    let [a, b, .., c, d] = key.entropy().to_be_bytes();
    FIRST | u16::from_be_bytes([a, b]) ^ u16::from_be_bytes([c, d])
}

/// The ECN field of an Ethernet frame's IP header; zero, which is not ECN-capable, of any other
/// frame.
#[inline]
pub(crate) fn ecn_of(frame: &[u8]) -> u8 {
    const ECN: u8 = 0b11;
    match frame.get(12..16) {
        Some(&[0x08, 0x00, _, class]) => class & ECN,
        // The traffic class lies across two bytes (RFC 8200, 3).
        Some(&[0x86, 0xdd, _, class]) => class >> 4 & ECN,
        _ => 0,
    }
}

/// One hop less.
#[inline]
pub(crate) fn take_hop(
    frame: &mut [u8],
    l3_offset: usize,
    family: Family,
) -> Result<(), ApplyError> {
    let header = frame.get_mut(l3_offset..).ok_or(ApplyError::Truncated)?;
    match family {
        Family::V4 => decrement_ttl(header),
        Family::V6 => decrement_hop_limit(header),
    }
}

fn decrement_ttl(header: &mut [u8]) -> Result<(), ApplyError> {
    let header: &mut [u8; IPV4_LEN] = header.first_chunk_mut().ok_or(ApplyError::Truncated)?;
    let (ttl, protocol) = (header[IPV4_TTL], header[IPV4_TTL + 1]);
    if ttl <= 1 {
        return Err(ApplyError::TtlExpired);
    }
    let old = u16::from_be_bytes([ttl, protocol]);
    let new = u16::from_be_bytes([ttl - 1, protocol]);
    let sum = u16::from_be_bytes([header[IPV4_CHECKSUM], header[IPV4_CHECKSUM + 1]]);
    let sum = checksum::update_u16(sum, old, new).to_be_bytes();
    header[IPV4_TTL] = ttl - 1;
    header[IPV4_CHECKSUM..IPV4_CHECKSUM + 2].copy_from_slice(&sum);
    Ok(())
}

fn decrement_hop_limit(header: &mut [u8]) -> Result<(), ApplyError> {
    let header: &mut [u8; IPV6_LEN] = header.first_chunk_mut().ok_or(ApplyError::Truncated)?;
    if header[IPV6_HOP_LIMIT] <= 1 {
        return Err(ApplyError::TtlExpired);
    }
    header[IPV6_HOP_LIMIT] -= 1;
    Ok(())
}

#[cfg(test)]
mod tests;
