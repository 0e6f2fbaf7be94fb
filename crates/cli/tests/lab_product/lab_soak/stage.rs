//! The guests' ends of everything: servers on all ports, and sockets for what is asked of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, recv, sendto,
    socket_with,
};

use super::world::{PORTS, World};
use crate::lab::{Guest, Lab};

/// The first source port of datagrams, and the last. Each is used once before any is used again:
/// one that was used lately may have a flow still, which new rules have no say in.
const SOURCES: std::ops::RangeInclusive<u16> = 10_000..=60_000;
/// Type of an echo request and its reply (RFC 792).
const ECHO_REQUEST: u8 = 8;
const ECHO_REPLY: u8 = 0;

/// All guests that can talk.
pub(super) struct Stage {
    actors: BTreeMap<&'static str, Actor>,
}

/// One of them. Its servers accept everything; what they accepted waits to be picked up.
pub(super) struct Actor {
    guest: Guest,
    address: Ipv4Addr,
    listeners: Vec<TcpListener>,
    datagrams: Vec<UdpSocket>,
    echo: OwnedFd,
    /// Replies of this round.
    echoes: BTreeSet<(Ipv4Addr, u16)>,
    accepted: BTreeMap<SocketAddr, TcpStream>,
    next_source: u16,
    next_echo: u16,
}

impl Stage {
    pub(super) fn new() -> Stage {
        Stage {
            actors: BTreeMap::new(),
        }
    }

    /// Guests that came are opened, those that went are closed.
    pub(super) fn follow(&mut self, lab: &Lab, world: &World) {
        let talkers = world.talkers();
        self.actors.retain(|name, _| talkers.contains(name));
        for name in talkers {
            let address = world.guests[name].address();
            let actor = self.actors.entry(name);
            actor
                .or_insert_with(|| Actor::open(lab.guest(name)))
                .address = address;
        }
    }

    pub(super) fn actor(&mut self, name: &str) -> &mut Actor {
        self.actors.get_mut(name).expect("it is on the stage")
    }

    /// Every server does what it has to do.
    pub(super) fn serve(&mut self) {
        self.actors.values_mut().for_each(Actor::serve);
    }

    /// Lets go of what nobody picked up.
    pub(super) fn forget(&mut self) {
        for actor in self.actors.values_mut() {
            actor.accepted.clear();
            actor.echoes.clear();
        }
    }
}

impl Actor {
    /// Its kernel is told to be brief with connections that nobody answers on: what it goes on
    /// sending is flows that do not end.
    fn open(guest: Guest) -> Actor {
        let any = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let listeners: Vec<TcpListener> = PORTS.map(|port| guest.listen(any(port))).into();
        let datagrams: Vec<UdpSocket> = PORTS.map(|port| guest.udp(any(port))).into();
        for listener in &listeners {
            listener.set_nonblocking(true).unwrap();
        }
        for socket in &datagrams {
            socket.set_nonblocking(true).unwrap();
        }
        let echo = guest.run(|| {
            for setting in ["tcp_synack_retries", "tcp_orphan_retries"] {
                std::fs::write(format!("/proc/sys/net/ipv4/{setting}"), "1").unwrap();
            }
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let protocol = Some(ipproto::ICMP);
            socket_with(AddressFamily::INET, SocketType::RAW, flags, protocol).unwrap()
        });
        Actor {
            guest,
            address: Ipv4Addr::UNSPECIFIED,
            listeners,
            datagrams,
            echo,
            echoes: BTreeSet::new(),
            accepted: BTreeMap::new(),
            next_source: *SOURCES.start(),
            next_echo: 1,
        }
    }

    pub(super) fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Begins to connect.
    pub(super) fn connect(&self, to: SocketAddr) -> TcpStream {
        self.guest.begin_connect(to)
    }

    /// The server's end of a connection from this address.
    pub(super) fn pick_up(&mut self, from: SocketAddr) -> Option<TcpStream> {
        self.accepted.remove(&from)
    }

    /// A datagram socket with a port of its own.
    pub(super) fn datagram_socket(&mut self) -> UdpSocket {
        loop {
            let port = self.next_source;
            self.next_source = if port == *SOURCES.end() {
                *SOURCES.start()
            } else {
                port + 1
            };
            let here = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
            match self.guest.run(|| UdpSocket::bind(here)) {
                Ok(socket) => {
                    socket.set_nonblocking(true).unwrap();
                    return socket;
                }
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// An identifier for echo requests that no late reply has.
    pub(super) fn echo_identifier(&mut self) -> u16 {
        let identifier = self.next_echo;
        self.next_echo = self.next_echo.wrapping_add(1);
        identifier
    }

    /// Sends an echo request.
    pub(super) fn send_echo(&self, to: Ipv4Addr, identifier: u16) {
        let mut message = [ECHO_REQUEST, 0, 0, 0, 0, 0, 0, 1];
        message[4..6].copy_from_slice(&identifier.to_be_bytes());
        // RFC 1071: the complement of the sum of all words, which are these three.
        let sum = u32::from(ECHO_REQUEST) * 256 + u32::from(identifier) + 1;
        let folded = (sum & 0xffff) + (sum >> 16);
        let checksum = !u16::try_from(folded & 0xffff).expect("16 bits");
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
        let to = SocketAddr::from((to, 0));
        match sendto(&self.echo, &message, SendFlags::empty(), &to) {
            Ok(_) | Err(Errno::HOSTUNREACH | Errno::NETUNREACH | Errno::NOBUFS) => {}
            Err(error) => panic!("echo request to {to}: {error}"),
        }
    }

    /// Whether a request was answered.
    pub(super) fn has_echo(&self, by: Ipv4Addr, identifier: u16) -> bool {
        self.echoes.contains(&(by, identifier))
    }

    /// Notes the echo replies that have come: who sent them, and what they answer.
    pub(super) fn hear_echoes(&mut self) {
        let mut packet = [0_u8; 2_048];
        while let Ok((len, _)) = recv(&self.echo, &mut packet[..], RecvFlags::empty()) {
            let packet = &packet[..len];
            let header = usize::from(packet[0] & 0x0f) * 4;
            let Some(message) = packet.get(header..header + 8) else {
                continue;
            };
            if message[0] == ECHO_REPLY {
                let sender = Ipv4Addr::new(packet[12], packet[13], packet[14], packet[15]);
                let identifier = u16::from_be_bytes([message[4], message[5]]);
                self.echoes.insert((sender, identifier));
            }
        }
    }

    /// Accepts what connects, and sends datagrams back.
    fn serve(&mut self) {
        for listener in &self.listeners {
            while let Ok((stream, from)) = listener.accept() {
                stream.set_nodelay(true).unwrap();
                self.accepted.insert(from, stream);
            }
        }
        let mut bytes = [0; 64];
        for socket in &self.datagrams {
            while let Ok((len, from)) = socket.recv_from(&mut bytes) {
                // Its way back is not the server's to know.
                let _ = socket.send_to(&bytes[..len], from);
            }
        }
    }
}
