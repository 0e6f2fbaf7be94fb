//! A packed ring, virtio 1.2 section 2.8.

mod take;
mod word;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::start::{Area, StartError, cells};
use super::{Place, Position};
use crate::batch::Slot;
use crate::dirty::QueueLog;
use crate::features::Features;
use crate::inflight::{Resume, Tracker};
use crate::layout::{AVAIL, Descriptor, Layout, USED};
use crate::memory::{Cells, GuestMemory, Segment};
use crate::sync::{self, EventWord};
use word::{Offer, avail_bits, bits, load, offer, used_bits, used_word};

/// The ring, and where the device stands in it.
pub(super) struct Packed {
    parts: Parts,
    size: u16,
    indirect: bool,
    in_order: bool,
    event_idx: bool,
    /// The next descriptor to take.
    avail: Place,
    /// Where the next used descriptor goes.
    used: Place,
    /// What the driver has seen as used.
    published: Place,
    /// Descriptors taken and not yet seen as used; never more than `size`.
    held: u16,
    /// Descriptors that were used and are not published.
    unpublished: u16,
    /// The first used descriptor that is not published: written last, since the driver stops there.
    first: Option<(u16, u64)>,
    /// With `IN_ORDER`: where the used descriptor for the chains since the last one written goes.
    run: Place,
    /// That descriptor's id and length, when there are such chains.
    open: Option<(u16, u32)>,
}

struct Parts {
    ring: Cells<[AtomicU64; 2]>,
    driver_event: Cells<AtomicU32>,
    device_event: Cells<AtomicU32>,
}

impl Packed {
    pub(super) fn start(
        layout: &Layout,
        features: Features,
        memory: &GuestMemory,
        position: Position,
    ) -> Result<Self, StartError> {
        let mut used = position.used();
        if used.at >= layout.size || position.avail().at >= layout.size {
            return Err(StartError::Position(position.0));
        }
        let parts = Parts::find(layout, memory)?;
        if position.may_be_half() && parts.is_offered_in_second_lap() {
            used.wrap = false;
        }
        Ok(Self {
            parts,
            size: layout.size,
            indirect: features.has(Features::INDIRECT_DESC),
            in_order: features.has(Features::IN_ORDER),
            event_idx: features.has(Features::EVENT_IDX),
            // Chains that an earlier back end took and did not give back are still there.
            avail: used,
            used,
            published: used,
            held: 0,
            unpublished: 0,
            first: None,
            run: used,
            open: None,
        })
    }

    pub(super) fn rebase(
        &mut self,
        layout: &Layout,
        memory: &GuestMemory,
    ) -> Result<(), StartError> {
        self.parts = Parts::find(layout, memory)?;
        Ok(())
    }

    /// Goes on where the in-flight region says, behind the descriptors of chains in flight.
    pub(super) fn resume(&mut self, resume: Resume) {
        self.used = resume.used;
        self.run = resume.used;
        self.published = resume.used;
        self.held = resume.held;
        self.avail = resume.used.plus(resume.held, self.size);
        // Used descriptors behind the first one may have been written, and never been shown. They must
        // not come to light together with the next first one.
        for count in 0..resume.held {
            let place = resume.used.plus(count, self.size);
            let Some([_, word]) = self.parts.ring.get(usize::from(place.at)) else {
                continue;
            };
            let content = u64::from_le(word.load(Ordering::Relaxed));
            if bits(content) == used_bits(place.wrap) {
                let flags = u64::from(AVAIL | USED) << 48;
                let shown = content & !flags | u64::from(avail_bits(place.wrap)) << 48;
                word.store(shown.to_le(), Ordering::Relaxed);
            }
        }
    }

    /// Whether the driver has seen a used descriptor there, in that place's lap: a place that was
    /// taken is as the driver offered it until then. The driver may have offered it anew since.
    pub(super) fn was_shown_at(&self, place: Place) -> bool {
        let found = self.parts.ring.get(usize::from(place.at));
        let word = found.map(|[_, word]| u64::from_le(word.load(Ordering::Acquire)));
        word.is_some_and(|word| bits(word) != avail_bits(place.wrap))
    }

    pub(super) fn position(&self) -> Position {
        Position::packed(self.avail, self.used)
    }

    /// Has the in-flight region write down the chains just taken.
    pub(super) fn track(&self, tracker: &mut Tracker, slots: &mut [Slot]) {
        let taken = slots.iter().map(|slot| slot.descriptors).sum();
        let mut place = self.avail.minus(taken, self.size);
        for slot in slots {
            let descriptors = (0..slot.descriptors).map(|count| {
                let at = place.plus(count, self.size).at;
                let words = self.parts.ring.get(usize::from(at));
                words.map_or(Descriptor::default(), load)
            });
            slot.entry = tracker.took_packed(descriptors);
            place = place.plus(slot.descriptors, self.size);
        }
    }

    pub(super) fn put_back(&mut self, slots: &[Slot]) {
        let count = slots.iter().map(|slot| slot.descriptors).sum();
        self.avail = self.avail.minus(count, self.size);
        self.held -= count;
    }

    #[inline]
    pub(super) fn complete(&mut self, slots: &mut [Slot]) -> usize {
        if self.in_order {
            return self.complete_in_order(slots);
        }
        let (mut rest, mut done) = (slots, 0);
        loop {
            let plain = self.complete_plain(rest);
            done += plain;
            let Some((slot, behind)) = rest.get_mut(plain..).and_then(<[Slot]>::split_first_mut)
            else {
                return done;
            };
            if slot.descriptors != 0 {
                self.write_used(self.used, slot.id, slot.written.get());
                self.advance(slot);
                done += 1;
            }
            rest = behind;
        }
    }

    /// Tier one: as long as each chain takes one place, up to the end of the ring, if it is not the
    /// first one since the last publication.
    #[inline(always)]
    fn complete_plain(&mut self, slots: &mut [Slot]) -> usize {
        if self.first.is_none() {
            return 0;
        }
        let ring = self.parts.ring.all();
        let ring = ring.get(usize::from(self.used.at)..).unwrap_or_default();
        let mut done = 0;
        for (slot, [_, cell]) in slots.iter_mut().zip(ring) {
            if slot.descriptors != 1 {
                break;
            }
            slot.descriptors = 0;
            let word = used_word(self.used, slot.id, slot.written.get());
            cell.store(word, Ordering::Release);
            done += 1;
        }
        self.used = self.used.plus(done, self.size);
        self.unpublished += done;
        usize::from(done)
    }

    #[inline]
    pub(super) fn publish(
        &mut self,
        memory: &GuestMemory,
        tracker: Option<&mut Tracker>,
        log: Option<&QueueLog>,
    ) -> bool {
        if let Some((id, written)) = self.open.take() {
            self.write_used(self.run, id, written);
        }
        self.run = self.used;
        let Some((at, word)) = self.first.take() else {
            return false;
        };
        let count = std::mem::take(&mut self.unpublished);
        self.held -= count;
        if let Some([_, place]) = self.parts.ring.get(usize::from(at)) {
            let show = || place.store(word, Ordering::Release);
            match tracker {
                None => show(),
                Some(tracker) => tracker.publish_packed(self.used, show),
            }
        }
        if let Some(log) = log {
            self.mark_used(memory, log, count);
        }
        self.published = self.used;
        let event = sync::event_word(self.parts.driver_event.first());
        event.wants(self.used.at, self.used.wrap, count, self.size)
    }

    pub(super) fn watch(&mut self, memory: &GuestMemory, log: Option<&QueueLog>) -> bool {
        let wish = if self.event_idx {
            EventWord::at(self.avail.at, self.avail.wrap)
        } else {
            EventWord::ALWAYS
        };
        self.wish(wish, memory, log);
        sync::settle();
        let next = self.parts.ring.get(usize::from(self.avail.at));
        let word = next.map(|[_, word]| u64::from_le(word.load(Ordering::Acquire)));
        word.is_some_and(|word| !matches!(offer(self.avail, word), Offer::None))
    }

    pub(super) fn unwatch(&mut self, memory: &GuestMemory, log: Option<&QueueLog>) {
        self.wish(EventWord::NEVER, memory, log);
    }

    /// One used descriptor stands for all chains up to its own that were used whole (section 2.8.8).
    fn complete_in_order(&mut self, slots: &mut [Slot]) -> usize {
        let (mut next, mut last_whole) = (self.used, None);
        let (mut done, mut places) = (0, 0);
        for slot in slots {
            if slot.descriptors == 0 {
                continue;
            }
            places += slot.descriptors;
            next = next.plus(slot.descriptors, self.size);
            slot.descriptors = 0;
            if slot.is_used_whole() {
                last_whole = Some(&*slot);
            } else {
                self.write_used(self.run, slot.id, slot.written.get());
                (self.run, self.open) = (next, None);
                last_whole = None;
            }
            done += 1;
        }
        self.used = next;
        self.unpublished += places;
        if let Some(slot) = last_whole {
            self.open = Some((slot.id, slot.written.get()));
        }
        done
    }

    #[inline(always)]
    fn advance(&mut self, slot: &mut Slot) {
        self.used = self.used.plus(slot.descriptors, self.size);
        self.unpublished += slot.descriptors;
        slot.descriptors = 0;
    }

    /// Writes a used descriptor, or keeps it if it is the first one since the last publication.
    fn write_used(&mut self, place: Place, id: u16, written: u32) {
        let word = used_word(place, id, written);
        if self.first.is_none() {
            self.first = Some((place.at, word));
        } else if let Some([_, cell]) = self.parts.ring.get(usize::from(place.at)) {
            cell.store(word, Ordering::Release);
        }
    }

    fn wish(&self, wish: EventWord, memory: &GuestMemory, log: Option<&QueueLog>) {
        let event = &self.parts.device_event;
        event.first().store(wish.0.to_le(), Ordering::Relaxed);
        if let Some(log) = log.filter(|log| log.used.is_some()) {
            mark(memory, log, event.segment(0));
        }
    }

    /// Marks the descriptors from what was last published on.
    #[cold]
    fn mark_used(&self, memory: &GuestMemory, log: &QueueLog, count: u16) {
        if log.used.is_none() {
            return;
        }
        for offset in 0..count {
            let at = self.published.plus(offset, self.size).at;
            mark(memory, log, self.parts.ring.segment(usize::from(at)));
        }
    }
}

impl Parts {
    fn find(layout: &Layout, memory: &GuestMemory) -> Result<Self, StartError> {
        let descriptors = Area::Descriptors(layout.descriptors);
        Ok(Self {
            ring: cells(memory, descriptors, 0, layout.size)?,
            driver_event: cells(memory, Area::Driver(layout.driver), 0, 1)?,
            device_event: cells(memory, Area::Device(layout.device), 0, 1)?,
        })
    }

    /// Whether the first descriptor was made available in a lap whose counter is 0, which in a ring
    /// that is only starting it never was.
    fn is_offered_in_second_lap(&self) -> bool {
        let [_, word] = self.ring.first();
        bits(u64::from_le(word.load(Ordering::Acquire))) == avail_bits(false)
    }
}

fn mark(memory: &GuestMemory, log: &QueueLog, written: Option<Segment>) {
    if let Some(written) = written
        && let Some(address) = memory.address_of(written)
    {
        log.log.mark(address, u64::from(written.len()));
    }
}
