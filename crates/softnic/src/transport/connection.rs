//! One connected socket: whole messages out of it, whole messages into it.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::cmsg_space;
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::STALL_MAX;
use crate::protocol::{FILES_MAX, HEADER_BYTES, Header, Message, MessageError};

/// Most messages that wait to be sent.
const OUTBOX_MAX: usize = 16;

/// Why a connection is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The peer closed it, between two messages.
    #[error("connection closed")]
    Closed,
    /// The peer closed it inside a message.
    #[error("connection closed within a message")]
    Truncated,
    /// The peer took longer than [`STALL_MAX`] over one message.
    #[error("peer stalled within a message")]
    Stalled,
    /// More descriptors than [`FILES_MAX`] beside one message. They are closed.
    #[error("more than {FILES_MAX} file descriptors beside a message")]
    TooManyFiles,
    /// More messages to send than a peer that reads would leave waiting.
    #[error("peer takes no replies")]
    OutboxFull,
    /// Not a message.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The kernel refused.
    #[error("socket failed: {0}")]
    System(Errno),
}

/// A connected socket.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    incoming: Incoming,
    outgoing: VecDeque<Outgoing>,
    /// Since when the first outgoing message is waiting.
    blocked: Option<Instant>,
}

/// A message of which some bytes have come.
#[derive(Debug, Default)]
struct Incoming {
    header: [u8; HEADER_BYTES],
    /// Bytes of the header that have come.
    header_len: usize,
    parsed: Option<Header>,
    payload: Vec<u8>,
    files: Vec<OwnedFd>,
    /// Since when.
    since: Option<Instant>,
}

/// A message of which some bytes have gone.
#[derive(Debug)]
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    /// Those that go with the first byte.
    files: Vec<OwnedFd>,
}

impl TransportError {
    /// The name of the counter of this kind of error.
    #[must_use]
    pub const fn counter(self) -> &'static str {
        match self {
            Self::Closed => "peer_closed",
            Self::Truncated => "peer_truncated",
            Self::Stalled => "peer_stalled",
            Self::TooManyFiles => "message_files_max",
            Self::OutboxFull => "peer_takes_no_replies",
            Self::Message(error) => error.counter(),
            Self::System(_) => "socket_failed",
        }
    }
}

impl Connection {
    /// A connection over a stream socket.
    ///
    /// # Errors
    /// [`TransportError::System`] if it cannot be made non-blocking.
    pub fn new(socket: OwnedFd) -> Result<Self, TransportError> {
        ioctl_fionbio(&socket, true).map_err(TransportError::System)?;
        Ok(Self {
            socket,
            incoming: Incoming::default(),
            outgoing: VecDeque::new(),
            blocked: None,
        })
    }

    /// The next whole message, if it has come.
    ///
    /// Bytes are never read past the end of a message, so descriptors are always those of the message
    /// whose bytes they came with, whichever of its bytes that was.
    ///
    /// # Errors
    /// What [`TransportError`] lists; the connection is to be dropped.
    pub fn receive(&mut self, now: Instant) -> Result<Option<Message<OwnedFd>>, TransportError> {
        loop {
            if let Some(message) = self.incoming.complete() {
                return Ok(Some(message));
            }
            match self.read_some() {
                Ok(()) => self.incoming.parse_header()?,
                Err(TransportError::System(Errno::INTR)) => {}
                Err(TransportError::System(Errno::AGAIN)) => {
                    self.incoming.check_time(now)?;
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Queues a message and sends what the socket takes.
    ///
    /// # Errors
    /// What [`TransportError`] lists; the connection is to be dropped.
    pub fn send(&mut self, message: Message<OwnedFd>, now: Instant) -> Result<(), TransportError> {
        if self.outgoing.len() >= OUTBOX_MAX {
            return Err(TransportError::OutboxFull);
        }
        self.outgoing.push_back(Outgoing {
            bytes: message.bytes(),
            sent: 0,
            files: message.files,
        });
        self.flush(now)
    }

    /// Sends what the socket takes of the messages that wait.
    ///
    /// # Errors
    /// What [`TransportError`] lists; the connection is to be dropped.
    pub fn flush(&mut self, now: Instant) -> Result<(), TransportError> {
        while let Some(first) = self.outgoing.front_mut() {
            match first.write_some(self.socket.as_fd()) {
                Ok(()) if first.sent == first.bytes.len() => {
                    self.outgoing.pop_front();
                    self.blocked = None;
                }
                Ok(()) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let since = *self.blocked.get_or_insert(now);
                    let stalled = now.saturating_duration_since(since) >= STALL_MAX;
                    return if stalled {
                        Err(TransportError::Stalled)
                    } else {
                        Ok(())
                    };
                }
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(TransportError::Closed),
                Err(error) => return Err(TransportError::System(error)),
            }
        }
        Ok(())
    }

    /// Whether messages wait to be sent: the socket is to be polled for writing, too.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// When to come back at the latest although the socket has nothing new.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let since = [self.incoming.since, self.blocked];
        since.into_iter().flatten().min().map(|at| at + STALL_MAX)
    }

    fn read_some(&mut self) -> Result<(), TransportError> {
        let incoming = &mut self.incoming;
        let mut chunk = [0; 512];
        let wanted = incoming.missing().min(chunk.len());
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(FILES_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut buffer = [IoSliceMut::new(&mut chunk[..wanted])];
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let read = recvmsg(&self.socket, &mut buffer, &mut control, flags);
        let read = read.map_err(|error| match error {
            Errno::CONNRESET => TransportError::Closed,
            other => TransportError::System(other),
        })?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                incoming.files.extend(files);
            }
        }
        if incoming.files.len() > FILES_MAX || read.flags.contains(ReturnFlags::CTRUNC) {
            return Err(TransportError::TooManyFiles);
        }
        if read.bytes == 0 {
            return Err(if incoming.header_len == 0 {
                TransportError::Closed
            } else {
                TransportError::Truncated
            });
        }
        incoming.append(&chunk[..read.bytes]);
        Ok(())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Incoming {
    /// Bytes that are missing of the header, or with it of the payload.
    fn missing(&self) -> usize {
        match self.parsed {
            None => HEADER_BYTES - self.header_len,
            Some(header) => header.size as usize - self.payload.len(),
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.parsed.is_some() {
            self.payload.extend_from_slice(bytes);
        } else {
            let end = self.header_len + bytes.len();
            self.header[self.header_len..end].copy_from_slice(bytes);
            self.header_len = end;
        }
    }

    fn parse_header(&mut self) -> Result<(), TransportError> {
        if self.parsed.is_none() && self.header_len == HEADER_BYTES {
            self.parsed = Some(Header::from_bytes(self.header)?);
        }
        Ok(())
    }

    fn complete(&mut self) -> Option<Message<OwnedFd>> {
        let header = self.parsed?;
        if self.payload.len() < header.size as usize {
            return None;
        }
        let whole = std::mem::take(self);
        Some(Message {
            header,
            payload: whole.payload,
            files: whole.files,
        })
    }

    fn check_time(&mut self, now: Instant) -> Result<(), TransportError> {
        if self.header_len == 0 {
            return Ok(());
        }
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= STALL_MAX {
            return Err(TransportError::Stalled);
        }
        Ok(())
    }
}

impl Outgoing {
    fn write_some(&mut self, socket: BorrowedFd<'_>) -> Result<(), Errno> {
        let borrowed: Vec<BorrowedFd<'_>> = self.files.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(FILES_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !borrowed.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
            return Err(Errno::TOOMANYREFS);
        }
        let buffer = [IoSlice::new(&self.bytes[self.sent..])];
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let sent = sendmsg(socket, &buffer, &mut control, flags)?;
        self.sent += sent;
        // They went with the first of these bytes.
        self.files.clear();
        Ok(())
    }
}
