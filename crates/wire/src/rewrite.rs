//! Edits of a frame in place, at the offsets a [`crate::Dissection`] gives.

use crate::{
    EmitError, Family, IpPacket, MacAddr, checksum,
    error::room,
    ethernet, ipv4, ipv6,
    octets::{put, put_u16, u16_at},
};

/// Sets the destination address.
#[inline]
pub fn set_eth_dst(frame: &mut [u8], dst: MacAddr) -> Result<(), EmitError> {
    put(room(frame, ethernet::HEADER_LEN)?, 0, &dst.0);
    Ok(())
}

/// Sets the source address.
#[inline]
pub fn set_eth_src(frame: &mut [u8], src: MacAddr) -> Result<(), EmitError> {
    put(room(frame, ethernet::HEADER_LEN)?, 6, &src.0);
    Ok(())
}

/// Takes one hop off the time to live or hop limit and returns what is left.
///
/// The IPv4 header checksum is updated, not recomputed, so an error in it stays visible (RFC 1624).
/// `None`, with the frame as it was, if nothing would be left, or if `frame` is not the one that
/// `packet` was found in and too short for its header.
#[inline]
#[must_use]
pub fn decrement_ttl(frame: &mut [u8], packet: &IpPacket) -> Option<u8> {
    let header = frame.get_mut(packet.l3_offset..)?;
    match packet.family {
        Family::V4 => {
            let header: &mut [u8; ipv4::HEADER_LEN] = header.first_chunk_mut()?;
            let left = header[ipv4::TTL_AT]
                .checked_sub(1)
                .filter(|&left| left > 0)?;
            let old = u16_at(header, ipv4::TTL_AT);
            header[ipv4::TTL_AT] = left;
            let new = u16_at(header, ipv4::TTL_AT);
            let checksum = u16_at(header, ipv4::CHECKSUM_AT);
            put_u16(
                header,
                ipv4::CHECKSUM_AT,
                checksum::update_u16(checksum, old, new),
            );
            Some(left)
        }
        Family::V6 => {
            let header: &mut [u8; ipv6::HEADER_LEN] = header.first_chunk_mut()?;
            let left = header[ipv6::HOP_LIMIT_AT]
                .checked_sub(1)
                .filter(|&left| left > 0)?;
            header[ipv6::HOP_LIMIT_AT] = left;
            Some(left)
        }
    }
}

#[cfg(test)]
mod tests;
