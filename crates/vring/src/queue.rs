//! One virtqueue, served: taking chains, giving them back, and telling the driver.

mod packed;
mod position;
mod recovered;
mod split;
mod start;

use std::ops::Range;

pub use position::{Place, Position};
pub use start::{Area, StartError};

use crate::batch::{Batch, Gather, Origin};
use crate::broken::{Broken, BrokenKind};
use crate::dirty::QueueLog;
use crate::fault;
use crate::features::Features;
use crate::inflight::Tracker;
use crate::layout::Layout;
use crate::memory::{GuestMemory, Window};
use packed::Packed;
use recovered::Recovered;
use split::Split;

/// The device's side of one queue.
///
/// It belongs to one thread at a time. Nothing in it waits; every call takes time bounded by the size
/// of the batch and of the chains in it.
pub struct Queue {
    ring: Ring,
    memory: GuestMemory,
    /// The region in which the last buffer was.
    window: Window,
    /// What [`fault::losses`] said when the memory was last known to be whole.
    losses: u32,
    broken: Option<Broken>,
    /// Marks the batches that this queue filled.
    origin: Origin,
    recovered: Recovered,
    tracker: Option<Tracker>,
    log: Option<QueueLog>,
    layout: Layout,
    features: Features,
}

enum Ring {
    Split(Split),
    Packed(Packed),
}

impl Queue {
    /// Takes up to `max` chains that the driver made available, in its order, and fills the batch with
    /// them. Chains that were in flight when an earlier back end died come first.
    ///
    /// A chain stays ours until it is completed or put back. Fewer than `max` does not mean that there
    /// are no more: the batch may be full of segments; none does mean it.
    ///
    /// # Errors
    /// [`Broken`] if the next chain, or the ring, is against the standard, and from then on always.
    /// Chains before a bad one are returned first.
    #[inline]
    pub fn pop(&mut self, batch: &mut Batch, max: usize) -> Result<usize, Broken> {
        self.origin.pop += 1;
        self.check(batch)?;
        let room = batch.reset(&self.memory, self.origin);
        let taken = if self.recovered.is_empty() {
            match &mut self.ring {
                Ring::Split(ring) => ring.pop(&self.memory, &mut self.window, room, max),
                Ring::Packed(ring) => ring.pop(&self.memory, &mut self.window, room, max),
            }
        } else {
            self.pop_recovered(batch, max)
        };
        match taken {
            Ok(taken) => {
                batch.set_len(taken);
                if self.tracker.is_some() {
                    self.track(batch);
                }
                Ok(taken)
            }
            Err(broken) => self.stop_at(broken),
        }
    }

    /// Puts back all but the first `keep` chains of the batch that this queue filled last, so that the
    /// next [`pop`](Self::pop) takes them again: receive buffers taken in surplus, for example. Returns
    /// how many were put back: none if the batch is not the last one, or one of them was completed.
    pub fn unpop(&mut self, batch: &mut Batch, keep: usize) -> usize {
        let len = batch.len();
        if batch.origin() != self.origin || keep >= len {
            return 0;
        }
        let back = &mut batch.slots_mut()[keep..];
        if back.iter().any(|slot| slot.descriptors == 0) {
            return 0;
        }
        if self.recovered.gave(self.origin.pop) {
            self.recovered.put_back(back.len());
        } else {
            if let Some(tracker) = &mut self.tracker {
                back.iter().rev().for_each(|slot| tracker.put_back(slot));
            }
            match &mut self.ring {
                Ring::Split(ring) => ring.put_back(back),
                Ring::Packed(ring) => ring.put_back(back),
            }
        }
        batch.set_len(keep);
        len - keep
    }

    /// Gives chains of the batch back, in this order, with what was written into each
    /// ([`Batch::set_written`]). The driver sees them after [`publish`](Self::publish). Chains that were
    /// completed before are passed over. Returns how many were given back: none if another queue
    /// filled the batch.
    ///
    /// With `IN_ORDER` negotiated chains have to be completed in the order in which they were taken.
    #[inline]
    pub fn complete(&mut self, batch: &mut Batch, chains: Range<usize>) -> usize {
        if batch.origin().queue != self.origin.queue {
            return 0;
        }
        if self.log.is_some() {
            self.mark_written(batch, chains.clone());
        }
        let slots = batch.slots_mut().get_mut(chains).unwrap_or_default();
        if let Some(tracker) = &mut self.tracker {
            tracker.finished(slots);
        }
        match &mut self.ring {
            Ring::Split(ring) => ring.complete(slots),
            Ring::Packed(ring) => ring.complete(slots),
        }
    }

    /// Shows the driver everything completed since the last time, and says whether it wants to be
    /// called for that (its flags, or its event index).
    #[inline]
    pub fn publish(&mut self) -> bool {
        let log = self.log.as_ref();
        let tracker = self.tracker.as_mut();
        match &mut self.ring {
            Ring::Split(ring) => ring.publish(&self.memory, tracker, log),
            Ring::Packed(ring) => ring.publish(&self.memory, tracker, log),
        }
    }

    /// Asks the driver for a kick at its next chain, then looks a last time. If this returns true,
    /// there is something to take already, and whoever sleeps now may not be woken.
    pub fn watch(&mut self) -> bool {
        let log = self.log.as_ref();
        let available = match &mut self.ring {
            Ring::Split(ring) => ring.watch(log),
            Ring::Packed(ring) => ring.watch(&self.memory, log),
        };
        available || !self.recovered.is_empty()
    }

    /// Tells the driver that kicks are not needed: the queue is polled.
    pub fn unwatch(&mut self) {
        let log = self.log.as_ref();
        match &mut self.ring {
            Ring::Split(ring) => ring.unwatch(log),
            Ring::Packed(ring) => ring.unwatch(&self.memory, log),
        }
    }

    /// Shows what was completed, and lets go of the queue: where a later start goes on, and whether the
    /// driver wants a call for what was shown.
    ///
    /// Chains that were taken and not completed are taken again by the next start, if all before them
    /// were completed; with an in-flight region, in any case.
    #[must_use]
    pub fn stop(mut self) -> (Position, bool) {
        let call = self.publish();
        let position = match &self.ring {
            Ring::Split(ring) => ring.position(),
            Ring::Packed(ring) => ring.position(),
        };
        (position, call)
    }

    /// Goes on with another table of the guest's memory, in which the rings have to be where they are
    /// now. Batches filled before keep the table they were filled with.
    ///
    /// # Errors
    /// As at the start; the queue then keeps its table.
    pub fn set_memory(&mut self, memory: GuestMemory) -> Result<(), StartError> {
        match &mut self.ring {
            Ring::Split(ring) => ring.rebase(&self.layout, self.features, &memory)?,
            Ring::Packed(ring) => ring.rebase(&self.layout, &memory)?,
        }
        self.memory = memory;
        self.window = Window::EMPTY;
        Ok(())
    }

    /// Begins or ends writing into a migration log.
    pub fn set_log(&mut self, log: Option<QueueLog>) {
        self.log = log;
    }

    /// Why the queue stopped, if it did.
    #[must_use]
    pub fn broken(&self) -> Option<Broken> {
        self.broken
    }

    /// The queue's parts as it was started with them.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The features it was started with.
    #[must_use]
    pub fn features(&self) -> Features {
        self.features
    }

    /// Whether the queue may go on, and its memory is still there.
    #[inline(always)]
    fn check(&mut self, batch: &mut Batch) -> Result<(), Broken> {
        if self.broken.is_none() && fault::losses() == self.losses {
            return Ok(());
        }
        batch.reset(&self.memory, self.origin);
        self.recheck()
    }

    #[cold]
    fn recheck(&mut self) -> Result<(), Broken> {
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        let losses = fault::losses();
        let tracked = self.tracker.as_ref();
        if self.memory.is_intact() && !tracked.is_some_and(Tracker::is_lost) {
            self.losses = losses;
            return Ok(());
        }
        self.stop_at(BrokenKind::MemoryLost.at(0u64)).map(|_| ())
    }

    #[cold]
    fn stop_at(&mut self, broken: Broken) -> Result<usize, Broken> {
        self.broken = Some(broken);
        Err(broken)
    }

    /// Takes chains that were in flight when the in-flight region was attached.
    #[cold]
    fn pop_recovered(&mut self, batch: &mut Batch, max: usize) -> Result<usize, Broken> {
        let room = batch.reset(&self.memory, self.origin);
        let (ring, tracker) = (&self.ring, self.tracker.as_ref());
        let memory = (&self.memory, &mut self.window);
        let chain = |entry, gather: Gather<'_>| match ring {
            Ring::Split(ring) => ring.chain(entry, gather),
            Ring::Packed(ring) => {
                let records = tracker.map(|tracker| tracker.records(entry));
                ring.recorded_chain(entry, &records.unwrap_or_default(), gather)
            }
        };
        let pop = self.origin.pop;
        self.recovered.pop(pop, room, max, memory, chain)
    }

    /// Writes down what was just taken from the ring.
    #[cold]
    fn track(&mut self, batch: &mut Batch) {
        if self.recovered.gave(self.origin.pop) {
            return;
        }
        let Some(tracker) = &mut self.tracker else {
            return;
        };
        match &self.ring {
            Ring::Split(_) => tracker.took_split(batch.slots_mut()),
            Ring::Packed(ring) => ring.track(tracker, batch.slots_mut()),
        }
    }

    /// Marks what was written into the guest's buffers.
    #[cold]
    fn mark_written(&self, batch: &Batch, chains: Range<usize>) {
        let Some(log) = &self.log else { return };
        for index in chains.start..chains.end.min(batch.len()) {
            batch.each_written(index, |memory, segment| {
                if let Some(address) = memory.address_of(segment) {
                    log.log.mark(address, u64::from(segment.len()));
                }
            });
        }
    }
}

#[cfg(test)]
mod tests;
