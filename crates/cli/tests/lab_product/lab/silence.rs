use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long something that is to go on has been silent.
#[derive(Debug)]
pub(crate) struct Silence(Mutex<Heard>);

#[derive(Debug)]
struct Heard {
    last: Instant,
    longest: Duration,
}

impl Default for Silence {
    fn default() -> Silence {
        Silence(Mutex::new(Heard {
            last: Instant::now(),
            longest: Duration::ZERO,
        }))
    }
}

impl Silence {
    /// Something was heard.
    pub(crate) fn end(&self) {
        let mut heard = self.0.lock().unwrap();
        let now = Instant::now();
        heard.longest = heard.longest.max(now - heard.last);
        heard.last = now;
    }

    /// The longest since this was last asked, and what lasts.
    pub(crate) fn take_longest(&self) -> Duration {
        let mut heard = self.0.lock().unwrap();
        let longest = std::mem::take(&mut heard.longest);
        longest.max(heard.last.elapsed())
    }
}
