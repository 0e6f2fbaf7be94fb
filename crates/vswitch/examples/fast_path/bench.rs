//! A switch with open flows, and frames of them.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use flow::{HEADROOM, PortId, PortMode, Tick, Timeouts, UnderlayLink, encapsulate, push_in_place};
use policy::{CompileError, Compiler};
use vswitch::{EngineWork, Limits, Outcome, Switch, router_mac};
use wire::MacAddr;
use wire::compose::{Endpoint, Packet};

use crate::world::{ELSEWHERE, HERE, RECEIVER, Random, SENDER, SENDER_MAC, policy, tunnel_back};

/// Payload that makes a frame of 60 bytes: 64 with the check sequence.
const PAYLOAD: [u8; 18] = [0x5a; 18];
const FRAME: usize = 60;
/// Ethernet, IPv4 and UDP: all that differs between frames, and all that is rewritten.
const HEADERS: usize = 42;
/// Outer headers over IPv4.
const OVERHEAD: usize = 50;
/// Where a frame from a guest begins in its buffer; one off the uplink begins where its outer
/// headers do.
const START: usize = HEADROOM;
const BATCH: usize = Switch::AHEAD_MAX;
const LINK: UnderlayLink = UnderlayLink {
    src: MacAddr([2, 1, 0, 0, 0, 1]),
    dst: MacAddr([2, 1, 0, 0, 0, 2]),
};

/// Which way frames go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To a guest of the same host.
    Local,
    /// To another host: the outer headers are written.
    Push,
    /// From another host: the outer headers are taken off.
    Pop,
}

/// How frames are handed to the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// One by one.
    Single,
    /// Looked ahead in batches.
    Batched,
}

pub(crate) struct Bench {
    pub(crate) switch: Switch,
    way: Way,
    flows: u32,
    /// What an inner frame begins with, by the last byte of the remote address.
    headers: Vec<[u8; HEADERS]>,
    buffers: Box<[[u8; START + FRAME]; BATCH]>,
    work: EngineWork,
    random: Random,
    now: Tick,
}

impl Bench {
    /// A switch with room for so many connections and no more.
    pub(crate) fn new(way: Way, flows: u32, rules: usize) -> Result<Bench, CompileError> {
        let snapshot = Compiler::new(policy::Limits::default()).compile(&policy(rules))?;
        let limit = |count: u32| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        let limits = Limits {
            flows_max: limit(2 * flows),
            flows_per_port_max: limit(2 * flows),
            fragments_max: limit(1_024),
            fragments_per_port_max: limit(1_024),
            first_packets_per_second: u32::MAX,
            resimulations_per_second: u32::MAX,
        };
        let mut switch = Switch::new(limits, Timeouts::default(), Arc::new(snapshot), 7);
        for port in [SENDER, RECEIVER, PortId::UPLINK] {
            switch.add_port(port, PortMode::Synthetic);
        }
        Ok(Bench {
            switch,
            way,
            flows,
            headers: (0..=255).map(|last| headers(way, last)).collect(),
            buffers: Box::new([template(way, 0); BATCH]),
            work: EngineWork::default(),
            random: Random(0x2545_f491_4f6c_dd1d),
            now: Tick(1 << 40),
        })
    }

    /// The first packet of every flow; the time that took.
    pub(crate) fn open_all(&mut self) -> Duration {
        let network = if self.way == Way::Local {
            HERE
        } else {
            ELSEWHERE
        };
        let templates: Vec<_> = (0..=255).map(|last| from_guest(network, last)).collect();
        let start = processor_time();
        for number in 0..self.flows {
            let [_, last, high, low] = number.to_be_bytes();
            let mut frame = templates[usize::from(last)];
            frame[34..36].copy_from_slice(&[high, low]);
            let outcome = self.switch.process(SENDER, &mut frame, None, self.now);
            let passed = matches!(outcome, Outcome::Deliver(RECEIVER) | Outcome::Uplink { .. });
            assert!(passed, "the rules allow every flow here: {outcome:?}");
            if (number as usize).is_multiple_of(BATCH) {
                self.switch.take_work(&mut self.work);
            }
        }
        let took = processor_time() - start;
        self.switch.take_work(&mut self.work);
        assert_eq!(self.switch.flows().len(), 2 * self.flows);
        took
    }

    /// Packets of flows chosen at random; the time they took.
    pub(crate) fn hits(&mut self, style: Style, packets: u32) -> Duration {
        let first_packets = |bench: &Bench| {
            let ports = [SENDER, PortId::UPLINK].map(|port| bench.switch.port(port));
            ports.map(|port| port.map_or(0, |port| port.counters.first_packets))
        };
        let before = first_packets(self);
        let start = processor_time();
        self.send(style, packets);
        let took = processor_time() - start;
        assert_eq!(before, first_packets(self), "every packet was a hit");
        took
    }

    /// Packets of flows chosen at random, in whole batches.
    pub(crate) fn send(&mut self, style: Style, packets: u32) {
        for _ in 0..(packets as usize).div_ceil(BATCH) {
            self.batch(style);
        }
    }

    fn batch(&mut self, style: Style) {
        for buffer in self.buffers.iter_mut() {
            let [_, last, high, low] = self.random.below(self.flows).to_be_bytes();
            let headers = &self.headers[usize::from(last)];
            buffer[START..START + HEADERS].copy_from_slice(headers);
            let port = match self.way {
                Way::Local | Way::Push => START + 34,
                Way::Pop => START + 36,
            };
            buffer[port..port + 2].copy_from_slice(&[high, low]);
        }
        match self.way {
            Way::Local | Way::Push => self.process(style),
            Way::Pop => self.process_uplink(style),
        }
    }

    fn process(&mut self, style: Style) {
        if style == Style::Batched {
            let frames = self.buffers.iter().map(|buffer| (SENDER, &buffer[START..]));
            self.switch.look_ahead(frames);
        }
        for buffer in self.buffers.iter_mut() {
            let frame = &mut buffer[START..];
            match self.switch.process(SENDER, frame, None, self.now) {
                Outcome::Deliver(port) => {
                    black_box(port);
                }
                Outcome::Uplink { encap, source_port } => {
                    let pushed = push_in_place(&encap, Some(LINK), source_port, buffer, START);
                    assert!(pushed.is_ok(), "there is room for the outer headers");
                }
                other => panic!("the flow is open: {other:?}"),
            }
            black_box(buffer);
        }
    }

    fn process_uplink(&mut self, style: Style) {
        const OUTER: usize = START - OVERHEAD;
        if style == Style::Batched {
            let frames = self.buffers.iter().map(|buffer| &buffer[OUTER..]);
            self.switch.look_ahead_uplink(frames);
        }
        for buffer in self.buffers.iter_mut() {
            let received = self
                .switch
                .process_uplink(&mut buffer[OUTER..], None, self.now);
            assert_eq!(received.outcome, Outcome::Deliver(SENDER));
            black_box((received.inner, buffer));
        }
    }
}

/// What this thread has had of a processor, so that whatever else the machine does is not counted.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("Linux says how long a thread ran"))
}

fn headers(way: Way, last: u8) -> [u8; HEADERS] {
    let buffer = template(way, last);
    *buffer[START..]
        .first_chunk()
        .expect("a frame holds its headers")
}

/// A buffer as it is when a frame has come in.
fn template(way: Way, last: u8) -> [u8; START + FRAME] {
    let mut buffer = [0; START + FRAME];
    match way {
        Way::Local => buffer[START..].copy_from_slice(&from_guest(HERE, last)),
        Way::Push => buffer[START..].copy_from_slice(&from_guest(ELSEWHERE, last)),
        Way::Pop => {
            let (there, here) = (far_end(ELSEWHERE, last), near_end());
            let there = Endpoint {
                mac: router_mac(),
                ..there
            };
            let inner = without_checksum(Packet::new(&there, &here, &PAYLOAD).udp());
            let outer = &mut buffer[START - OVERHEAD..];
            let len = encapsulate(&tunnel_back(), LINK, 50_000, &inner, outer);
            assert_eq!(len.ok(), Some(OVERHEAD + FRAME));
        }
    }
    buffer
}

/// A frame of the guest's to the host `last` of a network, from port zero.
fn from_guest(network: u8, last: u8) -> [u8; FRAME] {
    without_checksum(Packet::new(&near_end(), &far_end(network, last), &PAYLOAD).udp())
}

fn near_end() -> Endpoint {
    Endpoint {
        mac: MacAddr(SENDER_MAC),
        ip: [10, 0, 0, 4].into(),
        port: 0,
    }
}

fn far_end(network: u8, last: u8) -> Endpoint {
    Endpoint {
        mac: router_mac(),
        ip: [10, 0, network, last].into(),
        port: 8_000,
    }
}

/// Without a UDP checksum (RFC 768), so that ports can be put in.
fn without_checksum(frame: Vec<u8>) -> [u8; FRAME] {
    let mut frame: [u8; FRAME] = frame.try_into().expect("the payload makes it so long");
    frame[40..42].fill(0);
    frame
}
