//! One TCP stream whose receiver notes when what arrived: whether it goes on while the path below
//! it changes, and for how long it stands still.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::server::{self, LOOK, Stop, is_nothing_yet};

const CHUNK_BYTES: usize = 128 << 10;
/// Between two notes of the receiver.
const TICK_NS: u64 = 10_000_000;
/// Notes kept: those of the first 100 seconds.
const TICKS_MAX: usize = 10_000;
/// How long a connection may take to come about, and a write to make any progress.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(15);

/// What a sender did.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Streamed {
    pub(crate) bytes: u64,
}

/// What a receiver saw. Times are the machine's monotonic clock, in nanoseconds.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Arrived {
    pub(crate) bytes: u64,
    /// Whether the sender closed the connection, rather than we or an error.
    pub(crate) complete: bool,
    /// The longest time from one arrival to the next.
    pub(crate) largest_gap_ns: u64,
    /// Time and bytes so far, in order.
    pub(crate) ticks: Vec<(u64, u64)>,
}

impl Arrived {
    /// Notes that `bytes` came at `now`, and the last before them at `last`.
    fn record(&mut self, bytes: usize, now: u64, last: Option<u64>) {
        self.bytes += bytes as u64;
        if let Some(last) = last {
            self.largest_gap_ns = self.largest_gap_ns.max(now.saturating_sub(last));
        }
        let due = self
            .ticks
            .last()
            .is_none_or(|(at, _)| now.saturating_sub(*at) >= TICK_NS);
        if due && self.ticks.len() < TICKS_MAX {
            self.ticks.push((now, self.bytes));
        }
    }

    /// Bytes that came between two times, to within a tick.
    pub(crate) fn bytes_between(&self, from_ns: u64, to_ns: u64) -> u64 {
        let until = |time: u64| {
            let passed = self.ticks.partition_point(|(at, _)| *at <= time);
            passed.checked_sub(1).map_or(0, |last| self.ticks[last].1)
        };
        until(to_ns).saturating_sub(until(from_ns))
    }
}

/// The machine's monotonic clock, which is the same in every process.
pub(crate) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or_default()
}

/// Receives one connection to its end.
pub(crate) fn sink(bind: IpAddr, stop: &Stop) -> Result<Arrived> {
    let listener = TcpListener::bind((bind, 0)).context("cannot bind")?;
    server::announce(listener.local_addr()?)?;
    receive(&listener, stop)
}

pub(super) fn receive(listener: &TcpListener, stop: &Stop) -> Result<Arrived> {
    let mut arrived = Arrived::default();
    let Some(mut stream) = server::accept(listener, stop)? else {
        return Ok(arrived);
    };
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(LOOK))?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut last = None;
    while !stop.is_stopped() {
        match stream.read(&mut chunk) {
            Ok(0) => {
                arrived.complete = true;
                break;
            }
            Ok(size) => {
                let now = monotonic_ns();
                arrived.record(size, now, last);
                last = Some(now);
            }
            Err(error) if is_nothing_yet(&error) => {}
            // Lost; the report says that it is not complete.
            Err(_) => break,
        }
    }
    Ok(arrived)
}

/// Sends as fast as it goes for `length`, then closes.
pub(crate) fn source(to: SocketAddr, length: Duration) -> Result<Streamed> {
    let mut stream = TcpStream::connect_timeout(&to, GIVEN_UP_AFTER).context("cannot connect")?;
    stream.set_write_timeout(Some(GIVEN_UP_AFTER))?;
    let chunk = vec![0x5a; CHUNK_BYTES];
    let mut streamed = Streamed { bytes: 0 };
    let begun = Instant::now();
    while begun.elapsed() < length {
        let written = stream.write(&chunk).context("the connection was lost")?;
        streamed.bytes += written as u64;
    }
    Ok(streamed)
}
