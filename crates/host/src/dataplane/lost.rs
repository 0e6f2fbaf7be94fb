//! Frames that the engine handed up and that did not get here.

use flow::{DropCounters, DropReason};
use netdev::receive::{FrameReceiver, ReceiveCounters};

/// What the receiver lost since the start. The kernel does not say whose frames they were, nor how
/// long.
#[derive(Default)]
pub(super) struct Lost {
    drops: DropCounters,
    /// What was known of the receiver when it was last asked.
    receiver: ReceiveCounters,
}

impl Lost {
    /// Asks the receiver, which is to happen far more often than its 32 bits overflow.
    pub(super) fn ask(&mut self, receiver: &FrameReceiver) {
        match receiver.socket_drops() {
            Ok(since) => {
                let dropped = u64::from(since.dropped);
                self.drops.add(DropReason::ExceptionQueueFull, dropped, 0);
            }
            Err(error) => tracing::warn!(%error, "the queue before the agent cannot be asked"),
        }
        let counters = receiver.counters();
        let unfit = |of: &ReceiveCounters| of.not_expressible + of.truncated;
        let more = unfit(&counters) - unfit(&self.receiver);
        self.drops.add(DropReason::UnsupportedOffload, more, 0);
        self.receiver = counters;
    }

    /// By reason, without bytes.
    pub(super) fn drops(&self) -> &DropCounters {
        &self.drops
    }
}
