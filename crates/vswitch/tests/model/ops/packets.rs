//! From an operation to frames.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flow::{PortId, TcpFlags};
use policy::input::NicInput;
use vswitch::{Gso, router_mac};
use wire::compose::{self, Endpoint, Packet};
use wire::icmp_reply::{IcmpError, Responder, icmp_error};
use wire::{Dissection, IpPacket, Kind, L4, MacAddr, dissect};

use super::{Driver, Op};
use crate::model::world::{v4, v6};

/// An address of the world, or of none.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who {
    Nic(usize),
    /// Of the NICs other than the sender, one.
    Other(usize),
    /// An address that several NICs of the network have; the mapping says who gets it.
    Floating(u8),
    Remote(u8),
    Unmapped(u8),
    Platform,
    Internet,
    Nobody,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Tcp(TcpFlags),
    Udp,
    Echo { request: bool },
    Esp,
    IcmpOther,
    ForTheLink,
}

/// How a packet looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) what: What,
    pub(crate) v6: bool,
    pub(crate) ports: (u16, u16),
    pub(crate) len: usize,
    pub(crate) ttl: u8,
    pub(crate) ecn: u8,
    pub(crate) gso: Option<u16>,
    /// Whose address it is sent with, if not the sender's own.
    pub(crate) source: Option<Who>,
}

/// In which order fragments come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    First,
    LastFirst,
    WithoutFirst,
}

/// A frame that is nothing the switch forwards.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Odd {
    Vlan,
    Broadcast,
    BroadcastIp,
    Multicast,
    OtherDestination,
    SpoofedMac,
    NeighbourAdvert,
}

type Frame = (PortId, Vec<u8>, Option<Gso>);

impl Driver {
    /// The frames that an operation sends.
    pub(crate) fn frames(&self, op: &Op) -> Vec<Frame> {
        match op {
            Op::Fresh { from, to, shape } => {
                let gso = shape.gso.map(|size| Gso { size });
                self.compose(*from, *to, shape)
                    .map(|(port, frame)| (port, frame, gso))
            }
            Op::Again { pick, flags } => self.again(*pick, *flags),
            Op::Answer { pick, flags } => self.answer(*pick, *flags),
            Op::Relay { pick } => self.relay(*pick),
            Op::Complain { pick } => {
                picked(&self.received, *pick).and_then(|(port, frame)| self.complain(*port, frame))
            }
            Op::ComplainWithoutCause { from, pick } => picked(&self.sent, *pick)
                .and_then(|(_, frame)| self.complain(self.port(*from), frame)),
            Op::Fragments {
                from,
                to,
                shape,
                size,
                order,
            } => {
                return self.fragments(*from, *to, shape, *size, *order);
            }
            Op::Arp {
                from,
                sender,
                target,
                probing,
                reply,
            } => self.arp(*from, *sender, *target, *probing, *reply),
            Op::Solicit {
                from,
                sender,
                target,
                probing,
            } => self.solicit(*from, *sender, *target, *probing),
            Op::Mangled {
                from,
                to,
                shape,
                at,
                xor,
                cut,
            } => self.compose(*from, *to, shape).map(|(port, mut frame)| {
                let at = *at % frame.len();
                frame[at] ^= xor;
                frame.truncate(*cut);
                (port, frame, None)
            }),
            Op::Odd { from, odd } => self.odd(*from, *odd),
            Op::Raw { from, bytes } => Some((self.port(*from), bytes.clone(), None)),
            Op::Afar(_) | Op::Edit(_) | Op::SetUp { .. } | Op::SetUplink(_) => None,
            Op::Pass(_) | Op::Sweep => None,
        }
        .into_iter()
        .collect()
    }

    fn compose(&self, from: usize, to: Who, shape: &Shape) -> Option<(PortId, Vec<u8>)> {
        let nic = self.nic(from);
        let src = match shape.source {
            None => Some(nic.addresses[usize::from(shape.v6)]),
            Some(who) => self.address(who, shape.v6),
        }?;
        let src = Endpoint {
            mac: MacAddr(nic.mac),
            ip: src,
            port: shape.ports.0,
        };
        let to = match to {
            Who::Other(offset) => {
                let count = self.bench.world.input.nics.len();
                Who::Nic(from % count + 1 + offset % (count - 1))
            }
            to => to,
        };
        let ip = self.address(to, shape.v6)?;
        let dst = Endpoint {
            mac: router_mac(),
            ip,
            port: shape.ports.1,
        };
        let frame = shape.packet(&src, &dst);
        Some((nic.port, frame))
    }

    fn again(&self, pick: usize, flags: TcpFlags) -> Option<Frame> {
        let (port, frame) = picked(&self.sent, pick)?;
        let mut frame = frame.clone();
        if let Some(ip) = ip_of(&frame)
            && let L4::Tcp { .. } = ip.l4
        {
            frame[ip.l4_offset + 13] = flags.0;
        }
        Some((*port, frame, None))
    }

    fn answer(&self, pick: usize, flags: TcpFlags) -> Option<Frame> {
        let (port, frame) = picked(&self.received, pick)?;
        let ip = ip_of(frame)?;
        let end = |mac, ip, port| Endpoint { mac, ip, port };
        let turned = |sport, dport| {
            (
                end(self.mac_of(*port), ip.dst, dport),
                end(router_mac(), ip.src, sport),
            )
        };
        let answer = match ip.l4 {
            L4::Tcp { sport, dport, .. } => {
                let (src, dst) = turned(sport, dport);
                Packet::new(&src, &dst, b"").tcp(wire::TcpFlags(flags.0), 1, 1)
            }
            L4::Udp { sport, dport } => {
                let (src, dst) = turned(sport, dport);
                compose::udp(&src, &dst, b"an answer")
            }
            L4::IcmpEcho {
                request: true,
                ident,
            } => {
                let (src, dst) = turned(0, 0);
                compose::echo_reply(&src, &dst, ident, b"")
            }
            _ => return None,
        };
        Some((*port, answer, None))
    }

    fn relay(&self, pick: usize) -> Option<Frame> {
        let appliances = self
            .received
            .iter()
            .filter(|(port, _)| self.nic_at(*port).ip_forwarding);
        let appliances: Vec<_> = appliances.collect();
        let (port, frame) = picked(&appliances, pick)
            .copied()
            .or(picked(&self.received, pick))?;
        let mut frame = frame.clone();
        frame[..6].copy_from_slice(&router_mac().0);
        frame[6..12].copy_from_slice(&self.mac_of(*port).0);
        Some((*port, frame, None))
    }

    fn complain(&self, port: PortId, about: &[u8]) -> Option<Frame> {
        let ip = ip_of(about)?;
        let mut about = about.to_vec();
        about[6..12].copy_from_slice(&router_mac().0);
        let own = &self.nic_at(port).addresses[usize::from(!ip.src.is_ipv4())];
        let responder = Responder {
            mac: self.mac_of(port),
            ip: *own,
        };
        let mut out = [0; 1_500];
        let len = icmp_error(&about, IcmpError::HostUnreachable, responder, &mut out).ok()?;
        Some((port, out[..len].to_vec(), None))
    }

    fn fragments(
        &self,
        from: usize,
        to: Who,
        shape: &Shape,
        size: u16,
        order: Order,
    ) -> Vec<Frame> {
        let Some((port, frame)) = self.compose(from, to, shape) else {
            return Vec::new();
        };
        let mut parts = compose::fragments(&frame, u32::from(shape.ports.0), size);
        match order {
            Order::First => {}
            Order::LastFirst => parts.reverse(),
            Order::WithoutFirst => drop(parts.remove(0)),
        }
        parts.into_iter().map(|part| (port, part, None)).collect()
    }

    fn arp(
        &self,
        from: usize,
        sender: Option<Who>,
        target: Who,
        probing: bool,
        reply: bool,
    ) -> Option<Frame> {
        let nic = self.nic(from);
        let mut ip = sender.map_or(Some(nic.addresses[0]), |who| self.address(who, false))?;
        if probing {
            ip = Ipv4Addr::UNSPECIFIED.into();
        }
        let src = Endpoint {
            mac: MacAddr(nic.mac),
            ip,
            port: 0,
        };
        let IpAddr::V4(target) = self.address(target, false)? else {
            return None;
        };
        let frame = match reply {
            false => compose::arp_request(&src, target),
            true => compose::arp_reply(
                &src,
                &Endpoint {
                    ip: target.into(),
                    ..src
                },
            ),
        };
        Some((nic.port, frame, None))
    }

    fn solicit(
        &self,
        from: usize,
        sender: Option<Who>,
        target: Who,
        probing: bool,
    ) -> Option<Frame> {
        let nic = self.nic(from);
        let mut ip = sender.map_or(Some(nic.addresses[1]), |who| self.address(who, true))?;
        if probing {
            ip = Ipv6Addr::UNSPECIFIED.into();
        }
        let IpAddr::V6(target) = self.address(target, true)? else {
            return None;
        };
        let src = Endpoint {
            mac: MacAddr(nic.mac),
            ip,
            port: 0,
        };
        Some((nic.port, compose::neighbour_solicit(&src, target), None))
    }

    fn odd(&self, from: usize, odd: Odd) -> Option<Frame> {
        let nic = self.nic(from);
        let end = |ip, mac| Endpoint { mac, ip, port: 9 };
        let src = end(nic.addresses[0], MacAddr(nic.mac));
        let mut frame = compose::udp(&src, &end(v4(0, 0, 2), router_mac()), b"odd");
        match odd {
            Odd::Vlan => frame[12..14].copy_from_slice(&[0x81, 0]),
            Odd::Broadcast => {
                frame[..6].fill(0xff);
                frame[12..14].copy_from_slice(&[0x88, 0xb5]);
            }
            Odd::BroadcastIp => frame[..6].fill(0xff),
            Odd::Multicast => frame[..6].copy_from_slice(&[1, 0, 0x5e, 0, 0, 1]),
            Odd::OtherDestination => frame[..6].copy_from_slice(&[2, 9, 9, 9, 9, 9]),
            Odd::SpoofedMac => frame[6..12].copy_from_slice(&[2, 9, 9, 9, 9, 9]),
            Odd::NeighbourAdvert => {
                let src = end(nic.addresses[1], MacAddr(nic.mac));
                let advert = [136, 0, 0, 0, 0x60, 0, 0, 0].iter().chain(&[0xfe; 16]);
                let advert: Vec<u8> = advert.copied().collect();
                let dst = end(v6(0, 0, 2), router_mac());
                frame = Packet {
                    ttl: 255,
                    ..Packet::new(&src, &dst, b"")
                }
                .ip(58, &advert);
            }
        }
        Some((nic.port, frame, None))
    }

    pub(super) fn address(&self, who: Who, ipv6: bool) -> Option<IpAddr> {
        let of = |vnet, third, last| {
            if ipv6 {
                v6(vnet, third, last)
            } else {
                v4(vnet, third, last)
            }
        };
        let outside = |v4: [u8; 4], v6: &str| match ipv6 {
            false => Some(IpAddr::from(v4)),
            true => v6.parse().ok(),
        };
        match who {
            Who::Nic(nic) | Who::Other(nic) => Some(self.nic(nic).addresses[usize::from(ipv6)]),
            Who::Floating(vnet) => Some(of(vnet, 3, 1)),
            Who::Remote(vnet) => Some(of(vnet, 1, 1)),
            Who::Unmapped(vnet) => Some(of(vnet, 2, 1)),
            Who::Platform => outside([168, 63, 129, 16], "fd00:ffff::1"),
            Who::Internet => outside([8, 8, 8, 8], "2001:4860:4860::8888"),
            Who::Nobody => outside([127, 0, 0, 1], "fe80::1"),
        }
    }

    pub(super) fn nic(&self, nic: usize) -> &NicInput {
        self.nic_at(self.port(nic))
    }

    fn nic_at(&self, port: PortId) -> &NicInput {
        let mut nics = self.bench.world.input.nics.iter();
        nics.find(|nic| nic.port == port)
            .expect("a NIC of the world")
    }
}

impl Shape {
    /// Such a packet.
    pub(super) fn packet(&self, src: &Endpoint, dst: &Endpoint) -> Vec<u8> {
        let payload = vec![0x5a; self.len];
        let packet = Packet {
            ttl: self.ttl,
            dscp_ecn: self.ecn,
            ..Packet::new(src, dst, &payload)
        };
        match self.what {
            What::Tcp(flags) => packet.tcp(wire::TcpFlags(flags.0), 1, 1),
            What::Udp => packet.udp(),
            What::Echo { request } => packet.icmp_echo(request, self.ports.0, 1),
            What::Esp => packet.ip(50, &[0; 8]),
            // Timestamp request; multicast listener query.
            What::IcmpOther if self.v6 => packet.ip(58, &[130, 0, 0, 0, 0, 0, 0, 0]),
            What::IcmpOther => packet.ip(1, &[13, 0, 0, 0, 0, 0, 0, 0]),
            // Router advertisement; redirect.
            What::ForTheLink if self.v6 => packet.ip(58, &[134, 0, 0, 0, 0, 0, 0, 0]),
            What::ForTheLink => packet.ip(1, &[5, 0, 0, 0, 0, 0, 0, 0]),
        }
    }
}

/// One of the latest.
pub(super) fn picked<T>(of: &[T], pick: usize) -> Option<&T> {
    let latest = of.len().min(12);
    of.iter().rev().nth(pick % latest.max(1))
}

pub(super) fn ip_of(frame: &[u8]) -> Option<IpPacket> {
    match dissect(frame) {
        Ok(Dissection {
            kind: Kind::Ip(ip), ..
        }) => Some(ip),
        _ => None,
    }
}
