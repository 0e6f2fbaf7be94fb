//! Connections that stay open through changes.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;

use super::random::Random;
use super::world::{Packet, World};
use crate::lab::Connection;

/// The most that are kept.
const KEPT_MAX: usize = 32;
/// How many are looked at in one round.
const LOOKED_AT: usize = 6;
/// How long silence is listened to before a connection counts as cut.
const SILENCE: Duration = Duration::from_millis(100);

/// An established connection, of which nothing is under way between two looks.
pub(super) struct Held {
    packet: Packet,
    connection: Connection,
    /// Re-evaluation was asked for since it was last used.
    rejudged: bool,
    /// Something changed since it was last used.
    changed: bool,
}

/// All of them.
#[derive(Default)]
pub(super) struct Connections {
    held: Vec<Held>,
}

/// What a look found.
#[derive(Default)]
pub(super) struct Looked {
    pub(super) alive: u64,
    pub(super) cut: u64,
    pub(super) longest: Duration,
    pub(super) wrong: Vec<String>,
}

impl Held {
    pub(super) fn new(packet: Packet, connection: Connection) -> Held {
        Held {
            packet,
            connection,
            rejudged: false,
            changed: false,
        }
    }

    /// Whether what the client says is to get through today. Rules have no say, unless re-evaluation
    /// was asked for.
    fn is_to_be_heard(&self, world: &World) -> bool {
        let way = world.leads(self.packet.from, self.packet.to);
        way && (!self.rejudged || world.allows(&self.packet))
    }

    /// And what the server answers.
    fn is_to_live(&self, world: &World) -> bool {
        self.is_to_be_heard(world) && world.leads(self.packet.to, self.packet.from)
    }

    /// Something is said and answered; from either side, if no rule is to be asked.
    fn converse(&mut self, from_server: bool) -> std::io::Result<()> {
        let Connection { client, server } = &self.connection;
        let mut ways = [(client, server), (server, client)];
        if from_server {
            ways.reverse();
        }
        for (mut from, mut to) in ways {
            let mut heard = [0; 5];
            from.write_all(b"hello")?;
            to.read_exact(&mut heard)?;
            assert_eq!(&heard, b"hello", "{:?}", self.packet);
        }
        Ok(())
    }

    /// Whether the server hears what the client says, and the client what it answers.
    fn hears(&mut self) -> [bool; 2] {
        let Connection { client, server } = &self.connection;
        let hears = |mut from: &TcpStream, mut to: &TcpStream| {
            to.set_read_timeout(Some(SILENCE)).unwrap();
            from.write_all(b"hello").is_ok() && to.read(&mut [0; 5]).is_ok_and(|len| len > 0)
        };
        let server_hears = hears(client, server);
        [server_hears, server_hears && hears(server, client)]
    }
}

impl Drop for Held {
    /// By resets: a FIN on a way that is blocked would be sent again and again.
    fn drop(&mut self) {
        for end in [&self.connection.client, &self.connection.server] {
            set_socket_linger(end, Some(Duration::ZERO)).unwrap();
        }
    }
}

impl Connections {
    pub(super) fn keep(&mut self, new: Vec<Held>, random: &mut Random) {
        self.held.extend(new);
        while self.held.len() > KEPT_MAX {
            let index = random.below(self.held.len());
            self.held.swap_remove(index);
        }
    }

    /// What a change of the world means for them. Those whose guest went, or has another address,
    /// have ended.
    pub(super) fn follow(&mut self, before: &World, after: &World, reevaluated: bool) {
        let stays = |guest: &str| {
            let address = |world: &World| world.guests.get(guest).map(|guest| guest.address());
            address(before).is_some() && address(before) == address(after)
        };
        self.held
            .retain(|held| stays(held.packet.from) && stays(held.packet.to));
        for held in &mut self.held {
            held.changed = true;
            held.rejudged |= reevaluated;
        }
    }

    /// Looks at some of them; those that are cut are let go.
    pub(super) fn look(&mut self, world: &World, random: &mut Random) -> Looked {
        let mut looked = Looked::default();
        for _ in 0..LOOKED_AT.min(self.held.len()) {
            let index = random.below(self.held.len());
            let mut held = self.held.swap_remove(index);
            if held.is_to_live(world) {
                let from_server = !held.rejudged && random.percent(50);
                looked.converse(&mut held, from_server);
                held.rejudged = false;
                held.changed = false;
                self.held.push(held);
                continue;
            }
            let expected = [held.is_to_be_heard(world), false];
            let heard = held.hears();
            if heard == expected {
                looked.cut += 1;
            } else {
                let packet = held.packet;
                looked.wrong.push(format!(
                    "{packet:?}: server and client hear {heard:?}, and are to {expected:?}"
                ));
            }
        }
        looked
    }

    /// Looks at those that a dead agent must not stop: both ends are accelerated, and nothing has
    /// changed since they were last used.
    pub(super) fn look_without_agent(
        &mut self,
        world: &World,
        accelerated: impl Fn(&str) -> bool,
    ) -> Looked {
        let mut looked = Looked::default();
        let both = |packet: &Packet| accelerated(packet.from) && accelerated(packet.to);
        let untouched = self.held.iter_mut().filter(|held| {
            !held.changed && !held.rejudged && both(&held.packet) && held.is_to_live(world)
        });
        for held in untouched.take(LOOKED_AT) {
            looked.converse(held, false);
        }
        looked
    }
}

impl Looked {
    fn converse(&mut self, held: &mut Held, from_server: bool) {
        let begun = Instant::now();
        match held.converse(from_server) {
            Ok(()) => self.alive += 1,
            Err(error) => self.wrong.push(format!(
                "{:?} is cut ({error}), and is to go on",
                held.packet
            )),
        }
        self.longest = self.longest.max(begun.elapsed());
    }
}
