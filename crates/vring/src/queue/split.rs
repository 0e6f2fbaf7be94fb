//! A split ring, virtio 1.2 section 2.7.

mod take;

use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

use super::Position;
use super::start::{Area, StartError, cells};
use crate::batch::Slot;
use crate::dirty::QueueLog;
use crate::features::Features;
use crate::inflight::Tracker;
use crate::layout::Layout;
use crate::memory::{Cells, GuestAddress, GuestMemory};
use crate::sync;

/// Flags and index, at the head of the available and of the used ring.
type Head = [AtomicU16; 2];

/// The rings, and where the device stands in them. Indices are free-running.
pub(super) struct Split {
    parts: Parts,
    size: u16,
    indirect: bool,
    in_order: bool,
    /// Next entry of the available ring to take.
    next_avail: u16,
    /// The driver's index when it was last looked at.
    seen_avail: u16,
    /// Entries of the used ring written or skipped.
    next_used: u16,
    /// Used index that the driver sees.
    published: u16,
    /// With `IN_ORDER`: where the element for the chains since the last one written will be.
    run: u16,
    /// That element's id and length, when there are such chains.
    open: Option<(u16, u32)>,
}

struct Parts {
    descriptors: Cells<[AtomicU64; 2]>,
    avail_head: Cells<Head>,
    avail: Cells<AtomicU16>,
    used_event: Option<Cells<AtomicU16>>,
    used_head: Cells<Head>,
    used: Cells<[AtomicU32; 2]>,
    avail_event: Option<Cells<AtomicU16>>,
}

impl Split {
    pub(super) fn start(
        layout: &Layout,
        features: Features,
        memory: &GuestMemory,
    ) -> Result<Self, StartError> {
        if !layout.size.is_power_of_two() {
            return Err(StartError::Size(layout.size));
        }
        let parts = Parts::find(layout, features, memory)?;
        // What the driver has seen as used is what counts: whoever served the queue before may have
        // taken more, and not lived to give it back.
        let used = parts.used_head.first()[1].load(Ordering::Relaxed);
        let used = u16::from_le(used);
        Ok(Self {
            parts,
            size: layout.size,
            indirect: features.has(Features::INDIRECT_DESC),
            in_order: features.has(Features::IN_ORDER),
            next_avail: used,
            seen_avail: used,
            next_used: used,
            published: used,
            run: used,
            open: None,
        })
    }

    pub(super) fn rebase(
        &mut self,
        layout: &Layout,
        features: Features,
        memory: &GuestMemory,
    ) -> Result<(), StartError> {
        self.parts = Parts::find(layout, features, memory)?;
        Ok(())
    }

    /// The used index that the driver sees.
    pub(super) fn used_index(&self) -> u16 {
        self.published
    }

    /// Goes on behind chains that are in flight.
    pub(super) fn skip(&mut self, chains: u16) {
        self.next_avail = self.next_avail.wrapping_add(chains);
        self.seen_avail = self.next_avail;
    }

    pub(super) fn position(&self) -> Position {
        Position::split(self.next_avail)
    }

    pub(super) fn put_back(&mut self, slots: &[Slot]) {
        // As many as were taken from the ring, whose size has 16 bits.
        let count = u16::try_from(slots.len()).unwrap_or(u16::MAX);
        self.next_avail = self.next_avail.wrapping_sub(count);
    }

    #[inline]
    pub(super) fn complete(&mut self, slots: &mut [Slot]) -> usize {
        if self.in_order {
            return self.complete_in_order(slots);
        }
        let used = self.parts.used.ring();
        let first = self.next_used;
        let mut next = first;
        for slot in slots {
            if slot.descriptors == 0 {
                continue;
            }
            slot.descriptors = 0;
            store_used(used.at(usize::from(next)), slot.id, slot.written.get());
            next = next.wrapping_add(1);
        }
        self.next_used = next;
        usize::from(next.wrapping_sub(first))
    }

    #[inline]
    pub(super) fn publish(
        &mut self,
        _memory: &GuestMemory,
        tracker: Option<&mut Tracker>,
        log: Option<&QueueLog>,
    ) -> bool {
        let (old, new) = (self.published, self.next_used);
        if old == new {
            return false;
        }
        if let Some((id, written)) = self.open.take() {
            store_used(self.parts.used.wrapping(usize::from(self.run)), id, written);
        }
        self.run = new;
        self.published = new;
        let index = &self.parts.used_head.first()[1];
        match tracker {
            None => sync::hand_over(index, new),
            Some(tracker) => tracker.publish_split(new, || sync::hand_over(index, new)),
        }
        if let Some(log) = log {
            self.mark_used(log, old, new);
        }
        match &self.parts.used_event {
            Some(event) => sync::wanted_by_event(event.first(), old, new),
            None => sync::wanted_by_flags(&self.parts.avail_head.first()[0]),
        }
    }

    pub(super) fn watch(&mut self, log: Option<&QueueLog>) -> bool {
        let index = &self.parts.avail_head.first()[1];
        let now = match &self.parts.avail_event {
            Some(event) => sync::wish_then_look(event.first(), self.next_avail, index),
            None => sync::wish_then_look(&self.parts.used_head.first()[0], 0, index),
        };
        self.mark_wish(log);
        now != self.next_avail
    }

    pub(super) fn unwatch(&mut self, log: Option<&QueueLog>) {
        // With EVENT_IDX the event index stays behind, which asks for nothing until the driver's index
        // comes round to it: one kick in 65,536 chains.
        if self.parts.avail_event.is_none() {
            let flags = &self.parts.used_head.first()[0];
            flags.store(sync::NO_KICK.to_le(), Ordering::Relaxed);
            self.mark_wish(log);
        }
    }

    /// One element stands for all chains up to its own that were used whole (section 2.7.9).
    fn complete_in_order(&mut self, slots: &mut [Slot]) -> usize {
        let used = self.parts.used.ring();
        let first = self.next_used;
        let mut next = first;
        let mut last_whole = None;
        for slot in slots {
            if slot.descriptors == 0 {
                continue;
            }
            slot.descriptors = 0;
            next = next.wrapping_add(1);
            if slot.is_used_whole() {
                last_whole = Some(&*slot);
            } else {
                let place = used.at(usize::from(self.run));
                store_used(place, slot.id, slot.written.get());
                (self.run, self.open) = (next, None);
                last_whole = None;
            }
        }
        self.next_used = next;
        if let Some(slot) = last_whole {
            self.open = Some((slot.id, slot.written.get()));
        }
        usize::from(next.wrapping_sub(first))
    }

    /// Marks the used elements `old..new` and the index.
    #[cold]
    fn mark_used(&self, log: &QueueLog, old: u16, new: u16) {
        let Some(start) = log.used else { return };
        log.log.mark(GuestAddress(start.0.saturating_add(2)), 2);
        let mask = self.size - 1;
        let count = new.wrapping_sub(old).min(self.size);
        let first = old & mask;
        let until_end = count.min(self.size - first);
        for (from, count) in [(first, until_end), (0, count - until_end)] {
            let address = start.0.saturating_add(4 + 8 * u64::from(from));
            log.log.mark(GuestAddress(address), 8 * u64::from(count));
        }
    }

    /// Marks where the device says whether it wants kicks.
    fn mark_wish(&self, log: Option<&QueueLog>) {
        let Some(start) = log.and_then(|log| log.used) else {
            return;
        };
        let offset = match self.parts.avail_event {
            Some(_) => 4 + 8 * u64::from(self.size),
            None => 0,
        };
        if let Some(log) = log {
            log.log
                .mark(GuestAddress(start.0.saturating_add(offset)), 2);
        }
    }
}

impl Parts {
    fn find(layout: &Layout, features: Features, memory: &GuestMemory) -> Result<Self, StartError> {
        let size = layout.size;
        let event_idx = features.has(Features::EVENT_IDX);
        let (driver, device) = (layout.driver, layout.device);
        let event = |area, offset| {
            event_idx
                .then(|| cells(memory, area, offset, 1))
                .transpose()
        };
        Ok(Self {
            descriptors: cells(memory, Area::Descriptors(layout.descriptors), 0, size)?,
            avail_head: cells(memory, Area::Driver(driver), 0, 1)?,
            avail: cells(memory, Area::Driver(driver), 4, size)?,
            used_event: event(Area::Driver(driver), Layout::avail_bytes(size, false))?,
            used_head: cells(memory, Area::Device(device), 0, 1)?,
            used: cells(memory, Area::Device(device), 4, size)?,
            avail_event: event(Area::Device(device), Layout::used_bytes(size, false))?,
        })
    }
}

/// Writes a used element.
#[inline(always)]
fn store_used([id, len]: &[AtomicU32; 2], head: u16, written: u32) {
    id.store(u32::from(head).to_le(), Ordering::Relaxed);
    len.store(written.to_le(), Ordering::Relaxed);
}
