//! What a back end may ask of the front end, on the socket of `SET_BACKEND_REQ_FD`.

use zerocopy::FromBytes;

use super::layout::{VringArea, VringState};
use super::request::{bytes_of, state};
use super::{Code, Message, MessageError};

const CONFIG_CHANGE: u32 = 2;
const HOST_NOTIFIER: u32 = 3;
const VRING_CALL: u32 = 4;
const VRING_ERR: u32 = 5;

/// "Bits (0-7)" and "bit 8" as in the front end's `SET_VRING_KICK`.
const INDEX_MASK: u64 = 0xff;
const NO_FILE: u64 = 1 << 8;

/// A request of the back end. Numbers of this channel are its own: 1 is not `GET_FEATURES` here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackendRequest<F> {
    /// The configuration space is another than it was.
    ConfigChange,
    /// A page of a device's memory that the guest may write to instead of kicking; or no longer.
    HostNotifier(NotifierArea, Option<F>),
    /// Buffers were used (in-band notifications).
    VringCall(u32),
    /// A ring cannot go on (in-band notifications).
    VringErr(u32),
    /// A request with no meaning here.
    Unsupported(u32),
}

/// Where a host notifier's page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotifierArea {
    /// The ring.
    pub index: u8,
    /// Bytes to map.
    pub size: u64,
    /// Where in the file they begin.
    pub offset: u64,
}

impl<F> BackendRequest<F> {
    /// Writes the request.
    #[must_use]
    pub fn encode(self, need_reply: bool) -> Message<F> {
        let mut files = Vec::new();
        let (number, payload) = match self {
            Self::ConfigChange => (CONFIG_CHANGE, Vec::new()),
            Self::HostNotifier(area, file) => {
                let none = if file.is_none() { NO_FILE } else { 0 };
                files.extend(file);
                let area = VringArea {
                    index_and_flags: u64::from(area.index) | none,
                    size: area.size,
                    offset: area.offset,
                };
                (HOST_NOTIFIER, bytes_of(&area))
            }
            Self::VringCall(index) => (VRING_CALL, state(index, 0)),
            Self::VringErr(index) => (VRING_ERR, state(index, 0)),
            Self::Unsupported(number) => (number, Vec::new()),
        };
        Message::new(Code(number), false, need_reply, payload, files)
    }

    /// Reads a request.
    ///
    /// # Errors
    /// What [`MessageError`] lists; the request in it is named as one of the front end's would be.
    pub fn decode(message: Message<F>) -> Result<Self, MessageError> {
        let Message {
            header,
            payload,
            mut files,
        } = message;
        let code = Code(header.code);
        if header.reply {
            return Err(MessageError::Misplaced(code));
        }
        let found = payload.len();
        let wrong_size = MessageError::Size { code, found };
        let found = files.len();
        let wrong_files = MessageError::Files { code, found };
        let ring = || VringState::read_from_bytes(&payload).map_err(|_| wrong_size);
        let request = match header.code {
            CONFIG_CHANGE if payload.is_empty() => Self::ConfigChange,
            CONFIG_CHANGE => return Err(wrong_size),
            VRING_CALL => Self::VringCall(ring()?.index),
            VRING_ERR => Self::VringErr(ring()?.index),
            HOST_NOTIFIER => {
                let area = VringArea::read_from_bytes(&payload).map_err(|_| wrong_size)?;
                let [index, ..] = (area.index_and_flags & INDEX_MASK).to_le_bytes();
                let file = files.pop();
                if file.is_none() != (area.index_and_flags & NO_FILE != 0) {
                    return Err(wrong_files);
                }
                let area = NotifierArea {
                    index,
                    size: area.size,
                    offset: area.offset,
                };
                Self::HostNotifier(area, file)
            }
            other => return Ok(Self::Unsupported(other)),
        };
        if files.is_empty() {
            Ok(request)
        } else {
            Err(wrong_files)
        }
    }
}
