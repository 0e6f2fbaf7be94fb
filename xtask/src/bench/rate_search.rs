//! The highest rate at which nothing is lost: raised in steps, then narrowed by halves.
//!
//! A rate that lost something is tried once more before it counts as too high, because a machine
//! that others share loses a packet now and then at any rate; so is one that the sender fell short
//! of, for the same reason.

/// What becomes of a rate that is offered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Attempt {
    /// The rate at which packets left, a second: the sender may be too slow for what was asked.
    pub(crate) achieved: f64,
    pub(crate) lossless: bool,
}

/// How to search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steps {
    /// The rate to begin with, a second.
    pub(crate) first: f64,
    /// From one step to the next, above 1.
    pub(crate) factor: f64,
    /// The search ends once what is too much is at most this many times what is not.
    pub(crate) precision: f64,
    /// A sender below this share of the rate asked for is the limit itself.
    pub(crate) sender_share: f64,
}

/// The least rate that is tried; a path that loses packets at it carries nothing.
const RATE_MIN: f64 = 100.0;
const TRIES: u32 = 2;

/// A search under way.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    steps: Steps,
    next: f64,
    tries: u32,
    /// The highest rate at which nothing was lost, as achieved; 0 for none so far.
    best: f64,
    /// The lowest rate at which something was.
    too_high: Option<f64>,
    /// Whether the sender, and not the path, was the limit.
    sender_bound: bool,
    done: bool,
}

impl Search {
    pub(crate) fn new(steps: Steps) -> Self {
        Self {
            steps,
            next: steps.first,
            tries: 0,
            best: 0.0,
            too_high: None,
            sender_bound: false,
            done: false,
        }
    }

    /// The rate to try; none once the search has ended.
    pub(crate) fn rate(&self) -> Option<f64> {
        (!self.done).then_some(self.next)
    }

    /// Takes what came of trying [`Self::rate`].
    pub(crate) fn tell(&mut self, attempt: Attempt) {
        let short = attempt.achieved < self.next * self.steps.sender_share;
        if attempt.lossless {
            self.best = self.best.max(attempt.achieved);
        }
        self.tries += 1;
        if (short || !attempt.lossless) && self.tries < TRIES {
            return;
        }
        self.tries = 0;
        match (attempt.lossless, short) {
            (true, true) => {
                self.sender_bound = true;
                self.done = true;
            }
            (true, false) => self.choose(),
            (false, _) => {
                self.too_high = Some(self.next.min(attempt.achieved));
                self.choose();
            }
        }
    }

    /// The figure: the highest rate without loss.
    pub(crate) fn best(&self) -> f64 {
        self.best
    }

    /// Whether the sender could not offer more than was carried without loss.
    pub(crate) fn is_sender_bound(&self) -> bool {
        self.sender_bound
    }

    fn choose(&mut self) {
        let Some(too_high) = self.too_high else {
            self.next *= self.steps.factor;
            return;
        };
        if self.best == 0.0 {
            self.next = too_high / self.steps.factor.powi(2);
            self.done = self.next < RATE_MIN;
            return;
        }
        self.next = (self.best * too_high).sqrt();
        self.done = too_high <= self.best * self.steps.precision;
    }
}

#[cfg(test)]
mod tests;
