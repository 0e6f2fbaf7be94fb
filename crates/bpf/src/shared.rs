//! Array maps in the agent's own memory: what the programs read, the agent writes with a plain
//! store, and the other way round.
#![expect(unsafe_code, reason = "the kernel's memory, mapped")]

use std::io;
use std::marker::PhantomData;
use std::os::fd::AsFd;
use std::ptr::NonNull;

use aya::maps::{MapData, MapType};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::MapError;
use crate::abi::{Agent, MappingVersion, Port};

/// What may lie there.
///
/// # Safety
/// Every field is an atomic integer, so that any bytes are a value and both sides may use it at
/// once, and there is no padding.
pub(crate) unsafe trait Cell {}

// SAFETY: atomic integers only; the sizes and offsets asserted in `abi` leave no gap.
unsafe impl Cell for Port {}
// SAFETY: two atomic integers of one size.
unsafe impl Cell for MappingVersion {}
// SAFETY: two of eight bytes, two of four.
unsafe impl Cell for Agent {}

/// An array map (`BPF_F_MMAPABLE`) of cells.
pub(crate) struct Shared<T> {
    name: &'static str,
    memory: NonNull<T>,
    len: usize,
    cells: PhantomData<T>,
}

// SAFETY: the memory belongs to no thread, and is only used by shared reference to atomics.
unsafe impl<T: Cell> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Cell> Sync for Shared<T> {}

impl<T: Cell> Shared<T> {
    /// Maps the whole array. The size of its elements is compared with the kernel's.
    pub(crate) fn new(name: &'static str, map: &MapData) -> Result<Shared<T>, MapError> {
        let error = |source| MapError { map: name, source };
        let info = map
            .info()
            .map_err(|source| error(io::Error::other(source)))?;
        let is_array = info.map_type().is_ok_and(|kind| kind == MapType::Array);
        // The kernel pads an element to eight bytes (kernel/bpf/arraymap.c).
        let stride = (info.value_size() as usize).next_multiple_of(8);
        if !is_array || stride != size_of::<T>() {
            return Err(error(io::ErrorKind::InvalidData.into()));
        }
        let len = info.max_entries() as usize;
        // SAFETY: a new mapping, anywhere; the kernel rounds its length up to whole pages.
        let memory = unsafe {
            mmap(
                std::ptr::null_mut(),
                len * stride,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                map.fd().as_fd(),
                0,
            )
        };
        let memory = memory.map_err(|errno| error(errno.into()))?;
        let memory =
            NonNull::new(memory.cast()).ok_or_else(|| error(io::ErrorKind::InvalidData.into()))?;
        Ok(Shared {
            name,
            memory,
            len,
            cells: PhantomData,
        })
    }

    /// The cells.
    pub(crate) fn cells(&self) -> &[T] {
        // SAFETY: the mapping has `len` elements of this size, is page-aligned and lives as long as
        // `self`; nobody has it by exclusive reference, and its fields are atomic.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr(), self.len) }
    }

    /// The cell with this index, if there is one.
    pub(crate) fn get(&self, index: impl Into<u32>) -> Option<&T> {
        self.cells().get(index.into() as usize)
    }

    pub(crate) fn error(&self, errno: i32) -> MapError {
        MapError {
            map: self.name,
            source: io::Error::from_raw_os_error(errno),
        }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping `new` made, of this length, to which no reference is left.
        let unmapped = unsafe { munmap(self.memory.as_ptr().cast(), self.len * size_of::<T>()) };
        if let Err(errno) = unmapped {
            tracing::warn!(map = self.name, %errno, "map stays in memory");
        }
    }
}
