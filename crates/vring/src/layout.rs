//! Where the parts of a ring lie, how long they are, and what a descriptor looks like.
//!
//! Split: virtio 1.2 sections 2.7.5 (descriptor table), 2.7.6 (available ring), 2.7.8 (used ring).
//! Packed: 2.8.6 (descriptors), 2.8.14 (event suppression). All words are little endian.

use crate::memory::UserAddress;

/// Most descriptors that a queue may have, in either format.
pub const QUEUE_SIZE_MAX: u16 = 32_768;

/// Bytes of a descriptor, in a ring and in an indirect table.
pub const DESCRIPTOR_BYTES: u64 = 16;

/// The chain goes on with another descriptor.
pub const NEXT: u16 = 1;
/// The device writes the buffer; without it, the device reads it.
pub const WRITE: u16 = 1 << 1;
/// The buffer is a table of descriptors.
pub const INDIRECT: u16 = 1 << 2;
/// Packed: equals the driver's wrap counter when made available.
pub const AVAIL: u16 = 1 << 7;
/// Packed: equals the wrap counter when used, and its inverse when available.
pub const USED: u16 = 1 << 15;

/// The two ways in which virtio lays out a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Descriptor table, available ring, used ring (virtio 1.2, section 2.7).
    Split,
    /// One ring of descriptors that both sides write (section 2.8).
    Packed,
}

/// A queue as the front end describes it: size, and three areas by their addresses in the front end's
/// own address space, as vhost-user's `SET_VRING_ADDR` gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Descriptors: a power of two for a split ring, at most [`QUEUE_SIZE_MAX`] for either.
    pub size: u16,
    /// Descriptor table, or packed descriptor ring.
    pub descriptors: UserAddress,
    /// What the driver writes: available ring, or driver event suppression.
    pub driver: UserAddress,
    /// What the device writes: used ring, or device event suppression.
    pub device: UserAddress,
}

impl Layout {
    /// Bytes of the descriptor table or ring.
    #[must_use]
    pub fn descriptor_bytes(size: u16) -> u64 {
        u64::from(size) * DESCRIPTOR_BYTES
    }

    /// Bytes of a split ring's available part; with the event index if that was negotiated.
    #[must_use]
    pub fn avail_bytes(size: u16, event_idx: bool) -> u64 {
        4 + 2 * u64::from(size) + if event_idx { 2 } else { 0 }
    }

    /// Bytes of a split ring's used part; with the event index if that was negotiated.
    #[must_use]
    pub fn used_bytes(size: u16, event_idx: bool) -> u64 {
        4 + 8 * u64::from(size) + if event_idx { 2 } else { 0 }
    }

    /// Bytes of each of a packed ring's two event suppression areas.
    pub const EVENT_BYTES: u64 = 4;
}

/// A descriptor as two words of memory hold it; reading each word once reads each field once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// Guest address of the buffer.
    pub address: u64,
    /// Bytes of the buffer.
    pub len: u32,
    /// [`NEXT`], [`WRITE`], [`INDIRECT`]; packed: [`AVAIL`] and [`USED`] too.
    pub flags: u16,
    /// Split: index of the next descriptor of the chain. Packed: the buffer's id.
    pub link: u16,
}

impl Descriptor {
    /// A split ring's descriptor (address, len, flags, next), of its two words in memory order.
    #[inline(always)]
    #[must_use]
    pub const fn from_split(words: [u64; 2]) -> Self {
        let [l0, l1, l2, l3, f0, f1, n0, n1] = u64::from_le(words[1]).to_le_bytes();
        Self {
            address: u64::from_le(words[0]),
            len: u32::from_le_bytes([l0, l1, l2, l3]),
            flags: u16::from_le_bytes([f0, f1]),
            link: u16::from_le_bytes([n0, n1]),
        }
    }

    /// The two words of a split ring's descriptor.
    #[inline(always)]
    #[must_use]
    pub const fn to_split(self) -> [u64; 2] {
        let low = self.len as u64 | (self.flags as u64) << 32;
        let second = low | (self.link as u64) << 48;
        [self.address.to_le(), second.to_le()]
    }

    /// A packed ring's descriptor (address, len, id, flags), of its two words in memory order.
    #[inline(always)]
    #[must_use]
    pub const fn from_packed(words: [u64; 2]) -> Self {
        let [l0, l1, l2, l3, i0, i1, f0, f1] = u64::from_le(words[1]).to_le_bytes();
        Self {
            address: u64::from_le(words[0]),
            len: u32::from_le_bytes([l0, l1, l2, l3]),
            flags: u16::from_le_bytes([f0, f1]),
            link: u16::from_le_bytes([i0, i1]),
        }
    }

    /// The two words of a packed ring's descriptor; the second one hands it over.
    #[inline(always)]
    #[must_use]
    pub const fn to_packed(self) -> [u64; 2] {
        let low = self.len as u64 | (self.link as u64) << 32;
        let second = low | (self.flags as u64) << 48;
        [self.address.to_le(), second.to_le()]
    }

    /// Whether it is a whole chain, of one buffer that is not empty.
    #[inline(always)]
    pub(crate) const fn is_plain(self) -> bool {
        // One comparison for both: with a flag, or with no length, the sum is out of range.
        let both = self.len as u64 | ((self.flags & (NEXT | INDIRECT)) as u64) << 32;
        both.wrapping_sub(1) < u32::MAX as u64
    }

    /// Whether any of these flag bits is set.
    #[inline(always)]
    #[must_use]
    pub const fn is(self, flags: u16) -> bool {
        self.flags & flags != 0
    }
}

#[cfg(test)]
mod tests;
