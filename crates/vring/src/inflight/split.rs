//! In-flight records of a split ring: one entry for each possible head.

use std::sync::atomic::Ordering::{Relaxed, Release};

use super::record::{SplitEntry, SplitHeader};
use super::{InflightError, VERSION};
use crate::memory::Cells;

/// Stores that another back end may have to make sense of after a crash are releases: each one is
/// visible no earlier than those before it.
pub(crate) struct SplitTracker {
    header: Cells<SplitHeader>,
    entries: Cells<SplitEntry>,
    counter: u64,
    /// Heads used since the last publication.
    finished: Vec<u16>,
}

impl SplitTracker {
    /// Attaches a region of a queue whose used index is `used`, with the heads still in flight.
    pub(super) fn recover(
        header: Cells<SplitHeader>,
        entries: Cells<SplitEntry>,
        size: u16,
        used: u16,
    ) -> Result<(Self, Vec<u16>), InflightError> {
        let mut tracker = Self {
            header,
            entries,
            counter: 0,
            finished: Vec::with_capacity(usize::from(size)),
        };
        match tracker.header.first().version.load(Relaxed) {
            0 => {
                tracker.set_up(used);
                Ok((tracker, Vec::new()))
            }
            VERSION => {
                let heads = tracker.in_flight(size, used)?;
                Ok((tracker, heads))
            }
            other => Err(InflightError::Version(other)),
        }
    }

    pub(super) fn is_lost(&self) -> bool {
        self.header.is_lost()
    }

    pub(super) fn took(&mut self, head: u16) {
        if let Some(entry) = self.entries.get(usize::from(head)) {
            entry.counter.store(self.counter, Relaxed);
            entry.inflight.store(1, Release);
        }
        self.counter = self.counter.wrapping_add(1);
    }

    pub(super) fn put_back(&mut self, head: u16) {
        if let Some(entry) = self.entries.get(usize::from(head)) {
            entry.inflight.store(0, Release);
        }
    }

    pub(super) fn finished(&mut self, head: u16) {
        self.finished.push(head);
    }

    pub(super) fn publish(&mut self, used: u16, show: impl FnOnce()) {
        let header = self.header.first();
        for head in &self.finished {
            if let Some(entry) = self.entries.get(usize::from(*head)) {
                entry
                    .next
                    .store(header.last_batch_head.load(Relaxed), Relaxed);
                header.last_batch_head.store(*head, Release);
            }
        }
        show();
        for head in self.finished.drain(..) {
            if let Some(entry) = self.entries.get(usize::from(head)) {
                entry.inflight.store(0, Release);
            }
        }
        header.used_idx.store(used, Release);
    }

    fn set_up(&self, used: u16) {
        let header = self.header.first();
        header.features.store(0, Relaxed);
        let entries = u16::try_from(self.entries.len()).unwrap_or(u16::MAX);
        header.desc_num.store(entries, Relaxed);
        header.last_batch_head.store(0, Relaxed);
        header.used_idx.store(used, Relaxed);
        header.version.store(VERSION, Release);
    }

    /// Finishes what the last publication left undone, and lists what is in flight.
    fn in_flight(&mut self, size: u16, used: u16) -> Result<Vec<u16>, InflightError> {
        let header = self.header.first();
        let desc_num = header.desc_num.load(Relaxed);
        if usize::from(desc_num) != self.entries.len() {
            return Err(InflightError::Size {
                region: desc_num,
                queue: u16::try_from(self.entries.len()).unwrap_or(u16::MAX),
            });
        }
        let batch = used.wrapping_sub(header.used_idx.load(Relaxed));
        if batch > size {
            return Err(InflightError::Corrupt(batch));
        }
        let mut head = header.last_batch_head.load(Relaxed);
        for _ in 0..batch {
            let entry = self.entries.get(usize::from(head));
            let entry = entry.ok_or(InflightError::Corrupt(head))?;
            entry.inflight.store(0, Release);
            head = entry.next.load(Relaxed);
        }
        header.used_idx.store(used, Release);

        let heads = 0..size;
        let flagged = |head: &u16| {
            let entry = self.entries.get(usize::from(*head));
            entry.is_some_and(|entry| entry.inflight.load(Relaxed) != 0)
        };
        let counter = |head: u16| {
            let entry = self.entries.get(usize::from(head));
            entry.map_or(0, |entry| entry.counter.load(Relaxed))
        };
        let mut found: Vec<(u64, u16)> = heads
            .filter(flagged)
            .map(|head| (counter(head), head))
            .collect();
        found.sort_unstable();
        self.counter = found.last().map_or(0, |(last, _)| last.wrapping_add(1));
        Ok(found.into_iter().map(|(_, head)| head).collect())
    }
}
