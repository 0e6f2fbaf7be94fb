//! The guest's memory as a front end shares it: a table of mapped files.
//!
//! A [`GuestMemory`] never changes: adding or removing a region makes another table that shares the
//! mappings of the rest, so that a queue can go on with the old one until it is told of the new one.
//! Whoever holds a table, or anything that borrows from it, keeps the mappings alive.
//!
//! The other side writes this memory at any moment. So there is no way to a `&[u8]` here: bytes are
//! copied out and in ([`Span`]), and words of rings are atomics. What was copied is stable.

#![expect(unsafe_code, reason = "pointers into mapped files")]

mod cells;
mod mapping;
mod span;
mod table;

use std::fmt;

use rustix::io::Errno;

pub use span::{OutOfSpan, Span};
pub use table::GuestMemory;

pub(crate) use cells::{Cell, Cells, CellsError};
pub(crate) use mapping::Mapping;
pub(crate) use span::{Segment, prefetch};
pub(crate) use table::Window;

/// Most regions in a table, as vhost-user front ends count memory slots.
pub const REGIONS_MAX: usize = 509;

/// An address as the guest sees it: guest-physical, without an IOMMU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestAddress(pub u64);

/// An address in the front end's own address space, in which rings are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserAddress(pub u64);

/// Where a region of shared memory lies, for the guest and for the front end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First address as the guest sees it.
    pub guest: GuestAddress,
    /// First address in the front end.
    pub user: UserAddress,
    /// Bytes.
    pub size: u64,
}

/// Why a region is not added to, or removed from, a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// It has no bytes.
    #[error("memory region {0} is empty")]
    Empty(Region),
    /// It would pass the end of an address space or of its file's offsets.
    #[error("memory region {0} passes the end of the address space")]
    Wraps(Region),
    /// It shares addresses, the guest's or the front end's, with another.
    #[error("memory region {0} overlaps {1}")]
    Overlap(Region, Region),
    /// The table is full.
    #[error("memory table full at {REGIONS_MAX} regions")]
    TooMany,
    /// The file ends before the region does; both in bytes from the start of the file.
    #[error("memory region ends at {end} of a file of {file} bytes")]
    BeyondFile {
        /// Length of the file.
        file: u64,
        /// Where the region would end.
        end: u64,
    },
    /// It is longer than one mapping may be.
    #[error("memory region of {0} bytes, not below 1 TiB")]
    TooLong(u64),
    /// The file is not in shared memory (tmpfs, memfd or hugetlbfs) but on the file system of this
    /// type (`statfs`), where reading a page may wait for somebody else.
    #[error("memory file on a file system of type {0:#x}, not in shared memory")]
    NotSharedMemory(u64),
    /// There are more mappings in the process than can be guarded against truncation.
    #[error("mappings at their limit in this process")]
    TooManyMappings,
    /// No such region is in the table.
    #[error("memory region {0} unknown")]
    Unknown(Region),
    /// The kernel refused.
    #[error("memory mapping refused: {0}")]
    System(Errno),
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}+{:#x}", self.guest.0, self.size)
    }
}

impl Region {
    /// Whether the region shares an address of either kind with `other`.
    fn overlaps(&self, other: &Self) -> bool {
        let meet = |a: u64, b: u64| a < b + other.size && b < a + self.size;
        meet(self.guest.0, other.guest.0) || meet(self.user.0, other.user.0)
    }
}

#[cfg(test)]
mod tests;
