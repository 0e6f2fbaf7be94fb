//! A host in a network namespace of its own, guests in others, and a bpffs to pin to. All of it
//! goes when the lab does.

pub(crate) mod far;
mod guest;
mod namespace;
mod socket;

use std::fs::OpenOptions;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use bpf::{BpfEngine, Config, Hook, PortAttachment, Takeover, supported, unload_everything};
use flow::{
    FlowEngine, FlowKey, FlowPair, Half, PortId, PortMode, Stamp, Tick, Transposition, Verdict,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use tempfile::TempDir;
use wire::MacAddr;
use wire::checksum::Sum;

pub(crate) use far::Far;
pub(crate) use guest::{Guest, Tap};
pub(crate) use namespace::{Namespace, command};
pub(crate) use socket::PacketSocket;

pub(crate) const ROUTER: MacAddr = MacAddr([2, 0, 0, 0, 0xff, 1]);
pub(crate) const UDP: u8 = 17;
pub(crate) const TCP: u8 = 6;
/// How long a test waits for the kernel before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// A lab for the test of this name, or the reason why there is none, told and noted.
pub(crate) fn lab(test: &str) -> Option<Lab> {
    let reason = match supported() {
        Err(error) => error.to_string(),
        Ok(_) if !rustix::process::geteuid().is_root() => "namespaces need root".into(),
        Ok(_) => return Some(Lab::new()),
    };
    skipped(test, &reason);
    None
}

/// Tells and notes what a test could not do.
pub(crate) fn skipped(test: &str, reason: &str) {
    println!("skipped, because {reason}");
    if let Some(path) = std::env::var_os("CLEARWAY_SKIPPED_FILE") {
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| writeln!(file, "{test}\t{reason}"))
            .unwrap();
    }
}

/// The thread that makes it is in the host's namespace as long as it lives.
pub(crate) struct Lab {
    host: Option<Namespace>,
    bpffs: TempDir,
}

impl Lab {
    fn new() -> Lab {
        let bpffs = TempDir::new().unwrap();
        command(
            "mount",
            &["-t", "bpf", "bpf", bpffs.path().to_str().unwrap()],
        );
        let host = Namespace::new("host");
        host.enter();
        Lab {
            host: Some(host),
            bpffs,
        }
    }

    pub(crate) fn host(&self) -> &Namespace {
        self.host.as_ref().unwrap()
    }

    pub(crate) fn pin_dir(&self) -> PathBuf {
        self.bpffs.path().join("lab")
    }

    pub(crate) fn config(&self) -> Config {
        Config {
            pin_dir: self.pin_dir(),
            flows_max: NonZeroU32::new(1024).unwrap(),
            hook: Hook::Auto,
            exceptions_per_second: 1_000_000,
            resimulations_per_second: 1_000_000,
        }
    }

    pub(crate) fn open(&self) -> BpfEngine {
        self.open_with(&self.config()).0
    }

    pub(crate) fn open_with(&self, config: &Config) -> (BpfEngine, Takeover) {
        BpfEngine::open(config).unwrap()
    }

    /// Guests 1 and 2, attached and accelerated.
    pub(crate) fn two_guests(&self, engine: &mut BpfEngine) -> [Guest; 2] {
        [1, 2].map(|number| {
            let guest = Guest::new(self.host(), number);
            attach(engine, guest.attachment());
            guest
        })
    }

    /// A device for exceptions, and a socket that reads it.
    pub(crate) fn exceptions(&self, engine: &mut BpfEngine) -> PacketSocket {
        let host = self.host();
        // Any device that carries nothing will do; not every kernel has the dummy.
        if !host.try_ip("link add exceptions type dummy") {
            host.ip("link add exceptions type ifb");
        }
        host.ip("link set exceptions up");
        let ifindex = host.ifindex("exceptions");
        engine.set_exception_device(ifindex).unwrap();
        PacketSocket::open(ifindex)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(error) = unload_everything(&self.pin_dir()) {
            eprintln!("left behind: {error}");
        }
        if let Some(host) = self.host.take() {
            host.leave();
        }
        command("umount", &[self.bpffs.path().to_str().unwrap()]);
    }
}

/// Attaches a port and accelerates it.
pub(crate) fn attach(engine: &mut BpfEngine, attachment: PortAttachment) {
    engine.attach(attachment).unwrap();
    engine
        .set_mode(attachment.port, PortMode::Accelerated)
        .unwrap();
}

/// Both directions between two ports, as the switch would compile them.
pub(crate) fn pair(key: FlowKey, from: PortAttachment, to: PortAttachment) -> FlowPair {
    let reverse_key = key.reversed_at(to.port);
    let half = |key, peer, to: PortAttachment, forward| Half {
        key,
        transposition: Transposition {
            verdict: Verdict::Deliver(to.port),
            eth_dst: to.mac,
            eth_src: ROUTER,
            decrement_ttl: false,
            mtu: 1500,
            encap: None,
        },
        stamp: Stamp::default(),
        peer: Some(peer),
        forward,
    };
    FlowPair {
        forward: half(key, reverse_key, to, true),
        reverse: Some(half(reverse_key, key, from, false)),
    }
}

/// The key of what guest `from` sends to guest `to`.
pub(crate) fn key(from: u8, to: u8, protocol: u8, sport: u16, dport: u16) -> FlowKey {
    let (src, dst) = (guest::ipv4(from), guest::ipv4(to));
    FlowKey::new(
        PortId(from.into()),
        src.into(),
        dst.into(),
        protocol,
        sport,
        dport,
    )
}

/// Installs pairs, none of which may be refused, and activates them.
pub(crate) fn install(engine: &mut BpfEngine, pairs: &[FlowPair]) {
    let mut refused = Vec::new();
    engine.install(pairs, &mut refused);
    assert_eq!(refused, []);
    let halves = pairs
        .iter()
        .flat_map(|pair| [Some(&pair.forward), pair.reverse.as_ref()]);
    let keys: Vec<FlowKey> = halves.flatten().map(|half| half.key).collect();
    engine.activate(&keys);
}

/// The counters of one key, which must be in.
pub(crate) fn counters(engine: &mut BpfEngine, key: FlowKey) -> flow::Counters {
    let mut all = Vec::new();
    engine.read(&[key], &mut all);
    assert_eq!(all.len(), 1, "no entry for {key}");
    all[0].counters
}

/// A TCP connection from one address to another.
pub(crate) fn connect_from(from: SocketAddr, to: SocketAddr) -> TcpStream {
    let family = if from.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    rustix::net::bind(&socket, &from).unwrap();
    rustix::net::connect(&socket, &to).unwrap();
    socket.into()
}

/// Fills the checksum of a TCP segment in an IPv4 packet without options.
pub(crate) fn fill_checksum(frame: &mut [u8]) {
    let length = u16::from_be_bytes([frame[16], frame[17]]) - 20;
    let address = |at: usize| <[u8; 4]>::try_from(&frame[at..at + 4]).unwrap().into();
    let pseudo = Sum::pseudo_v4(address(26), address(30), TCP, length);
    frame[50..52].fill(0);
    let sum = pseudo
        .and(Sum::of(&frame[34..34 + usize::from(length)]))
        .finish();
    frame[50..52].copy_from_slice(&sum.to_be_bytes());
}

/// The monotonic clock.
pub(crate) fn now() -> Tick {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Tick(u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap())
}
