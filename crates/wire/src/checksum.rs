//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624), and SCTP's CRC32c.

mod crc32c;
mod l4;

use core::net::{Ipv4Addr, Ipv6Addr};

pub(crate) use l4::written;
pub use l4::{L4Check, fill_l4, prepare_partial_l4, verify_l4};

/// A one's complement sum of 16-bit words, not yet complemented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// The sum of `bytes`, an odd last byte padded with zero.
    ///
    /// Adds native words in four independent lanes, which compilers turn into vector additions, and
    /// puts the result into network order at the end: the sum does not care about byte order (RFC
    /// 1071 section 2 (B)). A lane overflows after 64 GiB.
    #[inline]
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut lanes = [0u64; 4];
        let (blocks, rest) = bytes.as_chunks::<16>();
        for block in blocks {
            let (words, _) = block.as_chunks::<4>();
            for (lane, word) in lanes.iter_mut().zip(words) {
                *lane += u64::from(u32::from_ne_bytes(*word));
            }
        }
        let (words, last) = rest.as_chunks::<2>();
        let mut total: u64 = lanes.iter().sum();
        for word in words {
            total += u64::from(u16::from_ne_bytes(*word));
        }
        if let [last] = last {
            total += u64::from(u16::from_ne_bytes([*last, 0]));
        }
        Self(u64::from(u16::from_be(fold(total))))
    }

    /// The sum of one 16-bit word.
    #[inline]
    #[must_use]
    pub const fn of_word(word: u16) -> Self {
        Self(word as u64)
    }

    /// The sum of two parts, of which the first has an even length.
    #[inline]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// The sum of two parts, of which `other` begins at byte `offset` of the whole. Past an odd
    /// offset each byte of `other` falls into the other half of its word (RFC 1071 section 2 (B)).
    #[inline]
    #[must_use]
    pub fn combine(self, other: Self, offset: usize) -> Self {
        if offset.is_multiple_of(2) {
            return self.and(other);
        }
        self.and(Self(u64::from(fold(other.0).swap_bytes())))
    }

    /// The pseudo header of IPv4 (RFC 9293 section 3.1), for an upper-layer packet of `len` bytes.
    #[inline]
    #[must_use]
    pub fn pseudo_v4(src: Ipv4Addr, dst: Ipv4Addr, proto: u8, len: u16) -> Self {
        Self::of(&src.octets())
            .and(Self::of(&dst.octets()))
            .and(Self::of_word(u16::from(proto)))
            .and(Self::of_word(len))
    }

    /// The pseudo header of IPv6 (RFC 8200 section 8.1), for an upper-layer packet of `len` bytes.
    #[inline]
    #[must_use]
    pub fn pseudo_v6(src: Ipv6Addr, dst: Ipv6Addr, proto: u8, len: u32) -> Self {
        Self::of(&src.octets())
            .and(Self::of(&dst.octets()))
            .and(Self::of_word(u16::from(proto)))
            .and(Self::of(&len.to_be_bytes()))
    }

    /// The sum itself in 16 bits: what a partial checksum holds.
    #[inline]
    #[must_use]
    pub const fn folded(self) -> u16 {
        fold(self.0)
    }

    /// The complement: what a checksum field holds. Zero over data that includes a right checksum.
    #[inline]
    #[must_use]
    pub const fn finish(self) -> u16 {
        !fold(self.0)
    }
}

/// Adds the carries back in until 16 bits are left. Two folds of 32 bits and two of 16 always
/// suffice.
const fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    (sum & 0xffff) as u16
}

/// The checksum after one 16-bit word that it covers changed from `old` to `new` (RFC 1624,
/// equation 3).
#[inline]
#[must_use]
pub const fn update_u16(checksum: u16, old: u16, new: u16) -> u16 {
    update(checksum, Sum::of_word(old), Sum::of_word(new))
}

/// The checksum after words that it covers, at an even offset, changed from the sum `old` to `new`.
#[inline]
#[must_use]
pub const fn update(checksum: u16, old: Sum, new: Sum) -> u16 {
    !fold(!checksum as u64 + !fold(old.0) as u64 + new.0)
}

#[cfg(test)]
mod tests;
