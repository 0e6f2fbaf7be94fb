use flow::Tick;

/// The window within which a rate is counted: 2^26 ns, about 67 ms. A power of two, because the
/// kernel program does the same sum and divides by shifting.
const WINDOW_SHIFT: u32 = 26;

/// At most so many events in a window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limiter {
    per_window: u32,
    window: u64,
    count: u32,
}

impl Limiter {
    /// A limiter for about `per_second` events a second; at least one in a window.
    pub(crate) fn per_second(per_second: u32) -> Limiter {
        let per_window = (u64::from(per_second) << WINDOW_SHIFT) / 1_000_000_000;
        let per_window = u32::try_from(per_window).unwrap_or(u32::MAX).max(1);
        Limiter {
            per_window,
            window: 0,
            count: 0,
        }
    }

    /// Counts one event; false when it is one too many.
    pub(crate) fn admit(&mut self, now: Tick) -> bool {
        let window = now.0 >> WINDOW_SHIFT;
        if window != self.window {
            self.window = window;
            self.count = 0;
        }
        let admitted = self.count < self.per_window;
        self.count = self.count.saturating_add(1);
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admits_its_rate_and_recovers_in_the_next_window() {
        let mut limiter = Limiter::per_second(1_000);
        let admitted = (0..1_000).filter(|_| limiter.admit(Tick(1))).count();
        assert_eq!(admitted, 67);
        assert!(limiter.admit(Tick(1 << WINDOW_SHIFT)));
    }

    #[test]
    fn even_the_smallest_rate_lets_something_through() {
        let mut limiter = Limiter::per_second(0);
        assert!(limiter.admit(Tick(5)));
        assert!(!limiter.admit(Tick(6)));
    }
}
