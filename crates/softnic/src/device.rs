//! One virtual function as the switch holds it: an endpoint, and one session at a time, for ever.
//!
//! Whoever owns a device polls its descriptors ([`Device::interests`]) up to its deadline, calls
//! [`Device::turn`], and passes the events on to the workers. A front end that breaks the protocol, stops
//! in the middle of a message or goes away costs its own session: every queue is asked for, and when
//! all are back ([`Device::give_back`]) the next session may begin. So no two sessions, and no two
//! workers, ever serve the same ring.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use rustix::event::PollFlags;

use crate::protocol::{BackendRequest, Request};
use crate::session::{DeviceConfig, Event, QueueHandover, Session, SessionError};
use crate::transport::{Connection, Endpoint, TransportError};

/// Most requests taken in one turn, so that one front end cannot keep the owner of many devices busy.
pub const REQUESTS_PER_TURN: usize = 32;

/// A device, connected or not.
pub struct Device {
    endpoint: Endpoint,
    config: DeviceConfig,
    live: Option<Live>,
    counters: BTreeMap<&'static str, u64>,
}

/// A session and what it runs over.
struct Live {
    session: Session,
    /// None when the session has ended and waits for its queues.
    connection: Option<Connection>,
    back_channel: Option<Connection>,
    since: Instant,
}

/// What happens to a device.
#[derive(Debug)]
pub enum DeviceEvent {
    /// A front end is there; a session begins.
    Connected,
    /// Something of the session.
    Session(Event),
    /// The session is over and no queue is served any more. Always preceded by
    /// [`Event::QueueStop`] for each queue that was.
    Disconnected,
    /// Why the session ends, or could not begin.
    Failed(DeviceError),
}

/// What ends a session from outside of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The connection is of no more use.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The front end asked for what it cannot have.
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl DeviceError {
    /// The name of the counter of this kind of error.
    #[must_use]
    pub const fn counter(&self) -> &'static str {
        match self {
            Self::Transport(error) => error.counter(),
            Self::Session(error) => error.counter(),
        }
    }
}

impl Device {
    /// A device that nobody has connected to yet.
    #[must_use]
    pub fn new(endpoint: Endpoint, config: DeviceConfig) -> Self {
        Self {
            endpoint,
            config,
            live: None,
            counters: BTreeMap::new(),
        }
    }

    /// Does what there is to do now, at most [`REQUESTS_PER_TURN`] requests of it.
    pub fn turn(&mut self, now: Instant, events: &mut Vec<DeviceEvent>) {
        if self.live.is_none() {
            self.connect(now, events);
        }
        let served = self.serve(now);
        self.settle(served, now, events);
    }

    /// Takes back a queue: see [`Session::give_back`].
    ///
    /// # Errors
    /// [`SessionError::NotOurs`], which costs the device nothing. Any other error of the session is
    /// the front end's, and told by an event.
    pub fn give_back(
        &mut self,
        handover: QueueHandover,
        now: Instant,
        events: &mut Vec<DeviceEvent>,
    ) -> Result<(), SessionError> {
        let index = handover.index;
        let live = self.live.as_mut().ok_or(SessionError::NotOurs(index))?;
        let given = match live.session.give_back(handover) {
            Err(SessionError::NotOurs(index)) => return Err(SessionError::NotOurs(index)),
            other => other.map_err(DeviceError::from),
        };
        let served = given.and_then(|()| live.send_replies(now));
        self.settle(served, now, events);
        Ok(())
    }

    /// Ends the session, if there is one; the next one begins as soon as a front end is there.
    pub fn disconnect(&mut self, now: Instant, events: &mut Vec<DeviceEvent>) {
        if let Some(live) = &mut self.live {
            live.end();
        }
        self.settle(Ok(()), now, events);
    }

    /// Sets whether the guest's link is up, now and in sessions to come, and tells the front end if it
    /// wants to know.
    pub fn set_link(&mut self, up: bool, now: Instant) {
        self.config.set_link(up);
        let Some(live) = &mut self.live else { return };
        if !live.session.set_link(up) {
            return;
        }
        if let Some(channel) = &mut live.back_channel {
            let change = BackendRequest::ConfigChange.encode(false);
            if channel.send(change, now).is_err() {
                live.back_channel = None;
            }
        }
    }

    /// What to poll for; a [`Device::turn`] is due when any of it is ready.
    pub fn interests(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let listening = self.endpoint.listening();
        let listening = listening.filter(|_| self.live.is_none());
        let listening = listening.map(|socket| (socket, PollFlags::IN));
        let connected = self.live.as_ref().and_then(Live::interest);
        listening.into_iter().chain(connected)
    }

    /// When a [`Device::turn`] is due although nothing is ready.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match &self.live {
            None => self.endpoint.deadline(),
            Some(live) => live.connection.as_ref().and_then(Connection::deadline),
        }
    }

    /// The session, while a front end is connected.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        let live = self.live.as_ref()?;
        live.connection.is_some().then_some(&live.session)
    }

    /// Where front ends come from.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// How often each kind of error happened, by the names of their counters.
    #[must_use]
    pub fn counters(&self) -> &BTreeMap<&'static str, u64> {
        &self.counters
    }

    fn connect(&mut self, now: Instant, events: &mut Vec<DeviceEvent>) {
        match self.endpoint.poll(now) {
            Ok(None) => {}
            Ok(Some(connection)) => {
                self.live = Some(Live {
                    session: Session::new(self.config),
                    connection: Some(connection),
                    back_channel: None,
                    since: now,
                });
                events.push(DeviceEvent::Connected);
            }
            Err(error) => self.failed(error.into(), events),
        }
    }

    fn serve(&mut self, now: Instant) -> Result<(), DeviceError> {
        match &mut self.live {
            Some(live) if live.connection.is_some() => live.serve(now),
            _ => Ok(()),
        }
    }

    /// Passes events on, and ends a session that failed.
    fn settle(
        &mut self,
        served: Result<(), DeviceError>,
        now: Instant,
        events: &mut Vec<DeviceEvent>,
    ) {
        if let (Err(_), Some(live)) = (&served, &mut self.live) {
            live.end();
        }
        while let Some(event) = self
            .live
            .as_mut()
            .and_then(|live| live.session.next_event())
        {
            self.pass_on(event, events);
        }
        if let Err(error) = served {
            self.failed(error, events);
        }
        let over = |live: &mut Live| live.connection.is_none() && live.session.is_drained();
        if let Some(live) = self.live.take_if(over) {
            self.endpoint.lost(live.since, now);
            events.push(DeviceEvent::Disconnected);
        }
    }

    fn pass_on(&mut self, event: Event, events: &mut Vec<DeviceEvent>) {
        match event {
            Event::BackChannel(socket) => {
                if let Some(live) = &mut self.live {
                    // Without it the front end is told nothing, which it has to reckon with.
                    live.back_channel = Connection::new(socket).ok();
                }
            }
            Event::Refused(refusal) => {
                self.count(refusal.counter());
                events.push(DeviceEvent::Session(event));
            }
            Event::QueueBroken(_, broken) => {
                self.count(broken.kind.counter());
                events.push(DeviceEvent::Session(event));
            }
            Event::QueueLost(..) => {
                self.count("ring_not_started");
                events.push(DeviceEvent::Session(event));
            }
            other => events.push(DeviceEvent::Session(other)),
        }
    }

    fn failed(&mut self, error: DeviceError, events: &mut Vec<DeviceEvent>) {
        self.count(error.counter());
        events.push(DeviceEvent::Failed(error));
    }

    fn count(&mut self, counter: &'static str) {
        let count = self.counters.entry(counter).or_default();
        *count = count.saturating_add(1);
    }
}

impl Live {
    fn serve(&mut self, now: Instant) -> Result<(), DeviceError> {
        for _ in 0..REQUESTS_PER_TURN {
            let Some(connection) = &mut self.connection else {
                return Ok(());
            };
            connection.flush(now)?;
            // Whoever takes no replies is asked for no more requests.
            if self.session.is_waiting() || connection.is_blocked() {
                return Ok(());
            }
            let Some(message) = connection.receive(now)? else {
                return Ok(());
            };
            let need_reply = message.header.need_reply;
            let request = Request::decode(message).map_err(TransportError::Message)?;
            self.session.handle(request, need_reply)?;
            self.send_replies(now)?;
        }
        Ok(())
    }

    fn send_replies(&mut self, now: Instant) -> Result<(), DeviceError> {
        while let Some(reply) = self.session.next_reply() {
            if let Some(connection) = &mut self.connection {
                connection.send(reply, now)?;
            }
        }
        Ok(())
    }

    fn end(&mut self) {
        if self.connection.take().is_some() {
            self.back_channel = None;
            self.session.end();
        }
    }

    fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let connection = self.connection.as_ref()?;
        let flags = if connection.is_blocked() {
            PollFlags::OUT
        } else if self.session.is_waiting() {
            return None;
        } else {
            PollFlags::IN
        };
        Some((connection.as_fd(), flags))
    }
}

#[cfg(test)]
mod tests;
