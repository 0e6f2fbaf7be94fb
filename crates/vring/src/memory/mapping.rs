//! One file mapped into the process, until the last user lets go of it.

use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};

use rustix::fs::{fstat, fstatfs};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::MemoryError;
use crate::fault;

/// `f_type` of tmpfs, where memfds live too, and of hugetlbfs (`statfs(2)`).
const SHARED_MEMORY: [u64; 2] = [0x0102_1994, 0x9584_58f6];

/// A shared, writable mapping of a part of a file.
///
/// The pages stay mapped at the same place while the value lives: if the file is truncated under it,
/// zero pages take their place ([`fault`]).
pub(crate) struct Mapping {
    /// Page-aligned start and length of what the kernel mapped.
    base: NonNull<u8>,
    mapped: usize,
    /// Where the part that was asked for begins, and its length.
    start: NonNull<u8>,
    len: usize,
    guard: fault::Guard,
}

// SAFETY: the pointers are to pages that every process with the file may change anyway. All access
// goes through atomics and through copies that assume nothing about what is there, so threads add
// nothing to what other processes do; the fields themselves never change.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `size` bytes of `file` from `offset` on.
    pub(crate) fn new(file: BorrowedFd<'_>, offset: u64, size: u64) -> Result<Self, MemoryError> {
        let granule = check(file, offset, size)?;
        // Huge pages can only be mapped and unmapped whole, and front ends place regions inside one.
        let into = offset % granule;
        let mapped = (into + size).next_multiple_of(granule);
        if mapped > fault::RANGE_MAX {
            return Err(MemoryError::TooLong(size));
        }
        let too_long = |_| MemoryError::TooLong(size);
        let (into, len) = (
            usize::try_from(into).map_err(too_long)?,
            usize::try_from(size).map_err(too_long)?,
        );
        let mapped = usize::try_from(mapped).map_err(too_long)?;
        // SAFETY: a new mapping at a place of the kernel's choice touches no memory of ours.
        let base = unsafe {
            mmap(
                ptr::null_mut(),
                mapped,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::NORESERVE,
                file,
                offset - offset % granule,
            )
        };
        let base = base.map_err(MemoryError::System)?.cast::<u8>();
        let base = NonNull::new(base).ok_or(MemoryError::System(rustix::io::Errno::NOMEM))?;
        let Some(guard) = fault::guard(base, mapped) else {
            // SAFETY: mapped just above, and nothing points into it yet.
            let _unmapped = unsafe { munmap(base.as_ptr().cast(), mapped) };
            return Err(MemoryError::TooManyMappings);
        };
        // SAFETY: `into + size <= mapped`, so the start lies in the mapping.
        let start = unsafe { base.add(into) };
        Ok(Self {
            base,
            mapped,
            start,
            len,
            guard,
        })
    }

    /// First byte of the part that was asked for.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Bytes of the part that was asked for, all of them mapped.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether pages were taken away under the mapping; what is read since then is zeros.
    pub(crate) fn is_lost(&self) -> bool {
        self.guard.is_lost()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // First nobody may put pages there any more, then the kernel may give the place away.
        self.guard.release();
        // SAFETY: the range is exactly what was mapped, and whatever points into it holds this value.
        let _unmapped = unsafe { munmap(self.base.as_ptr().cast(), self.mapped) };
    }
}

/// Whether the part lies in the file and the file in memory; in which units it can be mapped.
fn check(file: BorrowedFd<'_>, offset: u64, size: u64) -> Result<u64, MemoryError> {
    let kind = fstatfs(file).map_err(MemoryError::System)?.f_type;
    let kind = u64::from_ne_bytes(kind.to_ne_bytes());
    if !SHARED_MEMORY.contains(&kind) {
        return Err(MemoryError::NotSharedMemory(kind));
    }
    let stat = fstat(file).map_err(MemoryError::System)?;
    let file_len = u64::try_from(stat.st_size).unwrap_or(0);
    let end = offset.saturating_add(size);
    if end > file_len {
        return Err(MemoryError::BeyondFile {
            file: file_len,
            end,
        });
    }
    // Both file systems give the size of their pages as that of their blocks.
    let block = u64::try_from(stat.st_blksize).unwrap_or(0);
    Ok(block.clamp(4096, 1 << 30).next_power_of_two())
}
