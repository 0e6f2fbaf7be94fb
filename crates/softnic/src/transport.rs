//! Messages over a Unix stream socket that may break off anywhere.
//!
//! Nothing here blocks, and no clock is read: whoever polls hands in the time. A peer that stops in the
//! middle of a message, or takes no replies, is given up after [`STALL_MAX`].

mod connection;
mod endpoint;
mod listener;

use std::time::Duration;

pub use connection::{Connection, TransportError};
pub use endpoint::{Backoff, Connector, Endpoint};
pub use listener::{ListenError, Listener};

/// How long a peer may take from the first to the last byte of a message, sending or receiving it.
pub const STALL_MAX: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
