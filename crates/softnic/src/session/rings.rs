//! Queues on their way out and back.

use std::sync::atomic::{AtomicU64, Ordering};

use vring::features::Features;
use vring::queue::{Queue, StartError};

use super::ring::{Kick, Ring, State};
use super::{Event, Needs, QueueHandover, QueueRole, Refusal, Session, SessionError};
use crate::features::NetFeatures;

/// Numbers hand-overs, so that a queue is given back only to where it comes from.
static TICKETS: AtomicU64 = AtomicU64::new(1);

impl Session {
    /// Asks for the queues that a request needs; whether any of them is not here.
    pub(super) fn ask_for(&mut self, needs: &Needs) -> bool {
        for (index, ring) in (0..).zip(&mut self.rings) {
            let needed = match needs {
                Needs::None => false,
                Needs::One(one) => index == *one,
                Needs::All => true,
            };
            if let (true, State::Served(ticket)) = (needed, &ring.state) {
                ring.state = State::Awaited(*ticket);
                self.events.push_back(Event::QueueStop(index));
            }
        }
        self.rings.iter().any(Ring::is_awaited)
    }

    /// Takes a queue from a worker, and keeps it or, if it is broken, lets go of it.
    pub(super) fn take_back(&mut self, handover: QueueHandover) -> Result<(), SessionError> {
        let index = handover.index;
        let not_ours = SessionError::NotOurs(index);
        let ring = self.rings.get_mut(usize::from(index)).ok_or(not_ours)?;
        match ring.state {
            State::Served(ticket) | State::Awaited(ticket) if ticket == handover.ticket => {}
            _ => return Err(not_ours),
        }
        let broken = handover.queue.broken();
        ring.state = State::Held(Box::new(handover.queue));
        if let Some(broken) = broken {
            self.fail(index, Event::QueueBroken(index, broken));
        }
        Ok(())
    }

    /// Hands out every queue that is here, in the memory and with the log of now.
    pub(super) fn hand_out_held(&mut self) {
        let indices = 0..self.config.rings();
        for index in indices {
            let ring = &mut self.rings[usize::from(index)];
            if !matches!(ring.state, State::Held(_)) {
                continue;
            }
            if let State::Held(queue) = std::mem::take(&mut ring.state) {
                self.hand_out(index, queue);
            }
        }
    }

    /// Starts a ring if everything is there that it needs.
    pub(super) fn start_if_ready(&mut self, index: u16) -> Result<(), Refusal> {
        match self.start(index) {
            Ok(Some(queue)) => {
                self.hand_out(index, Box::new(queue));
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(source) => Err(Refusal::RingStart { index, source }),
        }
    }

    /// The same for every ring; those that cannot be started yet are left alone.
    pub(super) fn start_all_ready(&mut self) {
        for index in 0..self.config.rings() {
            let _ = self.start_if_ready(index);
        }
    }

    /// Stops every queue, all of which are here: the session is over.
    pub(super) fn let_go_of_all(&mut self) {
        for ring in &mut self.rings {
            ring.stop(State::Stopped);
        }
    }

    /// Whether a ring may have effects, if that is known.
    fn is_enabled(&self, index: u16) -> Option<bool> {
        let said = self.rings.get(usize::from(index))?.enabled;
        // "If VHOST_USER_F_PROTOCOL_FEATURES has not been negotiated, the ring starts directly in the
        // enabled state."
        let features = self.features.unwrap_or_default();
        said.or((!features.has(NetFeatures::PROTOCOL_FEATURES)).then_some(true))
    }

    fn start(&self, index: u16) -> Result<Option<Queue>, StartError> {
        let ring = &self.rings[usize::from(index)];
        let stopped = matches!(ring.state, State::Stopped);
        let kicked = !matches!(ring.kick, Kick::Unset) && self.is_enabled(index).is_some();
        let (true, true, Some(layout), Some(features)) =
            (stopped, kicked, ring.layout(), self.features)
        else {
            return Ok(None);
        };
        if self.memory.regions().next().is_none() {
            return Ok(None);
        }
        let features = features.rings();
        let position = ring.position(features);
        let inflight = self.inflight.as_ref().and_then(|area| area.queue(index));
        Queue::start(layout, features, &self.memory, position, inflight).map(Some)
    }

    fn hand_out(&mut self, index: u16, mut queue: Box<Queue>) {
        let logged = self
            .features
            .is_some_and(|features| features.rings().has(Features::LOG_ALL));
        let enabled = self.is_enabled(index).unwrap_or_default();
        let offloads = self.offloads();
        let ring = &mut self.rings[usize::from(index)];
        if let Err(source) = queue.set_memory(self.memory.clone()) {
            ring.state = State::Held(queue);
            return self.fail(index, Event::QueueLost(index, source));
        }
        let log = self.log.as_ref().filter(|_| logged);
        queue.set_log(log.map(|log| ring.logging(log)));
        let ticket = TICKETS.fetch_add(1, Ordering::Relaxed);
        ring.state = State::Served(ticket);
        let handover = QueueHandover {
            index,
            role: QueueRole::of(index, self.config.net.queue_pairs),
            queue: *queue,
            kick: ring.kick().cloned(),
            call: ring.call.clone(),
            offloads,
            enabled,
            ticket,
        };
        self.events
            .push_back(Event::QueueStarted(Box::new(handover)));
    }

    /// Stops a queue for good and tells everybody.
    fn fail(&mut self, index: u16, event: Event) {
        let ring = &mut self.rings[usize::from(index)];
        ring.stop(State::Failed);
        if let Some(error) = &ring.error {
            error.signal();
        }
        self.events.push_back(event);
    }
}
