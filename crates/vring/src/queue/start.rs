//! Checking what a front end says of a queue before anything of it is touched.

use std::sync::atomic::{AtomicU64, Ordering};

use super::packed::Packed;
use super::recovered::Recovered;
use super::split::Split;
use super::{Position, Queue, Ring};
use crate::batch::{Origin, SEGMENTS_MAX};
use crate::broken::{Broken, BrokenKind};
use crate::fault;
use crate::features::Features;
use crate::inflight::{InflightError, QueueRegion, Tracker};
use crate::layout::{DESCRIPTOR_BYTES, Descriptor, Format, Layout, QUEUE_SIZE_MAX};
use crate::memory::{Cell, Cells, CellsError, GuestMemory, UserAddress, Window};

/// Why a queue cannot be started, or cannot go on in other memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// Not 1 to 32,768, or not a power of two in a split ring.
    #[error("queue size {0} not allowed")]
    Size(u16),
    /// An area is not, or not all, in one region of the shared memory.
    #[error("queue's {0} outside the shared memory")]
    Outside(Area),
    /// An area is not aligned as the standard asks (virtio 1.2, sections 2.7 and 2.8).
    #[error("queue's {0} not aligned")]
    Misaligned(Area),
    /// A packed position that is not in the ring.
    #[error("queue position {0:#x} outside the ring")]
    Position(u32),
    /// The in-flight region does not fit the queue, or contradicts itself.
    #[error("in-flight region unusable: {0}")]
    Inflight(#[from] InflightError),
}

/// One of the three areas of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// Descriptor table or ring.
    Descriptors(UserAddress),
    /// What the driver writes.
    Driver(UserAddress),
    /// What the device writes.
    Device(UserAddress),
}

impl std::fmt::Display for Area {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, address) = match self {
            Self::Descriptors(address) => ("descriptors", address),
            Self::Driver(address) => ("driver area", address),
            Self::Device(address) => ("device area", address),
        };
        write!(f, "{name} at {:#x}", address.0)
    }
}

impl Queue {
    /// Starts to serve a queue.
    ///
    /// A split queue goes on where its used index in memory is, whatever `position` says, as other back
    /// ends do: that is what the driver has seen, and chains that an earlier back end took and did not
    /// give back are taken again. A packed ring keeps no index in memory, so there the used half of
    /// `position` counts, unless an in-flight region knows better.
    ///
    /// # Errors
    /// What [`StartError`] lists; nothing in memory was changed then, except that a fresh in-flight
    /// region may have been initialised.
    pub fn start(
        layout: Layout,
        features: Features,
        memory: &GuestMemory,
        position: Position,
        inflight: Option<QueueRegion>,
    ) -> Result<Self, StartError> {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        if layout.size == 0 || layout.size > QUEUE_SIZE_MAX {
            return Err(StartError::Size(layout.size));
        }
        if !layout.descriptors.0.is_multiple_of(DESCRIPTOR_BYTES) {
            return Err(StartError::Misaligned(Area::Descriptors(
                layout.descriptors,
            )));
        }
        // Before the memory is looked at, so that no loss in between goes unseen.
        let losses = fault::losses();
        let (ring, tracker, recovered) = match features.format() {
            Format::Split => start_split(&layout, features, memory, inflight)?,
            Format::Packed => start_packed(&layout, features, memory, position, inflight)?,
        };
        let origin = Origin {
            queue: NUMBER.fetch_add(1, Ordering::Relaxed),
            pop: 0,
        };
        let mut queue = Self {
            ring,
            memory: memory.clone(),
            window: Window::EMPTY,
            losses,
            broken: None,
            origin,
            recovered: Recovered::new(recovered),
            tracker,
            log: None,
            layout,
            features,
        };
        if !memory.is_intact() {
            queue.broken = Some(BrokenKind::MemoryLost.at(0u64));
        }
        Ok(queue)
    }
}

type Started = (Ring, Option<Tracker>, Vec<u16>);

fn start_split(
    layout: &Layout,
    features: Features,
    memory: &GuestMemory,
    inflight: Option<QueueRegion>,
) -> Result<Started, StartError> {
    let mut ring = Split::start(layout, features, memory)?;
    let Some(region) = inflight else {
        return Ok((Ring::Split(ring), None, Vec::new()));
    };
    let (tracker, heads) = Tracker::recover_split(region, layout.size, ring.used_index())?;
    // Never more than the queue's size, which has 16 bits.
    ring.skip(u16::try_from(heads.len()).unwrap_or(u16::MAX));
    Ok((Ring::Split(ring), Some(tracker), heads))
}

fn start_packed(
    layout: &Layout,
    features: Features,
    memory: &GuestMemory,
    position: Position,
    inflight: Option<QueueRegion>,
) -> Result<Started, StartError> {
    let mut ring = Packed::start(layout, features, memory, position)?;
    let Some(region) = inflight else {
        return Ok((Ring::Packed(ring), None, Vec::new()));
    };
    let (tracker, entries, resume) =
        Tracker::recover_packed(region, layout.size, |place| ring.was_shown_at(place))?;
    ring.resume(resume);
    Ok((Ring::Packed(ring), Some(tracker), entries))
}

/// The cells at `offset` bytes into an area.
pub(super) fn cells<C: Cell>(
    memory: &GuestMemory,
    area: Area,
    offset: u64,
    count: u16,
) -> Result<Cells<C>, StartError> {
    let (Area::Descriptors(start) | Area::Driver(start) | Area::Device(start)) = area;
    let address = start.0.checked_add(offset);
    let address = address.ok_or(StartError::Outside(area))?;
    let found = memory.cells(UserAddress(address), usize::from(count));
    found.map_err(|error| match error {
        CellsError::Outside => StartError::Outside(area),
        CellsError::Misaligned => StartError::Misaligned(area),
    })
}

/// How many descriptors an indirect table has.
pub(super) fn table_len(table: Descriptor) -> Result<u16, Broken> {
    let bytes = u64::from(table.len);
    let count = bytes / DESCRIPTOR_BYTES;
    if count == 0 || !bytes.is_multiple_of(DESCRIPTOR_BYTES) || count > SEGMENTS_MAX as u64 {
        return Err(BrokenKind::IndirectLength.at(bytes));
    }
    u16::try_from(count).map_err(|_| BrokenKind::IndirectLength.at(bytes))
}
