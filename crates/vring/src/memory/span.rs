//! A run of bytes in mapped memory, from which and to which bytes are copied.

use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::atomic::{Ordering, compiler_fence};

/// A copy would pass the end of a span, a buffer or a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("access past the end of the guest's buffer")]
pub struct OutOfSpan;

/// Bytes of the guest's memory, contiguous in this process, borrowed from what keeps them mapped.
#[derive(Clone, Copy)]
pub struct Span<'m> {
    segment: Segment,
    memory: PhantomData<&'m ()>,
}

/// A run of mapped bytes without its lifetime, for arrays that outlive one borrow.
///
/// Only a [`Window`](super::Window) or a table makes one, from a mapping that covers it; whoever
/// stores it stores the table too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    start: NonNull<u8>,
    len: u32,
}

// SAFETY: a pointer to memory that other processes change anyway and that is only copied from and to;
// see `Mapping`.
unsafe impl Send for Segment {}
// SAFETY: as above; the fields do not change.
unsafe impl Sync for Segment {}

impl Segment {
    /// A segment of nothing.
    pub(crate) const EMPTY: Self = Self {
        start: NonNull::dangling(),
        len: 0,
    };

    /// # Safety
    /// `len` bytes from `start` on are mapped, for reading and writing, while the segment is used.
    #[inline(always)]
    pub(crate) const unsafe fn new(start: NonNull<u8>, len: u32) -> Self {
        Self { start, len }
    }

    #[inline(always)]
    pub(crate) const fn len(self) -> u32 {
        self.len
    }

    #[inline(always)]
    pub(crate) const fn start(self) -> NonNull<u8> {
        self.start
    }

    /// The first `len` bytes of the segment, or all of it.
    pub(crate) const fn truncated(self, len: u32) -> Self {
        Self {
            start: self.start,
            len: if len < self.len { len } else { self.len },
        }
    }

    /// The segment as a span.
    ///
    /// # Safety
    /// What keeps the bytes mapped does so for `'m`.
    #[inline(always)]
    pub(crate) const unsafe fn span<'m>(self) -> Span<'m> {
        Span {
            segment: self,
            memory: PhantomData,
        }
    }
}

impl<'m> Span<'m> {
    /// Bytes of the span.
    #[inline(always)]
    #[must_use]
    pub const fn len(self) -> usize {
        self.segment.len as usize
    }

    /// Whether there are none.
    #[inline(always)]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.segment.len == 0
    }

    /// Where the bytes lie in this process; for tests that prove them to be where they should.
    #[must_use]
    pub fn as_ptr(self) -> *const u8 {
        self.segment.start.as_ptr()
    }

    /// Copies bytes from `offset` on out of the span.
    ///
    /// # Errors
    /// [`OutOfSpan`], and nothing was copied, if the span ends before the buffer does.
    #[inline(always)]
    pub fn read(self, offset: usize, to: &mut [u8]) -> Result<(), OutOfSpan> {
        let from = self.at(offset, to.len())?;
        // SAFETY: `at` proved that as many bytes are mapped from there; `ptr::copy` bears overlap.
        unsafe { ptr::copy(from.as_ptr(), to.as_mut_ptr(), to.len()) };
        // The copy is what counts from here on: without this the compiler might read the guest's
        // memory a second time instead of the copy, and find something else there.
        compiler_fence(Ordering::SeqCst);
        Ok(())
    }

    /// Copies bytes into the span from `offset` on.
    ///
    /// # Errors
    /// [`OutOfSpan`], and nothing was copied, if the span ends before the bytes do.
    #[inline(always)]
    pub fn write(self, offset: usize, from: &[u8]) -> Result<(), OutOfSpan> {
        let to = self.at(offset, from.len())?;
        // SAFETY: `at` proved that as many bytes are mapped from there, for writing as well.
        unsafe { ptr::copy(from.as_ptr(), to.as_ptr(), from.len()) };
        compiler_fence(Ordering::SeqCst);
        Ok(())
    }

    /// Copies `len` bytes from `offset` on into `to` from `to_offset` on; both may be of one guest,
    /// and overlap.
    ///
    /// # Errors
    /// [`OutOfSpan`], and nothing was copied, if either span is too short.
    #[inline(always)]
    pub fn copy_to(
        self,
        offset: usize,
        to: Span<'_>,
        to_offset: usize,
        len: usize,
    ) -> Result<(), OutOfSpan> {
        let from = self.at(offset, len)?;
        let to = to.at(to_offset, len)?;
        // SAFETY: `at` proved both ranges mapped; `ptr::copy` bears overlap.
        unsafe { ptr::copy(from.as_ptr(), to.as_ptr(), len) };
        compiler_fence(Ordering::SeqCst);
        Ok(())
    }

    /// The pointer to `len` bytes from `offset` on, if the span has them.
    #[inline(always)]
    fn at(self, offset: usize, len: usize) -> Result<NonNull<u8>, OutOfSpan> {
        let whole = self.len();
        if offset > whole || len > whole - offset {
            return Err(OutOfSpan);
        }
        // SAFETY: `offset` is at most the span's length, so the pointer stays in the mapping or one
        // byte behind it.
        Ok(unsafe { self.segment.start.add(offset) })
    }
}

/// Asks the processor to fetch the first line of a segment.
#[inline(always)]
pub(crate) fn prefetch(segment: Segment) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing architecturally and faults on no address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(segment.start.as_ptr().cast_const().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _unused = segment;
}
