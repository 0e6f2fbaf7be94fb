//! VXLAN (RFC 7348): the header, and tunnels over IPv4 and IPv6.

mod tunnel;

use core::fmt;

use crate::{
    EmitError, Header, ParseError,
    error::room,
    octets::{put_u32, u32_at},
};

pub use tunnel::{
    PushError, VxlanEncap, VxlanHeaderInfo, pop_vxlan, push_vxlan, push_vxlan_ip,
    write_vxlan_headers,
};

/// Bytes in the header.
pub const HEADER_LEN: usize = 8;
/// The UDP port IANA assigned.
pub const PORT: u16 = 4789;

/// The I flag: the VNI is valid.
const VNI_VALID: u8 = 0x08;

/// A VXLAN network identifier: 24 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vni(u32);

impl Vni {
    /// The largest identifier.
    pub const MAX: Self = Self(0x00ff_ffff);

    /// `None` if `value` needs more than 24 bits.
    #[must_use]
    pub const fn new(value: u32) -> Option<Self> {
        if value <= Self::MAX.0 {
            Some(Self(value))
        } else {
            None
        }
    }

    /// The identifier's value.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vni({})", self.0)
    }
}

/// A VXLAN packet with a valid VNI.
#[derive(Clone, Copy, Debug)]
pub struct VxlanView<'a> {
    fixed: &'a [u8; HEADER_LEN],
    payload: &'a [u8],
}

impl<'a> VxlanView<'a> {
    /// Checks the length and the I flag. Reserved bits are ignored (RFC 7348 section 5).
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let header = Header::Vxlan;
        let (fixed, payload): (&[u8; HEADER_LEN], _) =
            bytes.split_first_chunk().ok_or(ParseError::Truncated {
                header,
                need: HEADER_LEN,
                have: bytes.len(),
            })?;
        if fixed[0] & VNI_VALID == 0 {
            let value = u32::from(fixed[0]);
            return Err(ParseError::BadField {
                header,
                field: "flags",
                value,
            });
        }
        Ok(Self { fixed, payload })
    }

    /// The network.
    #[inline]
    #[must_use]
    pub fn vni(&self) -> Vni {
        Vni(u32_at(self.fixed, 4) >> 8)
    }

    /// The inner Ethernet frame.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// A VXLAN header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VxlanRepr {
    /// The network.
    pub vni: Vni,
}

impl VxlanRepr {
    /// Reads a view; every value is legal.
    #[must_use]
    pub fn parse(view: VxlanView<'_>) -> Self {
        Self { vni: view.vni() }
    }

    /// Bytes [`Self::emit`] writes.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header at the start of `out` and returns its length.
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let out = room(out, HEADER_LEN)?;
        put_u32(out, 0, u32::from(VNI_VALID) << 24);
        put_u32(out, 4, self.vni.get() << 8);
        Ok(HEADER_LEN)
    }
}

#[cfg(test)]
mod tests;
