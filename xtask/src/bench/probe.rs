//! The time a cache line takes from one processor to another and back.
//!
//! On a rented machine the host moves virtual processors; when two of them land on different
//! sockets or clusters, this time grows some five times, and so does the price of every hand-over
//! between cores that a benchmark measures. The probe is how the [guard](super::guard) knows.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::cpus::{self, Cpus};

/// The probe's length: long against a scheduler tick, short against a sample.
const LENGTH: Duration = Duration::from_millis(50);
/// Round trips timed together, so that reading the clock does not count.
const BATCH: u64 = 256;
/// Tells the other thread to end; no count of round trips comes near it.
const STOP: u64 = u64::MAX;

/// A number alone on its cache line and the one that the prefetcher may fetch with it.
#[repr(align(128))]
struct Line(AtomicU64);

/// The median round trip in nanoseconds, over batches during 50 ms.
///
/// The median leaves out batches in which a thread was interrupted.
pub(crate) fn round_trip_ns(cpus: Cpus) -> Result<f64> {
    let (ping, pong) = (Line(AtomicU64::new(0)), Line(AtomicU64::new(0)));
    thread::scope(|scope| {
        let echo = scope.spawn(|| {
            // Even when unpinned it must answer, or the other side would wait for ever.
            let pinned = cpus::pin(cpus.server);
            answer(&ping, &pong);
            pinned
        });
        let batches = scope.spawn(|| {
            let pinned = cpus::pin(cpus.client);
            let batches = ask(&ping, &pong);
            pinned.map(|()| batches)
        });
        let batches = batches.join().map_err(|_| anyhow!("the probe panicked"))?;
        echo.join().map_err(|_| anyhow!("the probe panicked"))??;
        Ok(super::rows::median(&batches?).unwrap_or(0.0))
    })
}

fn answer(ping: &Line, pong: &Line) {
    let mut expected = 1;
    loop {
        match ping.0.load(Ordering::Acquire) {
            STOP => return,
            count if count == expected => {
                pong.0.store(count, Ordering::Release);
                expected += 1;
            }
            _ => spin_loop(),
        }
    }
}

/// Nanoseconds a round trip, for each batch.
fn ask(ping: &Line, pong: &Line) -> Vec<f64> {
    let begun = Instant::now();
    let mut batches = Vec::new();
    let mut count = 0;
    while begun.elapsed() < LENGTH {
        let batch_begun = Instant::now();
        for _ in 0..BATCH {
            count += 1;
            ping.0.store(count, Ordering::Release);
            while pong.0.load(Ordering::Acquire) != count {
                spin_loop();
            }
        }
        batches.push(batch_begun.elapsed().as_secs_f64() * 1e9 / BATCH as f64);
    }
    ping.0.store(STOP, Ordering::Release);
    batches
}

#[cfg(test)]
mod tests;
