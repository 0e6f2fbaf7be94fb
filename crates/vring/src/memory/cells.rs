//! Arrays of atomics in mapped memory: rings, indices, and the regions that outlive a crash.

use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

use super::{Mapping, Segment};

/// What a ring is made of.
///
/// # Safety
/// Made of integer atomics only: every bit pattern is a value, there is no padding, and every access
/// through a shared reference is atomic.
pub(crate) unsafe trait Cell {}

// SAFETY: an integer atomic.
unsafe impl Cell for AtomicU8 {}
// SAFETY: an integer atomic.
unsafe impl Cell for AtomicU16 {}
// SAFETY: an integer atomic.
unsafe impl Cell for AtomicU32 {}
// SAFETY: an integer atomic.
unsafe impl Cell for AtomicU64 {}
// SAFETY: cells in a row, and an array has no padding.
unsafe impl<C: Cell, const N: usize> Cell for [C; N] {}

/// A non-empty array of cells that lies in one mapping, and keeps that mapping.
pub(crate) struct Cells<C> {
    first: NonNull<C>,
    len: usize,
    /// The largest power of two that is not above `len`, less one.
    mask: usize,
    mapping: Arc<Mapping>,
}

/// Cells that are indexed without end: for an array whose length is a power of two, a ring without a
/// comparison.
pub(crate) struct Ring<'c, C> {
    first: NonNull<C>,
    mask: usize,
    cells: PhantomData<&'c C>,
}

/// Why there is no such array at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CellsError {
    /// Not all of it lies in one region.
    Outside,
    /// The address is not a multiple of the cell's size of word.
    Misaligned,
}

// SAFETY: shared atomics in memory that the held mapping keeps in place.
unsafe impl<C: Cell> Send for Cells<C> {}
// SAFETY: as above.
unsafe impl<C: Cell> Sync for Cells<C> {}

impl<C> Clone for Cells<C> {
    fn clone(&self) -> Self {
        Self {
            mapping: Arc::clone(&self.mapping),
            ..*self
        }
    }
}

impl<C: Cell> Cells<C> {
    /// The cells at `offset` bytes into the mapping.
    pub(crate) fn new(
        mapping: &Arc<Mapping>,
        offset: usize,
        count: usize,
    ) -> Result<Self, CellsError> {
        let bytes = count
            .checked_mul(size_of::<C>())
            .ok_or(CellsError::Outside)?;
        if bytes == 0 || offset > mapping.len() || bytes > mapping.len() - offset {
            return Err(CellsError::Outside);
        }
        // SAFETY: the offset is inside the mapping, by the check above.
        let first = unsafe { mapping.start().add(offset) }.cast::<C>();
        if !first.is_aligned() {
            return Err(CellsError::Misaligned);
        }
        Ok(Self {
            first,
            len: count,
            mask: (1 << count.ilog2()) - 1,
            mapping: Arc::clone(mapping),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// All cells, as a slice.
    #[inline(always)]
    pub(crate) fn all(&self) -> &[C] {
        // SAFETY: `len` cells from `first` on lie in the mapping, which `self` keeps, aligned by `new`;
        // shared references to atomics bear stores by others.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.len) }
    }

    /// The cell at `index`, if there is one.
    #[inline(always)]
    pub(crate) fn get(&self, index: usize) -> Option<&C> {
        self.all().get(index)
    }

    /// The cells as a ring.
    #[inline(always)]
    pub(crate) fn ring(&self) -> Ring<'_, C> {
        Ring {
            first: self.first,
            mask: self.mask,
            cells: PhantomData,
        }
    }

    /// The cell at `index` modulo the largest power of two that fits.
    #[inline(always)]
    pub(crate) fn wrapping(&self, index: usize) -> &C {
        self.ring().at(index)
    }

    /// The first cell; there always is one.
    #[inline(always)]
    pub(crate) fn first(&self) -> &C {
        self.wrapping(0)
    }

    /// Whether the memory was taken away and is zeros now.
    pub(crate) fn is_lost(&self) -> bool {
        self.mapping.is_lost()
    }

    /// Where the cell at `index` lies, for the migration log.
    pub(crate) fn segment(&self, index: usize) -> Option<Segment> {
        let cell = NonNull::from(self.get(index)?).cast();
        let len = u32::try_from(size_of::<C>()).ok()?;
        // SAFETY: the bytes of one cell of ours.
        Some(unsafe { Segment::new(cell, len) })
    }
}

impl<'c, C: Cell> Ring<'c, C> {
    /// The cell at `index` modulo the largest power of two that fits into the array.
    #[inline(always)]
    pub(crate) fn at(&self, index: usize) -> &'c C {
        // SAFETY: `mask` is less than the length of the cells that are borrowed for `'c`.
        unsafe { self.first.add(index & self.mask).as_ref() }
    }
}
