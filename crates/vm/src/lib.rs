//! Virtual machines as their monitors are told of them.
//!
//! - [`machine`]: what a machine is to have: processors, memory, what it boots, and its NICs, each a
//!   vhost-user device that this host's agent serves.
//! - [`qemu`] and [`cloud_hypervisor`]: the same machine as arguments of either.
//! - [`qmp`]: QEMU's control protocol, a session without a socket and a client with one. It is how a
//!   hardware VF is unplugged and plugged back while the machine runs.
//!
//! Nothing here starts a process.
#![forbid(unsafe_code)]

pub mod cloud_hypervisor;
pub mod machine;
pub mod qemu;
pub mod qmp;
