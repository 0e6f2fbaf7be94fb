//! The software NIC: vhost-user sessions and the workers that serve them.
//!
//! A VMM shares its guest's memory and queues over a Unix socket (QEMU's `docs/interop/vhost-user.rst`
//! is the specification). This crate speaks both ends of it:
//!
//! - [`protocol`] turns bytes and file descriptors into typed requests and replies, and back;
//! - [`transport`] carries them over a stream socket that may break off anywhere;
//! - [`session`] is the back end's state machine: a request and the queues given back go in, replies
//!   and [`session::Event`]s come out, without a socket or a clock;
//! - [`device`] is one virtual function as the switch holds it: connected or waiting, one session at a
//!   time, started again for ever;
//! - [`frontend`] is the other end, a VMM's part, for load generators and tools;
//! - [`offload`] says which frames may be handed to a guest as they are, and [`control`] reads the
//!   commands of a control queue.
//!
//! # Who owns a queue
//! A started queue leaves the session by value ([`session::QueueHandover`]) and belongs to the worker
//! that serves it. Whatever needs it stopped, be it `GET_VRING_BASE` or another memory table, asks for it
//! ([`session::Event::QueueStop`]), and the session answers nobody before it has it back. So no ring is
//! ever served twice, and no reply tells of a state that a worker can still change.
#![forbid(unsafe_code)]

pub mod control;
pub mod device;
pub mod features;
pub mod frontend;
pub mod net_config;
pub mod notifier;
pub mod offload;
pub mod path;
pub mod protocol;
pub mod session;
pub mod transport;
pub mod worker;
