//! IPv6 headers (RFC 8200).

mod extensions;

use core::net::Ipv6Addr;

use crate::{
    EmitError, Header, ParseError,
    error::room,
    octets::{array_at, put, put_u16, put_u32, u16_at, u32_at},
};

pub use extensions::{EXTENSIONS_MAX, Extensions, walk_extensions};

/// Bytes in the fixed header.
pub const HEADER_LEN: usize = 40;
/// Offset of the hop limit.
pub(crate) const HOP_LIMIT_AT: usize = 7;

/// A packet whose lengths hold; extension headers are a separate question.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6View<'a> {
    fixed: &'a [u8; HEADER_LEN],
    /// Ends where the payload length says, or earlier in a quoted packet.
    payload: &'a [u8],
}

impl<'a> Ipv6View<'a> {
    /// Checks version and payload length; bytes past it are padding. Jumbograms (RFC 2675) are
    /// refused further on, as packets without a payload.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let view = Self::quoted(bytes)?;
        let (total, have) = (HEADER_LEN + view.payload_len(), bytes.len());
        if total > have {
            return Err(ParseError::TotalLengthExceedsFrame {
                header: Header::Ipv6,
                total,
                have,
            });
        }
        Ok(view)
    }

    /// As [`Self::new`] for a packet quoted in an ICMP error, which may end before its payload
    /// does.
    #[inline]
    pub fn quoted(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let header = Header::Ipv6;
        let (fixed, rest): (&[u8; HEADER_LEN], _) =
            bytes.split_first_chunk().ok_or(ParseError::Truncated {
                header,
                need: HEADER_LEN,
                have: bytes.len(),
            })?;
        let found = fixed[0] >> 4;
        if found != 6 {
            return Err(ParseError::BadVersion { header, found });
        }
        let payload_len = usize::from(u16_at(fixed, 4));
        Ok(Self {
            fixed,
            payload: &rest[..payload_len.min(rest.len())],
        })
    }

    /// Traffic class: differentiated services and congestion notification.
    #[inline]
    #[must_use]
    pub fn traffic_class(&self) -> u8 {
        self.fixed[0] << 4 | self.fixed[1] >> 4
    }

    /// Flow label.
    #[must_use]
    pub fn flow_label(&self) -> FlowLabel {
        FlowLabel(u32_at(self.fixed, 0) & FlowLabel::MASK)
    }

    /// Bytes that follow the fixed header, extension headers included.
    #[inline]
    #[must_use]
    pub fn payload_len(&self) -> usize {
        usize::from(u16_at(self.fixed, 4))
    }

    /// Number of the first header after this one.
    #[inline]
    #[must_use]
    pub fn next_header(&self) -> u8 {
        self.fixed[6]
    }

    /// Hop limit.
    #[inline]
    #[must_use]
    pub fn hop_limit(&self) -> u8 {
        self.fixed[HOP_LIMIT_AT]
    }

    /// Source address.
    #[inline]
    #[must_use]
    pub fn src(&self) -> Ipv6Addr {
        array_at::<16>(self.fixed, 8).into()
    }

    /// Destination address.
    #[inline]
    #[must_use]
    pub fn dst(&self) -> Ipv6Addr {
        array_at::<16>(self.fixed, 24).into()
    }

    /// What follows the fixed header, up to the payload length.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// A flow label: 20 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowLabel(u32);

impl FlowLabel {
    /// No label.
    pub const ZERO: Self = Self(0);
    const MASK: u32 = 0x000f_ffff;

    /// `None` if `value` needs more than 20 bits.
    #[must_use]
    pub const fn new(value: u32) -> Option<Self> {
        if value <= Self::MASK {
            Some(Self(value))
        } else {
            None
        }
    }

    /// The label's value.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// A fixed IPv6 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Repr {
    /// Traffic class: differentiated services and congestion notification.
    pub traffic_class: u8,
    /// Flow label.
    pub flow_label: FlowLabel,
    /// Bytes that follow, extension headers included.
    pub payload_len: u16,
    /// Number of the first header after this one.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source address.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
}

impl Ipv6Repr {
    /// Reads a view; every value is legal.
    #[must_use]
    pub fn parse(view: Ipv6View<'_>) -> Self {
        Self {
            traffic_class: view.traffic_class(),
            flow_label: view.flow_label(),
            payload_len: u16_at(view.fixed, 4),
            next_header: view.next_header(),
            hop_limit: view.hop_limit(),
            src: view.src(),
            dst: view.dst(),
        }
    }

    /// Bytes [`Self::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header at the start of `out` and returns its length.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let out = room(out, HEADER_LEN)?;
        let first = 6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label.get();
        put_u32(out, 0, first);
        put_u16(out, 4, self.payload_len);
        out[6] = self.next_header;
        out[HOP_LIMIT_AT] = self.hop_limit;
        put(out, 8, &self.src.octets());
        put(out, 24, &self.dst.octets());
        Ok(HEADER_LEN)
    }
}
