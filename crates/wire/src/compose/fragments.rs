//! Fragmentation, as a sender's IP layer would do it.

use crate::{
    Family, IpPacket, Kind, dissect,
    ip::protocol,
    ipv4, ipv6,
    octets::{put_u16, u16_at},
};

/// The fragments of `frame`, each carrying at most `payload_max` bytes of the IP payload, rounded
/// down to a multiple of eight. `ident` is the datagram's identification; IPv4 uses the lower 16
/// bits.
///
/// # Panics
/// If `frame` is no whole IP packet without options or extension headers, or `payload_max` is below
/// eight.
#[must_use]
pub fn fragments(frame: &[u8], ident: u32, payload_max: u16) -> Vec<Vec<u8>> {
    let Ok(Kind::Ip(packet)) = dissect(frame).map(|dissection| dissection.kind) else {
        panic!("frame is no IP packet");
    };
    assert!(packet.fragment.is_none(), "frame is a fragment already");
    assert!(
        !packet.options_or_extensions,
        "frame has options or extension headers"
    );
    assert!(
        payload_max >= 8,
        "a fragment cannot carry fewer than eight bytes"
    );
    let step = payload_max & !7;
    let (headers, payload) = frame[..packet.l3_offset + packet.l3_len].split_at(packet.l4_offset);
    let chunks = payload.chunks(usize::from(step));
    let last = chunks.len().saturating_sub(1);
    let offsets = (0u16..).map(|index| index.wrapping_mul(step));
    chunks
        .zip(offsets)
        .enumerate()
        .map(|(index, (chunk, offset))| {
            let part = Part {
                ident,
                offset,
                more: index < last,
            };
            let mut out = headers.to_vec();
            part.finish_headers(&mut out, &packet, chunk.len());
            out.extend_from_slice(chunk);
            out
        })
        .collect()
}

struct Part {
    ident: u32,
    /// In bytes; a multiple of eight.
    offset: u16,
    more: bool,
}

impl Part {
    fn finish_headers(&self, out: &mut Vec<u8>, packet: &IpPacket, payload_len: usize) {
        let l3 = packet.l3_offset;
        let len = |extra: usize| u16::try_from(payload_len + extra).expect("part of an IP packet");
        match packet.family {
            Family::V4 => {
                put_u16(out, l3 + 2, len(ipv4::HEADER_LEN));
                put_u16(out, l3 + 4, u16_at(&self.ident.to_be_bytes(), 2));
                put_u16(
                    out,
                    l3 + 6,
                    (u16::from(self.more) << 13) | (self.offset >> 3),
                );
                ipv4::fill_header_checksum(&mut out[l3..]);
            }
            Family::V6 => {
                put_u16(out, l3 + 4, len(8));
                let next_header = core::mem::replace(&mut out[l3 + 6], protocol::FRAGMENT);
                debug_assert_eq!(out.len(), l3 + ipv6::HEADER_LEN);
                out.extend_from_slice(&[next_header, 0]);
                out.extend_from_slice(&(self.offset | u16::from(self.more)).to_be_bytes());
                out.extend_from_slice(&self.ident.to_be_bytes());
            }
        }
    }
}
