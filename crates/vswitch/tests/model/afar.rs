//! Other hosts: what they send, and what becomes of it here.

use std::net::IpAddr;

use flow::{Encap, PortId, UnderlayLink};
use vswitch::{FromUplink, Gso, Outcome};
use wire::compose::{self, Endpoint};
use wire::{MacAddr, TcpFlags, Vni};

use super::bench::Bench;
use super::world::{provider, remote_mac, tunnel};

/// Between this host and all others.
pub(crate) const NEXT_HOP: MacAddr = MacAddr([2, 2, 0, 0, 0, 9]);

/// This host's uplink.
pub(crate) const OWN: MacAddr = MacAddr([2, 2, 0, 0, 0, 1]);

/// Room for the longest outer headers.
const HEADERS_MAX: usize = 70;

/// What became of a frame off the uplink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) outcome: Outcome,
    pub(crate) owner: PortId,
    /// The frame with its outer headers, as the switch left it.
    pub(crate) whole: Vec<u8>,
    /// The part of it that matters.
    pub(crate) inner: std::ops::Range<usize>,
    pub(crate) reply: Option<(Encap, u16, Vec<u8>)>,
}

impl Arrived {
    /// What the guest receives, or who watches is shown.
    pub(crate) fn shown(&self) -> &[u8] {
        &self.whole[self.inner.clone()]
    }
}

/// A NIC on another host, which has mapped it with [`super::world::remote`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Afar {
    pub(crate) host: u8,
    /// Whose VNI its host gives.
    pub(crate) vnet: u8,
    pub(crate) end: Endpoint,
}

impl Afar {
    pub(crate) fn new(host: u8, vnet: u8, ip: IpAddr, port: u16) -> Afar {
        let end = Endpoint {
            mac: remote_mac(host),
            ip,
            port,
        };
        Afar { host, vnet, end }
    }

    /// A TCP segment to an end of this host.
    pub(crate) fn tcp(&self, to: &Endpoint, flags: TcpFlags) -> Vec<u8> {
        self.wrap(&compose::tcp(&self.end, to, flags, b""))
    }

    pub(crate) fn udp(&self, to: &Endpoint, payload: &[u8]) -> Vec<u8> {
        self.wrap(&compose::udp(&self.end, to, payload))
    }

    /// Puts a frame into the tunnel from its host to this one.
    pub(crate) fn wrap(&self, inner: &[u8]) -> Vec<u8> {
        let encap = tunnel(self.host, self.vnet);
        let back = Encap {
            outer_src: encap.outer_dst,
            outer_dst: encap.outer_src,
            ..encap
        };
        wrap(&back, inner)
    }
}

/// A frame in its tunnel, as it comes off the wire.
pub(crate) fn wrap(encap: &Encap, inner: &[u8]) -> Vec<u8> {
    let link = UnderlayLink {
        src: NEXT_HOP,
        dst: OWN,
    };
    encapsulated(encap, link, 50_000, inner)
}

/// A frame in its tunnel, as this host sends it.
pub(crate) fn push(encap: &Encap, source_port: u16, inner: &[u8]) -> Vec<u8> {
    let link = UnderlayLink {
        src: OWN,
        dst: NEXT_HOP,
    };
    encapsulated(encap, link, source_port, inner)
}

fn encapsulated(encap: &Encap, link: UnderlayLink, source_port: u16, inner: &[u8]) -> Vec<u8> {
    let mut out = vec![0; inner.len() + HEADERS_MAX];
    let len = flow::encapsulate(encap, link, source_port, inner, &mut out).expect("it fits");
    out.truncate(len);
    out
}

/// The same, of any network and host.
pub(crate) fn wrap_of(vni: Vni, host: u8, v6: bool, inner: &[u8]) -> Vec<u8> {
    let ends = match v6 {
        false => [provider(host), provider(1)],
        true => [host, 1].map(|host| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, host.into()])),
    };
    let encap = Encap {
        outer_src: ends[0],
        outer_dst: ends[1],
        vni,
        dst_port: 4789,
    };
    wrap(&encap, inner)
}

/// Sets the ECN field of the outer header.
pub(crate) fn congested(mut frame: Vec<u8>) -> Vec<u8> {
    if frame[12..14] == [0x86, 0xdd] {
        frame[15] |= 0x30;
        return frame;
    }
    frame[15] |= 3;
    super::naive_switch::sum_ipv4_header(&mut frame[14..34]);
    frame
}

impl Bench {
    /// A frame comes off the uplink.
    pub(crate) fn arrive(&mut self, frame: &[u8]) -> Arrived {
        self.arrive_gso(frame, None)
    }

    pub(crate) fn arrive_gso(&mut self, frame: &[u8], gso: Option<Gso>) -> Arrived {
        let mut whole = frame.to_vec();
        let FromUplink {
            outcome,
            inner,
            owner,
        } = self.switch.process_uplink(&mut whole, gso, self.now);
        assert!(self.switch.reply().is_none(), "nobody here to answer");
        let reply = self.switch.reply_to_uplink();
        Arrived {
            outcome,
            owner,
            whole,
            inner,
            reply: reply.map(|(encap, port, frame)| (encap, port, frame.to_vec())),
        }
    }

    /// The same, and says only what became of it.
    pub(crate) fn arrival(&mut self, frame: &[u8]) -> Outcome {
        self.arrive(frame).outcome
    }
}
