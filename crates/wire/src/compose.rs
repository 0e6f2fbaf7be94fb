//! Whole frames with right checksums from a few words, for tests and tools; the data path never
//! composes.
//!
//! ```
//! use wire::{MacAddr, TcpFlags, compose::{self, Endpoint}};
//!
//! let a = Endpoint::new(MacAddr([2, 0, 0, 0, 0, 1]), "10.0.0.4", 40000);
//! let b = Endpoint::new(MacAddr([2, 0, 0, 0, 0, 2]), "10.0.0.5", 443);
//! let syn = compose::tcp(&a, &b, TcpFlags::SYN, b"");
//! assert_eq!(syn.len(), 54);
//! ```
//!
//! # Panics
//! Everything here panics on a request that no frame can meet: endpoints of different families, or
//! a payload that does not fit an IP packet. Such a request is a mistake in the test or tool that
//! makes it.

mod fragments;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    Kind, MacAddr, TcpFlags,
    arp::{ArpOperation, ArpRepr},
    checksum::fill_l4,
    dissect,
    ethernet::{self, EtherType, EthernetRepr},
    icmpv4::Icmpv4Repr,
    icmpv6::Icmpv6Repr,
    ip::{FragmentOffset, protocol},
    ipv4::Ipv4Repr,
    ipv6::{FlowLabel, Ipv6Repr},
    options::HeaderOptions,
    tcp::TcpRepr,
    udp::UdpRepr,
};

pub use fragments::fragments;

/// One end of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Ethernet address.
    pub mac: MacAddr,
    /// IP address.
    pub ip: IpAddr,
    /// TCP or UDP port; unused elsewhere.
    pub port: u16,
}

impl Endpoint {
    /// An end whose address is given as text. Panics if it is not an IP address.
    #[must_use]
    pub fn new(mac: MacAddr, ip: &str, port: u16) -> Self {
        let ip = ip
            .parse()
            .unwrap_or_else(|_| panic!("{ip:?} is not an IP address"));
        Self { mac, ip, port }
    }
}

/// The parts of an IP packet that all upper layers share. Begin with [`Packet::new`] and set the
/// others by struct update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The sender.
    pub src: Endpoint,
    /// The receiver.
    pub dst: Endpoint,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// Differentiated services and congestion notification.
    pub dscp_ecn: u8,
    /// IPv4 identification.
    pub ident: u16,
    /// IPv4 "don't fragment".
    pub dont_fragment: bool,
    /// What the upper layer carries.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// A packet as hosts usually send it: 64 hops, don't fragment.
    #[must_use]
    pub fn new(src: &Endpoint, dst: &Endpoint, payload: &'a [u8]) -> Self {
        let (src, dst) = (*src, *dst);
        Self {
            src,
            dst,
            ttl: 64,
            dscp_ecn: 0,
            ident: 1,
            dont_fragment: true,
            payload,
        }
    }

    /// A TCP segment with the given flags, sequence and acknowledgement numbers.
    #[must_use]
    pub fn tcp(&self, flags: TcpFlags, sequence: u32, acknowledgement: u32) -> Vec<u8> {
        self.tcp_as(&TcpRepr {
            src_port: self.src.port,
            dst_port: self.dst.port,
            sequence,
            acknowledgement,
            flags,
            window: 0xffff,
            urgent: 0,
            options: HeaderOptions::NONE,
        })
    }

    /// A TCP segment with a header of the caller's making.
    #[must_use]
    pub fn tcp_as(&self, tcp: &TcpRepr) -> Vec<u8> {
        let mut header = vec![0; tcp.buffer_len()];
        fits(tcp.emit(&mut header));
        self.ip(protocol::TCP, &header)
    }

    /// A UDP datagram.
    #[must_use]
    pub fn udp(&self) -> Vec<u8> {
        let payload_len = u16::try_from(self.payload.len()).expect("payload fits a datagram");
        let (src_port, dst_port) = (self.src.port, self.dst.port);
        let mut header = [0; 8];
        fits(
            UdpRepr {
                src_port,
                dst_port,
                payload_len,
            }
            .emit(&mut header),
        );
        self.ip(protocol::UDP, &header)
    }

    /// An ICMP echo request or reply.
    #[must_use]
    pub fn icmp_echo(&self, request: bool, ident: u16, sequence: u16) -> Vec<u8> {
        let mut header = [0; 8];
        if self.src.ip.is_ipv4() {
            let message = match request {
                true => Icmpv4Repr::EchoRequest { ident, sequence },
                false => Icmpv4Repr::EchoReply { ident, sequence },
            };
            fits(message.emit(&mut header));
            self.ip(protocol::ICMPV4, &header)
        } else {
            let message = match request {
                true => Icmpv6Repr::EchoRequest { ident, sequence },
                false => Icmpv6Repr::EchoReply { ident, sequence },
            };
            fits(message.emit(&mut header));
            self.ip(protocol::ICMPV6, &header)
        }
    }

    /// An IP packet of any protocol, with `header` before the payload. The checksum of TCP, UDP and
    /// ICMP is filled, unless `header` is not one of theirs.
    #[must_use]
    pub fn ip(&self, proto: u8, header: &[u8]) -> Vec<u8> {
        let payload_len =
            u16::try_from(header.len() + self.payload.len()).expect("payload fits an IP packet");
        let mut frame = self.headers(proto, payload_len);
        frame.extend_from_slice(header);
        frame.extend_from_slice(self.payload);
        if let Ok(crate::Dissection {
            kind: Kind::Ip(packet),
            ..
        }) = dissect(&frame)
        {
            fill_l4(&mut frame, &packet).expect("a dissected packet has room for its checksum");
        }
        frame
    }

    /// Ethernet and IP headers.
    fn headers(&self, proto: u8, payload_len: u16) -> Vec<u8> {
        let mut frame = vec![0; ethernet::HEADER_LEN + 40];
        let l3 = ethernet::HEADER_LEN;
        let (ethertype, l3_header_len) = match (self.src.ip, self.dst.ip) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let ip = Ipv4Repr {
                    dscp_ecn: self.dscp_ecn,
                    ident: self.ident,
                    dont_fragment: self.dont_fragment,
                    more_fragments: false,
                    fragment_offset: FragmentOffset::ZERO,
                    ttl: self.ttl,
                    protocol: proto,
                    src,
                    dst,
                    options: HeaderOptions::NONE,
                    payload_len,
                };
                (EtherType::IPV4, fits(ip.emit(&mut frame[l3..])))
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let ip = Ipv6Repr {
                    traffic_class: self.dscp_ecn,
                    flow_label: FlowLabel::ZERO,
                    payload_len,
                    next_header: proto,
                    hop_limit: self.ttl,
                    src,
                    dst,
                };
                (EtherType::IPV6, fits(ip.emit(&mut frame[l3..])))
            }
            (src, dst) => panic!("{src} and {dst} are of different IP versions"),
        };
        let (src, dst) = (self.src.mac, self.dst.mac);
        fits(
            EthernetRepr {
                dst,
                src,
                ethertype,
            }
            .emit(&mut frame),
        );
        frame.truncate(l3 + l3_header_len);
        frame
    }
}

/// A TCP segment.
#[must_use]
pub fn tcp(src: &Endpoint, dst: &Endpoint, flags: TcpFlags, payload: &[u8]) -> Vec<u8> {
    Packet::new(src, dst, payload).tcp(flags, 1, 1)
}

/// A UDP datagram.
#[must_use]
pub fn udp(src: &Endpoint, dst: &Endpoint, payload: &[u8]) -> Vec<u8> {
    Packet::new(src, dst, payload).udp()
}

/// An ICMP echo request.
#[must_use]
pub fn echo_request(src: &Endpoint, dst: &Endpoint, ident: u16, payload: &[u8]) -> Vec<u8> {
    Packet::new(src, dst, payload).icmp_echo(true, ident, 1)
}

/// An ICMP echo reply.
#[must_use]
pub fn echo_reply(src: &Endpoint, dst: &Endpoint, ident: u16, payload: &[u8]) -> Vec<u8> {
    Packet::new(src, dst, payload).icmp_echo(false, ident, 1)
}

/// A broadcast ARP request from `src` for `target`.
#[must_use]
pub fn arp_request(src: &Endpoint, target: Ipv4Addr) -> Vec<u8> {
    let nobody = Endpoint {
        mac: MacAddr::default(),
        ip: target.into(),
        port: 0,
    };
    arp(ArpOperation::Request, src, &nobody, MacAddr::BROADCAST)
}

/// An ARP reply that says to `dst` where `src` is.
#[must_use]
pub fn arp_reply(src: &Endpoint, dst: &Endpoint) -> Vec<u8> {
    arp(ArpOperation::Reply, src, dst, dst.mac)
}

/// A neighbour solicitation from `src` for `target`, to the target's solicited-node group.
#[must_use]
pub fn neighbour_solicit(src: &Endpoint, target: Ipv6Addr) -> Vec<u8> {
    let [.., a, b, c] = target.octets();
    let low = u16::from_be_bytes([b, c]);
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), low);
    let dst = Endpoint {
        mac: MacAddr::of_ipv6_multicast(group),
        ip: group.into(),
        port: 0,
    };
    // RFC 4861 section 4.3: duplicate address detection must not say where it comes from.
    let source_mac = (!src.ip.is_unspecified()).then_some(src.mac);
    let message = Icmpv6Repr::NeighbourSolicit { target, source_mac };
    let mut body = vec![0; message.buffer_len()];
    fits(message.emit(&mut body));
    Packet {
        ttl: 255,
        ..Packet::new(src, &dst, b"")
    }
    .ip(protocol::ICMPV6, &body)
}

fn arp(operation: ArpOperation, src: &Endpoint, dst: &Endpoint, dst_mac: MacAddr) -> Vec<u8> {
    let v4 = |ip| match ip {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(ip) => panic!("{ip} is not an IPv4 address"),
    };
    let arp = ArpRepr {
        operation,
        sender_mac: src.mac,
        sender_ip: v4(src.ip),
        target_mac: dst.mac,
        target_ip: v4(dst.ip),
    };
    let mut frame = vec![0; ethernet::HEADER_LEN + arp.buffer_len()];
    fits(
        EthernetRepr {
            dst: dst_mac,
            src: src.mac,
            ethertype: EtherType::ARP,
        }
        .emit(&mut frame),
    );
    fits(arp.emit(&mut frame[ethernet::HEADER_LEN..]));
    frame
}

/// The buffers here are made to measure; only a payload can be too long.
fn fits(emitted: Result<usize, crate::EmitError>) -> usize {
    emitted.unwrap_or_else(|error| panic!("{error}"))
}

#[cfg(test)]
mod tests;
