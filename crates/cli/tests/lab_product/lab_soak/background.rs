//! Traffic between the anchors that never pauses, whatever is done to the agent meanwhile.

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::socket_error;

use super::world::{ANCHORS, OPEN, SHUT, World};
use crate::lab::{Guest, Lab, Silence, Transfer};

/// Between two writes of a transfer: some megabytes a second, which leaves the processors to others.
const TRANSFER_PAUSE: Duration = Duration::from_millis(10);
/// Between two datagrams.
const DATAGRAM_PAUSE: Duration = Duration::from_millis(5);
/// How long an attempt that is to be refused is given.
const REFUSAL: Duration = Duration::from_millis(40);
/// How long one that is to be allowed may take: the agent may be dead for some seconds, and then
/// the kernel tries again only after 1, 3, 7 and 15 s.
const OPENING: Duration = Duration::from_secs(20);

/// The traffic, and what has come of it.
pub(super) struct Background {
    stop: Arc<AtomicBool>,
    transfers: Vec<Transfer>,
    datagrams: Arc<Datagrams>,
    attempts: Arc<Attempts>,
    threads: Vec<JoinHandle<()>>,
}

/// An established flow of datagrams.
#[derive(Default)]
pub(super) struct Datagrams {
    pub(super) sent: AtomicU64,
    pub(super) answered: AtomicU64,
    silence: Silence,
}

/// New connections, all the time.
#[derive(Default)]
pub(super) struct Attempts {
    pub(super) opened: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl Background {
    pub(super) fn start(lab: &Lab, world: &World) -> Background {
        let [a, b, c, d] = ANCHORS;
        let at = |guest, port| SocketAddr::from((world.guests[guest].address(), port));
        let pairs = [(a, b, OPEN), (c, d, OPEN)];
        let transfers = pairs.map(|(from, to, port)| {
            let connection = lab.connect(from, to, &at(to, port).to_string());
            Transfer::paced(&connection, TRANSFER_PAUSE)
        });
        let mut background = Background {
            stop: Arc::default(),
            transfers: transfers.into(),
            datagrams: Arc::default(),
            attempts: Arc::default(),
            threads: Vec::new(),
        };
        let (stop, counts) = (
            Arc::clone(&background.stop),
            Arc::clone(&background.datagrams),
        );
        let server = lab.guest(c).udp(at(c, OPEN));
        let client = lab.guest(a).udp(at(a, 0));
        client.connect(at(c, OPEN)).unwrap();
        background.threads.push(std::thread::spawn(move || {
            exchange(&client, &server, &stop, &counts)
        }));
        let (stop, counts) = (
            Arc::clone(&background.stop),
            Arc::clone(&background.attempts),
        );
        let (client, server) = (lab.guest(b), lab.guest(d));
        let (open, shut) = (at(d, OPEN), at(d, SHUT));
        background.threads.push(std::thread::spawn(move || {
            attempt(&client, &server, open, shut, &stop, &counts);
        }));
        background
    }

    pub(super) fn datagrams(&self) -> &Datagrams {
        &self.datagrams
    }

    pub(super) fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    /// The longest silence of an established flow since this was last asked.
    pub(super) fn longest_silence(&self) -> Duration {
        let transfers = self.transfers.iter().map(Transfer::silence);
        let all = transfers.chain([&self.datagrams.silence]);
        all.map(Silence::take_longest).max().unwrap_or_default()
    }

    /// Waits until everything goes on, and fails if anything went wrong.
    pub(super) fn await_progress(&self) {
        for transfer in &self.transfers {
            transfer.await_progress(1);
        }
        let ended = self.threads.iter().any(JoinHandle::is_finished);
        assert!(!ended, "traffic ended by itself; see above why");
    }

    /// Ends it all. Every byte of the transfers must have arrived.
    pub(super) fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("nothing went wrong in it");
        }
        self.transfers.into_iter().for_each(Transfer::finish);
    }
}

/// Datagrams there and back, one after the other.
fn exchange(client: &UdpSocket, server: &UdpSocket, stop: &AtomicBool, counts: &Datagrams) {
    for socket in [client, server] {
        socket.set_nonblocking(true).unwrap();
    }
    let mut bytes = [0; 64];
    while !stop.load(Ordering::Relaxed) {
        // Refused by the kernel is lost on the way.
        let _ = client.send(b"and on we go");
        counts.sent.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(DATAGRAM_PAUSE);
        while let Ok((len, from)) = server.recv_from(&mut bytes) {
            let _ = server.send_to(&bytes[..len], from);
        }
        while client.recv(&mut bytes).is_ok() {
            counts.answered.fetch_add(1, Ordering::Relaxed);
            counts.silence.end();
        }
    }
}

/// Opens connections of which one is always allowed, and one never.
fn attempt(
    client: &Guest,
    server: &Guest,
    open: SocketAddr,
    shut: SocketAddr,
    stop: &AtomicBool,
    counts: &Attempts,
) {
    // That of the transfers is closed by now.
    let listeners = [open, shut].map(|address| server.listen(address));
    while !stop.load(Ordering::Relaxed) {
        let refused = client.begin_connect(shut);
        assert!(!opens(&refused, REFUSAL), "{shut} must never be reached");
        counts.refused.fetch_add(1, Ordering::Relaxed);
        let opened = client.begin_connect(open);
        assert!(opens(&opened, OPENING), "{open} must be reached");
        counts.opened.fetch_add(1, Ordering::Relaxed);
        drop(opened);
        let accepted = listeners[0].accept();
        assert!(accepted.is_ok(), "the client has connected");
    }
}

fn opens(stream: &TcpStream, within: Duration) -> bool {
    let deadline = Instant::now() + within;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).unwrap();
        let mut fds = [PollFd::new(stream, PollFlags::OUT)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) => return false,
            Ok(_) => return socket_error(stream).unwrap().is_ok(),
            Err(_) => {}
        }
    }
}
