//! The feature bits that change how a ring is read or written.

use crate::layout::Format;

/// A set of negotiated feature bits (virtio 1.2, sections 2.2 and 6; vhost-user's `VHOST_F_LOG_ALL`).
///
/// A device's own bits, such as virtio-net's, may be in it and are ignored here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Features(pub u64);

impl Features {
    /// Buffers that the device writes are to be marked in the migration log (`VHOST_F_LOG_ALL`).
    pub const LOG_ALL: Self = Self(1 << 26);
    /// A descriptor may refer to a table of descriptors (`VIRTIO_F_INDIRECT_DESC`).
    pub const INDIRECT_DESC: Self = Self(1 << 28);
    /// Each side says from which index on it wants to be notified (`VIRTIO_F_EVENT_IDX`).
    pub const EVENT_IDX: Self = Self(1 << 29);
    /// The device follows virtio 1.0 or later (`VIRTIO_F_VERSION_1`).
    pub const VERSION_1: Self = Self(1 << 32);
    /// The ring has the packed layout (`VIRTIO_F_RING_PACKED`).
    pub const RING_PACKED: Self = Self(1 << 34);
    /// Buffers are used in the order in which they were made available (`VIRTIO_F_IN_ORDER`).
    pub const IN_ORDER: Self = Self(1 << 35);

    /// All bits that this crate implements: what a device may offer for its rings.
    pub const SUPPORTED: Self = Self(
        Self::LOG_ALL.0
            | Self::INDIRECT_DESC.0
            | Self::EVENT_IDX.0
            | Self::VERSION_1.0
            | Self::RING_PACKED.0
            | Self::IN_ORDER.0,
    );

    /// Whether every bit of `other` is in the set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The rings' format.
    #[must_use]
    pub const fn format(self) -> Format {
        if self.has(Self::RING_PACKED) {
            Format::Packed
        } else {
            Format::Split
        }
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The set without the bits of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl std::ops::BitOr for Features {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}
