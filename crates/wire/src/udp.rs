//! UDP headers (RFC 768).

use crate::{
    EmitError, Header, ParseError,
    error::room,
    octets::{put_u16, u16_at},
};

/// Bytes in the header.
pub const HEADER_LEN: usize = 8;
/// Offset of the length.
pub(crate) const LENGTH_AT: usize = 4;
/// Offset of the checksum.
pub const CHECKSUM_AT: usize = 6;

/// A datagram whose length holds.
#[derive(Clone, Copy, Debug)]
pub struct UdpView<'a> {
    fixed: &'a [u8; HEADER_LEN],
    payload: &'a [u8],
}

impl<'a> UdpView<'a> {
    /// Checks the length; bytes past it are no part of the datagram.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let view = Self::of_first_fragment(bytes)?;
        let (total, have) = (view.len(), bytes.len());
        if total > have {
            return Err(ParseError::TotalLengthExceedsFrame {
                header: Header::Udp,
                total,
                have,
            });
        }
        Ok(view)
    }

    /// As [`Self::new`] for the first fragment of a datagram, which ends before the datagram does.
    #[inline]
    pub fn of_first_fragment(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let header = Header::Udp;
        let (fixed, rest): (&[u8; HEADER_LEN], _) =
            bytes.split_first_chunk().ok_or(ParseError::Truncated {
                header,
                need: HEADER_LEN,
                have: bytes.len(),
            })?;
        let total = usize::from(u16_at(fixed, LENGTH_AT));
        let payload_len =
            total
                .checked_sub(HEADER_LEN)
                .ok_or(ParseError::TotalLengthBelowHeader {
                    header,
                    total,
                    need: HEADER_LEN,
                })?;
        Ok(Self {
            fixed,
            payload: &rest[..payload_len.min(rest.len())],
        })
    }

    /// Source port.
    #[inline]
    #[must_use]
    pub fn src_port(&self) -> u16 {
        u16_at(self.fixed, 0)
    }

    /// Destination port.
    #[inline]
    #[must_use]
    pub fn dst_port(&self) -> u16 {
        u16_at(self.fixed, 2)
    }

    /// Bytes in the datagram, header included; at least eight.
    #[inline]
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a datagram is never empty: it has a header"
    )]
    pub fn len(&self) -> usize {
        usize::from(u16_at(self.fixed, LENGTH_AT))
    }

    /// Checksum as found; zero if the sender computed none.
    #[must_use]
    pub fn checksum(&self) -> u16 {
        u16_at(self.fixed, CHECKSUM_AT)
    }

    /// What follows the header.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// A UDP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpRepr {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Bytes that follow the header.
    pub payload_len: u16,
}

impl UdpRepr {
    /// Reads a view. The checksum covers more than the header: see [`crate::checksum::verify_l4`].
    #[must_use]
    pub fn parse(view: UdpView<'_>) -> Self {
        let payload_len = u16_at(view.fixed, LENGTH_AT) - 8;
        Self {
            src_port: view.src_port(),
            dst_port: view.dst_port(),
            payload_len,
        }
    }

    /// Bytes [`Self::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header at the start of `out` and returns its length. The checksum is zero, which
    /// is "none" in IPv4, until [`crate::checksum::fill_l4`] has seen the payload.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let total = self
            .payload_len
            .checked_add(8)
            .ok_or(EmitError::PayloadTooLong {
                header: Header::Udp,
                len: usize::from(self.payload_len),
                max: usize::from(u16::MAX) - HEADER_LEN,
            })?;
        let out = room(out, HEADER_LEN)?;
        put_u16(out, 0, self.src_port);
        put_u16(out, 2, self.dst_port);
        put_u16(out, LENGTH_AT, total);
        put_u16(out, CHECKSUM_AT, 0);
        Ok(HEADER_LEN)
    }
}
