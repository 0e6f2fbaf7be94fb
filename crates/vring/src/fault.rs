//! What happens when a front end takes memory away that it shares.
//!
//! A file can be truncated while it is mapped; the next access to a page behind its new end raises
//! SIGBUS, which kills the process, and with it the network of every other guest. So does a page that
//! the machine's memory controller gave up. [`install`] puts a handler in place that answers for
//! *guarded* ranges only, the mappings of this crate: it maps zero pages over the whole mapping, marks
//! it as lost, and lets the access go on. The queue that meets it stops with
//! [`MemoryLost`](crate::broken::BrokenKind::MemoryLost) at its next batch. Any other SIGBUS does what
//! it would have done without us.
//!
//! The registry is an array of atomics, since a signal handler may neither lock nor allocate.

#![expect(
    unsafe_code,
    reason = "a signal handler, and mapping pages over lost ones"
)]

mod action;

use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

pub use action::install;

/// Most mappings guarded at a time in a process.
pub const GUARDS_MAX: usize = 8192;

/// Longest range that can be guarded: a page less than 1 TiB.
pub(crate) const RANGE_MAX: u64 = COUNT_MASK * UNIT;

/// Ranges are kept in units of the smallest page, so that start and length fit into one atomic: a
/// handler that reads them apart could see the start of one mapping and the length of another.
const UNIT: u64 = 4096;
const COUNT_BITS: u32 = 28;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// One guarded range; a range of zero is a free place.
struct Place {
    range: AtomicU64,
    lost: AtomicBool,
}

static PLACES: [Place; GUARDS_MAX] = [const {
    Place {
        range: AtomicU64::new(0),
        lost: AtomicBool::new(false),
    }
}; GUARDS_MAX];

/// How many ranges were lost since the process began.
static LOSSES: AtomicU32 = AtomicU32::new(0);

/// A range that the handler answers for, until [`Guard::release`].
#[derive(Debug)]
pub(crate) struct Guard {
    place: usize,
}

/// How many mappings were lost since the process began: as long as it stays the same, no memory has
/// to be asked.
#[inline(always)]
#[must_use]
pub fn losses() -> u32 {
    LOSSES.load(Ordering::Relaxed)
}

/// Guards a mapping that begins on a page and is whole pages long; none if there is no place left or
/// the range cannot be written down.
pub(crate) fn guard(start: NonNull<u8>, len: usize) -> Option<Guard> {
    let (start, len) = (start.addr().get() as u64, len as u64);
    let (first, count) = (start / UNIT, len / UNIT);
    if len > RANGE_MAX || count == 0 || first >> (64 - COUNT_BITS) != 0 {
        return None;
    }
    let range = first << COUNT_BITS | count;
    for (place, slot) in PLACES.iter().enumerate() {
        let free = slot.range.load(Ordering::Relaxed) == 0;
        if free
            && slot
                .range
                .compare_exchange(0, range, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        {
            slot.lost.store(false, Ordering::Release);
            return Some(Guard { place });
        }
    }
    None
}

impl Guard {
    /// Whether the handler had to put zero pages there.
    pub(crate) fn is_lost(&self) -> bool {
        PLACES[self.place].lost.load(Ordering::Acquire)
    }

    /// Ends the guarding, before the range is unmapped. Does nothing the second time.
    pub(crate) fn release(&mut self) {
        if self.place < GUARDS_MAX {
            PLACES[self.place].range.store(0, Ordering::Release);
            self.place = usize::MAX;
        }
    }
}

/// Puts zero pages over the guarded range that holds `address`; whether there was one. Runs in a signal
/// handler: atomics and one system call.
fn cover(address: usize) -> bool {
    let unit = address as u64 / UNIT;
    let holds = |place: &&Place| {
        let range = place.range.load(Ordering::Acquire);
        let (first, count) = (range >> COUNT_BITS, range & COUNT_MASK);
        unit >= first && unit - first < count
    };
    let Some(place) = PLACES.iter().find(holds) else {
        return false;
    };
    let range = place.range.load(Ordering::Acquire);
    let start = (range >> COUNT_BITS) * UNIT;
    let len = (range & COUNT_MASK) * UNIT;
    let (Ok(start), Ok(len)) = (usize::try_from(start), usize::try_from(len)) else {
        return false;
    };
    // SAFETY: the thread that faulted is reading or writing in this range, so it holds the mapping,
    // which therefore is neither unmapped nor another one; the range is exactly that mapping, whose
    // bytes nobody assumes anything about.
    let covered = unsafe {
        mmap_anonymous(
            ptr::without_provenance_mut::<c_void>(start),
            len,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE,
        )
    };
    if covered.is_err() {
        return false;
    }
    place.lost.store(true, Ordering::Release);
    LOSSES.fetch_add(1, Ordering::Release);
    true
}

#[cfg(test)]
mod tests;
