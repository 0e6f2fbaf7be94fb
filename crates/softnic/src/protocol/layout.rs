//! Payloads byte by byte, as the specification draws them.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// "A vring state description".
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct VringState {
    pub(super) index: u32,
    pub(super) num: u32,
}

/// "A vring address description". The order of the three areas is not that of virtio.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct VringAddress {
    pub(super) index: u32,
    pub(super) flags: u32,
    pub(super) descriptor: u64,
    pub(super) used: u64,
    pub(super) available: u64,
    pub(super) log: u64,
}

/// "A region", of a memory regions description.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Region {
    pub(super) guest_address: u64,
    pub(super) size: u64,
    pub(super) user_address: u64,
    pub(super) mmap_offset: u64,
}

/// What precedes the regions.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct RegionsHead {
    pub(super) count: u32,
    pub(super) padding: u32,
}

/// "Single memory region description".
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct SingleRegion {
    pub(super) padding: u64,
    pub(super) region: Region,
}

/// "Log description".
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Log {
    pub(super) size: u64,
    pub(super) offset: u64,
}

/// What precedes the bytes of "Virtio device config space".
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct ConfigHead {
    pub(super) offset: u32,
    pub(super) size: u32,
    pub(super) flags: u32,
}

/// "Inflight description", with the padding that C puts behind it: QEMU, DPDK and the `vhost` crate send
/// these 24 bytes and expect them.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Inflight {
    pub(super) mmap_size: u64,
    pub(super) mmap_offset: u64,
    pub(super) num_queues: u16,
    pub(super) queue_size: u16,
    pub(super) padding: u32,
}

/// Bytes of an inflight description as the specification's text counts them.
pub(super) const INFLIGHT_UNPADDED: usize = 20;

/// "Vring area description".
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct VringArea {
    pub(super) index_and_flags: u64,
    pub(super) size: u64,
    pub(super) offset: u64,
}
