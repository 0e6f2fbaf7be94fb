//! A batch of chains as the data path sees them: translated, checked, without an allocation.

#![expect(
    unsafe_code,
    reason = "segments are kept together with their memory table"
)]

mod chain;
mod gather;
mod slot;

pub use chain::{Chain, Segments, Spans};

pub(crate) use gather::{Gather, Refused};
pub(crate) use slot::Slot;

use crate::memory::{GuestMemory, Segment};

/// Most segments of one chain, counted after it was cut at the borders of memory regions. Linux uses
/// at most 19 for a packet, QEMU takes at most as many as this.
pub const SEGMENTS_MAX: usize = 1024;

/// Most chains of a batch.
pub const CHAINS_MAX: usize = 1024;

/// Room for the chains that [`Queue::pop`](crate::queue::Queue::pop) takes, to be used again and again.
///
/// The chains stay readable and writable until the batch is popped into anew, even when the queue or
/// the memory table is gone: the batch holds the table.
pub struct Batch {
    memory: GuestMemory,
    slots: Box<[Slot]>,
    /// Fewer than 65,536.
    segments: Box<[Segment]>,
    /// Chains in `slots`.
    len: usize,
    /// Which queue filled it, and the how many-th time.
    origin: Origin,
}

/// Which queue filled a batch, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The queue's number, unique in the process; 0 is none.
    pub(crate) queue: u64,
    /// Counts the queue's pops.
    pub(crate) pop: u64,
}

/// What a queue fills: a batch's arrays, and the table that keeps them valid.
pub(crate) struct Room<'b> {
    pub(crate) slots: &'b mut [Slot],
    pub(crate) segments: &'b mut [Segment],
}

impl Batch {
    /// Room for up to `chains` chains, at least 1 and at most [`CHAINS_MAX`].
    #[must_use]
    pub fn new(chains: usize) -> Self {
        let chains = chains.clamp(1, CHAINS_MAX);
        Self {
            memory: GuestMemory::new(),
            slots: vec![Slot::begin(0); chains].into(),
            segments: vec![Segment::EMPTY; SEGMENTS_MAX + 4 * chains].into(),
            len: 0,
            origin: Origin::default(),
        }
    }

    /// Chains in the batch.
    #[inline(always)]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[inline(always)]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Chains for which there is room.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// The chain at `index`, if there is one.
    #[inline(always)]
    #[must_use]
    pub fn chain(&self, index: usize) -> Option<Chain<'_>> {
        if index >= self.len {
            return None;
        }
        self.slots.get(index).map(|slot| self.chain_of(slot))
    }

    /// The chains, in the order in which the driver made them available.
    pub fn chains(&self) -> impl ExactSizeIterator<Item = Chain<'_>> {
        self.slots[..self.len]
            .iter()
            .map(|slot| self.chain_of(slot))
    }

    /// Says how many bytes were written into the chain at `index`: [`Chain::set_written`].
    #[inline(always)]
    pub fn set_written(&mut self, index: usize, bytes: u32) {
        if index < self.len
            && let Some(slot) = self.slots.get(index)
        {
            slot.set_written(bytes);
        }
    }

    /// Empties the batch for chains of `memory`.
    #[inline(always)]
    pub(crate) fn reset(&mut self, memory: &GuestMemory, origin: Origin) -> Room<'_> {
        if !self.memory.is(memory) {
            self.memory = memory.clone();
        }
        self.len = 0;
        self.origin = origin;
        Room {
            slots: &mut self.slots,
            segments: &mut self.segments,
        }
    }

    /// Sets how many chains were filled, or are left.
    #[inline(always)]
    pub(crate) fn set_len(&mut self, len: usize) {
        self.len = len.min(self.slots.len());
    }

    #[inline(always)]
    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// The chains' records.
    #[inline(always)]
    pub(crate) fn slots_mut(&mut self) -> &mut [Slot] {
        &mut self.slots[..self.len]
    }

    /// Calls `each` with every stretch of guest memory that the chain at `index` said was written.
    pub(crate) fn each_written(&self, index: usize, mut each: impl FnMut(&GuestMemory, Segment)) {
        let Some(slot) = self.slots[..self.len].get(index) else {
            return;
        };
        let mut left = slot.written.get();
        for segment in slot.writable(&self.segments) {
            if left == 0 {
                break;
            }
            let part = segment.truncated(left);
            left -= part.len();
            each(&self.memory, part);
        }
    }

    #[inline(always)]
    fn chain_of<'b>(&'b self, slot: &'b Slot) -> Chain<'b> {
        // SAFETY: `reset` made `memory` the table of whoever fills the slots, and every slot below `len`
        // was filled since then with segments of that table: its own one, or those that were stored into
        // `segments` along with it. All stay until the next `reset`, which needs the batch for itself.
        unsafe { Chain::new(slot, &self.segments) }
    }
}

#[cfg(test)]
mod tests;
