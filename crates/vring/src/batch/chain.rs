//! One chain of a batch: bytes to read, then bytes to write, each in segments.

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::Slot;
use crate::memory::{OutOfSpan, Segment, Span};

/// A chain of buffers, borrowed from its batch.
#[derive(Clone, Copy)]
pub struct Chain<'b> {
    slot: &'b Slot,
    segments: &'b [Segment],
}

/// The readable or the writable bytes of a chain, as one run from offset 0 on.
#[derive(Clone, Copy)]
pub struct Segments<'b> {
    segments: &'b [Segment],
    len: u32,
}

/// The contiguous parts of a chain's bytes, in order.
#[derive(Clone)]
pub struct Spans<'b> {
    segments: std::slice::Iter<'b, Segment>,
}

impl<'b> Chain<'b> {
    /// # Safety
    /// The slot's own segment, and its part of `segments`, are mapped for `'b`.
    #[inline(always)]
    pub(super) unsafe fn new(slot: &'b Slot, segments: &'b [Segment]) -> Self {
        Self { slot, segments }
    }

    /// Split ring: index of the head descriptor. Packed: buffer id.
    #[must_use]
    pub fn id(self) -> u16 {
        self.slot.id
    }

    /// Places that the chain takes in the ring.
    #[must_use]
    pub fn descriptors(self) -> u16 {
        self.slot.descriptors
    }

    /// What the driver wants read.
    #[inline(always)]
    #[must_use]
    pub fn readable(self) -> Segments<'b> {
        Segments {
            segments: self.slot.readable(self.segments),
            len: self.slot.readable_len(),
        }
    }

    /// What the driver wants written.
    #[inline(always)]
    #[must_use]
    pub fn writable(self) -> Segments<'b> {
        Segments {
            segments: self.slot.writable(self.segments),
            len: self.slot.writable_len(),
        }
    }

    /// Says how many bytes were written, from the start of the writable part on; the driver and the
    /// migration log are told so when the chain is completed. Zero until said, and never more than
    /// the chain takes.
    #[inline(always)]
    pub fn set_written(self, bytes: u32) {
        self.slot.set_written(bytes);
    }
}

impl<'b> Segments<'b> {
    /// Bytes in all.
    #[inline(always)]
    #[must_use]
    pub fn len(self) -> u32 {
        self.len
    }

    /// Whether there are none.
    #[inline(always)]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The contiguous parts.
    #[must_use]
    pub fn spans(self) -> Spans<'b> {
        Spans {
            segments: self.segments.iter(),
        }
    }

    /// Copies bytes from `offset` on out of the chain.
    ///
    /// # Errors
    /// [`OutOfSpan`] if the chain ends before the buffer does; nothing was copied.
    #[inline(always)]
    pub fn read(self, offset: usize, to: &mut [u8]) -> Result<(), OutOfSpan> {
        if let Some(first) = self.first()
            && first.read(offset, to).is_ok()
        {
            return Ok(());
        }
        read_pieces(self.segments, offset, to)
    }

    /// Copies bytes into the chain from `offset` on.
    ///
    /// # Errors
    /// [`OutOfSpan`] if the chain ends before the bytes do; nothing was copied.
    #[inline(always)]
    pub fn write(self, offset: usize, from: &[u8]) -> Result<(), OutOfSpan> {
        if let Some(first) = self.first()
            && first.write(offset, from).is_ok()
        {
            return Ok(());
        }
        write_pieces(self.segments, offset, from)
    }

    /// Copies `len` bytes from `offset` on into another chain from `to_offset` on: the one copy from
    /// guest to guest.
    ///
    /// # Errors
    /// [`OutOfSpan`] if either chain is too short; nothing was copied.
    #[inline(always)]
    pub fn copy_to(
        self,
        offset: usize,
        to: Segments<'_>,
        to_offset: usize,
        len: usize,
    ) -> Result<(), OutOfSpan> {
        if let (Some(from), Some(first)) = (self.first(), to.first())
            && from.copy_to(offset, first, to_offset, len).is_ok()
        {
            return Ok(());
        }
        copy_pieces(self.segments, offset, to.segments, to_offset, len)
    }

    /// A fixed structure at `offset`, such as a virtio-net header.
    ///
    /// # Errors
    /// [`OutOfSpan`] if the chain ends before it.
    #[inline(always)]
    pub fn read_value<T: FromBytes + IntoBytes>(self, offset: usize) -> Result<T, OutOfSpan> {
        let mut value = T::new_zeroed();
        self.read(offset, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Writes a fixed structure at `offset`.
    ///
    /// # Errors
    /// [`OutOfSpan`] if the chain ends before its end; nothing was written.
    #[inline(always)]
    pub fn write_value<T: IntoBytes + Immutable>(
        self,
        offset: usize,
        value: &T,
    ) -> Result<(), OutOfSpan> {
        self.write(offset, value.as_bytes())
    }

    #[inline(always)]
    fn first(self) -> Option<Span<'b>> {
        let first = *self.segments.first()?;
        // SAFETY: the segment is mapped for `'b`, by the promise of `Chain::new`.
        Some(unsafe { first.span() })
    }
}

/// Calls `each` with span, offset in it, and length, for the parts of a range in order; before the
/// first one it is certain that there are enough bytes.
fn pieces<'b>(
    segments: &'b [Segment],
    offset: usize,
    len: usize,
    mut each: impl FnMut(Span<'b>, usize, usize) -> Result<(), OutOfSpan>,
) -> Result<(), OutOfSpan> {
    bounds(segments, offset, len)?;
    let (mut skip, mut left) = (offset, len);
    for segment in segments {
        // SAFETY: whoever has the segments has them mapped for `'b`, by the promise of `Chain::new`.
        let span = unsafe { segment.span() };
        if left == 0 {
            break;
        }
        if skip >= span.len() {
            skip -= span.len();
            continue;
        }
        let part = left.min(span.len() - skip);
        each(span, skip, part)?;
        skip = 0;
        left -= part;
    }
    Ok(())
}

fn bounds(segments: &[Segment], offset: usize, len: usize) -> Result<(), OutOfSpan> {
    let whole: usize = segments.iter().map(|segment| segment.len() as usize).sum();
    if offset > whole || len > whole - offset {
        return Err(OutOfSpan);
    }
    Ok(())
}

#[inline(never)]
fn read_pieces(segments: &[Segment], offset: usize, to: &mut [u8]) -> Result<(), OutOfSpan> {
    let mut done = 0;
    pieces(segments, offset, to.len(), |span, at, len| {
        done += len;
        span.read(at, &mut to[done - len..done])
    })
}

#[inline(never)]
fn write_pieces(segments: &[Segment], offset: usize, from: &[u8]) -> Result<(), OutOfSpan> {
    let mut done = 0;
    pieces(segments, offset, from.len(), |span, at, len| {
        done += len;
        span.write(at, &from[done - len..done])
    })
}

#[inline(never)]
fn copy_pieces(
    segments: &[Segment],
    offset: usize,
    to: &[Segment],
    to_offset: usize,
    len: usize,
) -> Result<(), OutOfSpan> {
    // Looked at first, so that nothing is copied if the other side is too short.
    bounds(to, to_offset, len)?;
    let mut done = to_offset;
    pieces(segments, offset, len, |from, from_at, from_len| {
        let start = done;
        done += from_len;
        let mut copied = from_at;
        pieces(to, start, from_len, |span, at, len| {
            copied += len;
            from.copy_to(copied - len, span, at, len)
        })
    })
}

impl<'b> Iterator for Spans<'b> {
    type Item = Span<'b>;

    fn next(&mut self) -> Option<Span<'b>> {
        let segment = *self.segments.next()?;
        // SAFETY: the segment is mapped for `'b`, by the promise of `Chain::new`.
        Some(unsafe { segment.span() })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.segments.size_hint()
    }
}

impl ExactSizeIterator for Spans<'_> {}
