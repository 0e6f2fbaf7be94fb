//! What a back end answers.

use zerocopy::FromBytes;

use super::layout::{ConfigHead, INFLIGHT_UNPADDED, Inflight, Log, VringState};
use super::request::{ConfigRange, InflightArea, LogArea};
use super::{CONFIG_BYTES_MAX, Code, Message, MessageError};
use crate::protocol::request::{bytes_of, state};

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<F> {
    /// The request that is answered.
    pub code: Code,
    /// The answer.
    pub body: ReplyBody<F>,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyBody<F> {
    /// A number: features, queues, slots, status; or, to a request without a reply of its own, zero for
    /// success.
    Word(u64),
    /// A ring's position.
    Base {
        /// The ring.
        index: u32,
        /// As [`vring::queue::Position`] encodes it.
        base: u32,
    },
    /// The migration log is used.
    Log(LogArea),
    /// Bytes of the configuration space, as many as the range has.
    Config(ConfigRange, Vec<u8>),
    /// The configuration space has no such bytes.
    NoConfig,
    /// An area that tracks descriptors in flight; none if it cannot be had.
    Inflight(InflightArea, Option<F>),
}

impl<F> Reply<F> {
    /// Writes the reply.
    #[must_use]
    pub fn encode(self) -> Message<F> {
        let mut files = Vec::new();
        let payload = match self.body {
            ReplyBody::Word(word) => bytes_of(&word),
            ReplyBody::Base { index, base } => state(index, base),
            ReplyBody::Log(area) => area.payload(),
            ReplyBody::Config(range, bytes) => range.payload(&bytes),
            ReplyBody::NoConfig => Vec::new(),
            ReplyBody::Inflight(area, file) => {
                files.extend(file);
                area.payload()
            }
        };
        Message::new(self.code, true, false, payload, files)
    }

    /// Reads the reply to the request `code`.
    ///
    /// # Errors
    /// What [`MessageError`] lists.
    pub fn decode(code: Code, message: Message<F>) -> Result<Self, MessageError> {
        if !message.header.reply || message.header.code != code.0 {
            return Err(MessageError::Misplaced(Code(message.header.code)));
        }
        let Message {
            payload, mut files, ..
        } = message;
        let found = files.len();
        let wrong_size = MessageError::Size {
            code,
            found: payload.len(),
        };
        let file = files.pop();
        let files_allowed = usize::from(code == Code::GET_INFLIGHT_FD);
        if found > files_allowed {
            return Err(MessageError::Files { code, found });
        }
        let body = match code {
            Code::GET_VRING_BASE => VringState::read_from_bytes(&payload)
                .ok()
                .map(|VringState { index, num: base }| ReplyBody::Base { index, base }),
            // "QEMU doesn't expect any payload", says DPDK, and sends none.
            Code::SET_LOG_BASE if payload.is_empty() => Some(ReplyBody::Word(0)),
            Code::SET_LOG_BASE => Log::read_from_bytes(&payload)
                .ok()
                .map(|Log { size, offset }| ReplyBody::Log(LogArea { size, offset })),
            Code::GET_CONFIG if payload.is_empty() => Some(ReplyBody::NoConfig),
            Code::GET_CONFIG => config(&payload),
            Code::GET_INFLIGHT_FD => inflight(&payload).map(|area| ReplyBody::Inflight(area, file)),
            _ => u64::read_from_bytes(&payload).ok().map(ReplyBody::Word),
        };
        let body = body.ok_or(wrong_size)?;
        Ok(Self { code, body })
    }
}

fn config<F>(payload: &[u8]) -> Option<ReplyBody<F>> {
    let (head, bytes) = ConfigHead::read_from_prefix(payload).ok()?;
    if head.size as usize != bytes.len() || bytes.len() > CONFIG_BYTES_MAX {
        return None;
    }
    let range = ConfigRange {
        offset: head.offset,
        size: head.size,
        flags: head.flags,
    };
    Some(ReplyBody::Config(range, bytes.to_vec()))
}

fn inflight(payload: &[u8]) -> Option<InflightArea> {
    let mut padded = payload.to_vec();
    if padded.len() == INFLIGHT_UNPADDED {
        padded.resize(size_of::<Inflight>(), 0);
    }
    let area = Inflight::read_from_bytes(&padded).ok()?;
    Some(InflightArea {
        mmap_size: area.mmap_size,
        mmap_offset: area.mmap_offset,
        num_queues: area.num_queues,
        queue_size: area.queue_size,
    })
}
