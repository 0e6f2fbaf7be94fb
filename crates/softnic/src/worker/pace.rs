//! When a worker that finds nothing to do stops polling and sleeps until it is kicked.
//!
//! Polling costs a core, and waking up costs tens of microseconds. A worker polls on for a while
//! after its last packet; how long is learnt from how its sleeps went. A sleep that was cut short by
//! a packet was a mistake: the worker polls twice as long next time. One that lasted proved that
//! there was nothing to wait for: it polls half as long. (Linux' `halt_poll_ns` does so with idle
//! virtual processors.)
//!
//! [`Pace`] decides and does nothing: it reads no clock and arms no notification.

use std::time::Duration;

/// How a worker waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// It never sleeps: the lowest latency, and a whole core for ever.
    Poll,
    /// It polls after its last packet for no less and no more than this, and then sleeps.
    Adaptive {
        /// The shortest it polls.
        polls_min: Duration,
        /// The longest it polls.
        polls_max: Duration,
    },
}

impl Waiting {
    /// Polls for 20 to 1,000 microseconds: from half of a wake-up to long enough that a guest that
    /// sends a thousand packets a second never waits for one.
    pub const ADAPTIVE: Waiting = Waiting::Adaptive {
        polls_min: Duration::from_micros(20),
        polls_max: Duration::from_micros(1_000),
    };
}

/// What a worker does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Look at its queues again.
    Poll,
    /// Ask for kicks, look once more, and sleep if there is still nothing.
    Sleep,
}

/// The pace of one worker. Times are nanoseconds of a clock that does not run backwards.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    waiting: Waiting,
    /// How long it polls in vain before it sleeps.
    patience_ns: u64,
    /// When it last found something to do, or woke up.
    last_work_ns: u64,
}

impl Pace {
    /// A worker that starts now.
    #[must_use]
    pub fn new(waiting: Waiting, now_ns: u64) -> Pace {
        let patience_ns = match waiting {
            Waiting::Poll => u64::MAX,
            Waiting::Adaptive { polls_max, .. } => nanos(polls_max),
        };
        Pace {
            waiting,
            patience_ns,
            last_work_ns: now_ns,
        }
    }

    /// After one look at all queues, which found so many packets.
    #[inline]
    pub fn looked(&mut self, packets: usize, now_ns: u64) -> Next {
        if packets > 0 {
            self.last_work_ns = now_ns;
            return Next::Poll;
        }
        if now_ns.saturating_sub(self.last_work_ns) < self.patience_ns {
            return Next::Poll;
        }
        Next::Sleep
    }

    /// After a sleep. `kicked` tells one that a guest ended from one that something else did, of
    /// which nothing is learnt.
    pub fn woke(&mut self, slept: Duration, kicked: bool, now_ns: u64) {
        self.last_work_ns = now_ns;
        let Waiting::Adaptive {
            polls_min,
            polls_max,
        } = self.waiting
        else {
            return;
        };
        if !kicked {
            return;
        }
        let (shortest, longest) = (nanos(polls_min), nanos(polls_max));
        self.patience_ns = if slept < polls_max {
            self.patience_ns.max(1).saturating_mul(2)
        } else {
            self.patience_ns / 2
        };
        self.patience_ns = self.patience_ns.clamp(shortest, longest.max(shortest));
    }

    /// How long it polls in vain at present; none if it never sleeps.
    #[must_use]
    pub fn patience(&self) -> Option<Duration> {
        match self.waiting {
            Waiting::Poll => None,
            Waiting::Adaptive { .. } => Some(Duration::from_nanos(self.patience_ns)),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
