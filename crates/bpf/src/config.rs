use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;

use crate::abi::WINDOW_SHIFT;

/// What a [`BpfEngine`](crate::BpfEngine) is opened with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The directory on a bpffs that holds this instance's maps and links, for example
    /// `/sys/fs/bpf/clearway/default`. Made if it is missing.
    pub pin_dir: PathBuf,
    /// How many entries fit, two per connection. Memory is taken as they come.
    pub flows_max: NonZeroU32,
    /// Where the program hooks in.
    pub hook: Hook,
    /// How many frames a second an accelerated port may give to the agent, re-simulations apart.
    pub exceptions_per_second: u32,
    /// How many stale entries a second a port may have re-simulated.
    pub resimulations_per_second: u32,
}

/// Where the kernel calls the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// The best the kernel has.
    Auto,
    /// A tcx link, Linux 6.6 and newer: replaced atomically, gone with its pin.
    Tcx,
    /// A filter in the `clsact` queueing discipline.
    Clsact,
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Hook::Auto => "auto",
            Hook::Tcx => "tcx",
            Hook::Clsact => "clsact",
        })
    }
}

/// A rate per second as the budget of one window, rounded up so that a small rate is not none.
pub(crate) fn per_window(per_second: u32) -> u32 {
    let budget = (u64::from(per_second) << WINDOW_SHIFT).div_ceil(1_000_000_000);
    u32::try_from(budget).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::per_window;

    #[test]
    fn a_rate_becomes_the_budget_of_a_window() {
        assert_eq!(per_window(0), 0);
        assert_eq!(per_window(1), 1);
        // 10,000 a second for 67.1 ms.
        assert_eq!(per_window(10_000), 672);
        assert!(per_window(u32::MAX) > 280_000_000);
    }
}
