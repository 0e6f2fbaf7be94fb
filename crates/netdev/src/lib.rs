//! Linux network devices, as the host agent needs them.
//!
//! Two halves that never meet:
//! - **Set-up**, slow and asynchronous: [`netns`] (namespaces), [`netlink`] with [`link`],
//!   [`addr`], [`route`], [`neigh`], [`changes`] and [`link_news`], then [`sysctl`], [`offload`] and
//!   [`features`]; [`expedite`] for many links at once.
//! - **Frames**, fast and without an allocation per packet: [`tap`] (one device, one fd),
//!   [`send`] and [`receive`] (batches through AF_PACKET), [`underlay`] (batches of IP packets),
//!   [`capture`] (one frame at a time); [`sched`] is for the thread that does so.
//!
//! Everything that opens a socket does so in the network namespace of the calling thread, and
//! stays bound to that namespace whichever thread uses it later. Wrap the opening call in
//! [`netns::Namespace::run_in`] to open it elsewhere; the caller's own thread is never moved.
//!
//! Frames carry a [virtio-net header](VnetHeader) in front, so that a checksum still to be
//! filled in and a TCP super-frame of 64 KiB pass through unharmed.
//!
//! Not here: what is in a frame (crate `wire`), and eBPF (crate `bpf`).

mod error;
mod name;
mod socket;

pub mod netns;

pub mod addr;
pub mod changes;
pub mod expedite;
pub mod link;
mod link_batch;
pub mod link_news;
pub mod neigh;
pub mod netlink;
pub mod route;

pub mod features;
pub mod offload;
pub mod sysctl;

pub mod capture;
pub mod receive;
pub mod sched;
pub mod send;
pub mod tap;
pub mod underlay;

#[cfg(test)]
mod fixture;

pub use error::Error;
pub use name::{LinkName, NameError, NamespaceName};
pub use socket::{SocketDrops, Vlan};

/// Bytes of the virtio-net header on packet sockets, and of the short form on TAPs:
/// `struct virtio_net_hdr` without `num_buffers`, fields in host byte order
/// (Linux uapi `virtio_net.h`; virtio 1.2 section 5.1.6).
pub const VNET_HEADER_LEN: usize = 10;

/// A virtio-net header as it is on the socket.
pub type VnetHeader = [u8; VNET_HEADER_LEN];
