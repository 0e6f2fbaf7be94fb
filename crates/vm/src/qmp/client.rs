//! A session over a Unix socket.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::session::{CommandId, Event, Incoming, ProtocolError, Refusal, Session};

/// Why a conversation with a monitor failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The socket.
    #[error("QMP socket")]
    Socket(#[source] io::Error),
    /// QEMU went away.
    #[error("QMP connection closed by QEMU")]
    Closed,
    /// QEMU is there and says nothing. One monitor serves one client at a time.
    #[error("QMP answer missing after {0:?}; is another client connected?")]
    Timeout(Duration),
    /// The other side speaks something else.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The command was not done.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// A conversation with one QEMU.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    session: Session,
    version: [u32; 3],
    events: VecDeque<Event>,
}

/// Events kept for [`Client::wait_for`]; the oldest give way.
const EVENTS_MAX: usize = 1_024;

impl Client {
    /// Connects, and waits until the monitor is ready.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub fn connect(socket: &Path, limit: Duration) -> Result<Client, ClientError> {
        let stream = UnixStream::connect(socket).map_err(ClientError::Socket)?;
        Client::over(stream, limit)
    }

    /// As [`Client::connect`], over a socket that is connected.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub fn over(stream: UnixStream, limit: Duration) -> Result<Client, ClientError> {
        let mut client = Client {
            stream,
            session: Session::default(),
            version: [0; 3],
            events: VecDeque::new(),
        };
        let deadline = Deadline::after(limit);
        while !client.session.is_open() {
            client.exchange(&deadline)?;
        }
        client.sort(None);
        Ok(client)
    }

    /// Major, minor and patch level of QEMU.
    #[must_use]
    pub fn version(&self) -> [u32; 3] {
        self.version
    }

    /// Has a command done, and returns its answer.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub fn execute(
        &mut self,
        name: &str,
        arguments: &Value,
        limit: Duration,
    ) -> Result<Value, ClientError> {
        let deadline = Deadline::after(limit);
        let id = self.session.command(name, arguments);
        loop {
            if let Some(outcome) = self.sort(Some(id)) {
                return Ok(outcome?);
            }
            self.exchange(&deadline)?;
        }
    }

    /// Waits for the first event, of those that came since the last call or come until the limit,
    /// that `wanted` accepts. Those before it are forgotten.
    ///
    /// # Errors
    /// As [`ClientError`] says; [`ClientError::Timeout`] if it did not happen.
    pub fn wait_for(
        &mut self,
        limit: Duration,
        mut wanted: impl FnMut(&Event) -> bool,
    ) -> Result<Event, ClientError> {
        let deadline = Deadline::after(limit);
        loop {
            self.sort(None);
            while let Some(event) = self.events.pop_front() {
                if wanted(&event) {
                    return Ok(event);
                }
            }
            self.exchange(&deadline)?;
        }
    }

    /// Puts what came where it belongs, and returns the reply to `wanted` if it is there.
    fn sort(&mut self, wanted: Option<CommandId>) -> Option<Result<Value, Refusal>> {
        while let Some(incoming) = self.session.poll() {
            match incoming {
                Incoming::Ready { version } => self.version = version,
                Incoming::Reply(id, outcome) if Some(id) == wanted => return Some(outcome),
                // Of a command whose caller had no patience.
                Incoming::Reply(..) => {}
                Incoming::Event(event) => {
                    if self.events.len() == EVENTS_MAX {
                        self.events.pop_front();
                    }
                    self.events.push_back(event);
                }
            }
        }
        None
    }

    /// Sends what is to be sent, and reads once.
    fn exchange(&mut self, deadline: &Deadline) -> Result<(), ClientError> {
        let output = self.session.take_output();
        let left = deadline.left()?;
        let socket = ClientError::Socket;
        self.stream.set_write_timeout(Some(left)).map_err(socket)?;
        self.stream
            .write_all(&output)
            .map_err(|error| deadline.explain(error))?;
        self.stream.set_read_timeout(Some(left)).map_err(socket)?;
        let mut bytes = [0; 16 << 10];
        let count = self
            .stream
            .read(&mut bytes)
            .map_err(|error| deadline.explain(error))?;
        if count == 0 {
            return Err(ClientError::Closed);
        }
        self.session.receive(&bytes[..count])?;
        Ok(())
    }
}

struct Deadline {
    limit: Duration,
    end: Instant,
}

impl Deadline {
    fn after(limit: Duration) -> Deadline {
        Deadline {
            limit,
            end: Instant::now() + limit,
        }
    }

    /// What is left, which a socket takes only if it is not nothing.
    fn left(&self) -> Result<Duration, ClientError> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ClientError::Timeout(self.limit));
        }
        Ok(left)
    }

    fn explain(&self, error: io::Error) -> ClientError {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::Timeout(self.limit),
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => ClientError::Closed,
            _ => ClientError::Socket(error),
        }
    }
}

#[cfg(test)]
mod tests;
