//! Cutting a super-segment into frames that fit a link, in software.
//!
//! A guest with segmentation offload hands over one TCP segment or UDP datagram of up to 64 KiB and
//! the payload size each frame may carry. Where no device does the cutting, [`segment`] does.

use core::num::NonZeroU16;

use crate::{
    Family, Header, IpPacket, ParseError, TcpFlags,
    checksum::fill_l4,
    dissect::L4,
    ipv4, ipv6,
    octets::{put, put_u16, put_u32, u16_at, u32_at},
    tcp::{self, TcpView},
    udp::{self, UdpView},
};

/// Frames one super-segment may become: 64 KiB at the smallest MSS that Linux accepts, 48 bytes. A
/// guest that asks for more is not sending, it is attacking.
pub const SEGMENTS_MAX: usize = 1366;

/// Why a super-segment was not cut. Nothing was handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// It is neither TCP nor UDP.
    #[error("IP protocol {proto} cannot be segmented")]
    Protocol {
        /// What it is.
        proto: u8,
    },
    /// It is a fragment, so its payload is not the whole.
    #[error("fragment cannot be segmented")]
    Fragment,
    /// It opens or resets a connection, which one segment does and many cannot.
    #[error("TCP segment with flags {flags:?} cannot be segmented")]
    Flags {
        /// Its flags.
        flags: TcpFlags,
    },
    /// It would become more than [`SEGMENTS_MAX`] frames.
    #[error("super-segment becomes {count} frames, more than {max}")]
    TooManySegments {
        /// How many it would become.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// The buffer cannot hold one frame.
    #[error("scratch buffer of {have} bytes is smaller than a frame of {need}")]
    ScratchTooSmall {
        /// The largest frame.
        need: usize,
        /// The buffer's length.
        have: usize,
    },
    /// `frame` is not the frame that `packet` was found in.
    #[error(transparent)]
    Parse(#[from] ParseError),
}

/// Cuts the packet that [`crate::dissect()`] found in `frame` into frames of at most `payload_max`
/// bytes of TCP or UDP payload, and calls `each` with every one of them, in order. Returns how
/// many.
///
/// Each frame is built in `scratch`, which must hold the headers and `payload_max` bytes. Lengths,
/// sequence numbers, IPv4 identification (counting up) and checksums are right in each; FIN and PSH
/// are on the last only, CWR on the first only (RFC 3168 section 6.1.2). Padding of the frame is
/// dropped. A packet that needs no cutting comes out as one frame with its checksum filled.
pub fn segment(
    frame: &[u8],
    packet: &IpPacket,
    payload_max: NonZeroU16,
    scratch: &mut [u8],
    mut each: impl FnMut(&[u8]),
) -> Result<usize, SegmentError> {
    let template = Template::new(frame, packet)?;
    let payload_max = usize::from(payload_max.get());
    let (headers_len, payload) = (template.headers.len(), template.payload);
    let count = payload.len().div_ceil(payload_max).max(1);
    if count > SEGMENTS_MAX {
        return Err(SegmentError::TooManySegments {
            count,
            max: SEGMENTS_MAX,
        });
    }
    if count > 1 && template.flags.intersects(TcpFlags::SYN | TcpFlags::RST) {
        return Err(SegmentError::Flags {
            flags: template.flags,
        });
    }
    let (need, have) = (headers_len + payload.len().min(payload_max), scratch.len());
    if have < need {
        return Err(SegmentError::ScratchTooSmall { need, have });
    }
    for index in 0..count {
        let start = index * payload_max;
        let end = payload.len().min(start + payload_max);
        let out = &mut scratch[..headers_len + end - start];
        put(out, 0, template.headers);
        put(out, headers_len, &payload[start..end]);
        template.finish(
            out,
            Part {
                index,
                start,
                last: index + 1 == count,
            },
        )?;
        each(out);
    }
    Ok(count)
}

/// Which part of the payload a frame carries.
struct Part {
    index: usize,
    /// In bytes from the start of the payload.
    start: usize,
    last: bool,
}

struct Template<'a> {
    packet: &'a IpPacket,
    /// From Ethernet to TCP or UDP, as the guest wrote them.
    headers: &'a [u8],
    payload: &'a [u8],
    flags: TcpFlags,
}

impl<'a> Template<'a> {
    fn new(frame: &'a [u8], packet: &'a IpPacket) -> Result<Self, SegmentError> {
        if packet.fragment.is_some() {
            return Err(SegmentError::Fragment);
        }
        let (start, end) = (
            packet.l4_offset,
            packet.l3_offset.saturating_add(packet.l3_len),
        );
        let (header, l3_header_len) = match packet.family {
            Family::V4 => (Header::Ipv4, ipv4::HEADER_LEN),
            Family::V6 => (Header::Ipv6, ipv6::HEADER_LEN),
        };
        // The length field of IPv4 counts its own header, that of IPv6 does not.
        let uncounted = if packet.family == Family::V6 {
            ipv6::HEADER_LEN
        } else {
            0
        };
        let (total, have) = (packet.l3_len, usize::from(u16::MAX) + uncounted);
        if total > have {
            return Err(ParseError::TotalLengthExceedsFrame {
                header,
                total,
                have,
            }
            .into());
        }
        let smallest = packet.l3_offset.saturating_add(l3_header_len);
        let truncated = ParseError::Truncated {
            header,
            need: end,
            have: frame.len(),
        };
        let l4 = frame
            .get(start..end)
            .filter(|_| start >= smallest)
            .ok_or(truncated)?;
        let (header_len, end, flags) = match packet.l4 {
            L4::Tcp { .. } => {
                let tcp = TcpView::new(l4)?;
                (tcp.header_len(), end, tcp.flags())
            }
            L4::Udp { .. } => {
                let udp = UdpView::new(l4)?;
                (udp::HEADER_LEN, start + udp.len(), TcpFlags::default())
            }
            _ => {
                return Err(SegmentError::Protocol {
                    proto: packet.proto,
                });
            }
        };
        let (headers, payload) = frame[..end].split_at(start + header_len);
        Ok(Self {
            packet,
            headers,
            payload,
            flags,
        })
    }

    /// Makes the copied headers in `out` those of one part.
    fn finish(&self, out: &mut [u8], part: Part) -> Result<(), ParseError> {
        let packet = IpPacket {
            l3_len: out.len() - self.packet.l3_offset,
            ..*self.packet
        };
        self.finish_l3(out, &packet, &part);
        let l4 = &mut out[packet.l4_offset..];
        if matches!(packet.l4, L4::Tcp { .. }) {
            let sequence = u32_at(l4, tcp::SEQUENCE_AT).wrapping_add(low_u32(part.start));
            put_u32(l4, tcp::SEQUENCE_AT, sequence);
            let mut flags = self.flags;
            if !part.last {
                flags = flags.without(TcpFlags::FIN | TcpFlags::PSH);
            }
            if part.index > 0 {
                flags = flags.without(TcpFlags::CWR);
            }
            l4[tcp::FLAGS_AT] = flags.0;
        } else {
            let len = low_u16(l4.len());
            put_u16(l4, udp::LENGTH_AT, len);
        }
        fill_l4(out, &packet).map(drop)
    }

    fn finish_l3(&self, out: &mut [u8], packet: &IpPacket, part: &Part) {
        let (l3, l3_len) = (packet.l3_offset, packet.l3_len);
        match packet.family {
            Family::V4 => {
                put_u16(out, l3 + 2, low_u16(l3_len));
                let ident = u16_at(self.headers, l3 + 4).wrapping_add(low_u16(part.index));
                put_u16(out, l3 + 4, ident);
                ipv4::fill_header_checksum(&mut out[l3..packet.l4_offset]);
            }
            Family::V6 => put_u16(out, l3 + 4, low_u16(l3_len - ipv6::HEADER_LEN)),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a part of an IP packet has 16 bits at most"
)]
const fn low_u16(value: usize) -> u16 {
    debug_assert!(value <= 0xffff);
    value as u16
}

const fn low_u32(value: usize) -> u32 {
    low_u16(value) as u32
}

#[cfg(test)]
mod tests;
