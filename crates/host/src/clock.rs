use flow::Tick;
use rustix::time::{ClockId, clock_gettime};

/// The monotonic clock, the one the kernel's programs read.
pub(crate) fn now() -> Tick {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Tick(seconds * 1_000_000_000 + nanos)
}
