//! What IPv4 and IPv6 have in common.

use crate::ParseError;

/// Upper-layer protocol and extension header numbers (IANA "Protocol Numbers").
pub mod protocol {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP for IPv4.
    pub const ICMPV4: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 routing header.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header.
    pub const FRAGMENT: u8 = 44;
    /// Encapsulating security payload.
    pub const ESP: u8 = 50;
    /// Authentication header.
    pub const AH: u8 = 51;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// Nothing follows.
    pub const NO_NEXT_HEADER: u8 = 59;
    /// IPv6 destination options.
    pub const DESTINATION_OPTIONS: u8 = 60;
    /// Stream control transmission (RFC 9260).
    pub const SCTP: u8 = 132;
}

/// The IP version of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A packet's place in the datagram it is a part of.
///
/// An IPv6 atomic fragment (offset 0, nothing more) is a whole datagram, and is reported as one
/// (RFC 6946).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fragment {
    /// Identification; 16 bits wide in IPv4.
    pub id: u32,
    /// Where this part begins in the datagram's payload, in bytes.
    pub offset: u16,
    /// Further parts follow this one.
    pub more: bool,
}

impl Fragment {
    /// Only the first fragment carries the upper-layer header.
    #[must_use]
    pub const fn is_first(&self) -> bool {
        self.offset == 0
    }

    /// Refuses fragments that only an attack would send; see [`ParseError::BadFragment`].
    pub(crate) fn check(
        self,
        proto: u8,
        payload_len: usize,
        payload_max: usize,
    ) -> Result<Self, ParseError> {
        let end = usize::from(self.offset) + payload_len;
        let overlaps_tcp_header = proto == protocol::TCP && (1..20).contains(&self.offset);
        if end > payload_max || overlaps_tcp_header {
            return Err(ParseError::BadFragment {
                offset: self.offset,
            });
        }
        Ok(self)
    }
}

/// Where a fragment begins, in bytes: a multiple of eight that fits the 13 bits of the header
/// field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FragmentOffset(u16);

impl FragmentOffset {
    /// The beginning of the datagram.
    pub const ZERO: Self = Self(0);

    /// `None` if `bytes` is not a multiple of eight.
    #[must_use]
    pub const fn from_bytes(bytes: u16) -> Option<Self> {
        if bytes.is_multiple_of(8) {
            Some(Self(bytes))
        } else {
            None
        }
    }

    /// From the header's 13 bits, in units of eight bytes; higher bits are ignored.
    #[must_use]
    pub const fn from_units(units: u16) -> Self {
        Self((units & 0x1fff) << 3)
    }

    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u16 {
        self.0
    }

    /// In units of eight bytes, as the header has it.
    #[must_use]
    pub const fn units(self) -> u16 {
        self.0 >> 3
    }
}
