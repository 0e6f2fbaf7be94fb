//! One ring as the front end has described it so far.

use std::sync::Arc;

use vring::dirty::{DirtyLog, QueueLog};
use vring::features::Features;
use vring::layout::Layout;
use vring::memory::{GuestAddress, UserAddress};
use vring::queue::{Position, Queue};

use crate::notifier::Notifier;
use crate::protocol::RingAddresses;

/// What is known of a ring, and where its queue is.
#[derive(Default)]
pub(super) struct Ring {
    pub(super) size: Option<u16>,
    pub(super) addresses: Option<RingAddresses>,
    pub(super) base: Option<Position>,
    pub(super) kick: Kick,
    pub(super) call: Option<Notifier>,
    pub(super) error: Option<Notifier>,
    /// Unless the front end has said: whatever the features say.
    pub(super) enabled: Option<bool>,
    pub(super) state: State,
}

/// How the driver makes itself heard.
#[derive(Default)]
pub(super) enum Kick {
    /// The ring is not to be started.
    #[default]
    Unset,
    Polled,
    Signalled(Notifier),
}

/// Where a ring's queue is.
#[derive(Default)]
pub(super) enum State {
    #[default]
    Stopped,
    /// With a worker, by this ticket.
    Served(u64),
    /// With a worker that was asked to give it back.
    Awaited(u64),
    /// Here, to be handed out again unless something stops it.
    Held(Box<Queue>),
    /// Stopped by what the driver or the front end did; only setting it up anew helps.
    Failed,
}

impl Ring {
    /// Whether a worker has the queue.
    pub(super) fn is_out(&self) -> bool {
        matches!(self.state, State::Served(_) | State::Awaited(_))
    }

    /// Whether the queue was asked for and is not back.
    pub(super) fn is_awaited(&self) -> bool {
        matches!(self.state, State::Awaited(_))
    }

    /// Whether there is a queue, wherever it is.
    pub(super) fn is_running(&self) -> bool {
        self.is_out() || matches!(self.state, State::Held(_))
    }

    pub(super) fn kick(&self) -> Option<&Notifier> {
        match &self.kick {
            Kick::Signalled(notifier) => Some(notifier),
            Kick::Unset | Kick::Polled => None,
        }
    }

    /// The ring's layout, once all of it is known.
    pub(super) fn layout(&self) -> Option<Layout> {
        let addresses = self.addresses?;
        Some(Layout {
            size: self.size?,
            descriptors: UserAddress(addresses.descriptor),
            driver: UserAddress(addresses.available),
            device: UserAddress(addresses.used),
        })
    }

    /// Where the ring goes on, or begins.
    pub(super) fn position(&self, features: Features) -> Position {
        let start = if features.has(Features::RING_PACKED) {
            Position::PACKED_START
        } else {
            Position::default()
        };
        self.base.unwrap_or(start)
    }

    /// What its queue writes down in `log`.
    pub(super) fn logging(&self, log: &Arc<DirtyLog>) -> QueueLog {
        let addresses = self.addresses.filter(|addresses| addresses.logged);
        QueueLog {
            log: Arc::clone(log),
            used: addresses.map(|addresses| GuestAddress(addresses.log)),
        }
    }

    /// Puts the ring into a state without a queue. One that is here is stopped, and its position kept.
    pub(super) fn stop(&mut self, state: State) {
        if let State::Held(queue) = std::mem::replace(&mut self.state, state) {
            let (position, wants_call) = queue.stop();
            self.base = Some(position);
            if let (true, Some(call)) = (wants_call, &self.call) {
                call.signal();
            }
        }
    }
}
