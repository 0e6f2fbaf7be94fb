//! Where the other side is found: by connecting to it, or by waiting for it.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{SocketAddrUnix, connect};

use super::connection::{Connection, TransportError};
use super::listener::{ListenError, Listener, new_socket};

/// One end of a path. Both roles give connection after connection.
///
/// By default the VMM listens (QEMU: `-chardev socket,path=…,server=on,wait=off`) and the back end
/// connects: the switch restarts more often than a VM does, and a VM that is gone takes its socket
/// with it.
#[derive(Debug)]
pub enum Endpoint {
    /// The peer listens.
    Connect(Connector),
    /// The peer connects.
    Listen(Listener),
}

/// Connects again and again, at growing intervals.
#[derive(Debug)]
pub struct Connector {
    path: PathBuf,
    address: SocketAddrUnix,
    backoff: Backoff,
    failure: Option<Errno>,
}

/// When to try next: at once, then after intervals that double up to a limit.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    delay: Duration,
    next: Option<Instant>,
}

impl Endpoint {
    /// Connects to a peer that listens at `path`, now or some time.
    ///
    /// # Errors
    /// [`ListenError::System`] if the path cannot be a socket's, for one because it is too long.
    pub fn connect(path: &Path) -> Result<Self, ListenError> {
        let address = SocketAddrUnix::new(path).map_err(|source| ListenError::System {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self::Connect(Connector {
            path: path.to_owned(),
            address,
            backoff: Backoff::default(),
            failure: None,
        }))
    }

    /// Waits for peers at `path`, whose file gets `mode`.
    ///
    /// # Errors
    /// What [`ListenError`] lists.
    pub fn listen(path: &Path, mode: Mode) -> Result<Self, ListenError> {
        Listener::bind(path, mode).map(Self::Listen)
    }

    /// A new connection, if there is one now.
    ///
    /// # Errors
    /// [`TransportError::System`]; the endpoint stays usable. A peer that is not there yet is no error.
    pub fn poll(&mut self, now: Instant) -> Result<Option<Connection>, TransportError> {
        match self {
            Self::Connect(connector) => connector.poll(now),
            Self::Listen(listener) => listener.accept(),
        }
    }

    /// The connection that [`Endpoint::poll`] gave at `since` is over.
    pub fn lost(&mut self, since: Instant, now: Instant) {
        if let Self::Connect(connector) = self {
            connector.backoff.lost(since, now);
        }
    }

    /// When to poll again at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Connect(connector) => connector.backoff.next,
            Self::Listen(_) => None,
        }
    }

    /// What is readable when a peer connects.
    #[must_use]
    pub fn listening(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Connect(_) => None,
            Self::Listen(listener) => Some(listener.as_fd()),
        }
    }

    /// Why the last attempt to connect failed, for whoever asks why nothing happens.
    #[must_use]
    pub fn last_failure(&self) -> Option<Errno> {
        match self {
            Self::Connect(connector) => connector.failure,
            Self::Listen(_) => None,
        }
    }
}

impl Connector {
    /// The peer's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn poll(&mut self, now: Instant) -> Result<Option<Connection>, TransportError> {
        if !self.backoff.is_due(now) {
            return Ok(None);
        }
        self.backoff.tried(now);
        let socket = new_socket().map_err(TransportError::System)?;
        match connect(&socket, &self.address) {
            Ok(()) => {
                self.failure = None;
                Connection::new(socket).map(Some)
            }
            Err(error) => {
                self.failure = Some(error);
                Ok(None)
            }
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            delay: Self::FIRST,
            next: None,
        }
    }
}

impl Backoff {
    /// The first interval.
    pub const FIRST: Duration = Duration::from_millis(5);
    /// The longest interval.
    pub const LONGEST: Duration = Duration::from_millis(500);
    /// A connection that lasted this long was not a failed attempt.
    pub const HEALTHY: Duration = Duration::from_secs(1);

    /// Whether to try now.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| now >= next)
    }

    /// An attempt was made at `now`.
    pub fn tried(&mut self, now: Instant) {
        self.next = Some(now + self.delay);
        self.delay = (self.delay * 2).min(Self::LONGEST);
    }

    /// A connection made at `since` is over. Whoever accepts and hangs up at once is not asked again
    /// and again without a pause.
    pub fn lost(&mut self, since: Instant, now: Instant) {
        if now.saturating_duration_since(since) >= Self::HEALTHY {
            *self = Self::default();
        }
    }
}
