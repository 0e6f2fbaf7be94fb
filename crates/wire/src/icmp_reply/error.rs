//! ICMP errors about a packet (RFC 792, RFC 1812 section 4.3.2, RFC 4443 section 2.4).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{NoReply, fill_checksum};
use crate::{
    Dissection, EmitError, Header, IpPacket, Kind, L4, MacAddr, dissect,
    error::room,
    ethernet::{self, EtherType, EthernetRepr},
    icmpv4::{self, Icmpv4Repr},
    icmpv6::{self, Icmpv6Repr},
    ip::{FragmentOffset, protocol},
    ipv4::{self, Ipv4Repr},
    ipv6::{self, FlowLabel, Ipv6Repr},
    octets::put,
    options::HeaderOptions,
};

/// Bytes of IP packet an ICMPv4 error may have (RFC 1812 section 4.3.2.3).
const V4_LEN_MAX: usize = 576;
/// Bytes of IP packet an ICMPv6 error may have: the smallest MTU of IPv6 (RFC 4443 section 2.4
/// (c)).
const V6_LEN_MAX: usize = 1280;
/// Hops an error may travel.
const HOP_LIMIT: u8 = 64;
/// Precedence 6, internetwork control (RFC 1812 section 4.3.2.5).
const DSCP_INTERNETWORK_CONTROL: u8 = 0xc0;

/// What went wrong with a packet. Each exists in both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpError {
    /// Its time to live or hop limit ran out.
    HopLimitExceeded,
    /// There is no route to its destination.
    NoRoute,
    /// Its destination does not answer.
    HostUnreachable,
    /// A policy forbids it.
    Prohibited,
    /// It does not fit: fragmentation needed (IPv4), packet too big (IPv6).
    PacketTooBig {
        /// What fits, in bytes of IP packet; reported as 65535 to IPv4 if larger.
        mtu: u32,
    },
}

impl IcmpError {
    fn v4(self) -> Icmpv4Repr {
        use icmpv4::Unreachable;
        match self {
            Self::HopLimitExceeded => Icmpv4Repr::HopLimitExceeded,
            Self::NoRoute => Icmpv4Repr::Unreachable(Unreachable::Network),
            Self::HostUnreachable => Icmpv4Repr::Unreachable(Unreachable::Host),
            Self::Prohibited => Icmpv4Repr::Unreachable(Unreachable::Prohibited),
            Self::PacketTooBig { mtu } => {
                let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
                Icmpv4Repr::Unreachable(Unreachable::FragmentationNeeded { mtu })
            }
        }
    }

    fn v6(self) -> Icmpv6Repr {
        use icmpv6::Unreachable;
        match self {
            Self::HopLimitExceeded => Icmpv6Repr::HopLimitExceeded,
            Self::NoRoute => Icmpv6Repr::Unreachable(Unreachable::NoRoute),
            Self::HostUnreachable => Icmpv6Repr::Unreachable(Unreachable::Address),
            Self::Prohibited => Icmpv6Repr::Unreachable(Unreachable::Prohibited),
            Self::PacketTooBig { mtu } => Icmpv6Repr::PacketTooBig { mtu },
        }
    }
}

/// Who sends an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Responder {
    /// Its Ethernet address.
    pub mac: MacAddr,
    /// Its IP address, of the family of the packet it complains about.
    pub ip: IpAddr,
}

/// Writes the ICMP error about the packet in `frame` to `out`, addressed to its sender, and returns
/// its length: at most 590 bytes about IPv4, 1294 about IPv6.
///
/// No error is due about an ICMP error or redirect, about a packet to or from anything but one
/// host, or about a fragment other than the first. Rate limits are the caller's.
pub fn icmp_error(
    frame: &[u8],
    error: IcmpError,
    responder: Responder,
    out: &mut [u8],
) -> Result<usize, NoReply> {
    let offending = dissect(frame)?;
    let Kind::Ip(packet) = offending.kind else {
        return Err(NoReply::NotIp);
    };
    refuse(&offending, &packet)?;
    let quote = &frame[packet.l3_offset..packet.l3_offset + packet.l3_len];
    let (src_mac, dst_mac) = (responder.mac, offending.src);
    let ethernet_as = |ethertype| EthernetRepr {
        dst: dst_mac,
        src: src_mac,
        ethertype,
    };
    let len = match (responder.ip, packet.src) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => emit_v4(
            ethernet_as(EtherType::IPV4),
            (src, dst),
            error.v4(),
            quote,
            out,
        )?,
        (IpAddr::V6(src), IpAddr::V6(dst)) => emit_v6(
            ethernet_as(EtherType::IPV6),
            (src, dst),
            error.v6(),
            quote,
            out,
        )?,
        _ => return Err(NoReply::WrongFamily),
    };
    fill_checksum(&mut out[..len])?;
    Ok(len)
}

fn refuse(offending: &Dissection, packet: &IpPacket) -> Result<(), NoReply> {
    if packet.fragment.is_some_and(|fragment| !fragment.is_first()) {
        return Err(NoReply::NonFirstFragment);
    }
    let quiet = match (packet.l4, packet.src) {
        (L4::IcmpError { .. }, _) => true,
        (L4::IcmpOther { type_, .. }, IpAddr::V4(_)) => type_ == icmpv4::message::REDIRECT,
        // RFC 4443 section 2.1: all types below 128 are errors, known or not.
        (L4::IcmpOther { type_, .. }, IpAddr::V6(_)) => {
            type_ < 128 || type_ == icmpv6::message::REDIRECT
        }
        _ => false,
    };
    if quiet {
        return Err(NoReply::IcmpError);
    }
    let to_many = match packet.dst {
        IpAddr::V4(dst) => dst.is_multicast() || dst.is_broadcast(),
        IpAddr::V6(dst) => dst.is_multicast(),
    };
    if to_many || offending.dst.is_multicast() {
        return Err(NoReply::Multicast);
    }
    let bad_source = match packet.src {
        IpAddr::V4(src) => {
            src.octets()[0] == 0 || src.is_multicast() || src.is_broadcast() || src.is_loopback()
        }
        IpAddr::V6(src) => src.is_unspecified() || src.is_multicast() || src.is_loopback(),
    };
    if bad_source || offending.src.is_multicast() {
        return Err(NoReply::BadSource);
    }
    Ok(())
}

fn emit_v4(
    ethernet: EthernetRepr,
    (src, dst): (Ipv4Addr, Ipv4Addr),
    message: Icmpv4Repr,
    quote: &[u8],
    out: &mut [u8],
) -> Result<usize, NoReply> {
    let headers = ipv4::HEADER_LEN + icmpv4::HEADER_LEN;
    let quote = &quote[..quote.len().min(V4_LEN_MAX - headers)];
    let ip = Ipv4Repr {
        dscp_ecn: DSCP_INTERNETWORK_CONTROL,
        // RFC 6864: a packet that is never fragmented needs no identification.
        ident: 0,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: FragmentOffset::ZERO,
        ttl: HOP_LIMIT,
        protocol: protocol::ICMPV4,
        src,
        dst,
        options: HeaderOptions::NONE,
        payload_len: payload_len(Header::Ipv4, icmpv4::HEADER_LEN + quote.len())?,
    };
    let out = room(out, ethernet::HEADER_LEN + headers + quote.len())?;
    let mut at = ethernet.emit(out)?;
    at += ip.emit(&mut out[at..])?;
    at += message.emit(&mut out[at..])?;
    put(out, at, quote);
    Ok(out.len())
}

fn emit_v6(
    ethernet: EthernetRepr,
    (src, dst): (Ipv6Addr, Ipv6Addr),
    message: Icmpv6Repr,
    quote: &[u8],
    out: &mut [u8],
) -> Result<usize, NoReply> {
    let headers = ipv6::HEADER_LEN + icmpv6::HEADER_LEN;
    let quote = &quote[..quote.len().min(V6_LEN_MAX - headers)];
    let ip = Ipv6Repr {
        traffic_class: DSCP_INTERNETWORK_CONTROL,
        flow_label: FlowLabel::ZERO,
        payload_len: payload_len(Header::Ipv6, icmpv6::HEADER_LEN + quote.len())?,
        next_header: protocol::ICMPV6,
        hop_limit: HOP_LIMIT,
        src,
        dst,
    };
    let out = room(out, ethernet::HEADER_LEN + headers + quote.len())?;
    let mut at = ethernet.emit(out)?;
    at += ip.emit(&mut out[at..])?;
    at += message.emit(&mut out[at..])?;
    put(out, at, quote);
    Ok(out.len())
}

fn payload_len(header: Header, len: usize) -> Result<u16, EmitError> {
    let max = usize::from(u16::MAX);
    u16::try_from(len).map_err(|_| EmitError::PayloadTooLong { header, len, max })
}
