use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::fs::Mode;

use super::{Device, DeviceError, DeviceEvent, REQUESTS_PER_TURN};
use crate::features::NetFeatures;
use crate::net_config::NetConfig;
use crate::protocol::{HEADER_BYTES, MessageError, Request};
use crate::session::{DeviceConfig, Refusal, SessionError};
use crate::transport::{Endpoint, STALL_MAX, TransportError};

fn config() -> DeviceConfig {
    let net = NetConfig {
        mac: [2, 0, 0, 0, 0, 1],
        link_up: true,
        announce: false,
        queue_pairs: 1,
        mtu: 1500,
    };
    DeviceConfig::new(net, NetFeatures::OFFLOADS).unwrap()
}

/// A device that listens, and a folder for its socket.
struct Bench {
    device: Device,
    folder: tempfile::TempDir,
    events: Vec<DeviceEvent>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vf.sock");
        let endpoint = Endpoint::listen(&path, Mode::from_raw_mode(0o600)).unwrap();
        Self {
            device: Device::new(endpoint, config()),
            folder,
            events: Vec::new(),
        }
    }

    fn peer(&self) -> UnixStream {
        UnixStream::connect(self.folder.path().join("vf.sock")).unwrap()
    }

    fn turn(&mut self, now: Instant) -> String {
        self.events.clear();
        self.device.turn(now, &mut self.events);
        let names = self.events.iter().map(|event| match event {
            DeviceEvent::Connected => "connected",
            DeviceEvent::Disconnected => "disconnected",
            DeviceEvent::Failed(_) => "failed",
            DeviceEvent::Session(_) => "session",
        });
        names.collect::<Vec<_>>().join(" ")
    }

    fn failure(&self) -> Option<DeviceError> {
        self.events.iter().find_map(|event| match event {
            DeviceEvent::Failed(error) => Some(*error),
            _ => None,
        })
    }
}

fn bytes(request: Request<std::os::fd::OwnedFd>, need_reply: bool) -> Vec<u8> {
    request.encode(need_reply).bytes()
}

#[test]
fn request_is_answered() {
    let mut bench = Bench::new();
    let now = Instant::now();
    assert_eq!(bench.turn(now), "");
    let mut peer = bench.peer();
    assert_eq!(bench.turn(now), "connected");
    peer.write_all(&bytes(Request::GetFeatures, false)).unwrap();
    bench.turn(now);
    let mut reply = [0; HEADER_BYTES + 8];
    peer.read_exact(&mut reply).unwrap();
    assert_eq!(reply[..4], 1u32.to_ne_bytes());
    assert_eq!(reply[12..], config().offered().0.to_ne_bytes());
    drop(peer);
    assert_eq!(bench.turn(now), "failed disconnected");
    assert_eq!(bench.device.counters()["peer_closed"], 1);
}

#[test]
fn front_end_that_dies_within_a_message_costs_its_session_only() {
    let mut bench = Bench::new();
    let now = Instant::now();
    let whole = bytes(Request::SetFeatures(0), false);
    for len in 1..whole.len() {
        let mut peer = bench.peer();
        peer.write_all(&whole[..len]).unwrap();
        drop(peer);
        assert_eq!(bench.turn(now), "connected failed disconnected");
        assert_eq!(bench.failure(), Some(TransportError::Truncated.into()));
    }
    let _peer = bench.peer();
    assert_eq!(bench.turn(now), "connected");
}

#[test]
fn front_end_that_stops_within_a_message_is_given_up() {
    let mut bench = Bench::new();
    let start = Instant::now();
    let mut peer = bench.peer();
    peer.write_all(&bytes(Request::SetFeatures(0), false)[..13])
        .unwrap();
    assert_eq!(bench.turn(start), "connected");
    assert_eq!(bench.device.deadline(), Some(start + STALL_MAX));
    assert_eq!(bench.turn(start + STALL_MAX / 2), "");
    assert_eq!(bench.turn(start + STALL_MAX), "failed disconnected");
    assert_eq!(bench.failure(), Some(TransportError::Stalled.into()));
    assert_eq!(bench.device.counters()["peer_stalled"], 1);
}

#[test]
fn nonsense_closes_the_session() {
    let unsupported = Refusal::Unsupported(crate::protocol::Code(99));
    let huge = [7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1];
    let cases: [(Vec<u8>, DeviceError); 4] = [
        (
            vec![0xff; 12],
            TransportError::Message(MessageError::Flags(u32::MAX)).into(),
        ),
        (
            huge.to_vec(),
            TransportError::Message(MessageError::TooLong(1 << 24)).into(),
        ),
        (
            bytes(Request::Unsupported(crate::protocol::Code(99)), true),
            SessionError::Refused(unsupported).into(),
        ),
        (
            bytes(Request::SetVringNum { index: 77, num: 8 }, true),
            SessionError::Refused(Refusal::RingUnknown(77)).into(),
        ),
    ];
    let mut bench = Bench::new();
    for (bytes, expected) in cases {
        let mut peer = bench.peer();
        peer.write_all(&bytes).unwrap();
        assert_eq!(bench.turn(Instant::now()), "connected failed disconnected");
        assert_eq!(bench.failure(), Some(expected));
        assert_eq!(bench.device.counters()[expected.counter()], 1);
        assert_eq!(peer.read(&mut [0; 8]).unwrap_or(0), 0, "closed");
    }
}

#[test]
fn one_turn_takes_so_many_requests_only() {
    let mut bench = Bench::new();
    let now = Instant::now();
    let mut peer = bench.peer();
    let flood = bytes(Request::GetFeatures, false).repeat(REQUESTS_PER_TURN + 1);
    peer.write_all(&flood).unwrap();
    bench.turn(now);
    let mut replies = vec![0; (HEADER_BYTES + 8) * REQUESTS_PER_TURN];
    peer.read_exact(&mut replies).unwrap();
    peer.set_nonblocking(true).unwrap();
    assert!(peer.read(&mut [0; 1]).is_err(), "the last one has to wait");
    bench.turn(now);
    assert_eq!(peer.read(&mut replies).unwrap(), HEADER_BYTES + 8);
}

#[test]
fn front_end_that_takes_no_replies_is_given_up() {
    let mut bench = Bench::new();
    let start = Instant::now();
    let peer = bench.peer();
    peer.set_nonblocking(true).unwrap();
    bench.turn(start);
    let request = bytes(Request::GetFeatures, false);
    for _ in 0..100_000 {
        let _ = (&peer).write(&request);
        bench.turn(start);
        let mut interests = bench.device.interests();
        if interests.all(|(_, flags)| flags == PollFlags::OUT) {
            break;
        }
    }
    let waiting: Vec<PollFlags> = bench.device.interests().map(|(_, flags)| flags).collect();
    assert_eq!(waiting, [PollFlags::OUT], "no more requests are taken");
    assert_eq!(bench.turn(start + STALL_MAX), "failed disconnected");
    assert_eq!(bench.failure(), Some(TransportError::Stalled.into()));
}

#[test]
fn second_front_end_waits_for_the_first() {
    let mut bench = Bench::new();
    let now = Instant::now();
    let first = bench.peer();
    assert_eq!(bench.turn(now), "connected");
    let _second = bench.peer();
    assert_eq!(bench.turn(now), "");
    drop(first);
    assert_eq!(bench.turn(now), "failed disconnected");
    assert_eq!(bench.turn(now), "connected");
}

#[test]
fn client_finds_its_front_end_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vm.sock");
    let mut device = Device::new(Endpoint::connect(&path).unwrap(), config());
    let mut events = Vec::new();
    let mut now = Instant::now();
    device.turn(now, &mut events);
    assert!(events.is_empty() && device.session().is_none());
    let listener = UnixListener::bind(&path).unwrap();
    for _ in 0..3 {
        now = device.deadline().unwrap_or(now);
        device.turn(now, &mut events);
        assert!(matches!(events[..], [DeviceEvent::Connected]), "{events:?}");
        assert!(device.session().is_some());
        let (peer, _) = listener.accept().unwrap();
        drop(peer);
        now += Duration::from_secs(5);
        events.clear();
        device.turn(now, &mut events);
        assert!(matches!(events.last(), Some(DeviceEvent::Disconnected)));
        events.clear();
        assert!(
            device.deadline().is_none_or(|at| at <= now),
            "a healthy one is not delayed"
        );
    }
}

#[test]
fn disconnect_is_a_session_end_like_any_other() {
    let mut bench = Bench::new();
    let now = Instant::now();
    let mut peer = bench.peer();
    bench.turn(now);
    bench.events.clear();
    bench.device.disconnect(now, &mut bench.events);
    assert!(matches!(bench.events[..], [DeviceEvent::Disconnected]));
    assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
}

/// Bytes of a fixed sequence (xorshift).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn noise_costs_its_session_only() {
    let mut bench = Bench::new();
    let mut now = Instant::now();
    for seed in 1..400 {
        let mut noise = Noise(seed);
        let mut peer = bench.peer();
        // Messages whose headers are mostly right and whose payloads are not.
        for _ in 0..noise.next() % 20 {
            let word = noise.next();
            let [code, size, odd, pick, ..] = word.to_ne_bytes();
            let mut payload = vec![0; usize::from(size % 65)];
            payload.fill_with(|| noise.next().to_ne_bytes()[0] & pick);
            let len = u32::from(size % 65);
            let flags = if odd < 4 { word } else { 0x9 };
            let header = [u64::from(code % 45), flags, u64::from(len)];
            let header = header.map(|word| u32::try_from(word & 0xffff_ffff).unwrap());
            let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_ne_bytes()).collect();
            bytes.extend(payload);
            if peer.write_all(&bytes).is_err() {
                break;
            }
            bench.turn(now);
        }
        drop(peer);
        while bench.device.session().is_some() {
            bench.turn(now);
        }
        now += Duration::from_secs(10);
    }
    let mut peer = bench.peer();
    bench.turn(now);
    peer.write_all(&bytes(Request::GetFeatures, false)).unwrap();
    bench.turn(now);
    peer.read_exact(&mut [0; HEADER_BYTES + 8]).unwrap();
    let refused = bench.device.counters();
    for expected in [
        "message_flags",
        "message_size",
        "request_unsupported",
        "ring_unknown",
    ] {
        assert!(refused.contains_key(expected), "{expected}: {refused:?}");
    }
}
