//! The configuration space of a network device (virtio 1.2, 5.1.4).

use zerocopy::{Immutable, IntoBytes};

/// The link is up (`VIRTIO_NET_S_LINK_UP`).
const LINK_UP: u16 = 1;
/// The driver is asked to announce itself (`VIRTIO_NET_S_ANNOUNCE`).
const ANNOUNCE: u16 = 2;
/// "0x00000000 to 0x7fffffff ... or 0xffffffff to indicate that speed is unknown".
const SPEED_UNKNOWN: u32 = u32::MAX;
/// "0xff to indicate that duplex is unknown".
const DUPLEX_UNKNOWN: u8 = u8::MAX;

/// What the guest reads about its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetConfig {
    /// Its MAC address.
    pub mac: [u8; 6],
    /// Whether its link is up.
    pub link_up: bool,
    /// Whether the driver is asked to announce itself.
    pub announce: bool,
    /// Most queue pairs it may use.
    pub queue_pairs: u16,
    /// Greatest MTU, in bytes.
    pub mtu: u16,
}

/// The space byte by byte; numbers are little endian.
#[derive(Clone, Copy, IntoBytes, Immutable)]
#[repr(C)]
struct Space {
    mac: [u8; 6],
    status: [u8; 2],
    max_virtqueue_pairs: [u8; 2],
    mtu: [u8; 2],
    speed: [u8; 4],
    duplex: u8,
    rss_max_key_size: u8,
    rss_max_indirection_table_length: [u8; 2],
    supported_hash_types: [u8; 4],
}

impl NetConfig {
    /// Bytes `offset..offset + len` of the space. What lies behind its last field reads as zero: a
    /// front end may know fields that came later.
    #[must_use]
    pub fn read(&self, offset: u32, len: u32) -> Vec<u8> {
        let space = self.space();
        let place = (offset as usize)..(offset as usize).saturating_add(len as usize);
        place
            .map(|at| space.as_bytes().get(at).copied().unwrap_or(0))
            .collect()
    }

    /// Whether writing `bytes` at `offset` would leave the space as it is.
    #[must_use]
    pub fn is_unchanged_by(&self, offset: u32, bytes: &[u8]) -> bool {
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.read(offset, len) == bytes
    }

    fn space(&self) -> Space {
        let link = if self.link_up { LINK_UP } else { 0 };
        let announce = if self.announce { ANNOUNCE } else { 0 };
        Space {
            mac: self.mac,
            status: (link | announce).to_le_bytes(),
            max_virtqueue_pairs: self.queue_pairs.to_le_bytes(),
            mtu: self.mtu.to_le_bytes(),
            speed: SPEED_UNKNOWN.to_le_bytes(),
            duplex: DUPLEX_UNKNOWN,
            rss_max_key_size: 0,
            rss_max_indirection_table_length: [0; 2],
            supported_hash_types: [0; 4],
        }
    }
}

#[cfg(test)]
mod tests;
