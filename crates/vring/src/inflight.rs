//! What a back end has taken and not given back, in memory that outlives it.
//!
//! vhost-user, section "Inflight I/O tracking": the front end keeps a file for the back end, with one
//! region for each queue. What is taken is recorded there before the data path sees it, and struck out
//! when the driver has seen it used; a back end that starts after a crash finds what was left, and gives
//! it out again in the order in which it was taken first. The layouts, including the order of stores
//! between which a back end may die, are the specification's; the words are the host's byte order.

#![expect(unsafe_code, reason = "records in mapped memory")]

mod packed;
mod record;
mod split;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

pub(crate) use packed::Resume;

use crate::batch::Slot;
use crate::layout::{Descriptor, Format, QUEUE_SIZE_MAX};
use crate::memory::{Cell, Cells, Mapping, MemoryError};
use crate::queue::Place;
use packed::PackedTracker;
use record::{PackedEntry, PackedHeader, SplitEntry, SplitHeader};
use split::SplitTracker;

/// Most queues in one file.
pub const QUEUES_MAX: u16 = 1024;

/// Each queue's region begins at a multiple of this, as other back ends place them.
const ALIGNMENT: u64 = 64;
/// The version of a region's layout; a region of zeros is one that nobody has used.
const VERSION: u16 = 1;

/// How an in-flight file is divided (vhost-user's inflight description).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Queues: 1 to [`QUEUES_MAX`].
    pub queues: u16,
    /// Descriptors of each queue, 1 to 32,768.
    pub queue_size: u16,
    /// Which records are kept.
    pub format: Format,
}

/// An in-flight file, mapped.
pub struct InflightArea {
    mapping: Arc<Mapping>,
    shape: Shape,
}

/// One queue's part of an in-flight file, to start a queue with.
pub struct QueueRegion {
    mapping: Arc<Mapping>,
    offset: usize,
    shape: Shape,
}

/// Why an in-flight file or region cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InflightError {
    /// No queues, too many, or queues of an impossible size.
    #[error("{queues} queues of {size} not allowed")]
    Shape {
        /// Queues asked for.
        queues: u16,
        /// Descriptors of each.
        size: u16,
    },
    /// The area is shorter than its queues need.
    #[error("{given} bytes of {needed}")]
    TooShort {
        /// Bytes of the area.
        given: u64,
        /// Bytes that the regions take.
        needed: u64,
    },
    /// The area begins in the middle of a word.
    #[error("area not aligned")]
    Misaligned,
    /// It cannot be mapped.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// Its records are for the other format.
    #[error("records of another ring format")]
    Format,
    /// Its layout is of a version that we do not know.
    #[error("layout of version {0}")]
    Version(u16),
    /// It was used with queues of another size, or the queue is larger than the region.
    #[error("region for {region} descriptors, queue of {queue}")]
    Size {
        /// Descriptors that the region has or says it has.
        region: u16,
        /// Descriptors that it should have.
        queue: u16,
    },
    /// What it records cannot be: an entry that does not exist, or in two places. At: that entry.
    #[error("records contradict each other at entry {0}")]
    Corrupt(u16),
}

impl Shape {
    /// Bytes of all regions.
    #[must_use]
    pub fn bytes(self) -> u64 {
        u64::from(self.queues) * self.region_bytes()
    }

    fn region_bytes(self) -> u64 {
        let (header, entry) = match self.format {
            Format::Split => (size_of::<SplitHeader>(), size_of::<SplitEntry>()),
            Format::Packed => (size_of::<PackedHeader>(), size_of::<PackedEntry>()),
        };
        let bytes = header as u64 + entry as u64 * u64::from(self.queue_size);
        bytes.next_multiple_of(ALIGNMENT)
    }

    fn check(self) -> Result<(), InflightError> {
        let queues = (1..=QUEUES_MAX).contains(&self.queues);
        if !queues || !(1..=QUEUE_SIZE_MAX).contains(&self.queue_size) {
            return Err(InflightError::Shape {
                queues: self.queues,
                size: self.queue_size,
            });
        }
        Ok(())
    }
}

impl InflightArea {
    /// A new file for the front end to keep (`GET_INFLIGHT_FD`), of [`Shape::bytes`] bytes; it cannot
    /// change its length.
    ///
    /// # Errors
    /// [`InflightError::Shape`] and what the kernel refuses.
    pub fn create(shape: Shape) -> Result<(OwnedFd, Self), InflightError> {
        shape.check()?;
        let system = |error| InflightError::Memory(MemoryError::System(error));
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = memfd_create("vring-inflight", flags).map_err(system)?;
        ftruncate(&file, shape.bytes()).map_err(system)?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        fcntl_add_seals(&file, seals).map_err(system)?;
        let area = Self::open(&file, 0, shape.bytes(), shape)?;
        Ok((file, area))
    }

    /// The area of `bytes` bytes in a file that the front end has kept (`SET_INFLIGHT_FD`).
    ///
    /// # Errors
    /// What [`InflightError`] says of files.
    pub fn open(
        file: impl AsFd,
        offset: u64,
        bytes: u64,
        shape: Shape,
    ) -> Result<Self, InflightError> {
        shape.check()?;
        let needed = shape.bytes();
        if bytes < needed {
            return Err(InflightError::TooShort {
                given: bytes,
                needed,
            });
        }
        if !offset.is_multiple_of(8) {
            return Err(InflightError::Misaligned);
        }
        let mapping = Arc::new(Mapping::new(file.as_fd(), offset, needed)?);
        Ok(Self { mapping, shape })
    }

    /// How the area is divided.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The region of one queue, if there is such a queue. It keeps the mapping.
    #[must_use]
    pub fn queue(&self, index: u16) -> Option<QueueRegion> {
        let offset = u64::from(index) * self.shape.region_bytes();
        (index < self.shape.queues).then_some(QueueRegion {
            mapping: Arc::clone(&self.mapping),
            offset: usize::try_from(offset).ok()?,
            shape: self.shape,
        })
    }
}

impl QueueRegion {
    /// Header and entries, if the region is of this format and large enough for the queue.
    fn parts<H: Cell, E: Cell>(
        &self,
        format: Format,
        size: u16,
    ) -> Result<(Cells<H>, Cells<E>), InflightError> {
        let region = self.shape.queue_size;
        if self.shape.format != format {
            return Err(InflightError::Format);
        }
        if size > region {
            return Err(InflightError::Size {
                region,
                queue: size,
            });
        }
        let entries = self.offset + size_of::<H>();
        let header = Cells::new(&self.mapping, self.offset, 1);
        let entries = Cells::new(&self.mapping, entries, usize::from(region));
        match (header, entries) {
            (Ok(header), Ok(entries)) => Ok((header, entries)),
            _ => Err(InflightError::Misaligned),
        }
    }
}

/// Keeps a queue's region up to date.
pub(crate) enum Tracker {
    Split(SplitTracker),
    Packed(PackedTracker),
}

impl Tracker {
    /// Attaches a split queue's region, in which the ring's used index is `used`: the heads of chains in
    /// flight, in the order in which they were taken.
    pub(crate) fn recover_split(
        region: QueueRegion,
        size: u16,
        used: u16,
    ) -> Result<(Self, Vec<u16>), InflightError> {
        let (header, entries) = region.parts(Format::Split, size)?;
        let (tracker, heads) = SplitTracker::recover(header, entries, size, used)?;
        Ok((Self::Split(tracker), heads))
    }

    /// Attaches a packed queue's region: the entries of chains in flight, and where the ring goes on.
    pub(crate) fn recover_packed(
        region: QueueRegion,
        size: u16,
        was_shown_at: impl Fn(Place) -> bool,
    ) -> Result<(Self, Vec<u16>, Resume), InflightError> {
        let (header, entries) = region.parts(Format::Packed, size)?;
        let (tracker, heads, resume) = PackedTracker::recover(header, entries, size, was_shown_at)?;
        Ok((Self::Packed(tracker), heads, resume))
    }

    /// Whether the region's memory was taken away.
    pub(crate) fn is_lost(&self) -> bool {
        match self {
            Self::Split(tracker) => tracker.is_lost(),
            Self::Packed(tracker) => tracker.is_lost(),
        }
    }

    /// Records chains that were taken from a split ring.
    pub(crate) fn took_split(&mut self, slots: &[Slot]) {
        if let Self::Split(tracker) = self {
            slots.iter().for_each(|slot| tracker.took(slot.id));
        }
    }

    /// Records a chain that was taken from a packed ring; its entry.
    pub(crate) fn took_packed(&mut self, chain: impl Iterator<Item = Descriptor>) -> u16 {
        match self {
            Self::Split(_) => 0,
            Self::Packed(tracker) => tracker.took(chain),
        }
    }

    /// Strikes out a chain that goes back into the ring, the last one taken first.
    pub(crate) fn put_back(&mut self, slot: &Slot) {
        match self {
            Self::Split(tracker) => tracker.put_back(slot.id),
            Self::Packed(tracker) => tracker.put_back(slot.entry),
        }
    }

    /// Notes chains that will be struck out at the next publication.
    pub(crate) fn finished(&mut self, slots: &[Slot]) {
        for slot in slots.iter().filter(|slot| slot.descriptors != 0) {
            match self {
                Self::Split(tracker) => tracker.finished(slot.id),
                Self::Packed(tracker) => tracker.finished(slot.entry),
            }
        }
    }

    /// Publishes by `show`, which sets the used index to `used`.
    pub(crate) fn publish_split(&mut self, used: u16, show: impl FnOnce()) {
        match self {
            Self::Split(tracker) => tracker.publish(used, show),
            Self::Packed(_) => show(),
        }
    }

    /// Publishes by `show`, after which the driver has seen everything before `used`.
    pub(crate) fn publish_packed(&mut self, used: Place, show: impl FnOnce()) {
        match self {
            Self::Split(_) => show(),
            Self::Packed(tracker) => tracker.publish(used, show),
        }
    }

    /// The descriptors recorded for a chain.
    pub(crate) fn records(&self, entry: u16) -> Vec<Descriptor> {
        match self {
            Self::Split(_) => Vec::new(),
            Self::Packed(tracker) => tracker.records(entry),
        }
    }
}

#[cfg(test)]
mod tests;
