//! The header of a message, and what may be wrong with a message.

use super::{Code, HEADER_BYTES, PAYLOAD_BYTES_MAX};

/// In bits 0 and 1 of the flags.
const VERSION: u32 = 0x1;
const REPLY: u32 = 1 << 2;
const NEED_REPLY: u32 = 1 << 3;

/// The three fields that every message begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The request, or the request that is replied to.
    pub code: u32,
    /// A reply.
    pub reply: bool,
    /// The sender waits for a reply even to a request that has none of its own.
    pub need_reply: bool,
    /// Bytes of the payload.
    pub size: u32,
}

/// Why a message is not one that the specification knows. The stream cannot be trusted after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Another version than 1, or flags that have no meaning.
    #[error("message flags {0:#x}, not those of version 1")]
    Flags(u32),
    /// More payload than any message has.
    #[error("message payload of {0} bytes, above {PAYLOAD_BYTES_MAX}")]
    TooLong(u32),
    /// A request where a reply belongs, or the other way round, or a reply to something else.
    #[error("message {0} where it does not belong")]
    Misplaced(Code),
    /// A payload of another size than the request has.
    #[error("{code} with {found} bytes of payload")]
    Size {
        /// The request.
        code: Code,
        /// Bytes that came.
        found: usize,
    },
    /// More or fewer file descriptors than the request has.
    #[error("{code} with {found} file descriptors")]
    Files {
        /// The request.
        code: Code,
        /// Descriptors that came.
        found: usize,
    },
    /// A field that has no meaning.
    #[error("{code} with {field} {value:#x}")]
    Value {
        /// The request.
        code: Code,
        /// The field's name in the specification.
        field: &'static str,
        /// What it held.
        value: u64,
    },
}

impl MessageError {
    /// The name of the counter of this kind of error.
    #[must_use]
    pub const fn counter(self) -> &'static str {
        match self {
            Self::Flags(_) => "message_flags",
            Self::TooLong(_) => "message_too_long",
            Self::Misplaced(_) => "message_misplaced",
            Self::Size { .. } => "message_size",
            Self::Files { .. } => "message_files",
            Self::Value { .. } => "message_value",
        }
    }
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// [`MessageError::Flags`] and [`MessageError::TooLong`].
    pub fn from_bytes(bytes: [u8; HEADER_BYTES]) -> Result<Self, MessageError> {
        let [c0, c1, c2, c3, f0, f1, f2, f3, s0, s1, s2, s3] = bytes;
        let flags = u32::from_ne_bytes([f0, f1, f2, f3]);
        let size = u32::from_ne_bytes([s0, s1, s2, s3]);
        if flags & !(REPLY | NEED_REPLY) != VERSION {
            return Err(MessageError::Flags(flags));
        }
        if size as usize > PAYLOAD_BYTES_MAX {
            return Err(MessageError::TooLong(size));
        }
        Ok(Self {
            code: u32::from_ne_bytes([c0, c1, c2, c3]),
            reply: flags & REPLY != 0,
            need_reply: flags & NEED_REPLY != 0,
            size,
        })
    }

    /// Writes a header.
    #[must_use]
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let reply = if self.reply { REPLY } else { 0 };
        let need_reply = if self.need_reply { NEED_REPLY } else { 0 };
        let words = [self.code, VERSION | reply | need_reply, self.size];
        zerocopy::transmute!(words)
    }
}
