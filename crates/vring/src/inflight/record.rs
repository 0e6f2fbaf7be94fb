//! The records as the specification lays them out.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

use crate::memory::Cell;

/// `QueueRegionSplit` without its entries.
#[repr(C)]
pub(super) struct SplitHeader {
    pub(super) features: AtomicU64,
    /// 0 until somebody has set the region up.
    pub(super) version: AtomicU16,
    pub(super) desc_num: AtomicU16,
    /// Head of the list of chains that were used last.
    pub(super) last_batch_head: AtomicU16,
    /// The used index, once those are struck out.
    pub(super) used_idx: AtomicU16,
}

/// `DescStateSplit`: what is known of the chain with this head.
#[repr(C)]
pub(super) struct SplitEntry {
    pub(super) inflight: AtomicU8,
    padding: [AtomicU8; 5],
    /// The next chain in the list of those used last.
    pub(super) next: AtomicU16,
    /// Counts chains in the order in which they were taken.
    pub(super) counter: AtomicU64,
}

/// `QueueRegionPacked` without its entries.
#[repr(C)]
pub(super) struct PackedHeader {
    pub(super) features: AtomicU64,
    /// 0 until somebody has set the region up.
    pub(super) version: AtomicU16,
    pub(super) desc_num: AtomicU16,
    /// Head of the list of free entries.
    pub(super) free_head: AtomicU16,
    pub(super) old_free_head: AtomicU16,
    /// Where the next used descriptor goes.
    pub(super) used_idx: AtomicU16,
    pub(super) old_used_idx: AtomicU16,
    pub(super) used_wrap_counter: AtomicU8,
    pub(super) old_used_wrap_counter: AtomicU8,
    padding: [AtomicU8; 10],
}

/// `DescStatePacked`: one descriptor, and if it is a chain's first, what is known of the chain.
#[repr(C)]
pub(super) struct PackedEntry {
    pub(super) inflight: AtomicU8,
    padding: AtomicU8,
    /// The next entry of the chain, or the next free one.
    pub(super) next: AtomicU16,
    /// The chain's last entry.
    pub(super) last: AtomicU16,
    /// The chain's entries.
    pub(super) num: AtomicU16,
    /// Counts chains in the order in which they were taken.
    pub(super) counter: AtomicU64,
    pub(super) id: AtomicU16,
    pub(super) flags: AtomicU16,
    pub(super) len: AtomicU32,
    pub(super) addr: AtomicU64,
}

const _: () = assert!(size_of::<SplitHeader>() == 16 && size_of::<SplitEntry>() == 16);
const _: () = assert!(size_of::<PackedHeader>() == 32 && size_of::<PackedEntry>() == 32);

// SAFETY: atomics only, whose sizes add up to the struct's: 8 + 4 * 2.
unsafe impl Cell for SplitHeader {}
// SAFETY: likewise, 1 + 5 + 2 + 8.
unsafe impl Cell for SplitEntry {}
// SAFETY: likewise, 8 + 6 * 2 + 2 + 10.
unsafe impl Cell for PackedHeader {}
// SAFETY: likewise, 2 + 3 * 2 + 8 + 2 * 2 + 4 + 8.
unsafe impl Cell for PackedEntry {}
