//! Where a queue stands: what a front end asks for when it stops one, and gives when it starts one.

/// A place in a packed ring, and the lap it is in (virtio 1.2, section 2.8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index of the descriptor.
    pub at: u16,
    /// The wrap counter: true in the first lap, and in every other one after it.
    pub wrap: bool,
}

/// A queue's position as vhost-user's `GET_VRING_BASE` and `SET_VRING_BASE` carry it.
///
/// Split: the available index, in the lower 16 bits. Packed: available index and its wrap counter in the
/// lower 16 bits, used index and its wrap counter in the upper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position(pub u32);

impl Position {
    /// Where a packed queue begins: both wrap counters are set.
    pub const PACKED_START: Self = Self::packed(Place::START, Place::START);

    /// A split queue's position.
    #[must_use]
    pub const fn split(avail: u16) -> Self {
        Self(avail as u32)
    }

    /// A packed queue's position.
    #[must_use]
    pub const fn packed(avail: Place, used: Place) -> Self {
        Self(avail.bits() as u32 | (used.bits() as u32) << 16)
    }

    /// The available index of a split queue.
    #[must_use]
    pub const fn avail_index(self) -> u16 {
        let [a, b, _, _] = self.0.to_le_bytes();
        u16::from_le_bytes([a, b])
    }

    /// Where a packed queue takes its next chain.
    #[must_use]
    pub const fn avail(self) -> Place {
        Place::of(self.avail_index())
    }

    /// Where a packed queue writes its next used descriptor. DPDK's virtio-user gives the lower half
    /// only when it starts: then that is the start too.
    #[must_use]
    pub const fn used(self) -> Place {
        let [_, _, c, d] = self.0.to_le_bytes();
        if self.may_be_half() {
            return Place::START;
        }
        Place::of(u16::from_le_bytes([c, d]))
    }

    /// Whether this is a start without its upper half, or a whole ring that is held from the first
    /// place on in a lap whose counter is 0. The ring itself tells them apart.
    pub(crate) const fn may_be_half(self) -> bool {
        self.0 == Place::START.bits() as u32
    }
}

impl Place {
    /// The first descriptor in the first lap.
    pub const START: Self = Self { at: 0, wrap: true };

    pub(crate) const fn bits(self) -> u16 {
        self.at & 0x7fff | (self.wrap as u16) << 15
    }

    pub(crate) const fn of(bits: u16) -> Self {
        Self {
            at: bits & 0x7fff,
            wrap: bits >> 15 != 0,
        }
    }

    /// The place `count` descriptors on, in a ring of `size`; `count` is at most `size`.
    #[inline(always)]
    #[must_use]
    pub const fn plus(self, count: u16, size: u16) -> Self {
        // Both are at most 32,768, so the sum may need 17 bits.
        let sum = self.at as u32 + count as u32;
        if sum >= size as u32 {
            Self {
                at: self.at.wrapping_add(count).wrapping_sub(size),
                wrap: !self.wrap,
            }
        } else {
            Self {
                at: self.at + count,
                wrap: self.wrap,
            }
        }
    }

    /// The place `count` descriptors back.
    #[must_use]
    pub const fn minus(self, count: u16, size: u16) -> Self {
        if self.at >= count {
            Self {
                at: self.at - count,
                wrap: self.wrap,
            }
        } else {
            Self {
                at: self.at.wrapping_sub(count).wrapping_add(size),
                wrap: !self.wrap,
            }
        }
    }
}

#[cfg(test)]
mod tests;
