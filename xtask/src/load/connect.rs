//! Connections opened and closed: each is a new flow for whatever is in between.

use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU16;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use super::server::{self, Stop};

/// A connection that takes longer has failed; a lost SYN is sent again after one second.
const FAILED_AFTER: Duration = Duration::from_secs(2);
/// Threads, at most: each is a stack, and more do not open faster.
const SOCKETS_MAX: u16 = 256;

/// What a client did.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Opened {
    pub(crate) connections: u64,
    pub(crate) failures: u64,
    pub(crate) seconds: f64,
    /// From the call to the handshake's end.
    pub(crate) p50_ns: f64,
    pub(crate) p99_ns: f64,
}

/// What a server did.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Accepted {
    pub(crate) connections: u64,
}

/// Accepts and closes at once, until stopped.
///
/// The server closes first, so that the state that lingers after a close is on its side and the
/// client does not run out of ports.
pub(crate) fn accept(bind: IpAddr, stop: &Stop) -> Result<Accepted> {
    let listener = TcpListener::bind((bind, 0)).context("cannot bind")?;
    server::announce(listener.local_addr()?)?;
    let mut accepted = Accepted::default();
    while let Some(stream) = server::accept(&listener, stop)? {
        accepted.connections += 1;
        drop(stream);
    }
    Ok(accepted)
}

/// Opens connections with `sockets` threads for `length`, each waiting for the server to close.
pub(crate) fn open(to: SocketAddr, sockets: NonZeroU16, length: Duration) -> Result<Opened> {
    if sockets.get() > SOCKETS_MAX {
        bail!("more than {SOCKETS_MAX} sockets");
    }
    let begun = Instant::now();
    let mut histogram = Histogram::new();
    let mut failures = 0;
    thread::scope(|scope| {
        let openers: Vec<_> = (0..sockets.get())
            .map(|_| scope.spawn(|| open_until(to, begun, length)))
            .collect();
        for opener in openers {
            let (opened, failed) = opener.join().map_err(|_| anyhow!("a client panicked"))?;
            histogram.merge(&opened);
            failures += failed;
        }
        anyhow::Ok(())
    })?;
    Ok(Opened {
        connections: histogram.count(),
        failures,
        seconds: begun.elapsed().as_secs_f64(),
        p50_ns: histogram.quantile_ns(0.5),
        p99_ns: histogram.quantile_ns(0.99),
    })
}

fn open_until(to: SocketAddr, begun: Instant, length: Duration) -> (Histogram, u64) {
    let mut histogram = Histogram::new();
    let mut failures = 0;
    while begun.elapsed() < length {
        let called = Instant::now();
        match TcpStream::connect_timeout(&to, FAILED_AFTER) {
            Ok(mut stream) => {
                histogram.record(called.elapsed());
                // Only its end is awaited; a reset is an end too.
                let _ = stream.set_read_timeout(Some(FAILED_AFTER));
                let _ = stream.read(&mut [0]);
            }
            Err(_) => {
                failures += 1;
                // A refusal comes at once; do not spin on it.
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
    (histogram, failures)
}
