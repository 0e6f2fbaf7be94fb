//! Memory of our own that stands for a guest's.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::Errno;

use crate::memory::{Cell, Cells, GuestAddress, GuestMemory, MemoryError, Region, UserAddress};

/// What regions are multiples of, so that an alignment holds for both kinds of address.
const PAGE: u64 = 4096;

/// Anonymous shared memory, mapped as a device maps a guest's, from which rings and buffers are
/// taken. What is taken is zero at first and never given back: an arena lives as long as its queues.
pub struct Arena {
    memory: GuestMemory,
    pools: Vec<Pool>,
}

struct Pool {
    region: Region,
    file: OwnedFd,
    /// Bytes that are given away, from the start.
    taken: u64,
}

/// Why an arena cannot be made, or gives nothing away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArenaError {
    /// No region has that much left.
    #[error("arena without {0} free bytes")]
    Full(u64),
    /// The region does not begin at a page, for the guest or in the front end.
    #[error("arena region {0} not at a page")]
    Misaligned(Region),
    /// The region cannot be part of a guest's memory.
    #[error("{0}")]
    Memory(#[from] MemoryError),
    /// The kernel gave no file.
    #[error("arena file refused: {0}")]
    System(#[from] Errno),
}

impl Arena {
    /// An arena of one region, in a file of its own.
    ///
    /// # Errors
    /// [`ArenaError`] if the kernel refuses or the region is impossible.
    pub fn new(region: Region) -> Result<Self, ArenaError> {
        let empty = Self {
            memory: GuestMemory::new(),
            pools: Vec::new(),
        };
        empty.with_region(region)
    }

    /// The arena with another region, in another file.
    ///
    /// # Errors
    /// [`ArenaError`] if the kernel refuses or the region is impossible beside the others.
    pub fn with_region(mut self, region: Region) -> Result<Self, ArenaError> {
        if !(region.guest.0 | region.user.0).is_multiple_of(PAGE) {
            return Err(ArenaError::Misaligned(region));
        }
        let file = memfd_create("vring", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, region.size)?;
        // A device need not fear that we truncate it, and can ask the kernel.
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW)?;
        self.memory = self.memory.with_region(region, &file, 0)?;
        self.pools.push(Pool {
            region,
            file,
            taken: 0,
        });
        Ok(self)
    }

    /// The memory as a device in this process uses it.
    #[must_use]
    pub fn memory(&self) -> &GuestMemory {
        &self.memory
    }

    /// The regions with their files, each from offset 0, as a device in another process maps them.
    pub fn regions(&self) -> impl Iterator<Item = (Region, BorrowedFd<'_>)> {
        self.pools
            .iter()
            .map(|pool| (pool.region, pool.file.as_fd()))
    }

    /// Takes `len` bytes whose guest address is a multiple of `align`, which is a power of two.
    ///
    /// # Errors
    /// [`ArenaError::Full`] if no region has so many left.
    pub fn take(&mut self, len: u64, align: u64) -> Result<GuestAddress, ArenaError> {
        let taken = self.take_both(len, align)?;
        Ok(taken.0)
    }

    fn take_both(
        &mut self,
        len: u64,
        align: u64,
    ) -> Result<(GuestAddress, UserAddress), ArenaError> {
        for pool in &mut self.pools {
            let Region { guest, user, size } = pool.region;
            let Some(start) = (guest.0 + pool.taken).checked_next_multiple_of(align.max(1)) else {
                continue;
            };
            let offset = start - guest.0;
            if offset <= size && len <= size - offset {
                pool.taken = offset + len;
                return Ok((GuestAddress(start), UserAddress(user.0 + offset)));
            }
        }
        Err(ArenaError::Full(len))
    }

    /// Takes an array of ring cells.
    pub(super) fn cells<C: Cell>(
        &mut self,
        count: usize,
        align: u64,
    ) -> Result<(Cells<C>, GuestAddress, UserAddress), ArenaError> {
        let bytes = count as u64 * size_of::<C>() as u64;
        let (guest, user) = self.take_both(bytes, align)?;
        let cells = self.memory.cells(user, count);
        // Cannot fail: the bytes are in a region, and aligned for the front end as for the guest.
        let cells = cells.map_err(|_| ArenaError::Full(bytes))?;
        Ok((cells, guest, user))
    }
}
