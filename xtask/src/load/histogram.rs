//! Durations counted by size, in fixed memory, within one percent.

use std::time::Duration;

/// Steps between one power of two and the next, as a power of two itself.
const STEP_BITS: u32 = 7;
const STEPS: usize = 1 << STEP_BITS;
/// One group of steps for the smallest values and one for each further power of two.
const GROUPS: usize = (u64::BITS - STEP_BITS + 1) as usize;

/// Counts of nanoseconds.
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max_ns: u64,
}

impl Histogram {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self {
            counts: vec![0; GROUPS * STEPS],
            total: 0,
            max_ns: 0,
        }
    }

    /// Counts one duration.
    pub(crate) fn record(&mut self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counts[index_of(ns)] += 1;
        self.total += 1;
        self.max_ns = self.max_ns.max(ns);
    }

    /// Adds all that another one counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// How many were counted.
    pub(crate) fn count(&self) -> u64 {
        self.total
    }

    /// The longest, exactly.
    pub(crate) fn max_ns(&self) -> u64 {
        self.max_ns
    }

    /// The duration that `fraction` of all do not exceed, in nanoseconds; 0 if there are none.
    pub(crate) fn quantile_ns(&self, fraction: f64) -> f64 {
        let wanted = fraction * self.total as f64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if *count > 0 && seen as f64 >= wanted {
                return middle_of(index).min(self.max_ns as f64);
            }
        }
        self.max_ns as f64
    }
}

/// Small values have a step each; above, a value's highest bits after the first choose the step.
fn index_of(ns: u64) -> usize {
    let bits = u64::BITS - ns.leading_zeros();
    let group = bits.saturating_sub(STEP_BITS);
    let step = match group {
        0 => ns,
        _ => (ns >> (group - 1)) - STEPS as u64,
    };
    // Below GROUPS * STEPS by construction, so within usize.
    group as usize * STEPS + usize::try_from(step).unwrap_or(STEPS - 1)
}

fn middle_of(index: usize) -> f64 {
    let (group, step) = (index / STEPS, index % STEPS);
    if group == 0 {
        return step as f64;
    }
    let width = 2_f64.powi(i32::try_from(group - 1).unwrap_or(i32::MAX));
    ((STEPS + step) as f64 + 0.5) * width
}

#[cfg(test)]
mod tests;
