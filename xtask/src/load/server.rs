//! What all servers share: saying where they listen, and knowing when to stop.

use std::io::{self, ErrorKind, Write, stdin, stdout};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::bench::inside::Listening;

/// How often a waiting server looks whether it should stop.
pub(crate) const LOOK: Duration = Duration::from_millis(20);
const LOOK_NS: i64 = 20_000_000;

/// Whether to go on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Stops when standard input ends: when our parent says so, or is no more.
    pub(crate) fn when_input_closes() -> Self {
        let stop = Self::default();
        let told = stop.clone();
        thread::spawn(move || {
            // An error is an end as well.
            let _ = io::copy(&mut stdin().lock(), &mut io::sink());
            told.stop();
        });
        stop
    }

    /// Stops.
    pub(crate) fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Says where we listen, for the parent to read.
pub(crate) fn announce(address: SocketAddr) -> Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{}", serde_json::to_string(&Listening { address })?)?;
    out.flush()?;
    Ok(())
}

/// The next connection, or none once stopped.
pub(crate) fn accept(listener: &TcpListener, stop: &Stop) -> Result<Option<TcpStream>> {
    listener.set_nonblocking(true)?;
    while !stop.is_stopped() {
        match listener.accept() {
            Ok((stream, _)) => return Ok(Some(stream)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let mut descriptors = [PollFd::new(listener, PollFlags::IN)];
                let look = Timespec {
                    tv_sec: 0,
                    tv_nsec: LOOK_NS,
                };
                poll(&mut descriptors, Some(&look))?;
            }
            // The client gave up before we came to it.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// Whether an error only says that nothing has come yet.
pub(crate) fn is_nothing_yet(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}
