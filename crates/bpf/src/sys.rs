//! The operations of bpf(2) that aya does not offer: batches of map elements, taking an element out
//! with its last value, and detaching a link at once. Keys and values are bytes here;
//! [`crate::map`] gives them types.
#![expect(
    unsafe_code,
    reason = "bpf(2) reads and writes memory whose length only the map knows"
)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use aya::maps::{MapData, MapType};

/// Positions in `enum bpf_cmd` (linux/bpf.h).
mod command {
    pub(super) const LOOKUP: libc::c_int = 1;
    pub(super) const UPDATE: libc::c_int = 2;
    pub(super) const DELETE: libc::c_int = 3;
    pub(super) const NEXT_KEY: libc::c_int = 4;
    pub(super) const OPEN_PINNED: libc::c_int = 7;
    pub(super) const TAKE: libc::c_int = 21;
    pub(super) const LOOKUP_BATCH: libc::c_int = 24;
    pub(super) const UPDATE_BATCH: libc::c_int = 26;
    pub(super) const DETACH_LINK: libc::c_int = 34;
}

/// The part of `union bpf_attr` for one element.
#[repr(C)]
struct ElementAttr {
    map_fd: u32,
    pad: u32,
    key: u64,
    value_or_next_key: u64,
    flags: u64,
}

/// The part of `union bpf_attr` for batches.
#[repr(C)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    element_flags: u64,
    flags: u64,
}

/// The part of `union bpf_attr` for pins.
#[repr(C)]
struct PinAttr {
    path: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// The part of `union bpf_attr` for detaching links.
#[repr(C)]
struct LinkAttr {
    link_fd: u32,
}

/// How far an operation on several elements came, and why no further.
pub(crate) struct Batch {
    /// Elements done.
    pub(crate) done: usize,
    /// What stopped it.
    pub(crate) error: Option<io::Error>,
}

/// Where a walk over a hash map stands; opaque, and for hash maps never longer than this.
pub(crate) type Position = u64;

/// A map whose key and value sizes are known for certain.
pub(crate) struct RawMap {
    map: MapData,
    key_size: usize,
    value_size: usize,
}

impl RawMap {
    /// Learns the sizes from the kernel. `copies` is how many values a cell has: one per possible
    /// CPU in a per-CPU map, each padded to eight bytes (linux/bpf.h), else one.
    ///
    /// Only for the kinds of map whose sizes and positions are as this module takes them to be.
    pub(crate) fn new(map: MapData, copies: Option<usize>) -> io::Result<RawMap> {
        let info = map.info().map_err(io::Error::other)?;
        match (info.map_type().map_err(io::Error::other)?, copies) {
            (MapType::Hash | MapType::Array, None) | (MapType::PerCpuArray, Some(_)) => {}
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "map of another kind",
                ));
            }
        }
        let key_size = info.key_size() as usize;
        let value_size = info.value_size() as usize;
        let value_size = match copies {
            Some(copies) => value_size.next_multiple_of(8) * copies,
            None => value_size,
        };
        Ok(RawMap {
            map,
            key_size,
            value_size,
        })
    }

    pub(crate) fn key_size(&self) -> usize {
        self.key_size
    }

    pub(crate) fn value_size(&self) -> usize {
        self.value_size
    }

    /// Copies the value of `key`. Panics if a length is not the map's.
    pub(crate) fn lookup(&self, key: &[u8], value: &mut [u8]) -> io::Result<()> {
        self.element_out(command::LOOKUP, key, value, self.value_size)
    }

    /// Takes the element out and copies the value it had. Panics if a length is not the map's.
    pub(crate) fn take(&self, key: &[u8], value: &mut [u8]) -> io::Result<()> {
        self.element_out(command::TAKE, key, value, self.value_size)
    }

    /// Copies the key that follows `key`. Panics if a length is not the map's.
    pub(crate) fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<()> {
        self.element_out(
            command::NEXT_KEY,
            key.unwrap_or_default(),
            next,
            self.key_size,
        )
    }

    /// Writes an element. Panics if a length is not the map's.
    pub(crate) fn update(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        assert_eq!((key.len(), value.len()), (self.key_size, self.value_size));
        let mut attr = self.element(key, value.as_ptr() as u64);
        // SAFETY: the kernel reads `key_size` and `value_size` bytes, which both slices have.
        unsafe { bpf(command::UPDATE, &mut attr) }
    }

    /// Takes an element out. Panics if a length is not the map's.
    pub(crate) fn delete(&self, key: &[u8]) -> io::Result<()> {
        assert_eq!(key.len(), self.key_size);
        let mut attr = self.element(key, 0);
        // SAFETY: the kernel reads `key_size` bytes, which `key` has, and nothing else.
        unsafe { bpf(command::DELETE, &mut attr) }
    }

    /// Writes elements in one call. Panics if the lengths are not those of `count` elements.
    pub(crate) fn update_batch(&self, keys: &[u8], values: &[u8], count: usize) -> Batch {
        assert_eq!(keys.len(), self.key_size * count);
        assert_eq!(values.len(), self.value_size * count);
        let mut attr = self.batch(keys.as_ptr() as u64, values.as_ptr() as u64, count);
        // SAFETY: the kernel reads `count` keys and values, whose lengths were checked above.
        let result = unsafe { bpf(command::UPDATE_BATCH, &mut attr) };
        batch_result(result, attr.count)
    }

    /// Copies the next elements of a hash map and moves `position`. Panics if the lengths are not
    /// those of `count` elements. The walk ends with `ENOENT`, which may come with elements.
    pub(crate) fn lookup_batch(
        &self,
        position: &mut Option<Position>,
        keys: &mut [u8],
        values: &mut [u8],
        count: usize,
    ) -> Batch {
        assert_eq!(keys.len(), self.key_size * count);
        assert_eq!(values.len(), self.value_size * count);
        let mut next: Position = 0;
        let mut attr = self.batch(keys.as_mut_ptr() as u64, values.as_mut_ptr() as u64, count);
        attr.in_batch = position
            .as_ref()
            .map_or(0, |position| std::ptr::from_ref(position) as u64);
        attr.out_batch = std::ptr::from_mut(&mut next) as u64;
        // SAFETY: the kernel writes at most `count` keys and values, whose lengths were checked
        // above, and reads and writes the four bytes of a hash map's position.
        let result = unsafe { bpf(command::LOOKUP_BATCH, &mut attr) };
        *position = Some(next);
        batch_result(result, attr.count)
    }

    /// An operation that reads `key` and writes `out_size` bytes to `out`.
    fn element_out(
        &self,
        command: libc::c_int,
        key: &[u8],
        out: &mut [u8],
        out_size: usize,
    ) -> io::Result<()> {
        assert!(key.len() == self.key_size || (key.is_empty() && command == command::NEXT_KEY));
        assert_eq!(out.len(), out_size);
        let mut attr = self.element(key, out.as_mut_ptr() as u64);
        // SAFETY: the kernel reads `key_size` bytes of `key` (none at a null key, which only the
        // search for the first key may have) and writes `out_size` bytes to `out`.
        unsafe { bpf(command, &mut attr) }
    }

    fn element(&self, key: &[u8], value_or_next_key: u64) -> ElementAttr {
        let key = if key.is_empty() {
            0
        } else {
            key.as_ptr() as u64
        };
        ElementAttr {
            map_fd: self.fd(),
            pad: 0,
            key,
            value_or_next_key,
            flags: 0,
        }
    }

    fn batch(&self, keys: u64, values: u64, count: usize) -> BatchAttr {
        let count = u32::try_from(count).expect("a batch is a few hundred elements");
        BatchAttr {
            in_batch: 0,
            out_batch: 0,
            keys,
            values,
            count,
            map_fd: self.fd(),
            element_flags: 0,
            flags: 0,
        }
    }

    fn fd(&self) -> u32 {
        self.map.fd().as_fd().as_raw_fd().cast_unsigned()
    }
}

/// Detaches the link that is pinned at `path`. A link whose pin is only removed is detached when the
/// kernel finds the time, and is in the way of its successor until then.
pub(crate) fn detach_pinned_link(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = PinAttr {
        path: path.as_ptr() as u64,
        bpf_fd: 0,
        file_flags: 0,
    };
    // SAFETY: the kernel reads `path` to its terminating zero.
    let link = unsafe { call(command::OPEN_PINNED, &mut attr) }?;
    // SAFETY: the kernel has just opened it for us, and nobody else knows of it.
    let link = unsafe { OwnedFd::from_raw_fd(link) };
    let mut attr = LinkAttr {
        link_fd: link.as_raw_fd().cast_unsigned(),
    };
    // SAFETY: no memory is involved.
    unsafe { bpf(command::DETACH_LINK, &mut attr) }
}

fn batch_result(result: io::Result<()>, count: u32) -> Batch {
    Batch {
        done: count as usize,
        error: result.err(),
    }
}

/// One call of bpf(2) that returns nothing.
///
/// # Safety
/// As for [`call`].
unsafe fn bpf<A>(command: libc::c_int, attr: &mut A) -> io::Result<()> {
    // SAFETY: the caller vouches for what `call` asks for.
    unsafe { call(command, attr) }.map(drop)
}

/// One call of bpf(2), and what it returns.
///
/// # Safety
/// `attr` must be the attributes of `command`, and every address in it must be valid for what the
/// command reads and writes there.
unsafe fn call<A>(command: libc::c_int, attr: &mut A) -> io::Result<libc::c_int> {
    // SAFETY: `attr` is a live `A` of this size; the caller vouches for the addresses in it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attr),
            size_of::<A>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(libc::c_int::try_from(result).expect("a descriptor or zero"))
}
