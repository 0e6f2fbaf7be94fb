//! The record of one chain in a batch.

use std::cell::Cell;
use std::slice;

use crate::layout::{NEXT, WRITE};
use crate::memory::Segment;

/// One chain: which it is, and where its bytes are.
///
/// Written for every packet. So a chain of one buffer is just that buffer and the flags of its
/// descriptor, and the fields behind those are left as they are.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct Slot {
    /// The buffer of a chain of one.
    segment: Segment,
    /// Places that the chain takes in the ring it came from; 0 once it was completed.
    pub(crate) descriptors: u16,
    /// The chain's entry in the in-flight region, of a packed ring.
    pub(crate) entry: u16,
    /// Bytes written.
    pub(crate) written: Cell<u32>,
    /// Split: the head. Packed: the buffer id.
    pub(crate) id: u16,
    /// Of a chain of one: its descriptor's, without `NEXT`. Of any other: `NEXT`.
    flags: u16,
    /// First segment among the batch's.
    first: u16,
    /// Segments for the device to read.
    readable: u16,
    /// Segments for the device to write, behind those.
    writable: u16,
    /// Bytes of either kind.
    readable_len: u32,
    writable_len: u32,
}

impl Slot {
    /// A chain without a buffer as yet, whose segments begin at `first`.
    pub(crate) const fn begin(first: u16) -> Self {
        Self {
            segment: Segment::EMPTY,
            descriptors: 0,
            entry: 0,
            written: Cell::new(0),
            id: 0,
            flags: NEXT,
            first,
            readable: 0,
            writable: 0,
            readable_len: 0,
            writable_len: 0,
        }
    }

    /// Becomes a chain of one descriptor, which has these flags, and one buffer.
    #[inline(always)]
    pub(crate) fn set_single(&mut self, id: u16, segment: Segment, flags: u16) {
        self.segment = segment;
        self.descriptors = 1;
        self.entry = 0;
        self.written.set(0);
        self.id = id;
        self.flags = flags;
    }

    /// Adds a segment; for one to read, none to write may be there.
    pub(crate) const fn add(&mut self, writable: bool) {
        if writable {
            self.writable += 1;
        } else {
            self.readable += 1;
        }
    }

    /// Adds to the bytes of one kind; false if 32 bits do not hold them.
    pub(crate) const fn lengthen(&mut self, bytes: u32, writable: bool) -> bool {
        let len = if writable {
            &mut self.writable_len
        } else {
            &mut self.readable_len
        };
        let Some(sum) = len.checked_add(bytes) else {
            return false;
        };
        *len = sum;
        true
    }

    /// Bytes to read.
    #[inline(always)]
    pub(crate) const fn readable_len(&self) -> u32 {
        match self.flags & (NEXT | WRITE) {
            0 => self.segment.len(),
            WRITE => 0,
            _ => self.readable_len,
        }
    }

    /// Bytes to write.
    #[inline(always)]
    pub(crate) const fn writable_len(&self) -> u32 {
        match self.flags & (NEXT | WRITE) {
            0 => 0,
            WRITE => self.segment.len(),
            _ => self.writable_len,
        }
    }

    /// Says how many bytes were written, never more than there are.
    #[inline(always)]
    pub(crate) fn set_written(&self, bytes: u32) {
        self.written.set(bytes.min(self.writable_len()));
    }

    /// How many of the batch's segments are the chain's.
    pub(crate) const fn segments(&self) -> u16 {
        self.readable + self.writable
    }

    pub(crate) const fn has_writable(&self) -> bool {
        self.writable > 0
    }

    /// Whether a used element for a later chain may stand for this one too: the driver then assumes
    /// all of it to have been used (virtio 1.2, sections 2.7.9 and 2.8.8).
    #[inline(always)]
    pub(crate) fn is_used_whole(&self) -> bool {
        self.written.get() == self.writable_len()
    }

    /// Its readable segments; `segments` are the batch's.
    #[inline(always)]
    pub(crate) fn readable<'s>(&'s self, segments: &'s [Segment]) -> &'s [Segment] {
        match self.flags & (NEXT | WRITE) {
            0 => slice::from_ref(&self.segment),
            WRITE => &[],
            _ => part(segments, self.first, self.readable),
        }
    }

    /// Its writable segments; `segments` are the batch's.
    #[inline(always)]
    pub(crate) fn writable<'s>(&'s self, segments: &'s [Segment]) -> &'s [Segment] {
        match self.flags & (NEXT | WRITE) {
            0 => &[],
            WRITE => slice::from_ref(&self.segment),
            _ => part(segments, self.first + self.readable, self.writable),
        }
    }
}

fn part(segments: &[Segment], first: u16, count: u16) -> &[Segment] {
    let first = usize::from(first);
    let part = segments.get(first..first + usize::from(count));
    part.unwrap_or_default()
}
