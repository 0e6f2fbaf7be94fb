//! The back end's state machine: one connection's worth of a device.
//!
//! Requests and queues that were given back go in; replies and [`Event`]s come out. There is no socket
//! and no clock here. The system calls made are those of mapping what the front end shares, and of
//! signalling what it asked to be signalled.
//!
//! # Requests that have to wait
//! A started queue is a worker's. A request that touches it, such as `GET_VRING_BASE`, another memory
//! table or the begin of a migration log, asks for it with [`Event::QueueStop`] and waits
//! ([`Session::is_waiting`]) until each queue that it needs has been given back
//! ([`Session::give_back`]). Then it takes effect, queues that go on are handed out anew, and the reply
//! is made. Until then no other request is taken, so requests and replies stay in order.
//!
//! # When a ring runs
//! It starts when its size, its addresses and a kick descriptor (or none, for polling) are there,
//! features are negotiated and memory is shared; without waiting for a first kick, since buffers that
//! were made available before we came were kicked to somebody else. With `PROTOCOL_FEATURES` it also
//! waits for the first `SET_VRING_ENABLE`, be it one that disables: what a guest sends to a disabled
//! ring is dropped, and a guest that is only being connected again should lose nothing.
//! `GET_VRING_BASE` stops it and forgets the kick descriptor. While it runs, its addresses, descriptors and log may change; its size
//! and position may not.
//!
//! # What is refused
//! A request that makes no sense now is refused with a [`Refusal`]: told by the reply if the front end
//! asked for one and the request has none of its own, and by closing the session otherwise, as there is
//! no third way to tell.

mod apply;
mod check;
mod config;
mod error;
mod event;
mod ring;
mod rings;

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use vring::dirty::DirtyLog;
use vring::inflight::InflightArea;
use vring::memory::GuestMemory;

use crate::features::{NetFeatures, ProtocolFeatures};
use crate::offload::Offloads;
use crate::protocol::{Code, Message, Reply, ReplyBody, Request};
use ring::Ring;

pub use config::{ConfigError, DeviceConfig, QUEUE_PAIRS_MAX};
pub use error::{Refusal, SessionError};
pub use event::{Event, QueueHandover, QueueRole};

/// Most bytes of memory that one front end may share: address space is the whole process's.
pub const MEMORY_BYTES_MAX: u64 = 4 << 40;

/// One connection's worth of a device.
pub struct Session {
    config: DeviceConfig,
    features: Option<NetFeatures>,
    protocol: ProtocolFeatures,
    memory: GuestMemory,
    rings: Vec<Ring>,
    log: Option<Arc<DirtyLog>>,
    inflight: Option<InflightArea>,
    status: u8,
    waiting: Option<Waiting>,
    ended: bool,
    events: VecDeque<Event>,
    replies: VecDeque<Message<OwnedFd>>,
}

/// A request that waits for queues.
struct Waiting {
    request: Request<OwnedFd>,
    need_reply: bool,
}

/// Which queues a request needs back before it takes effect.
enum Needs {
    None,
    One(u16),
    All,
}

impl Session {
    /// The session of a front end that has just connected.
    #[must_use]
    pub fn new(config: DeviceConfig) -> Self {
        let rings = (0..config.rings()).map(|_| Ring::default()).collect();
        Self {
            config,
            features: None,
            protocol: ProtocolFeatures::default(),
            memory: GuestMemory::new(),
            rings,
            log: None,
            inflight: None,
            status: 0,
            waiting: None,
            ended: false,
            events: VecDeque::new(),
            replies: VecDeque::new(),
        }
    }

    /// Takes a request; `need_reply` is its header's.
    ///
    /// # Errors
    /// [`SessionError::Refused`]: the session is to be closed. [`SessionError::Busy`]: another request
    /// is still waiting, or the session has ended; nothing was done.
    pub fn handle(
        &mut self,
        request: Request<OwnedFd>,
        need_reply: bool,
    ) -> Result<(), SessionError> {
        if self.waiting.is_some() || self.ended {
            return Err(SessionError::Busy);
        }
        let needs = match self.check(&request) {
            Ok(needs) => needs,
            Err(refusal) => return self.answer(request.code(), need_reply, Err(refusal)),
        };
        if self.ask_for(&needs) {
            self.waiting = Some(Waiting {
                request,
                need_reply,
            });
            return Ok(());
        }
        self.carry_out(request, need_reply)
    }

    /// Takes back a queue that was handed out: because it was asked for, because it is broken
    /// ([`vring::queue::Queue::broken`]), or because its worker cannot go on serving it, in which case
    /// it is handed out again.
    ///
    /// # Errors
    /// [`SessionError::NotOurs`] if it was not handed out by this session;
    /// [`SessionError::Refused`] if the request that waited for it is refused now.
    pub fn give_back(&mut self, handover: QueueHandover) -> Result<(), SessionError> {
        self.take_back(handover)?;
        if self.rings.iter().any(Ring::is_awaited) {
            return Ok(());
        }
        if self.ended {
            self.let_go_of_all();
            return Ok(());
        }
        match self.waiting.take() {
            Some(waiting) => self.carry_out(waiting.request, waiting.need_reply),
            None => {
                self.hand_out_held();
                Ok(())
            }
        }
    }

    /// The connection is gone: every queue is asked for, and the request that waits is dropped.
    pub fn end(&mut self) {
        self.ended = true;
        self.waiting = None;
        self.replies.clear();
        if !self.ask_for(&Needs::All) {
            self.let_go_of_all();
        }
    }

    /// Whether a request waits for queues; no other is taken until it is done.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Whether no queue is in anybody else's hands.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        !self.rings.iter().any(Ring::is_out)
    }

    /// The next event, in the order in which they happened.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next message for the front end.
    pub fn next_reply(&mut self) -> Option<Message<OwnedFd>> {
        self.replies.pop_front()
    }

    /// What was negotiated about frames.
    #[must_use]
    pub fn offloads(&self) -> Offloads {
        Offloads::new(self.features.unwrap_or_default())
    }

    /// The virtio features that were negotiated, if they were.
    #[must_use]
    pub fn features(&self) -> Option<NetFeatures> {
        self.features
    }

    /// The protocol features that were negotiated.
    #[must_use]
    pub fn protocol_features(&self) -> ProtocolFeatures {
        self.protocol
    }

    /// The guest's memory.
    #[must_use]
    pub fn memory(&self) -> &GuestMemory {
        &self.memory
    }

    /// The virtio device status that the front end told, if it tells it.
    #[must_use]
    pub fn status(&self) -> u8 {
        self.status
    }

    /// Sets whether the guest's link is up; whether that is a change that the front end wants to be
    /// told of, on its channel for the back end's requests.
    pub fn set_link(&mut self, up: bool) -> bool {
        let changed = self.config.net.link_up != up;
        self.config.net.link_up = up;
        changed
            && self
                .protocol
                .has(ProtocolFeatures::CONFIG | ProtocolFeatures::BACKEND_REQ)
    }

    fn carry_out(
        &mut self,
        request: Request<OwnedFd>,
        need_reply: bool,
    ) -> Result<(), SessionError> {
        let code = request.code();
        let done = self.apply(request);
        self.hand_out_held();
        self.answer(code, need_reply, done)
    }

    /// Replies as the protocol has it, or says that the session has to be closed instead.
    fn answer(
        &mut self,
        code: Code,
        need_reply: bool,
        done: Result<Option<ReplyBody<OwnedFd>>, Refusal>,
    ) -> Result<(), SessionError> {
        let acknowledged = need_reply && self.protocol.has(ProtocolFeatures::REPLY_ACK);
        let body = match done {
            Ok(Some(body)) => body,
            Ok(None) if acknowledged => ReplyBody::Word(0),
            Ok(None) => return Ok(()),
            Err(refusal) if acknowledged && !code.has_reply() => {
                self.events.push_back(Event::Refused(refusal));
                ReplyBody::Word(1)
            }
            Err(refusal) => return Err(SessionError::Refused(refusal)),
        };
        self.replies.push_back(Reply { code, body }.encode());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
