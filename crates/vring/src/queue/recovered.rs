//! Chains that were in flight when an earlier back end died, waiting to be given out again.

use crate::batch::{Gather, Refused, Room, Slot};
use crate::broken::Broken;
use crate::memory::{GuestMemory, Window};

/// Heads (split) or in-flight entries (packed), in the order in which they were first taken.
pub(super) struct Recovered {
    entries: Vec<u16>,
    given: usize,
    /// Which of the queue's pops last took from here.
    pop: u64,
}

impl Recovered {
    pub(super) fn new(entries: Vec<u16>) -> Self {
        Self {
            entries,
            given: 0,
            pop: 0,
        }
    }

    /// Whether all have been given out.
    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.given == self.entries.len()
    }

    /// Whether this pop of the queue took from here.
    pub(super) fn gave(&self, pop: u64) -> bool {
        self.pop == pop
    }

    /// Takes the chains of that pop back, from the last one on.
    pub(super) fn put_back(&mut self, count: usize) {
        self.given = self.given.saturating_sub(count);
    }

    /// Fills the room with up to `max` chains, each put together by `chain` out of its entry.
    pub(super) fn pop(
        &mut self,
        pop: u64,
        room: Room<'_>,
        max: usize,
        (memory, window): (&GuestMemory, &mut Window),
        chain: impl Fn(u16, Gather<'_>) -> Result<Slot, Refused>,
    ) -> Result<usize, Broken> {
        self.pop = pop;
        let waiting = self.entries.get(self.given..).unwrap_or_default();
        let mut filled = 0;
        let mut taken = 0;
        for (slot, entry) in room.slots.iter_mut().zip(waiting).take(max) {
            let gather = Gather::new(memory, window, room.segments, filled);
            match chain(*entry, gather) {
                Ok(found) => *slot = found,
                Err(Refused::Broken(broken)) if taken == 0 => return Err(broken),
                Err(_) => break,
            }
            filled += slot.segments();
            taken += 1;
        }
        self.given += taken;
        Ok(taken)
    }
}
