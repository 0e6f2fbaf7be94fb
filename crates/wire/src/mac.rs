//! Ethernet addresses.

use core::{fmt, str::FromStr};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// An Ethernet (EUI-48) address, in transmission order.
#[derive(
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(transparent)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// Every station on the segment.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// The group bit is set: multicast, or broadcast, which is a multicast to all.
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// The all-ones address.
    #[must_use]
    pub fn is_broadcast(self) -> bool {
        self == Self::BROADCAST
    }

    /// The address that carries an IPv6 multicast group (RFC 2464 section 7).
    #[must_use]
    pub const fn of_ipv6_multicast(group: core::net::Ipv6Addr) -> Self {
        let [.., a, b, c, d] = group.octets();
        Self([0x33, 0x33, a, b, c, d])
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not an Ethernet address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("MAC address {found:?} is not six hexadecimal pairs joined by ':' or by '-'")]
pub struct ParseMacError {
    /// What was found, cut to its first 40 characters.
    pub found: String,
}

impl FromStr for MacAddr {
    type Err = ParseMacError;

    /// Reads `00:0d:3a:12:34:56` or `00-0D-3A-12-34-56`; one separator throughout, two digits a
    /// byte.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_pairs(text.as_bytes())
            .map(Self)
            .ok_or_else(|| ParseMacError {
                found: text.chars().take(40).collect(),
            })
    }
}

fn parse_pairs(text: &[u8]) -> Option<[u8; 6]> {
    let text: &[u8; 17] = text.try_into().ok()?;
    let separator = text[2];
    if separator != b':' && separator != b'-' {
        return None;
    }
    let mut octets = [0; 6];
    for (index, octet) in octets.iter_mut().enumerate() {
        let at = index * 3;
        if index > 0 && text[at - 1] != separator {
            return None;
        }
        *octet = digit(text[at])? << 4 | digit(text[at + 1])?;
    }
    Some(octets)
}

fn digit(ascii: u8) -> Option<u8> {
    char::from(ascii)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests;
