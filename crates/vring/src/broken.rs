//! What stops a queue: the driver or the front end contradicted the standard.

/// Why a queue was stopped, and at which descriptor, ring position or address.
///
/// The queue does nothing any more; it can be started anew by whoever set it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} (at {at:#x})")]
pub struct Broken {
    /// What was wrong.
    pub kind: BrokenKind,
    /// Where: what the kind's description says.
    pub at: u64,
}

/// What a driver or front end did that a queue cannot go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BrokenKind {
    /// The available index is further ahead than the queue has descriptors. At: that index.
    #[error("available index ahead by more than the queue's size")]
    IndexJump,
    /// The available ring names a descriptor that the table does not have. At: the ring position.
    #[error("available ring names a descriptor outside the table")]
    HeadOutOfRange,
    /// A chain goes on with a descriptor that the table does not have. At: the descriptor.
    #[error("next descriptor outside the table")]
    NextOutOfRange,
    /// A chain has more descriptors than its table, so it is a loop, or more than
    /// [`SEGMENTS_MAX`](crate::batch::SEGMENTS_MAX). At: the head.
    #[error("descriptor chain too long, or a loop")]
    ChainTooLong,
    /// A packed chain's descriptors are not all there although its head is. At: the position.
    #[error("descriptor chain ends before its last descriptor")]
    ChainUnfinished,
    /// A buffer of no bytes. At: the descriptor.
    #[error("buffer of no bytes")]
    ZeroLength,
    /// The buffers of a chain are longer together than 32 bits say. At: the descriptor.
    #[error("chain of 4 GiB or more")]
    ChainTooLarge,
    /// A buffer for the device to read after one for it to write. At: the descriptor.
    #[error("readable buffer after a writable one")]
    ReadAfterWrite,
    /// A buffer that is not in the guest's memory. At: its guest address.
    #[error("buffer outside the guest's memory")]
    AddressOutside,
    /// An indirect descriptor without the feature. At: the descriptor.
    #[error("indirect descriptor although not negotiated")]
    IndirectRefused,
    /// An indirect descriptor inside an indirect table. At: the descriptor.
    #[error("indirect descriptor in an indirect table")]
    IndirectNested,
    /// An indirect descriptor that also has a next one (virtio 1.2, 2.7.5.3.1). At: the descriptor.
    #[error("indirect descriptor with a next one")]
    IndirectWithNext,
    /// An indirect table of no, of a broken, or of more than
    /// [`SEGMENTS_MAX`](crate::batch::SEGMENTS_MAX) descriptors. At: its length in bytes.
    #[error("indirect table of an impossible length")]
    IndirectLength,
    /// A packed descriptor whose flags can be of neither side. At: the ring position.
    #[error("descriptor flags of neither side")]
    FlagsNonsense,
    /// The file under the memory was truncated or its pages are lost. At: 0.
    #[error("memory taken away under the queue")]
    MemoryLost,
}

impl BrokenKind {
    /// Every kind, for whoever keeps a counter for each.
    pub const ALL: [Self; 15] = [
        Self::IndexJump,
        Self::HeadOutOfRange,
        Self::NextOutOfRange,
        Self::ChainTooLong,
        Self::ChainUnfinished,
        Self::ZeroLength,
        Self::ChainTooLarge,
        Self::ReadAfterWrite,
        Self::AddressOutside,
        Self::IndirectRefused,
        Self::IndirectNested,
        Self::IndirectWithNext,
        Self::IndirectLength,
        Self::FlagsNonsense,
        Self::MemoryLost,
    ];

    /// The name of this kind's counter.
    #[must_use]
    pub const fn counter(self) -> &'static str {
        match self {
            Self::IndexJump => "ring_index_jump",
            Self::HeadOutOfRange => "ring_head_out_of_range",
            Self::NextOutOfRange => "ring_next_out_of_range",
            Self::ChainTooLong => "ring_chain_too_long",
            Self::ChainUnfinished => "ring_chain_unfinished",
            Self::ZeroLength => "ring_zero_length",
            Self::ChainTooLarge => "ring_chain_too_large",
            Self::ReadAfterWrite => "ring_read_after_write",
            Self::AddressOutside => "ring_address_outside",
            Self::IndirectRefused => "ring_indirect_refused",
            Self::IndirectNested => "ring_indirect_nested",
            Self::IndirectWithNext => "ring_indirect_with_next",
            Self::IndirectLength => "ring_indirect_length",
            Self::FlagsNonsense => "ring_flags_nonsense",
            Self::MemoryLost => "ring_memory_lost",
        }
    }

    /// The error of this kind at a place.
    #[cold]
    pub(crate) fn at(self, at: impl Into<u64>) -> Broken {
        Broken {
            kind: self,
            at: at.into(),
        }
    }
}
