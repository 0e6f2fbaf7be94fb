//! The host agent: makes the guests of a topology real and judges their first packets.
//!
//! Parts, from the rim inwards:
//! - [`api`] and `server`: what clients say and hear, JSON over HTTP on a Unix socket.
//! - `agent`: desired state, what was observed, and the steps from one to the other.
//! - `guest`: namespaces, veth pairs and TAPs; everything there is *ensure*.
//! - `dataplane`: the thread that owns switch, engine and sockets.
//! - `uplink`: the interface to other hosts, found, watched and followed.
//! - `store`: what must be known again after `kill -9`.
//!
//! Lifecycle: [`serve`] opens the store, takes over what an agent before it left in the kernel,
//! applies the topology, and answers until it is told to end. It may be killed at any moment:
//! established flows go on in the kernel, and the next agent finds them.

#![forbid(unsafe_code)]

pub mod api;

mod agent;
mod apply;
mod capture;
mod clock;
mod dataplane;
mod devices;
mod drops;
mod error;
mod guest;
mod limits;
mod packet_text;
mod paths;
mod ports;
mod publish;
mod reconcile;
mod removal;
mod run;
mod segments;
mod server;
mod settled;
mod store;
mod strays;
mod uplink;
mod views;

pub use packet_text::{PacketTextError, parse as parse_packet};
pub use paths::{DEFAULT_INSTANCE, InstanceNameError, Paths};
pub use run::{Options, TopologySource, command_in, serve, teardown};
