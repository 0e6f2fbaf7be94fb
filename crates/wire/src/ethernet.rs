//! Ethernet II headers.

use crate::{
    EmitError, Header, MacAddr, ParseError,
    error::room,
    octets::{array_at, put, put_u16, u16_at},
};

/// Bytes in an untagged Ethernet header.
pub const HEADER_LEN: usize = 14;

/// What an Ethernet frame carries. Values below 0x0600 are IEEE 802.3 lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4.
    pub const IPV4: Self = Self(0x0800);
    /// ARP.
    pub const ARP: Self = Self(0x0806);
    /// IEEE 802.1Q customer tag.
    pub const VLAN: Self = Self(0x8100);
    /// IPv6.
    pub const IPV6: Self = Self(0x86dd);
    /// IEEE 802.1ad service tag.
    pub const SERVICE_VLAN: Self = Self(0x88a8);
}

/// A frame at least as long as its header.
#[derive(Clone, Copy, Debug)]
pub struct EthernetView<'a> {
    fixed: &'a [u8; HEADER_LEN],
    payload: &'a [u8],
}

impl<'a> EthernetView<'a> {
    /// Checks the length.
    #[inline]
    pub fn new(frame: &'a [u8]) -> Result<Self, ParseError> {
        let (fixed, payload) = frame.split_first_chunk().ok_or(ParseError::Truncated {
            header: Header::Ethernet,
            need: HEADER_LEN,
            have: frame.len(),
        })?;
        Ok(Self { fixed, payload })
    }

    /// Destination address.
    #[inline]
    #[must_use]
    pub fn dst(&self) -> MacAddr {
        MacAddr(array_at(self.fixed, 0))
    }

    /// Source address.
    #[inline]
    #[must_use]
    pub fn src(&self) -> MacAddr {
        MacAddr(array_at(self.fixed, 6))
    }

    /// Type of the payload, or the tag protocol identifier of a tagged frame.
    #[inline]
    #[must_use]
    pub fn ethertype(&self) -> EtherType {
        EtherType(u16_at(self.fixed, 12))
    }

    /// All that follows the header, padding included.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// An Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EthernetRepr {
    /// Destination address.
    pub dst: MacAddr,
    /// Source address.
    pub src: MacAddr,
    /// Type of the payload.
    pub ethertype: EtherType,
}

impl EthernetRepr {
    /// Reads a view; every value is legal.
    #[must_use]
    pub fn parse(view: EthernetView<'_>) -> Self {
        Self {
            dst: view.dst(),
            src: view.src(),
            ethertype: view.ethertype(),
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
        put(out, 0, &self.dst.0);
        put(out, 6, &self.src.0);
        put_u16(out, 12, self.ethertype.0);
        Ok(HEADER_LEN)
    }
}
