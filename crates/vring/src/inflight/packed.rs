//! In-flight records of a packed ring: a copy of each descriptor taken, since the ring's own places are
//! written over in the order in which chains are used.

use std::sync::atomic::Ordering::{Relaxed, Release};

use super::record::{PackedEntry, PackedHeader};
use super::{InflightError, VERSION};
use crate::layout::Descriptor;
use crate::memory::Cells;
use crate::queue::Place;

/// Where a ring goes on after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resume {
    /// Where the next used descriptor goes.
    pub(crate) used: Place,
    /// Descriptors of the chains in flight; the next one to take lies behind them.
    pub(crate) held: u16,
}

/// The lists are kept in memory of our own too, so that what the front end writes into the shared ones
/// meanwhile leads nowhere.
pub(crate) struct PackedTracker {
    header: Cells<PackedHeader>,
    entries: Cells<PackedEntry>,
    counter: u64,
    /// First free entry; `entries.len()` if there is none.
    free: u16,
    /// For each entry, the next one of its chain or of the free list.
    next: Box<[u16]>,
    /// For a chain's first entry, the last one.
    last: Box<[u16]>,
    /// First entries of chains used since the last publication.
    finished: Vec<u16>,
}

impl PackedTracker {
    /// Attaches a region, with the chains still in flight, by their first entries.
    pub(super) fn recover(
        header: Cells<PackedHeader>,
        entries: Cells<PackedEntry>,
        size: u16,
        was_shown_at: impl Fn(Place) -> bool,
    ) -> Result<(Self, Vec<u16>, Resume), InflightError> {
        let count = entries.len();
        let mut tracker = Self {
            header,
            entries,
            counter: 0,
            free: 0,
            next: vec![0; count].into(),
            last: vec![0; count].into(),
            finished: Vec::with_capacity(usize::from(size)),
        };
        match tracker.header.first().version.load(Relaxed) {
            0 => {
                tracker.set_up();
                let used = Place::START;
                Ok((tracker, Vec::new(), Resume { used, held: 0 }))
            }
            VERSION => {
                let used = tracker.settle(size, was_shown_at)?;
                let (heads, held) = tracker.in_flight(size)?;
                Ok((tracker, heads, Resume { used, held }))
            }
            other => Err(InflightError::Version(other)),
        }
    }

    pub(super) fn is_lost(&self) -> bool {
        self.header.is_lost()
    }

    /// Records a chain; its first entry. There always is a free one: no more descriptors are taken than
    /// the ring has, and the region has at least as many entries.
    pub(super) fn took(&mut self, chain: impl Iterator<Item = Descriptor>) -> u16 {
        let header = self.header.first();
        let first = self.free;
        let Some(head) = self.entries.get(usize::from(first)) else {
            return first;
        };
        head.num.store(0, Relaxed);
        head.counter.store(self.counter, Relaxed);
        self.counter = self.counter.wrapping_add(1);
        head.inflight.store(1, Release);
        let (mut last, mut count) = (first, 0);
        for descriptor in chain {
            let Some(entry) = self.entries.get(usize::from(self.free)) else {
                break;
            };
            last = self.free;
            count += 1;
            entry.addr.store(descriptor.address, Relaxed);
            entry.len.store(descriptor.len, Relaxed);
            entry.flags.store(descriptor.flags, Relaxed);
            entry.id.store(descriptor.link, Relaxed);
            self.free = self.next[usize::from(last)];
        }
        self.last[usize::from(first)] = last;
        head.last.store(last, Relaxed);
        head.num.store(count, Relaxed);
        header.free_head.store(self.free, Release);
        header.old_free_head.store(self.free, Release);
        first
    }

    pub(super) fn put_back(&mut self, first: u16) {
        let Some(head) = self.entries.get(usize::from(first)) else {
            return;
        };
        head.inflight.store(0, Release);
        self.release(first);
        let header = self.header.first();
        header.old_free_head.store(self.free, Release);
    }

    pub(super) fn finished(&mut self, first: u16) {
        self.finished.push(first);
    }

    pub(super) fn publish(&mut self, used: Place, show: impl FnOnce()) {
        let finished = std::mem::take(&mut self.finished);
        for first in &finished {
            self.release(*first);
        }
        let header = self.header.first();
        header.used_wrap_counter.store(u8::from(used.wrap), Relaxed);
        header.used_idx.store(used.at, Release);
        show();
        for first in &finished {
            if let Some(head) = self.entries.get(usize::from(*first)) {
                head.inflight.store(0, Release);
            }
        }
        header.old_free_head.store(self.free, Release);
        header
            .old_used_wrap_counter
            .store(u8::from(used.wrap), Relaxed);
        header.old_used_idx.store(used.at, Release);
        self.finished = finished;
        self.finished.clear();
    }

    /// The descriptors of a chain, by its first entry.
    pub(super) fn records(&self, first: u16) -> Vec<Descriptor> {
        let mut records = Vec::new();
        let mut at = first;
        while let Some(entry) = self.entries.get(usize::from(at)) {
            records.push(Descriptor {
                address: entry.addr.load(Relaxed),
                len: entry.len.load(Relaxed),
                flags: entry.flags.load(Relaxed),
                link: entry.id.load(Relaxed),
            });
            // Our own lists end, so this does.
            if at == self.last[usize::from(first)] {
                break;
            }
            at = self.next[usize::from(at)];
        }
        records
    }

    /// Puts a chain's entries in front of the free ones.
    fn release(&mut self, first: u16) {
        let Some(last) = self.last.get(usize::from(first)).copied() else {
            return;
        };
        self.next[usize::from(last)] = self.free;
        if let Some(entry) = self.entries.get(usize::from(last)) {
            entry.next.store(self.free, Relaxed);
        }
        self.free = first;
        self.header.first().free_head.store(first, Release);
    }

    /// A region that nobody has used: all entries are free, and the ring is at its start.
    fn set_up(&mut self) {
        let count = u16::try_from(self.entries.len()).unwrap_or(u16::MAX);
        for at in 0..count {
            self.next[usize::from(at)] = at + 1;
            if let Some(entry) = self.entries.get(usize::from(at)) {
                entry.next.store(at + 1, Relaxed);
                entry.inflight.store(0, Relaxed);
            }
        }
        let header = self.header.first();
        header.features.store(0, Relaxed);
        header.desc_num.store(count, Relaxed);
        for head in [&header.free_head, &header.old_free_head] {
            head.store(0, Relaxed);
        }
        for index in [&header.used_idx, &header.old_used_idx] {
            index.store(0, Relaxed);
        }
        for wrap in [&header.used_wrap_counter, &header.old_used_wrap_counter] {
            wrap.store(1, Relaxed);
        }
        header.version.store(VERSION, Release);
    }

    /// Finishes the last publication if the driver may have seen it, and undoes it otherwise.
    fn settle(
        &mut self,
        size: u16,
        was_shown_at: impl Fn(Place) -> bool,
    ) -> Result<Place, InflightError> {
        let header = self.header.first();
        let desc_num = header.desc_num.load(Relaxed);
        if usize::from(desc_num) != self.entries.len() {
            return Err(InflightError::Size {
                region: desc_num,
                queue: u16::try_from(self.entries.len()).unwrap_or(u16::MAX),
            });
        }
        let new = Place {
            at: header.used_idx.load(Relaxed),
            wrap: header.used_wrap_counter.load(Relaxed) != 0,
        };
        let old = Place {
            at: header.old_used_idx.load(Relaxed),
            wrap: header.old_used_wrap_counter.load(Relaxed) != 0,
        };
        if let Some(wrong) = [new, old].iter().find(|place| place.at >= size) {
            return Err(InflightError::Corrupt(wrong.at));
        }
        // In one lap, the used place only moves up: if it seems to have moved down, the old wrap counter
        // was already set when the back end died, and only the old index is left to be.
        let half_written = old.wrap == new.wrap && new.at < old.at;
        let (used, free) = if half_written || (new != old && was_shown_at(old)) {
            (new, header.free_head.load(Relaxed))
        } else {
            (old, header.old_free_head.load(Relaxed))
        };
        header.free_head.store(free, Release);
        header.old_free_head.store(free, Release);
        let wrap = u8::from(used.wrap);
        header.used_wrap_counter.store(wrap, Relaxed);
        header.used_idx.store(used.at, Release);
        header.old_used_wrap_counter.store(wrap, Relaxed);
        header.old_used_idx.store(used.at, Release);
        self.free = free;
        Ok(used)
    }

    /// Takes the lists over: what is free, what is in flight, and no entry twice.
    fn in_flight(&mut self, size: u16) -> Result<(Vec<u16>, u16), InflightError> {
        let count = u16::try_from(self.entries.len()).unwrap_or(u16::MAX);
        let mut known = vec![false; self.entries.len()];
        let mut at = self.free;
        while at != count {
            let next = self.claim(at, &mut known)?;
            self.strike_out(at);
            at = next;
        }
        let mut found = Vec::new();
        let mut held: u16 = 0;
        for first in 0..count {
            let Some(head) = self.entries.get(usize::from(first)) else {
                continue;
            };
            if head.inflight.load(Relaxed) == 0 {
                continue;
            }
            let (num, counter) = (head.num.load(Relaxed), head.counter.load(Relaxed));
            held = held.saturating_add(num);
            if num == 0 || held > size {
                return Err(InflightError::Corrupt(first));
            }
            let (mut at, mut last) = (first, first);
            for _ in 0..num {
                last = at;
                at = self.claim(at, &mut known)?;
            }
            self.last[usize::from(first)] = last;
            found.push((counter, first));
        }
        // Entries in neither list are those of a back end that died while it put a chain back.
        for at in (0..count).filter(|at| !known[usize::from(*at)]) {
            self.last[usize::from(at)] = at;
            self.release(at);
        }
        let header = self.header.first();
        header.old_free_head.store(self.free, Release);
        found.sort_unstable();
        self.counter = found.last().map_or(0, |(last, _)| last.wrapping_add(1));
        Ok((found.into_iter().map(|(_, first)| first).collect(), held))
    }

    /// Takes an entry into our own list, if it is not in one; the entry behind it.
    fn claim(&mut self, at: u16, known: &mut [bool]) -> Result<u16, InflightError> {
        let entry = self.entries.get(usize::from(at));
        let entry = entry.ok_or(InflightError::Corrupt(at))?;
        if std::mem::replace(&mut known[usize::from(at)], true) {
            return Err(InflightError::Corrupt(at));
        }
        let next = entry.next.load(Relaxed);
        self.next[usize::from(at)] = next;
        Ok(next)
    }

    fn strike_out(&self, at: u16) {
        if let Some(entry) = self.entries.get(usize::from(at)) {
            entry.inflight.store(0, Release);
        }
    }
}
