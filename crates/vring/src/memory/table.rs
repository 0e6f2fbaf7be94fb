//! The table of regions, and finding an address in it.

use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::Arc;

use super::cells::Cell;
use super::{
    Cells, CellsError, GuestAddress, Mapping, MemoryError, OutOfSpan, REGIONS_MAX, Region, Segment,
    Span, UserAddress,
};

/// The guest's memory at one moment. Cloning is counting a reference.
#[derive(Clone, Default)]
pub struct GuestMemory {
    /// By guest address, without overlap.
    regions: Arc<Vec<Mapped>>,
}

#[derive(Clone)]
struct Mapped {
    at: Region,
    mapping: Arc<Mapping>,
}

/// One region as the hot path looks at it: the addresses for which nothing has to be searched.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    guest: u64,
    size: u64,
    start: NonNull<u8>,
}

// SAFETY: as `Segment`: a pointer to mapped memory that is only copied from and to.
unsafe impl Send for Window {}

impl std::fmt::Debug for GuestMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.regions()).finish()
    }
}

impl GuestMemory {
    /// A table without a region.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A table that also has `region`: the bytes of `file` from `offset` on. The file can be closed
    /// afterwards.
    ///
    /// # Errors
    /// What [`MemoryError`] lists; this table stays as it is.
    pub fn with_region(
        &self,
        region: Region,
        file: impl AsFd,
        offset: u64,
    ) -> Result<Self, MemoryError> {
        let last = region
            .size
            .checked_sub(1)
            .ok_or(MemoryError::Empty(region))?;
        // The exclusive ends are addresses too, so that no sum further on can wrap.
        for start in [region.guest.0, region.user.0, offset] {
            if start.checked_add(last).is_none_or(|end| end == u64::MAX) {
                return Err(MemoryError::Wraps(region));
            }
        }
        if self.regions.len() >= REGIONS_MAX {
            return Err(MemoryError::TooMany);
        }
        if let Some(other) = self.regions().find(|other| other.overlaps(&region)) {
            return Err(MemoryError::Overlap(region, other));
        }
        let mapping = Mapping::new(file.as_fd(), offset, region.size)?;
        let mut regions = Vec::clone(&self.regions);
        let place = regions.partition_point(|other| other.at.guest < region.guest);
        let mapping = Arc::new(mapping);
        regions.insert(
            place,
            Mapped {
                at: region,
                mapping,
            },
        );
        Ok(Self {
            regions: Arc::new(regions),
        })
    }

    /// A table without `region`, which has to be named exactly as it was added.
    ///
    /// # Errors
    /// [`MemoryError::Unknown`] if the table has no such region.
    pub fn without_region(&self, region: Region) -> Result<Self, MemoryError> {
        let mut regions = Vec::clone(&self.regions);
        let known = regions.iter().position(|other| other.at == region);
        regions.remove(known.ok_or(MemoryError::Unknown(region))?);
        Ok(Self {
            regions: Arc::new(regions),
        })
    }

    /// The regions, by guest address.
    pub fn regions(&self) -> impl Iterator<Item = Region> {
        self.regions.iter().map(|mapped| mapped.at)
    }

    /// Whether both are the same table, not merely equal ones.
    #[inline(always)]
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.regions, &other.regions)
    }

    /// Whether no file was truncated under the memory since it was mapped ([`crate::fault`]).
    #[must_use]
    pub fn is_intact(&self) -> bool {
        !self.regions.iter().any(|mapped| mapped.mapping.is_lost())
    }

    /// The bytes at `address`, if they are all in one region.
    #[must_use]
    pub fn span(&self, address: GuestAddress, len: u32) -> Option<Span<'_>> {
        let segment = self.window(address)?.segment(address.0, len)?;
        // SAFETY: the segment lies in a mapping that `self` keeps while it is borrowed.
        Some(unsafe { segment.span() })
    }

    /// Reads bytes at `address`, across adjacent regions too.
    ///
    /// # Errors
    /// [`OutOfSpan`] if not all of them are in the guest's memory; some may have been read.
    pub fn read(&self, address: GuestAddress, to: &mut [u8]) -> Result<(), OutOfSpan> {
        let mut rest = to;
        self.pieces(address, rest.len(), |span| {
            let (now, later) = std::mem::take(&mut rest).split_at_mut(span.len());
            rest = later;
            span.read(0, now)
        })
    }

    /// Writes bytes at `address`, across adjacent regions too. Nothing is marked in a migration log.
    ///
    /// # Errors
    /// [`OutOfSpan`] if not all of them are in the guest's memory; some may have been written.
    pub fn write(&self, address: GuestAddress, from: &[u8]) -> Result<(), OutOfSpan> {
        let mut rest = from;
        self.pieces(address, rest.len(), |span| {
            let (now, later) = rest.split_at(span.len());
            rest = later;
            span.write(0, now)
        })
    }

    /// Where the guest sees an address of the front end.
    #[must_use]
    pub fn guest_address(&self, user: UserAddress) -> Option<GuestAddress> {
        let mut offsets = self.regions().filter_map(|at| {
            let offset = user.0.checked_sub(at.user.0)?;
            (offset < at.size).then_some(GuestAddress(at.guest.0 + offset))
        });
        offsets.next()
    }

    /// The region that holds `address`.
    pub(crate) fn window(&self, address: GuestAddress) -> Option<Window> {
        let after = self
            .regions
            .partition_point(|other| other.at.guest <= address);
        let mapped = self.regions.get(after.checked_sub(1)?)?;
        let inside = address.0 - mapped.at.guest.0 < mapped.at.size;
        inside.then(|| Window {
            guest: mapped.at.guest.0,
            size: mapped.at.size,
            start: mapped.mapping.start(),
        })
    }

    /// Cells at an address of the front end; they keep their mapping.
    pub(crate) fn cells<C: Cell>(
        &self,
        user: UserAddress,
        count: usize,
    ) -> Result<Cells<C>, CellsError> {
        let holds = |mapped: &&Mapped| {
            user.0 >= mapped.at.user.0 && user.0 - mapped.at.user.0 < mapped.at.size
        };
        let mapped = self.regions.iter().find(holds);
        let mapped = mapped.ok_or(CellsError::Outside)?;
        let offset = usize::try_from(user.0 - mapped.at.user.0);
        Cells::new(
            &mapped.mapping,
            offset.map_err(|_| CellsError::Outside)?,
            count,
        )
    }

    /// Where the guest sees a segment of this memory.
    pub(crate) fn address_of(&self, segment: Segment) -> Option<GuestAddress> {
        let start = segment.start().addr().get();
        self.regions.iter().find_map(|mapped| {
            let offset = start.checked_sub(mapped.mapping.start().addr().get())?;
            let inside = offset < mapped.mapping.len();
            inside.then_some(GuestAddress(mapped.at.guest.0 + offset as u64))
        })
    }

    /// Calls `each` for the contiguous parts of a range, in order.
    fn pieces<'m>(
        &'m self,
        address: GuestAddress,
        len: usize,
        mut each: impl FnMut(Span<'m>) -> Result<(), OutOfSpan>,
    ) -> Result<(), OutOfSpan> {
        let (mut at, mut left) = (address.0, len);
        while left > 0 {
            let window = self.window(GuestAddress(at)).ok_or(OutOfSpan)?;
            let wanted = u32::try_from(left).unwrap_or(u32::MAX);
            let segment = window.first_of(at, wanted).ok_or(OutOfSpan)?;
            // SAFETY: the segment lies in a mapping that `self` keeps for `'m`.
            each(unsafe { segment.span() })?;
            at += u64::from(segment.len());
            left -= segment.len() as usize;
        }
        Ok(())
    }
}

impl Window {
    /// A window onto nothing.
    pub(crate) const EMPTY: Self = Self {
        guest: 0,
        size: 0,
        start: NonNull::dangling(),
    };

    /// The whole range, if it lies in this region.
    #[inline(always)]
    pub(crate) fn segment(&self, address: u64, len: u32) -> Option<Segment> {
        let offset = address.wrapping_sub(self.guest);
        if offset >= self.size || u64::from(len) > self.size - offset {
            return None;
        }
        Some(self.at(offset, len))
    }

    /// As much of the range as lies in this region, if it begins there.
    pub(crate) fn first_of(&self, address: u64, len: u32) -> Option<Segment> {
        let offset = address.wrapping_sub(self.guest);
        let left = self.size.checked_sub(offset).filter(|left| *left > 0)?;
        let len = u32::try_from(left).map_or(len, |left| left.min(len));
        Some(self.at(offset, len))
    }

    #[inline(always)]
    fn at(&self, offset: u64, len: u32) -> Segment {
        // A region is mapped whole, so its offsets are offsets of this process.
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        // SAFETY: both callers proved `offset + len` to be within the region, all of which is mapped
        // from `start` on while the table lives, which is kept wherever segments are.
        unsafe { Segment::new(self.start.add(offset), len) }
    }
}
