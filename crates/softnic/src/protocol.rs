//! vhost-user messages: what they look like on the wire, and what they mean.
//!
//! A message is a header of 12 bytes, a payload, and file descriptors that travel beside them. Decoding
//! is where sizes, numbers of descriptors and field values are checked, once: a [`Request`] cannot say
//! anything that the specification has no meaning for. Whether it may be said *now* is the session's
//! to judge.
//!
//! Numbers are in the machine's own byte order, as the specification has them.
//!
//! Descriptors are a type parameter: [`OwnedFd`](std::os::fd::OwnedFd) on a socket.

mod back_channel;
mod code;
mod header;
mod layout;
mod reply;
mod request;

pub use back_channel::{BackendRequest, NotifierArea};
pub use code::Code;
pub use header::{Header, MessageError};
pub use reply::{Reply, ReplyBody};
pub use request::{
    ConfigRange, InflightArea, LogArea, Request, RingAddresses, SharedRegion, VringFd,
};

/// Bytes of a header.
pub const HEADER_BYTES: usize = 12;

/// Most bytes of a payload. The longest that a network device meets is a configuration space of
/// [`CONFIG_BYTES_MAX`] with its header; the rest is room for requests that are unknown here, so that
/// they can be refused one by one.
pub const PAYLOAD_BYTES_MAX: usize = 4096;

/// Most file descriptors beside one message; more than any request may have, so that what is too many
/// is a matter of the request.
pub const FILES_MAX: usize = 32;

/// Most regions of a `SET_MEM_TABLE` ("region0 ... region7").
pub const TABLE_REGIONS_MAX: usize = 8;

/// Most bytes of the configuration space that one message carries (QEMU's limit).
pub const CONFIG_BYTES_MAX: usize = 256;

/// A message as it travels: the header's size is the payload's length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<F> {
    /// The header.
    pub header: Header,
    /// What the request or reply says.
    pub payload: Vec<u8>,
    /// The descriptors that came, or go, with it.
    pub files: Vec<F>,
}

impl<F> Message<F> {
    /// Header and payload in one piece.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.header.to_bytes().to_vec();
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

#[cfg(test)]
mod tests;
