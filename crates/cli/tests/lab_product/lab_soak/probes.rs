//! Many first packets at once, and whether each was answered as the world says.

use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::{set_socket_linger, socket_error};

use super::held::Held;
use super::random::Random;
use super::rules::Protocol;
use super::stage::Stage;
use super::world::{PORTS, Packet, World};
use crate::lab::Connection;

/// How long silence is listened to before it counts as a refusal.
const SILENCE: Duration = Duration::from_millis(150);
/// How long an answer may take: a lost first segment is sent again after 1 s, then 3 s.
const PATIENCE: Duration = Duration::from_secs(5);
/// When datagrams and echo requests are sent again.
const AGAIN: Duration = Duration::from_millis(400);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// What a round of probes found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) allowed: u64,
    pub(super) denied: u64,
    /// Answered only when asked again.
    pub(super) late: u64,
    /// Connections that are to stay open.
    pub(super) kept: Vec<Held>,
    /// What went against the world.
    pub(super) wrong: Vec<String>,
}

struct Probe {
    packet: Packet,
    /// Where the server is.
    to: Ipv4Addr,
    expected: bool,
    asking: Asking,
    answered: Option<Duration>,
}

enum Asking {
    Connection(TcpStream),
    Datagram(UdpSocket),
    Echo(u16),
}

/// Asks so many times at random, all at once.
pub(super) fn ask(stage: &mut Stage, world: &World, random: &mut Random, count: usize) -> Found {
    let talkers = world.talkers();
    let mut probes: Vec<Probe> = (0..count)
        .map(|_| Probe::begin(stage, world, packet(&talkers, random)))
        .collect();
    listen(stage, &mut probes);
    let mut found = Found::default();
    for probe in probes {
        probe.judge(stage, random, &mut found);
    }
    stage.forget();
    found
}

fn packet(talkers: &[&'static str], random: &mut Random) -> Packet {
    let from = *random.pick(talkers);
    let to = loop {
        let to = *random.pick(talkers);
        if to != from {
            break to;
        }
    };
    let protocol = *random.pick(&[Protocol::Tcp, Protocol::Tcp, Protocol::Udp, Protocol::Icmp]);
    let port = match protocol {
        Protocol::Icmp => 0,
        _ => *random.pick(&PORTS),
    };
    Packet {
        from,
        to,
        protocol,
        port,
    }
}

/// Until all that is to be answered is, and silence was listened to for long enough.
fn listen(stage: &mut Stage, probes: &mut [Probe]) {
    let begun = Instant::now();
    let mut again = AGAIN;
    loop {
        stage.serve();
        look_at_connections(probes, begun);
        for probe in probes.iter_mut().filter(|probe| probe.answered.is_none()) {
            probe.look(stage, begun);
        }
        let elapsed = begun.elapsed();
        let waiting = |probe: &Probe| probe.expected && probe.answered.is_none();
        let all = !probes.iter().any(waiting);
        if elapsed > PATIENCE || all && elapsed > SILENCE {
            return;
        }
        if elapsed > again {
            again += AGAIN;
            for probe in probes.iter().filter(|probe| waiting(probe)) {
                probe.send(stage);
            }
        }
        std::thread::sleep(PAUSE);
    }
}

/// Which connections are open by now.
fn look_at_connections(probes: &mut [Probe], begun: Instant) {
    let mut opening: Vec<(&mut Option<Duration>, &TcpStream)> = probes
        .iter_mut()
        .filter(|probe| probe.answered.is_none())
        .filter_map(|probe| match &probe.asking {
            Asking::Connection(stream) => Some((&mut probe.answered, stream)),
            Asking::Datagram(_) | Asking::Echo(_) => None,
        })
        .collect();
    let streams = opening.iter().map(|(_, stream)| *stream);
    let mut fds: Vec<PollFd<'_>> = streams
        .map(|stream| PollFd::new(stream, PollFlags::OUT))
        .collect();
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut fds, Some(&now)).unwrap();
    let ready: Vec<bool> = fds
        .iter()
        .map(|fd| fd.revents().contains(PollFlags::OUT))
        .collect();
    for ((answered, stream), ready) in opening.iter_mut().zip(ready) {
        // An error is no answer, and the world has none that it says are open.
        if ready && socket_error(*stream).unwrap().is_ok() {
            **answered = Some(begun.elapsed());
        }
    }
}

impl Probe {
    fn begin(stage: &mut Stage, world: &World, packet: Packet) -> Probe {
        let to = stage.actor(packet.to).address();
        let client = stage.actor(packet.from);
        let server = SocketAddr::from((to, packet.port));
        let asking = match packet.protocol {
            Protocol::Tcp => Asking::Connection(client.connect(server)),
            Protocol::Udp => {
                let socket = client.datagram_socket();
                socket.connect(server).expect("there is a route");
                Asking::Datagram(socket)
            }
            Protocol::Icmp | Protocol::Any => Asking::Echo(client.echo_identifier()),
        };
        let probe = Probe {
            packet,
            to,
            expected: world.answers(&packet),
            asking,
            answered: None,
        };
        probe.send(stage);
        probe
    }

    fn send(&self, stage: &mut Stage) {
        match &self.asking {
            Asking::Connection(_) => {}
            Asking::Datagram(socket) => {
                // It says so if an ICMP error came back, which is an answer for others to judge.
                let _ = socket.send(b"anyone?");
            }
            Asking::Echo(identifier) => {
                stage
                    .actor(self.packet.from)
                    .send_echo(self.to, *identifier);
            }
        }
    }

    /// Whether a datagram or an echo came back.
    fn look(&mut self, stage: &mut Stage, begun: Instant) {
        let came = match &self.asking {
            Asking::Connection(_) => false,
            Asking::Datagram(socket) => socket.recv(&mut [0; 64]).is_ok(),
            Asking::Echo(identifier) => {
                let client = stage.actor(self.packet.from);
                client.hear_echoes();
                client.has_echo(self.to, *identifier)
            }
        };
        if came {
            self.answered = Some(begun.elapsed());
        }
    }

    fn judge(self, stage: &mut Stage, random: &mut Random, found: &mut Found) {
        match (self.expected, self.answered) {
            (true, Some(after)) => {
                found.allowed += 1;
                found.late += u64::from(after >= AGAIN);
            }
            (false, None) => found.denied += 1,
            (expected, answered) => found.wrong.push(format!(
                "{:?} to {}: answered {answered:?}, to be answered: {expected}",
                self.packet, self.to
            )),
        }
        let Asking::Connection(client) = self.asking else {
            return;
        };
        if self.answered.is_none() {
            return;
        }
        let here = client.local_addr().expect("it is connected");
        let server = stage.actor(self.packet.to).pick_up(here);
        match server {
            Some(server) if random.percent(20) => {
                let connection = Connection::of(client, server);
                found.kept.push(Held::new(self.packet, connection));
            }
            // Ended by a reset, or properly.
            _ if random.percent(50) => {
                set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
            }
            _ => {}
        }
    }
}
