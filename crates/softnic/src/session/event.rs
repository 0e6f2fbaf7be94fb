//! What a session tells those who serve the device.

use std::fmt;
use std::os::fd::OwnedFd;

use vring::broken::Broken;
use vring::queue::{Queue, StartError};

use super::Refusal;
use crate::features::NetFeatures;
use crate::notifier::Notifier;
use crate::offload::Offloads;

/// Something that happened, in order.
#[derive(Debug)]
pub enum Event {
    /// A queue is to be served; it belongs to whoever takes it from here.
    QueueStarted(Box<QueueHandover>),
    /// A queue is to be given back ([`Session::give_back`](super::Session::give_back)) as soon as its
    /// worker is done with what it took from it.
    QueueStop(u16),
    /// A queue that is being served may have effects, or not. In one that may not, no frames are put to
    /// the guest, and frames from the guest are taken and dropped.
    QueueEnabled(u16, bool),
    /// The kick of a queue that is being served is another one; without one, it is to be polled.
    KickChanged(u16, Option<Notifier>),
    /// The call of a queue that is being served is another one; without one, the driver polls.
    CallChanged(u16, Option<Notifier>),
    /// A queue was given back broken. It stays stopped until the front end sets it up anew.
    QueueBroken(u16, Broken),
    /// A queue cannot go on in the memory that there is now, and stays stopped.
    QueueLost(u16, StartError),
    /// Features were negotiated.
    FeaturesSet(NetFeatures),
    /// Writes are marked in a migration log, or no longer are.
    Logging(bool),
    /// The guest is told this MTU.
    MtuSet(u16),
    /// The network is to be told that this MAC address is here now.
    Announce([u8; 6]),
    /// The driver's progress (virtio 1.2, 2.1).
    DriverStatus(u8),
    /// The device was reset.
    Reset,
    /// The front end gave a socket for requests of the back end.
    BackChannel(OwnedFd),
    /// A request was refused, and the front end told so.
    Refused(Refusal),
}

/// A queue on its way to whoever serves it, and back.
pub struct QueueHandover {
    /// The queue's number.
    pub index: u16,
    /// What it is for.
    pub role: QueueRole,
    /// The queue.
    pub queue: Queue,
    /// What the driver signals; without one, the queue is to be polled.
    pub kick: Option<Notifier>,
    /// What to signal when [`Queue::publish`] says so; without one, the driver polls.
    pub call: Option<Notifier>,
    /// What was negotiated about frames.
    pub offloads: Offloads,
    /// See [`Event::QueueEnabled`].
    pub enabled: bool,
    pub(super) ticket: u64,
}

/// What a queue is for (virtio 1.2, 5.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueRole {
    /// Frames to the guest, in this pair.
    ToGuest(u16),
    /// Frames from the guest, in this pair.
    FromGuest(u16),
    /// Commands.
    Control,
}

impl QueueRole {
    /// The role of queue `index` in a device of so many pairs.
    #[must_use]
    pub const fn of(index: u16, queue_pairs: u16) -> Self {
        if index / 2 >= queue_pairs {
            Self::Control
        } else if index.is_multiple_of(2) {
            Self::ToGuest(index / 2)
        } else {
            Self::FromGuest(index / 2)
        }
    }
}

impl fmt::Debug for QueueHandover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueHandover")
            .field("index", &self.index)
            .field("role", &self.role)
            .field("layout", &self.queue.layout())
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}
