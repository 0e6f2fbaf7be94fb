//! Taking chains from a split ring.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Split;
use crate::batch::{Gather, Refused, Room, Slot};
use crate::broken::{Broken, BrokenKind};
use crate::layout::{DESCRIPTOR_BYTES, Descriptor, INDIRECT, NEXT};
use crate::memory::{GuestMemory, Segment, Window, prefetch};
use crate::queue::start::table_len;
use crate::sync;

impl Split {
    #[inline]
    pub(in crate::queue) fn pop(
        &mut self,
        memory: &GuestMemory,
        window: &mut Window,
        room: Room<'_>,
        max: usize,
    ) -> Result<usize, Broken> {
        let count = self.available(max.min(room.slots.len()))?;
        let Room { slots, segments } = room;
        let (taken, broken) = self.fill(memory, window, &mut slots[..count], segments);
        self.next_avail = self.next_avail.wrapping_add(taken);
        match broken {
            Some(broken) if taken == 0 => Err(broken),
            _ => Ok(usize::from(taken)),
        }
    }

    /// Puts the chain with this head together.
    pub(in crate::queue) fn chain(&self, head: u16, gather: Gather<'_>) -> Result<Slot, Refused> {
        let words = self.parts.descriptors.get(usize::from(head));
        let words = words.ok_or_else(|| BrokenKind::HeadOutOfRange.at(head))?;
        self.chain_of(head, load(words), gather)
    }

    /// Fills the slots with the next chains, as far as it goes, and says how far.
    #[inline(always)]
    fn fill(
        &self,
        memory: &GuestMemory,
        window: &mut Window,
        slots: &mut [Slot],
        segments: &mut [Segment],
    ) -> (u16, Option<Broken>) {
        let (mut taken, mut filled) = (0, 0);
        loop {
            let at = self.next_avail.wrapping_add(taken);
            let slots = slots.get_mut(usize::from(taken)..).unwrap_or_default();
            let plain = self.fill_plain(*window, at, slots);
            taken += plain;
            let Some(slot) = slots.get_mut(usize::from(plain)) else {
                return (taken, None);
            };
            // What was not plain is read anew, and nothing of what was read before is used.
            let at = self.next_avail.wrapping_add(taken);
            let gather = Gather::new(memory, window, segments, filled);
            match self.chain_at(at, gather) {
                Ok(chain) => *slot = chain,
                Err(Refused::Full) => return (taken, None),
                Err(Refused::Broken(broken)) => return (taken, Some(broken)),
            }
            taken += 1;
            filled += slot.segments();
        }
    }

    /// Tier one: as long as each chain is a single buffer in the region where the last one was.
    #[inline(never)]
    fn fill_plain(&self, window: Window, at: u16, slots: &mut [Slot]) -> u16 {
        let descriptors = self.parts.descriptors.all();
        let avail = self.parts.avail.ring();
        let mut taken = 0;
        for (at, slot) in (usize::from(at)..).zip(slots) {
            let head = u16::from_le(avail.at(at).load(Ordering::Relaxed));
            let Some(words) = descriptors.get(usize::from(head)) else {
                break;
            };
            let descriptor = load(words);
            if !descriptor.is_plain() {
                break;
            }
            let Some(segment) = window.segment(descriptor.address, descriptor.len) else {
                break;
            };
            prefetch(segment);
            slot.set_single(head, segment, descriptor.flags);
            taken += 1;
        }
        taken
    }

    /// Puts the chain together that is at this place of the available ring.
    fn chain_at(&self, at: u16, gather: Gather<'_>) -> Result<Slot, Refused> {
        let entry = self.parts.avail.wrapping(usize::from(at));
        let head = u16::from_le(entry.load(Ordering::Relaxed));
        let words = self.parts.descriptors.get(usize::from(head));
        let words = words.ok_or_else(|| BrokenKind::HeadOutOfRange.at(at))?;
        self.chain_of(head, load(words), gather)
    }

    /// How many chains there are to take, up to `max`.
    #[inline(always)]
    fn available(&mut self, max: usize) -> Result<usize, Broken> {
        let known = usize::from(self.seen_avail.wrapping_sub(self.next_avail));
        if known >= max {
            return Ok(max);
        }
        let index = sync::look(&self.parts.avail_head.first()[1]);
        // Neither can the driver offer what it has not got back, nor take back what it has offered.
        let ahead = index.wrapping_sub(self.published);
        let taken = self.next_avail.wrapping_sub(self.published);
        if ahead > self.size || ahead < taken {
            return Err(BrokenKind::IndexJump.at(index));
        }
        self.seen_avail = index;
        Ok(usize::from(ahead - taken).min(max))
    }

    #[inline(never)]
    fn chain_of(
        &self,
        head: u16,
        first: Descriptor,
        mut gather: Gather<'_>,
    ) -> Result<Slot, Refused> {
        let (mut at, mut descriptor) = (head, first);
        for _ in 0..self.size {
            if descriptor.is(INDIRECT) {
                if descriptor.is(NEXT) {
                    return Err(BrokenKind::IndirectWithNext.at(at).into());
                }
                self.indirect_table(at, descriptor, &mut gather)?;
                return Ok(gather.finish(head, 1));
            }
            gather.buffer(descriptor, at.into())?;
            if !descriptor.is(NEXT) {
                return Ok(gather.finish(head, 1));
            }
            at = descriptor.link;
            let words = self.parts.descriptors.get(usize::from(at));
            descriptor = load(words.ok_or_else(|| BrokenKind::NextOutOfRange.at(at))?);
        }
        Err(BrokenKind::ChainTooLong.at(head).into())
    }

    fn indirect_table(
        &self,
        at: u16,
        table: Descriptor,
        gather: &mut Gather<'_>,
    ) -> Result<(), Refused> {
        if !self.indirect {
            return Err(BrokenKind::IndirectRefused.at(at).into());
        }
        let count = table_len(table)?;
        let mut next = 0;
        for _ in 0..count {
            let address = table
                .address
                .checked_add(u64::from(next) * DESCRIPTOR_BYTES);
            let address = address.ok_or_else(|| BrokenKind::AddressOutside.at(table.address))?;
            let descriptor = Descriptor::from_split(gather.table_words(address)?);
            if descriptor.is(INDIRECT) {
                return Err(BrokenKind::IndirectNested.at(next).into());
            }
            gather.buffer(descriptor, next.into())?;
            if !descriptor.is(NEXT) {
                return Ok(());
            }
            next = descriptor.link;
            if next >= count {
                return Err(BrokenKind::NextOutOfRange.at(next).into());
            }
        }
        Err(BrokenKind::ChainTooLong.at(at).into())
    }
}

/// Reads a descriptor, each half once.
#[inline(always)]
fn load(words: &[AtomicU64; 2]) -> Descriptor {
    let [address, rest] = words;
    Descriptor::from_split([
        address.load(Ordering::Relaxed),
        rest.load(Ordering::Relaxed),
    ])
}
