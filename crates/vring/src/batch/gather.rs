//! Putting one chain together, buffer by buffer: every check that does not depend on the ring's format.

use super::{SEGMENTS_MAX, Slot};
use crate::broken::{Broken, BrokenKind};
use crate::layout::{Descriptor, WRITE};
use crate::memory::{GuestAddress, GuestMemory, Segment, Window, prefetch};

/// Why a chain is not in the batch.
pub(crate) enum Refused {
    /// The batch has no room for it; the next one has.
    Full,
    /// It is against the standard.
    Broken(Broken),
}

impl From<Broken> for Refused {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// The chain being put together, behind the segments of those before it.
pub(crate) struct Gather<'g> {
    memory: &'g GuestMemory,
    window: &'g mut Window,
    /// The batch's segments from the first free one on.
    room: &'g mut [Segment],
    slot: Slot,
}

impl<'g> Gather<'g> {
    /// Begins a chain whose segments go to `segments` from `first` on.
    pub(crate) fn new(
        memory: &'g GuestMemory,
        window: &'g mut Window,
        segments: &'g mut [Segment],
        first: u16,
    ) -> Self {
        Self {
            memory,
            window,
            room: segments.get_mut(usize::from(first)..).unwrap_or_default(),
            slot: Slot::begin(first),
        }
    }

    /// Adds the buffer of a descriptor; `at` is how an error names it.
    pub(crate) fn buffer(&mut self, descriptor: Descriptor, at: u64) -> Result<(), Refused> {
        if descriptor.len == 0 {
            return Err(BrokenKind::ZeroLength.at(at).into());
        }
        let writable = descriptor.is(WRITE);
        if !writable && self.slot.has_writable() {
            return Err(BrokenKind::ReadAfterWrite.at(at).into());
        }
        if !self.slot.lengthen(descriptor.len, writable) {
            return Err(BrokenKind::ChainTooLarge.at(at).into());
        }
        if let Some(segment) = self.window.segment(descriptor.address, descriptor.len) {
            return self.segment(segment, descriptor, at);
        }
        self.across(descriptor, at)
    }

    /// The finished chain.
    pub(crate) fn finish(self, id: u16, descriptors: u16) -> Slot {
        let mut slot = self.slot;
        slot.id = id;
        slot.descriptors = descriptors;
        slot
    }

    /// Reads a descriptor of an indirect table, as its two words in memory.
    pub(crate) fn table_words(&mut self, address: u64) -> Result<[u64; 2], Broken> {
        let outside = || BrokenKind::AddressOutside.at(address);
        let mut bytes = [[0; 8]; 2];
        let whole = self.window.segment(address, 16).or_else(|| {
            *self.window = self.memory.window(GuestAddress(address))?;
            self.window.segment(address, 16)
        });
        if let Some(segment) = whole {
            // SAFETY: the window is onto the memory that `self` borrows.
            let span = unsafe { segment.span() };
            let read = span.read(0, bytes.as_flattened_mut());
            read.map_err(|_| outside())?;
        } else {
            let read = self
                .memory
                .read(GuestAddress(address), bytes.as_flattened_mut());
            read.map_err(|_| outside())?;
        }
        Ok(bytes.map(u64::from_ne_bytes))
    }

    /// A buffer outside the window: in another region, or in several that adjoin.
    #[inline(never)]
    fn across(&mut self, descriptor: Descriptor, at: u64) -> Result<(), Refused> {
        let (mut address, mut left) = (descriptor.address, descriptor.len);
        while left > 0 {
            let outside = || BrokenKind::AddressOutside.at(descriptor.address);
            let window = self.memory.window(GuestAddress(address));
            *self.window = window.ok_or_else(outside)?;
            let part = self.window.first_of(address, left).ok_or_else(outside)?;
            self.segment(part, descriptor, at)?;
            address += u64::from(part.len());
            left -= part.len();
        }
        Ok(())
    }

    fn segment(
        &mut self,
        segment: Segment,
        descriptor: Descriptor,
        at: u64,
    ) -> Result<(), Refused> {
        let used = usize::from(self.slot.segments());
        if used == SEGMENTS_MAX {
            return Err(BrokenKind::ChainTooLong.at(at).into());
        }
        *self.room.get_mut(used).ok_or(Refused::Full)? = segment;
        prefetch(segment);
        self.slot.add(descriptor.is(WRITE));
        Ok(())
    }
}
