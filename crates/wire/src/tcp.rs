//! TCP headers (RFC 9293).

use core::{fmt, ops};

use crate::{
    EmitError, Header, ParseError,
    error::room,
    octets::{put, put_u16, put_u32, u16_at, u32_at},
    options::HeaderOptions,
};

/// Bytes in a header without options.
pub const HEADER_LEN: usize = 20;
/// Offset of the sequence number.
pub(crate) const SEQUENCE_AT: usize = 4;
/// Offset of the flags.
pub(crate) const FLAGS_AT: usize = 13;
/// Offset of the checksum.
pub const CHECKSUM_AT: usize = 16;

/// The control bits of a segment.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement number is valid.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer is valid.
    pub const URG: Self = Self(0x20);
    /// Congestion was notified (RFC 3168).
    pub const ECE: Self = Self(0x40);
    /// The congestion window was reduced (RFC 3168).
    pub const CWR: Self = Self(0x80);

    /// All bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Any bit of `other` is set.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the segment opens a connection: SYN without ACK.
    #[must_use]
    pub const fn opens(self) -> bool {
        self.contains(Self::SYN) && !self.contains(Self::ACK)
    }

    /// `self` without the bits of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl ops::BitOr for TcpFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for TcpFlags {
    /// One letter a bit, as tcpdump orders them, `-` for none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = ['F', 'S', 'R', 'P', '.', 'U', 'E', 'W'];
        if self.0 == 0 {
            return f.write_str("-");
        }
        let set = |&(bit, _): &(usize, &char)| self.0 >> bit & 1 != 0;
        letters
            .iter()
            .enumerate()
            .filter(set)
            .try_for_each(|(_, letter)| write!(f, "{letter}"))
    }
}

/// A segment whose header is whole.
#[derive(Clone, Copy, Debug)]
pub struct TcpView<'a> {
    fixed: &'a [u8; HEADER_LEN],
    bytes: &'a [u8],
}

impl<'a> TcpView<'a> {
    /// Checks the data offset.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let header = Header::Tcp;
        let have = bytes.len();
        let truncated = |need| ParseError::Truncated { header, need, have };
        let fixed: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(truncated(HEADER_LEN))?;
        let view = Self { fixed, bytes };
        let found = view.header_len();
        if found < HEADER_LEN {
            return Err(ParseError::BadHeaderLength { header, found });
        }
        if found > have {
            return Err(truncated(found));
        }
        Ok(view)
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

    /// Sequence number.
    #[must_use]
    pub fn sequence(&self) -> u32 {
        u32_at(self.fixed, SEQUENCE_AT)
    }

    /// Acknowledgement number.
    #[must_use]
    pub fn acknowledgement(&self) -> u32 {
        u32_at(self.fixed, 8)
    }

    /// Bytes in the header, options included.
    #[inline]
    #[must_use]
    pub fn header_len(&self) -> usize {
        usize::from(self.fixed[12] >> 4) * 4
    }

    /// Control bits.
    #[inline]
    #[must_use]
    pub fn flags(&self) -> TcpFlags {
        TcpFlags(self.fixed[FLAGS_AT])
    }

    /// Window, unscaled.
    #[must_use]
    pub fn window(&self) -> u16 {
        u16_at(self.fixed, 14)
    }

    /// Checksum as found.
    #[must_use]
    pub fn checksum(&self) -> u16 {
        u16_at(self.fixed, CHECKSUM_AT)
    }

    /// Urgent pointer.
    #[must_use]
    pub fn urgent(&self) -> u16 {
        u16_at(self.fixed, 18)
    }

    /// Options, raw.
    #[must_use]
    pub fn options(&self) -> &'a [u8] {
        &self.bytes[HEADER_LEN..self.header_len()]
    }

    /// What follows the header.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[self.header_len()..]
    }
}

/// A TCP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpRepr {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// Control bits.
    pub flags: TcpFlags,
    /// Window, unscaled.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Options, raw.
    pub options: HeaderOptions,
}

impl TcpRepr {
    /// Reads a view. The checksum covers more than the header: see [`crate::checksum::verify_l4`].
    pub fn parse(view: TcpView<'_>) -> Result<Self, ParseError> {
        let bad = ParseError::BadHeaderLength {
            header: Header::Tcp,
            found: view.header_len(),
        };
        Ok(Self {
            src_port: view.src_port(),
            dst_port: view.dst_port(),
            sequence: view.sequence(),
            acknowledgement: view.acknowledgement(),
            flags: view.flags(),
            window: view.window(),
            urgent: view.urgent(),
            options: HeaderOptions::new(view.options()).ok_or(bad)?,
        })
    }

    /// Bytes [`Self::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN + self.options.len()
    }

    /// Writes the header at the start of `out` and returns its length. The checksum is zero until
    /// [`crate::checksum::fill_l4`] has seen the payload.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let header_len = self.buffer_len();
        let out = room(out, header_len)?;
        put_u16(out, 0, self.src_port);
        put_u16(out, 2, self.dst_port);
        put_u32(out, SEQUENCE_AT, self.sequence);
        put_u32(out, 8, self.acknowledgement);
        out[12] = self.options.header_words() << 4;
        out[FLAGS_AT] = self.flags.0;
        put_u16(out, 14, self.window);
        put_u16(out, CHECKSUM_AT, 0);
        put_u16(out, 18, self.urgent);
        put(out, HEADER_LEN, self.options.as_bytes());
        Ok(header_len)
    }
}
