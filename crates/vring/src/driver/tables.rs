//! Indirect tables: one for each chain that can be in the queue (virtio 1.2, 2.7.5.3 and 2.8.7).

use std::sync::atomic::{AtomicU64, Ordering};

use super::Buffer;
use super::arena::{Arena, ArenaError};
use crate::layout::{DESCRIPTOR_BYTES, Descriptor, NEXT, WRITE};
use crate::memory::{Cells, GuestAddress};

pub(super) struct Tables {
    cells: Cells<[AtomicU64; 2]>,
    address: GuestAddress,
    /// Descriptors of each table.
    each: u16,
    packed: bool,
}

impl Tables {
    pub(super) fn new(
        arena: &mut Arena,
        count: u16,
        each: u16,
        packed: bool,
    ) -> Result<Self, ArenaError> {
        let descriptors = usize::from(count) * usize::from(each);
        let (cells, address, _) = arena.cells(descriptors, DESCRIPTOR_BYTES)?;
        Ok(Self {
            cells,
            address,
            each,
            packed,
        })
    }

    /// Whether a chain of `count` buffers fits, and is better off here than in the ring.
    #[inline]
    pub(super) fn suit(&self, count: u16) -> bool {
        count > 1 && count <= self.each
    }

    /// Writes table `index`; returns the descriptor of it, without a link.
    pub(super) fn write(&self, index: u16, readable: &[Buffer], writable: &[Buffer]) -> Descriptor {
        let first = usize::from(index) * usize::from(self.each);
        let count = readable.len() + writable.len();
        let sides = [(readable, 0), (writable, WRITE)];
        let all = sides
            .iter()
            .flat_map(|(buffers, flags)| buffers.iter().map(move |buffer| (buffer, *flags)));
        for (place, (buffer, write)) in (0_u16..).zip(all) {
            let last = usize::from(place) + 1 == count;
            // A packed table has no links: its length says where it ends.
            let linked = !self.packed && !last;
            let descriptor = Descriptor {
                address: buffer.address.0,
                len: buffer.len,
                flags: write | if linked { NEXT } else { 0 },
                link: if linked { place + 1 } else { 0 },
            };
            let words = if self.packed {
                descriptor.to_packed()
            } else {
                descriptor.to_split()
            };
            if let Some(cell) = self.cells.get(first + usize::from(place)) {
                store(cell, words);
            }
        }
        let offset = first as u64 * DESCRIPTOR_BYTES;
        Descriptor {
            address: self.address.0 + offset,
            len: u32::try_from(count).unwrap_or(u32::MAX).saturating_mul(16),
            flags: crate::layout::INDIRECT,
            link: 0,
        }
    }
}

/// Writes a descriptor that is not the device's yet.
#[inline(always)]
pub(super) fn store(cell: &[AtomicU64; 2], words: [u64; 2]) {
    cell[0].store(words[0], Ordering::Relaxed);
    cell[1].store(words[1], Ordering::Relaxed);
}
