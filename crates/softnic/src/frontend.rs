//! The front end's side: what a VMM does for its guest.
//!
//! For load generators and tools that act as a VM. [`Frontend`] makes requests one by one and waits for
//! their replies; [`Machine`] is a whole guest's worth of them: memory, queues and in-flight area, set
//! up on one connection and, when the back end has gone away, on the next one.

mod machine;
mod requests;

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::features::{NetFeatures, ProtocolFeatures};
use crate::notifier::NotifierError;
use crate::protocol::{Code, MessageError, Reply, ReplyBody, Request};
use crate::transport::{Connection, Endpoint, ListenError, TransportError};

pub use machine::{Machine, MachineError, QueueEnd};

/// A connection to a back end.
///
/// Every call waits for its reply, or for the message to be sent if it has none, up to the timeout.
pub struct Frontend {
    connection: Connection,
    timeout: Duration,
    features: NetFeatures,
    protocol: ProtocolFeatures,
    back_channel: Option<Connection>,
}

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub enum FrontendError {
    /// The connection is of no more use.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The reply is none.
    #[error(transparent)]
    Reply(#[from] MessageError),
    /// The socket cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The back end said so.
    #[error("{code} refused ({status})")]
    Refused {
        /// The request.
        code: Code,
        /// What it replied.
        status: u64,
    },
    /// Nobody answered in time.
    #[error("back end silent for {0:?}")]
    Timeout(Duration),
    /// Features that the back end does not offer.
    #[error("features {0} not on offer")]
    NotOffered(NetFeatures),
    /// A descriptor cannot be had.
    #[error(transparent)]
    Notifier(#[from] NotifierError),
    /// The kernel refused.
    #[error("front end: {0}")]
    System(#[from] Errno),
}

impl Frontend {
    /// Connects to a back end that listens at `path`, or will within `timeout`.
    ///
    /// # Errors
    /// What [`FrontendError`] lists.
    pub fn connect(path: &Path, timeout: Duration) -> Result<Self, FrontendError> {
        Self::wait_for(&mut Endpoint::connect(path)?, timeout)
    }

    /// Waits for a back end at an endpoint of either role.
    ///
    /// # Errors
    /// What [`FrontendError`] lists.
    pub fn wait_for(endpoint: &mut Endpoint, timeout: Duration) -> Result<Self, FrontendError> {
        let end = Instant::now() + timeout;
        loop {
            let now = Instant::now();
            if let Some(connection) = endpoint.poll(now)? {
                return Ok(Self::over(connection, timeout));
            }
            if now >= end {
                return Err(FrontendError::Timeout(timeout));
            }
            let until = endpoint.deadline().map_or(end, |at| at.min(end));
            let socket = endpoint.listening().map(|socket| (socket, PollFlags::IN));
            wait(socket, until)?;
        }
    }

    /// Over a connection that is there.
    #[must_use]
    pub fn over(connection: Connection, timeout: Duration) -> Self {
        Self {
            connection,
            timeout,
            features: NetFeatures::default(),
            protocol: ProtocolFeatures::default(),
            back_channel: None,
        }
    }

    /// Takes the session and negotiates: `needed` has to be on offer, of `wanted` and `protocol` what
    /// is. `VHOST_USER_F_PROTOCOL_FEATURES` is taken if it is there. Returns the virtio features.
    ///
    /// # Errors
    /// [`FrontendError::NotOffered`], and what requests fail with.
    pub fn negotiate(
        &mut self,
        needed: NetFeatures,
        wanted: NetFeatures,
        protocol: ProtocolFeatures,
    ) -> Result<NetFeatures, FrontendError> {
        let offered = NetFeatures(self.ask(Request::GetFeatures)?);
        if !offered.has(needed) {
            return Err(FrontendError::NotOffered(needed.without(offered)));
        }
        if offered.has(NetFeatures::PROTOCOL_FEATURES) {
            let there = ProtocolFeatures(self.ask(Request::GetProtocolFeatures)?);
            self.protocol = there.both(protocol);
            self.request(Request::SetProtocolFeatures(self.protocol.0))?;
        }
        self.request(Request::SetOwner)?;
        let wanted = needed | wanted | NetFeatures::PROTOCOL_FEATURES;
        self.set_features(offered.both(wanted))?;
        Ok(self.features)
    }

    /// Sets the virtio features, as negotiated before but for logging.
    ///
    /// # Errors
    /// What requests fail with.
    pub fn set_features(&mut self, features: NetFeatures) -> Result<(), FrontendError> {
        self.request(Request::SetFeatures(features.0))?;
        self.features = features;
        Ok(())
    }

    /// The virtio features that were negotiated.
    #[must_use]
    pub fn features(&self) -> NetFeatures {
        self.features
    }

    /// The protocol features that were negotiated.
    #[must_use]
    pub fn protocol_features(&self) -> ProtocolFeatures {
        self.protocol
    }

    /// Makes a request whose reply is a number.
    ///
    /// # Errors
    /// What requests fail with.
    pub fn ask(&mut self, request: Request<OwnedFd>) -> Result<u64, FrontendError> {
        let code = request.code();
        match self.exchange(request)? {
            ReplyBody::Word(word) => Ok(word),
            _ => Err(MessageError::Misplaced(code).into()),
        }
    }

    /// Makes a request without a reply of its own, and waits until it is done if the back end can say
    /// so.
    ///
    /// # Errors
    /// [`FrontendError::Refused`], and what the connection fails with.
    pub fn request(&mut self, request: Request<OwnedFd>) -> Result<(), FrontendError> {
        let code = request.code();
        let acknowledged = self.protocol.has(ProtocolFeatures::REPLY_ACK);
        self.send(request, acknowledged)?;
        if !acknowledged {
            return Ok(());
        }
        match self.reply(code)? {
            ReplyBody::Word(0) => Ok(()),
            ReplyBody::Word(status) => Err(FrontendError::Refused { code, status }),
            _ => Err(MessageError::Misplaced(code).into()),
        }
    }

    /// Makes a request that has a reply of its own.
    ///
    /// # Errors
    /// What the connection fails with.
    pub fn exchange(
        &mut self,
        request: Request<OwnedFd>,
    ) -> Result<ReplyBody<OwnedFd>, FrontendError> {
        let code = request.code();
        self.send(request, false)?;
        self.reply(code)
    }

    fn send(&mut self, request: Request<OwnedFd>, need_reply: bool) -> Result<(), FrontendError> {
        self.connection
            .send(request.encode(need_reply), Instant::now())?;
        let end = Instant::now() + self.timeout;
        while self.connection.is_blocked() {
            self.wait(PollFlags::OUT, end)?;
            self.connection.flush(Instant::now())?;
        }
        Ok(())
    }

    fn reply(&mut self, code: Code) -> Result<ReplyBody<OwnedFd>, FrontendError> {
        let end = Instant::now() + self.timeout;
        loop {
            if let Some(message) = self.connection.receive(Instant::now())? {
                return Ok(Reply::decode(code, message)?.body);
            }
            self.wait(PollFlags::IN, end)?;
        }
    }

    fn wait(&self, flags: PollFlags, end: Instant) -> Result<(), FrontendError> {
        if Instant::now() >= end {
            return Err(FrontendError::Timeout(self.timeout));
        }
        Ok(wait(Some((self.connection.as_fd(), flags)), end)?)
    }
}

/// Waits for a descriptor, or for a point in time.
fn wait<F: AsFd>(what: Option<(F, PollFlags)>, end: Instant) -> Result<(), Errno> {
    let left = end.saturating_duration_since(Instant::now());
    // A little longer, so that the time is up when it is said to be.
    let left = Timespec::try_from(left + Duration::from_micros(100)).map_err(|_| Errno::INVAL)?;
    let mut what: Vec<PollFd<'_>> = what
        .iter()
        .map(|(file, flags)| PollFd::new(file, *flags))
        .collect();
    match poll(&mut what, Some(&left)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error),
    }
}
