//! Token buckets: how much of something a guest may have in a time.

/// The most that is saved up, as a share of a second: a guest that was idle may burst so much.
const BURST_NS: u64 = 10_000_000;

/// A rate of bytes or packets. Times are nanoseconds of a clock that does not run backwards.
///
/// A packet is let through while anything is left and may take the bucket below zero, so that one
/// longer than the burst passes too, and what it owes is paid back in time: the rate holds over any
/// longer time, whatever the sizes.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// Units a second; none means no limit.
    per_second: Option<u64>,
    /// Units times 10^9, so that nothing is lost in dividing.
    level: i128,
    filled_ns: u64,
}

impl Bucket {
    /// No limit.
    pub const UNLIMITED: Bucket = Bucket {
        per_second: None,
        level: 0,
        filled_ns: 0,
    };

    /// So many units a second, and no more than ten milliseconds' worth at once. It starts full.
    #[must_use]
    pub fn per_second(units: u64, now_ns: u64) -> Bucket {
        let bucket = Bucket {
            per_second: Some(units),
            level: 0,
            filled_ns: now_ns,
        };
        Bucket {
            level: bucket.full(),
            ..bucket
        }
    }

    /// Adds what has come in since the last call. Once for a batch is enough.
    #[inline]
    pub fn fill(&mut self, now_ns: u64) {
        let Some(rate) = self.per_second else {
            return;
        };
        let passed = now_ns.saturating_sub(self.filled_ns);
        self.filled_ns = self.filled_ns.max(now_ns);
        self.level += i128::from(rate) * i128::from(passed);
        self.level = self.level.min(self.full());
    }

    /// Whether anything is left.
    #[inline]
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.per_second.is_none() || self.level > 0
    }

    /// Takes units out, whether or not they are there.
    #[inline]
    pub fn take(&mut self, units: u64) {
        if self.per_second.is_some() {
            self.level -= i128::from(units) * 1_000_000_000;
        }
    }

    /// How long until something is left again; zero if something is.
    #[must_use]
    pub fn wait_ns(&self) -> u64 {
        match self.per_second {
            _ if self.is_open() => 0,
            None | Some(0) => u64::MAX,
            Some(rate) => u64::try_from(-self.level / i128::from(rate) + 1).unwrap_or(u64::MAX),
        }
    }

    /// A burst, and at least one unit: nobody is shut out by a small rate.
    fn full(&self) -> i128 {
        let rate = i128::from(self.per_second.unwrap_or(0));
        (rate * i128::from(BURST_NS)).max(1_000_000_000)
    }
}

#[cfg(test)]
mod tests;
