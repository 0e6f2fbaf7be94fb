//! IPv4 headers (RFC 791).

use core::net::Ipv4Addr;

use crate::{
    EmitError, Header, ParseError,
    checksum::Sum,
    error::room,
    ip::{Fragment, FragmentOffset},
    octets::{array_at, put, put_u16, u16_at},
    options::HeaderOptions,
};

/// Bytes in a header without options.
pub const HEADER_LEN: usize = 20;
/// Offset of the time to live.
pub(crate) const TTL_AT: usize = 8;
/// Offset of the header checksum.
pub(crate) const CHECKSUM_AT: usize = 10;

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;

/// An IPv4 packet whose lengths hold; the checksum is a separate question.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4View<'a> {
    fixed: &'a [u8; HEADER_LEN],
    /// Ends where the total length says, or earlier in a quoted packet.
    bytes: &'a [u8],
}

impl<'a> Ipv4View<'a> {
    /// Checks version, header length and total length; bytes past the total length are padding.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let view = Self::quoted(bytes)?;
        let (total, have) = (view.total_len(), bytes.len());
        if total > have {
            return Err(ParseError::TotalLengthExceedsFrame {
                header: Header::Ipv4,
                total,
                have,
            });
        }
        Ok(view)
    }

    /// As [`Self::new`] for a packet quoted in an ICMP error, which may end before its total
    /// length.
    #[inline]
    pub fn quoted(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let header = Header::Ipv4;
        let have = bytes.len();
        let truncated = |need| ParseError::Truncated { header, need, have };
        let fixed: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(truncated(HEADER_LEN))?;
        let view = Self { fixed, bytes };
        let (found, header_len, total) = (fixed[0] >> 4, view.header_len(), view.total_len());
        if found != 4 {
            return Err(ParseError::BadVersion { header, found });
        }
        if header_len < HEADER_LEN {
            return Err(ParseError::BadHeaderLength {
                header,
                found: header_len,
            });
        }
        if header_len > have {
            return Err(truncated(header_len));
        }
        if total < header_len {
            return Err(ParseError::TotalLengthBelowHeader {
                header,
                total,
                need: header_len,
            });
        }
        Ok(Self {
            fixed,
            bytes: &bytes[..total.min(have)],
        })
    }

    /// Bytes in the header, options included.
    #[inline]
    #[must_use]
    pub fn header_len(&self) -> usize {
        usize::from(self.fixed[0] & 0x0f) * 4
    }

    /// Differentiated services and congestion notification, as one byte.
    #[inline]
    #[must_use]
    pub fn dscp_ecn(&self) -> u8 {
        self.fixed[1]
    }

    /// Bytes in the packet, header included.
    #[inline]
    #[must_use]
    pub fn total_len(&self) -> usize {
        usize::from(u16_at(self.fixed, 2))
    }

    /// Identification.
    #[inline]
    #[must_use]
    pub fn ident(&self) -> u16 {
        u16_at(self.fixed, 4)
    }

    /// Routers may not fragment this packet.
    #[inline]
    #[must_use]
    pub fn dont_fragment(&self) -> bool {
        u16_at(self.fixed, 6) & DONT_FRAGMENT != 0
    }

    /// Further fragments follow.
    #[inline]
    #[must_use]
    pub fn more_fragments(&self) -> bool {
        u16_at(self.fixed, 6) & MORE_FRAGMENTS != 0
    }

    /// Where this fragment begins.
    #[inline]
    #[must_use]
    pub fn fragment_offset(&self) -> FragmentOffset {
        FragmentOffset::from_units(u16_at(self.fixed, 6))
    }

    /// The packet's place in its datagram; `None` if it is the whole.
    #[inline]
    #[must_use]
    pub fn fragment(&self) -> Option<Fragment> {
        let (offset, more) = (self.fragment_offset().bytes(), self.more_fragments());
        (offset != 0 || more).then(|| Fragment {
            id: u32::from(self.ident()),
            offset,
            more,
        })
    }

    /// Time to live.
    #[inline]
    #[must_use]
    pub fn ttl(&self) -> u8 {
        self.fixed[TTL_AT]
    }

    /// Upper-layer protocol number.
    #[inline]
    #[must_use]
    pub fn protocol(&self) -> u8 {
        self.fixed[9]
    }

    /// The header's checksum matches.
    #[inline]
    #[must_use]
    pub fn checksum_ok(&self) -> bool {
        Sum::of(&self.bytes[..self.header_len()]).finish() == 0
    }

    /// Source address.
    #[inline]
    #[must_use]
    pub fn src(&self) -> Ipv4Addr {
        array_at::<4>(self.fixed, 12).into()
    }

    /// Destination address.
    #[inline]
    #[must_use]
    pub fn dst(&self) -> Ipv4Addr {
        array_at::<4>(self.fixed, 16).into()
    }

    /// Options, raw.
    #[must_use]
    pub fn options(&self) -> &'a [u8] {
        &self.bytes[HEADER_LEN..self.header_len()]
    }

    /// What follows the header up to the total length.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[self.header_len()..]
    }
}

/// An IPv4 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Repr {
    /// Differentiated services and congestion notification, as one byte.
    pub dscp_ecn: u8,
    /// Identification.
    pub ident: u16,
    /// Routers may not fragment this packet.
    pub dont_fragment: bool,
    /// Further fragments follow.
    pub more_fragments: bool,
    /// Where this fragment begins.
    pub fragment_offset: FragmentOffset,
    /// Time to live.
    pub ttl: u8,
    /// Upper-layer protocol number.
    pub protocol: u8,
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// Options, raw.
    pub options: HeaderOptions,
    /// Bytes that follow the header.
    pub payload_len: u16,
}

impl Ipv4Repr {
    /// Reads a view and checks the header's checksum.
    pub fn parse(view: Ipv4View<'_>) -> Result<Self, ParseError> {
        let header = Header::Ipv4;
        if !view.checksum_ok() {
            return Err(ParseError::BadChecksum { header });
        }
        let bad_length = ParseError::BadHeaderLength {
            header,
            found: view.header_len(),
        };
        let payload_len = view.total_len() - view.header_len();
        Ok(Self {
            dscp_ecn: view.dscp_ecn(),
            ident: view.ident(),
            dont_fragment: view.dont_fragment(),
            more_fragments: view.more_fragments(),
            fragment_offset: view.fragment_offset(),
            ttl: view.ttl(),
            protocol: view.protocol(),
            src: view.src(),
            dst: view.dst(),
            options: HeaderOptions::new(view.options()).ok_or(bad_length)?,
            payload_len: u16::try_from(payload_len).map_err(|_| bad_length)?,
        })
    }

    /// Bytes [`Self::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN + self.options.len()
    }

    /// Writes the header, its checksum filled, at the start of `out` and returns its length.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let header_len = self.buffer_len();
        let payload_len = usize::from(self.payload_len);
        let total_len = u16::try_from(header_len + payload_len).map_err(|_| {
            let max = usize::from(u16::MAX) - header_len;
            EmitError::PayloadTooLong {
                header: Header::Ipv4,
                len: payload_len,
                max,
            }
        })?;
        let out = room(out, header_len)?;
        out[0] = 0x40 | self.options.header_words();
        out[1] = self.dscp_ecn;
        put_u16(out, 2, total_len);
        put_u16(out, 4, self.ident);
        let dont = if self.dont_fragment { DONT_FRAGMENT } else { 0 };
        let more = if self.more_fragments {
            MORE_FRAGMENTS
        } else {
            0
        };
        put_u16(out, 6, dont | more | self.fragment_offset.units());
        out[TTL_AT] = self.ttl;
        out[9] = self.protocol;
        put(out, 12, &self.src.octets());
        put(out, 16, &self.dst.octets());
        put(out, HEADER_LEN, self.options.as_bytes());
        fill_header_checksum(out);
        Ok(header_len)
    }
}

/// Computes the checksum of exactly one header.
pub(crate) fn fill_header_checksum(header: &mut [u8]) {
    put_u16(header, CHECKSUM_AT, 0);
    let checksum = Sum::of(header).finish();
    put_u16(header, CHECKSUM_AT, checksum);
}
