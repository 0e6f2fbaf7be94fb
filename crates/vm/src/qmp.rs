//! QEMU's control protocol (QMP): a JSON object a line, over a Unix socket.
//!
//! [`Session`] is the protocol without a socket: bytes in, commands out as bytes, replies and events
//! out as values. [`Client`] adds the socket and waits with a limit.

mod client;
mod session;

pub use client::{Client, ClientError};
pub use session::{CommandId, Event, Incoming, ProtocolError, Refusal, Session};
