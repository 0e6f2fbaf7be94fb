//! Datagrams one way: a sender that does nothing else, and a receiver that counts.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::num::NonZeroU32;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::server::{self, LOOK, Stop, is_nothing_yet};

/// Asked of the kernel, which may give less; keeps a receiver's short absence from losing packets.
const BUFFER_BYTES: usize = 4 << 20;
/// A datagram of this size asks for an answer; it is not counted.
const GREETING_BYTES: usize = 1;
const GREETINGS_MAX: u32 = 5;
const ANSWERED_WITHIN: Duration = Duration::from_millis(400);
/// Datagrams between two looks at the clock.
const BATCH: u32 = 64;

/// What a sender did.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Sent {
    pub(crate) datagrams: u64,
    pub(crate) seconds: f64,
}

/// What a receiver counted.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Received {
    pub(crate) datagrams: u64,
    pub(crate) bytes: u64,
}

/// Counts until stopped, and then what still waits in the buffer.
pub(crate) fn sink(bind: IpAddr, stop: &Stop) -> Result<Received> {
    let socket = UdpSocket::bind((bind, 0)).context("cannot bind")?;
    rustix::net::sockopt::set_socket_recv_buffer_size(&socket, BUFFER_BYTES)?;
    socket.set_read_timeout(Some(LOOK))?;
    server::announce(socket.local_addr()?)?;
    let mut received = Received::default();
    let mut payload = [0; 2048];
    loop {
        match socket.recv_from(&mut payload) {
            Ok((GREETING_BYTES, from)) => {
                // A lost answer is asked for again.
                let _ = socket.send_to(&payload[..GREETING_BYTES], from);
            }
            Ok((size, _)) => {
                received.datagrams += 1;
                received.bytes += size as u64;
            }
            // Nothing for a while, and nothing more to come.
            Err(error) if is_nothing_yet(&error) => {
                if stop.is_stopped() {
                    return Ok(received);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// How datagrams are sent.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Pace {
    /// Begin with a datagram that is answered: then whatever tracks connections on the way has seen
    /// this one answered
    #[arg(long)]
    pub(crate) greet: bool,
    /// Datagrams a second, evenly; without it, as many as go
    #[arg(long)]
    pub(crate) rate: Option<NonZeroU32>,
}

/// Sends datagrams of `size` bytes for `length`.
pub(crate) fn blast(to: SocketAddr, size: u16, pace: Pace, length: Duration) -> Result<Sent> {
    let size = usize::from(size);
    if size <= GREETING_BYTES {
        bail!("a datagram has at least {} bytes", GREETING_BYTES + 1);
    }
    let local: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((local, 0))?;
    socket.connect(to)?;
    if pace.greet {
        exchange_greetings(&socket)?;
    }
    let payload = vec![0; size];
    let begun = Instant::now();
    let batch = if pace.rate.is_some() { 1 } else { BATCH };
    let (mut turns, mut datagrams) = (0_u32, 0_u64);
    loop {
        for _ in 0..batch {
            match socket.send(&payload) {
                Ok(_) => datagrams += 1,
                // A queue is full, or an earlier datagram was refused; this one did not leave.
                Err(error) if is_nothing_yet(&error) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(error) if error.raw_os_error() == Some(NO_BUFFERS) => {}
                Err(error) => return Err(error.into()),
            }
        }
        turns = turns.saturating_add(1);
        if let Some(rate) = pace.rate {
            let due = Duration::from_secs_f64(f64::from(turns) / f64::from(rate.get()));
            thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        let elapsed = begun.elapsed();
        if elapsed >= length {
            return Ok(Sent {
                datagrams,
                seconds: elapsed.as_secs_f64(),
            });
        }
    }
}

fn exchange_greetings(socket: &UdpSocket) -> Result<()> {
    socket.set_read_timeout(Some(ANSWERED_WITHIN))?;
    for _ in 0..GREETINGS_MAX {
        socket.send(&[0; GREETING_BYTES])?;
        match socket.recv(&mut [0; GREETING_BYTES]) {
            Ok(_) => return Ok(()),
            Err(error) if is_nothing_yet(&error) => {}
            Err(error) => return Err(error).context("the sink is gone"),
        }
    }
    bail!("the sink does not answer")
}

/// What the kernel says when a device's queue is full.
const NO_BUFFERS: i32 = rustix::io::Errno::NOBUFS.raw_os_error();
