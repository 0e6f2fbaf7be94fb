//! The migration log: which pages of the guest were written since somebody last looked.
//!
//! One bit for each 4 KiB of guest addresses from 0 on, in a file that the front end shares
//! (vhost-user, section "Migration"). The front end takes bits away while we set them.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::memory::{Cells, GuestAddress, Mapping, MemoryError};

/// Bytes of guest memory for each bit (`VHOST_LOG_PAGE`).
pub const LOG_PAGE: u64 = 4096;

/// A log shared with the front end.
pub struct DirtyLog {
    bits: Cells<AtomicU8>,
}

/// What one queue writes down in a log.
#[derive(Clone)]
pub struct QueueLog {
    /// The log; buffers that the device wrote are marked in it.
    pub log: Arc<DirtyLog>,
    /// Where the first byte of the used ring counts as being, if stores to it are to be marked too
    /// (`VHOST_VRING_F_LOG` and its address). A packed ring has no used ring: its descriptors and the
    /// device's event area are then marked where the memory table has them.
    pub used: Option<GuestAddress>,
}

impl DirtyLog {
    /// The log of `size` bytes in `file` from `offset` on.
    ///
    /// # Errors
    /// As for a region of memory.
    pub fn new(file: impl AsFd, offset: u64, size: u64) -> Result<Self, MemoryError> {
        let mapping = Arc::new(Mapping::new(file.as_fd(), offset, size)?);
        let len = mapping.len();
        let bits = Cells::new(&mapping, 0, len);
        Ok(Self {
            bits: bits.map_err(|_| MemoryError::BeyondFile { file: 0, end: size })?,
        })
    }

    /// Marks the pages of `len` bytes from `address` on, after they were written. What lies behind the
    /// log's end is not marked; a front end makes the log cover all that it shares.
    pub fn mark(&self, address: GuestAddress, len: u64) {
        let Some(last) = len.checked_sub(1) else {
            return;
        };
        let pages = (self.bits.len() as u64).saturating_mul(8);
        let first = address.0 / LOG_PAGE;
        let last = address.0.saturating_add(last) / LOG_PAGE;
        for page in first..last.saturating_add(1).min(pages) {
            let byte = usize::try_from(page / 8).ok();
            if let Some(byte) = byte.and_then(|byte| self.bits.get(byte)) {
                // Always a locked store, even if the bit is set: it also keeps the data's store from
                // being seen only after the front end has taken the bit and read the page.
                byte.fetch_or(1 << (page % 8), Ordering::SeqCst);
            }
        }
    }
}

#[cfg(test)]
mod tests;
