//! Whether the data-plane thread runs before ordinary threads.
//!
//! The first packet of a flow waits for this thread, and where guests fill the processors the thread
//! waits for its turn among them: milliseconds, while its work is microseconds. A shorter slice or a
//! better nice value do not help, for both count within a control group (or an autogroup) only, and
//! the wait is for the group's share. So the thread becomes a real-time thread, but
//! - only while it is kept waiting: on a host with an idle processor the ordinary scheduler places it
//!   there, and a real-time thread would stay where it is and disturb who runs there;
//! - only for as long as it is seldom busy: a flood of exceptions is to take its fair share of the
//!   processors, and not one before all others.

use std::time::Duration;

use flow::Tick;
use netdev::sched::{Class, Gauge, Times, set_class};

use crate::api::{SchedulingClass, SchedulingView};

/// How often an ordinary thread looks whether it was kept waiting.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// It was, if this much of the time between two looks was spent waiting,
const WAITED_MIN: Duration = Duration::from_micros(100);
/// and this part of it.
const WAITED_PART: u32 = 50;

/// How long a real-time thread stays one before it looks again how ordinary threads fare: so long
/// that looking disturbs far less than one connection in a hundred.
const REAL_TIME_FOR: Duration = Duration::from_millis(500);

/// A real-time thread may be busy for so much of a window: a burst of connections, not a flood,
const WINDOW: Duration = Duration::from_millis(50);
const BUSY_MAX: Duration = Duration::from_millis(40);
/// and is an ordinary one for so long if it was busier.
const BARRED_FOR: Duration = Duration::from_millis(250);

/// The thread's class, kept as it should be.
#[derive(Default)]
pub(super) struct Urgency {
    /// None where the thread has to stay an ordinary one, or has not begun.
    gauge: Option<Gauge>,
    /// Why it has to.
    refused: Option<String>,
    rule: Rule,
    looked: Tick,
    seen: Times,
}

impl Urgency {
    /// Finds out what the calling thread, which is to be the data plane's, may do.
    pub(super) fn begin(&mut self, now: Tick) {
        let permitted = set_class(Class::RealTime).and_then(|()| set_class(Class::Ordinary));
        match permitted.and_then(|()| Gauge::open()) {
            Ok(gauge) => self.gauge = Some(gauge),
            Err(error) => self.refuse(&error),
        }
        self.look(now);
    }

    /// Looks how the thread fared, if it is time to, and changes its class if it must be.
    pub(super) fn tick(&mut self, now: Tick) {
        if now.since(self.looked) >= self.rule.look_every() {
            self.look(now);
        }
    }

    /// What operators are shown.
    pub(super) fn view(&self, now: Tick) -> SchedulingView {
        let reason = match (&self.refused, self.rule.class) {
            (Some(refused), _) => Some(format!("real-time is not permitted: {refused}")),
            (None, Class::RealTime) => None,
            (None, Class::Ordinary) if now < self.rule.barred_until => {
                Some("it is too busy to go before others".to_owned())
            }
            (None, Class::Ordinary) => Some("nothing keeps it waiting".to_owned()),
        };
        let class = match self.rule.class {
            Class::Ordinary => SchedulingClass::Ordinary,
            Class::RealTime => SchedulingClass::RealTime,
        };
        SchedulingView { class, reason }
    }

    fn look(&mut self, now: Tick) {
        let Some(gauge) = &self.gauge else { return };
        let span = now.since(self.looked);
        let times = match gauge.read() {
            Ok(times) => times,
            Err(error) => return self.refuse(&error),
        };
        let look = Look {
            now,
            span,
            ran: times.ran.saturating_sub(self.seen.ran),
            waited: times.waited.saturating_sub(self.seen.waited),
        };
        (self.looked, self.seen) = (now, times);
        let before = self.rule.class;
        if self.rule.decide(&look) != before
            && let Err(error) = set_class(self.rule.class)
        {
            self.refuse(&error);
        }
    }

    /// It stays an ordinary thread from now on.
    fn refuse(&mut self, error: &std::io::Error) {
        tracing::info!(%error, "the data plane is scheduled as ordinary threads are");
        // To be ordinary is permitted to everyone.
        let _ = set_class(Class::Ordinary);
        *self = Urgency {
            refused: Some(error.to_string()),
            ..Urgency::default()
        };
    }
}

/// How the thread fared since the look before.
#[derive(Clone, Copy, Debug)]
struct Look {
    now: Tick,
    span: Duration,
    ran: Duration,
    waited: Duration,
}

/// Which class it is to have.
#[derive(Clone, Copy, Debug, Default)]
struct Rule {
    class: Class,
    since: Tick,
    barred_until: Tick,
}

impl Rule {
    fn look_every(&self) -> Duration {
        match self.class {
            Class::Ordinary => LOOK_EVERY,
            Class::RealTime => WINDOW,
        }
    }

    fn decide(&mut self, look: &Look) -> Class {
        let &Look { now, span, .. } = look;
        let class = match self.class {
            Class::RealTime if look.ran >= busy_max(span) => {
                self.barred_until = now + BARRED_FOR;
                Class::Ordinary
            }
            Class::RealTime if now.since(self.since) >= REAL_TIME_FOR => Class::Ordinary,
            Class::Ordinary
                if now >= self.barred_until
                    && look.waited >= WAITED_MIN.max(span / WAITED_PART) =>
            {
                Class::RealTime
            }
            class => class,
        };
        if class != self.class {
            (self.class, self.since) = (class, now);
        }
        class
    }
}

/// Of a span that is a window or longer.
fn busy_max(span: Duration) -> Duration {
    BUSY_MAX.max(span.mul_f64(BUSY_MAX.as_secs_f64() / WINDOW.as_secs_f64()))
}

#[cfg(test)]
mod tests;
