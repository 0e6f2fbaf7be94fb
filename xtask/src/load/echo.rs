//! Round trips: a server that sends back what comes, and a client that times it.

use std::hint::spin_loop;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use super::server::{self, LOOK, Stop, is_nothing_yet};
use super::{Manner, Transport, Waiting};

/// The largest payload that a datagram carries.
const PAYLOAD_MAX: usize = 65_507;
/// A datagram not back by then is lost.
const LOST_AFTER: Duration = Duration::from_millis(200);
/// A TCP peer silent for so long is gone.
const GONE_AFTER: Duration = Duration::from_secs(3);
/// Round trips before the clock starts: caches, neighbour tables and flow tables are cold.
const WARM_UP_COUNT: u32 = 100;
/// The sequence number that a request begins with.
const NUMBER_BYTES: usize = 8;

/// What a client found.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Trips {
    pub(crate) count: u64,
    /// Datagrams that did not come back.
    pub(crate) lost: u64,
    pub(crate) p50_ns: f64,
    pub(crate) p99_ns: f64,
    pub(crate) p999_ns: f64,
    pub(crate) max_ns: f64,
    /// The mean difference between one round trip and the next, whichever is longer; after the
    /// interarrival jitter of RFC 3550, section 6.4.1, without its smoothing.
    pub(crate) jitter_ns: f64,
}

/// What a server did.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Echoed {
    pub(crate) bytes: u64,
}

/// Echoes until stopped.
pub(crate) fn serve(bind: IpAddr, manner: Manner, stop: &Stop) -> Result<Echoed> {
    match manner.transport {
        Transport::Udp => {
            let socket = UdpSocket::bind((bind, 0)).context("cannot bind")?;
            server::announce(socket.local_addr()?)?;
            echo_datagrams(&socket, manner.waiting, stop)
        }
        Transport::Tcp => {
            let listener = TcpListener::bind((bind, 0)).context("cannot bind")?;
            server::announce(listener.local_addr()?)?;
            let mut echoed = Echoed::default();
            while let Some(stream) = server::accept(&listener, stop)? {
                echoed.bytes += echo_stream(stream, manner.waiting, stop)?;
            }
            Ok(echoed)
        }
    }
}

fn echo_datagrams(socket: &UdpSocket, waiting: Waiting, stop: &Stop) -> Result<Echoed> {
    match waiting {
        Waiting::Block => socket.set_read_timeout(Some(LOOK))?,
        Waiting::Spin => socket.set_nonblocking(true)?,
    }
    let mut echoed = Echoed::default();
    let mut payload = [0; PAYLOAD_MAX];
    while !stop.is_stopped() {
        match socket.recv_from(&mut payload) {
            // A full send buffer loses the answer, which the client will count.
            Ok((size, from)) => match socket.send_to(&payload[..size], from) {
                Ok(sent) => echoed.bytes += sent as u64,
                Err(error) if is_nothing_yet(&error) => {}
                Err(error) => return Err(error.into()),
            },
            Err(error) if is_nothing_yet(&error) => spin_loop(),
            // The client's port has closed; the next one will have another.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(echoed)
}

/// Echoes one connection to its end, and returns the bytes.
fn echo_stream(mut stream: TcpStream, waiting: Waiting, stop: &Stop) -> Result<u64> {
    stream.set_nodelay(true)?;
    stream.set_nonblocking(waiting == Waiting::Spin)?;
    stream.set_read_timeout(Some(LOOK))?;
    let mut bytes = 0;
    let mut payload = [0; PAYLOAD_MAX];
    while !stop.is_stopped() {
        match stream.read(&mut payload) {
            Ok(0) => break,
            Ok(size) => {
                write_all(&mut stream, &payload[..size], stop)?;
                bytes += size as u64;
            }
            Err(error) if is_nothing_yet(&error) => spin_loop(),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes)
}

fn write_all(stream: &mut TcpStream, mut bytes: &[u8], stop: &Stop) -> Result<()> {
    while !bytes.is_empty() && !stop.is_stopped() {
        match stream.write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if is_nothing_yet(&error) => spin_loop(),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Sends requests of `size` bytes one after the other, for `length`.
pub(crate) fn ask(to: SocketAddr, manner: Manner, size: u16, length: Duration) -> Result<Trips> {
    let size = usize::from(size);
    if !(NUMBER_BYTES..=PAYLOAD_MAX).contains(&size) {
        bail!("a request has {NUMBER_BYTES} to {PAYLOAD_MAX} bytes");
    }
    match manner.transport {
        Transport::Udp => {
            let local: IpAddr = match to {
                SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
            };
            let socket = UdpSocket::bind((local, 0))?;
            socket.connect(to)?;
            match manner.waiting {
                Waiting::Block => socket.set_read_timeout(Some(LOST_AFTER))?,
                Waiting::Spin => socket.set_nonblocking(true)?,
            }
            trips(size, length, |request, answer| {
                exchange_datagram(&socket, request, answer)
            })
        }
        Transport::Tcp => {
            let mut stream = TcpStream::connect_timeout(&to, GONE_AFTER)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(GONE_AFTER))?;
            stream.set_nonblocking(manner.waiting == Waiting::Spin)?;
            trips(size, length, |request, answer| {
                exchange_stream(&mut stream, request, answer)
            })
        }
    }
}

/// Times `exchange`, which says whether the answer came back.
fn trips(
    size: usize,
    length: Duration,
    mut exchange: impl FnMut(&[u8], &mut [u8]) -> Result<bool>,
) -> Result<Trips> {
    let (mut request, mut answer) = (vec![0; size], vec![0; size]);
    let mut histogram = Histogram::new();
    let mut jitter = Jitter::default();
    let mut lost = 0;
    let mut number = 0_u64;
    let begun = Instant::now();
    let mut measured_from = begun;
    loop {
        number += 1;
        request[..NUMBER_BYTES].copy_from_slice(&number.to_be_bytes());
        let sent = Instant::now();
        let came_back = exchange(&request, &mut answer)?;
        let trip = sent.elapsed();
        if number <= u64::from(WARM_UP_COUNT) && begun.elapsed() < length {
            measured_from = Instant::now();
            continue;
        }
        if came_back {
            histogram.record(trip);
            jitter.record(trip);
        } else {
            lost += 1;
        }
        if measured_from.elapsed() >= length {
            break;
        }
    }
    Ok(Trips {
        count: histogram.count(),
        lost,
        p50_ns: histogram.quantile_ns(0.5),
        p99_ns: histogram.quantile_ns(0.99),
        p999_ns: histogram.quantile_ns(0.999),
        max_ns: histogram.max_ns() as f64,
        jitter_ns: jitter.mean_ns(),
    })
}

/// Waits for the answer to this very request; late answers to earlier ones are passed over.
fn exchange_datagram(socket: &UdpSocket, request: &[u8], answer: &mut [u8]) -> Result<bool> {
    let sent = Instant::now();
    match socket.send(request) {
        Ok(_) => {}
        Err(error) if is_nothing_yet(&error) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    loop {
        match socket.recv(answer) {
            Ok(size) if answer[..size] == *request => return Ok(true),
            Ok(_) => {}
            Err(error) if is_nothing_yet(&error) => spin_loop(),
            Err(error) => return Err(error).context("the echo server is gone"),
        }
        if sent.elapsed() >= LOST_AFTER {
            return Ok(false);
        }
    }
}

fn exchange_stream(stream: &mut TcpStream, request: &[u8], answer: &mut [u8]) -> Result<bool> {
    let sent = Instant::now();
    write_all(stream, request, &Stop::default())?;
    let mut filled = 0;
    while filled < answer.len() {
        match stream.read(&mut answer[filled..]) {
            Ok(0) => bail!("the echo server has closed"),
            Ok(size) => filled += size,
            Err(error) if is_nothing_yet(&error) => spin_loop(),
            Err(error) => return Err(error).context("the echo server is gone"),
        }
        if sent.elapsed() >= GONE_AFTER {
            bail!("the echo server is silent");
        }
    }
    if answer != request {
        bail!("the echo differs from the request");
    }
    Ok(true)
}

/// The mean difference between neighbours.
#[derive(Default)]
pub(super) struct Jitter {
    last: Option<Duration>,
    sum_ns: f64,
    count: u64,
}

impl Jitter {
    pub(super) fn record(&mut self, trip: Duration) {
        if let Some(last) = self.last.replace(trip) {
            self.sum_ns += trip.abs_diff(last).as_secs_f64() * 1e9;
            self.count += 1;
        }
    }

    pub(super) fn mean_ns(&self) -> f64 {
        if self.count == 0 {
            0.0
        } else {
            self.sum_ns / self.count as f64
        }
    }
}
