//! Taking chains from a packed ring.

use std::sync::atomic::Ordering;

use super::word::{Offer, avail_bits, bits, offer};
use super::{Packed, Place};
use crate::batch::{Gather, Refused, Room, Slot};
use crate::broken::{Broken, BrokenKind};
use crate::layout::{DESCRIPTOR_BYTES, Descriptor, INDIRECT, NEXT};
use crate::memory::{GuestMemory, Segment, Window, prefetch};
use crate::queue::start::table_len;

/// How far a batch was filled.
struct Filled {
    taken: usize,
    next: Place,
    held: u16,
    refused: Option<Broken>,
}

impl Packed {
    #[inline]
    pub(in crate::queue) fn pop(
        &mut self,
        memory: &GuestMemory,
        window: &mut Window,
        room: Room<'_>,
        max: usize,
    ) -> Result<usize, Broken> {
        let count = max.min(room.slots.len());
        let Room { slots, segments } = room;
        let filled = self.fill(memory, window, &mut slots[..count], segments);
        self.avail = filled.next;
        self.held = filled.held;
        match filled.refused {
            Some(broken) if filled.taken == 0 => Err(broken),
            _ => Ok(filled.taken),
        }
    }

    /// Puts a chain together again from what the in-flight region recorded of it, entry by entry.
    pub(in crate::queue) fn recorded_chain(
        &self,
        entry: u16,
        records: &[Descriptor],
        mut gather: Gather<'_>,
    ) -> Result<Slot, Refused> {
        let unfinished = || BrokenKind::ChainUnfinished.at(entry);
        let last = records.last().ok_or_else(unfinished)?;
        for record in records {
            if record.is(INDIRECT) {
                self.indirect_table(*record, &mut gather)?;
            } else {
                gather.buffer(*record, entry.into())?;
            }
        }
        // No chain has more descriptors than the ring, whose size has 16 bits.
        let count = u16::try_from(records.len()).map_err(|_| unfinished())?;
        let mut slot = gather.finish(last.link, count);
        slot.entry = entry;
        Ok(slot)
    }

    /// Fills the slots with the next chains, as far as it goes.
    #[inline(always)]
    fn fill(
        &self,
        memory: &GuestMemory,
        window: &mut Window,
        slots: &mut [Slot],
        segments: &mut [Segment],
    ) -> Filled {
        let (mut next, mut held) = (self.avail, self.held);
        let (mut taken, mut filled) = (0, 0);
        let refused = loop {
            let slots = slots.get_mut(usize::from(taken)..).unwrap_or_default();
            // Up to the end of the ring, so that the lap stays the same.
            let plain_max = (self.size - held).min(self.size - next.at);
            let until = slots.len().min(usize::from(plain_max));
            let plain = self.fill_plain(*window, next, &mut slots[..until]);
            next = next.plus(plain, self.size);
            held += plain;
            taken += plain;
            let Some(slot) = slots.get_mut(usize::from(plain)) else {
                break None;
            };
            // What was not plain is read anew, and nothing of what was read before is used.
            let gather = Gather::new(memory, window, segments, filled);
            match self.chain_at(next, self.size - held, gather) {
                Ok(Some(chain)) => *slot = chain,
                Ok(None) | Err(Refused::Full) => break None,
                Err(Refused::Broken(broken)) => break Some(broken),
            }
            next = next.plus(slot.descriptors, self.size);
            held += slot.descriptors;
            taken += 1;
            filled += slot.segments();
        };
        Filled {
            taken: usize::from(taken),
            next,
            held,
            refused,
        }
    }

    /// Tier one: as long as each chain is a single buffer in the region where the last one was. There
    /// are no more slots than places up to the end of the ring.
    #[inline(never)]
    fn fill_plain(&self, window: Window, from: Place, slots: &mut [Slot]) -> u16 {
        let ring = self.parts.ring.all();
        let ring = ring.get(usize::from(from.at)..).unwrap_or_default();
        let offered = avail_bits(from.wrap);
        let mut taken = 0;
        for (slot, [address, word]) in slots.iter_mut().zip(ring) {
            let word = u64::from_le(word.load(Ordering::Acquire));
            let words = [address.load(Ordering::Relaxed), word.to_le()];
            let descriptor = Descriptor::from_packed(words);
            if bits(word) != offered || !descriptor.is_plain() {
                break;
            }
            let Some(segment) = window.segment(descriptor.address, descriptor.len) else {
                break;
            };
            prefetch(segment);
            slot.set_single(descriptor.link, segment, descriptor.flags);
            taken += 1;
        }
        taken
    }

    /// Puts the chain together that is at this place, if the driver has made one available there, and
    /// has had back what is needed for it.
    fn chain_at(
        &self,
        place: Place,
        free: u16,
        gather: Gather<'_>,
    ) -> Result<Option<Slot>, Refused> {
        let Some([address, word]) = self.parts.ring.get(usize::from(place.at)) else {
            return Ok(None);
        };
        let word = u64::from_le(word.load(Ordering::Acquire));
        match offer(place, word) {
            Offer::Made => {}
            Offer::None => return Ok(None),
            Offer::Nonsense => return Err(BrokenKind::FlagsNonsense.at(place.at).into()),
        }
        let words = [address.load(Ordering::Relaxed), word.to_le()];
        let descriptor = Descriptor::from_packed(words);
        self.chain_of(place, free, descriptor, gather).map(Some)
    }

    #[inline(never)]
    fn chain_of(
        &self,
        head: Place,
        free: u16,
        first: Descriptor,
        mut gather: Gather<'_>,
    ) -> Result<Slot, Refused> {
        let (mut place, mut descriptor) = (head, first);
        // The driver cannot offer what it has not got back.
        if free == 0 {
            return Err(BrokenKind::IndexJump.at(head.at).into());
        }
        for count in 1..=free {
            if descriptor.is(INDIRECT) {
                if descriptor.is(NEXT) || count > 1 {
                    return Err(BrokenKind::IndirectWithNext.at(place.at).into());
                }
                self.indirect_table(descriptor, &mut gather)?;
                return Ok(gather.finish(descriptor.link, 1));
            }
            gather.buffer(descriptor, place.at.into())?;
            if !descriptor.is(NEXT) {
                return Ok(gather.finish(descriptor.link, count));
            }
            place = place.plus(1, self.size);
            let Some([address, word]) = self.parts.ring.get(usize::from(place.at)) else {
                break;
            };
            let word = u64::from_le(word.load(Ordering::Acquire));
            if bits(word) != avail_bits(place.wrap) {
                return Err(BrokenKind::ChainUnfinished.at(place.at).into());
            }
            let address = address.load(Ordering::Relaxed);
            descriptor = Descriptor::from_packed([address, word.to_le()]);
        }
        Err(BrokenKind::ChainTooLong.at(head.at).into())
    }

    fn indirect_table(&self, table: Descriptor, gather: &mut Gather<'_>) -> Result<(), Refused> {
        if !self.indirect {
            return Err(BrokenKind::IndirectRefused.at(table.link).into());
        }
        for index in 0..table_len(table)? {
            let address = table
                .address
                .checked_add(u64::from(index) * DESCRIPTOR_BYTES);
            let address = address.ok_or_else(|| BrokenKind::AddressOutside.at(table.address))?;
            let descriptor = Descriptor::from_packed(gather.table_words(address)?);
            if descriptor.is(INDIRECT) {
                return Err(BrokenKind::IndirectNested.at(index).into());
            }
            gather.buffer(descriptor, index.into())?;
        }
        Ok(())
    }
}
