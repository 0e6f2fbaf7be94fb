//! What the network answers a guest in its own name: address resolution and ICMP errors.

mod error;

use core::net::Ipv6Addr;

use crate::{
    EmitError, Header, Kind, L4, MacAddr, ParseError,
    arp::{ArpOperation, ArpRepr, ArpView},
    checksum::fill_l4,
    dissect,
    error::room,
    ethernet::{self, EtherType, EthernetRepr, EthernetView},
    icmpv6::Icmpv6Repr,
    ip::protocol,
    ipv6::{self, FlowLabel, Ipv6Repr},
};

pub use error::{IcmpError, Responder, icmp_error};

/// Why no answer is due, or none could be built. Nothing useful is in the buffer then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoReply {
    /// The frame is not a question of the kind asked about: not an ARP request, not a solicitation.
    #[error("frame asks nothing")]
    NotAQuestion,
    /// The frame carries no IP packet to complain about.
    #[error("frame carries no IP packet")]
    NotIp,
    /// An ICMP error or redirect is never answered with an error.
    #[error("packet is itself an ICMP error")]
    IcmpError,
    /// A packet to many is never answered with an error, or everyone would answer.
    #[error("packet is addressed to more than one host")]
    Multicast,
    /// Only the first fragment of a datagram is answered with an error.
    #[error("packet is not the first fragment")]
    NonFirstFragment,
    /// The source does not name a single host: an error would go nowhere, or everywhere.
    #[error("packet source is not a single host")]
    BadSource,
    /// The answering address is not of the packet's family, or the error does not exist in that
    /// family.
    #[error("error cannot be expressed in the packet's IP version")]
    WrongFamily,
    /// A solicitation from off the link: its hop limit is not 255 (RFC 4861 section 7.1.1).
    #[error("solicitation came from off the link")]
    OffLink,
    /// The frame is malformed.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The answer does not fit the buffer.
    #[error(transparent)]
    Emit(#[from] EmitError),
}

/// Answers the ARP request in `frame`: its target address is at `mac`. Returns the answer's length.
pub fn arp_reply(frame: &[u8], mac: MacAddr, out: &mut [u8]) -> Result<usize, NoReply> {
    let ethernet = EthernetView::new(frame)?;
    if ethernet.ethertype() != EtherType::ARP {
        return Err(NoReply::NotAQuestion);
    }
    let request = ArpRepr::parse(ArpView::new(ethernet.payload())?)?;
    if request.operation != ArpOperation::Request {
        return Err(NoReply::NotAQuestion);
    }
    if ethernet.src().is_multicast() || request.sender_mac.is_multicast() {
        return Err(NoReply::BadSource);
    }
    let reply = ArpRepr {
        operation: ArpOperation::Reply,
        sender_mac: mac,
        sender_ip: request.target_ip,
        target_mac: request.sender_mac,
        target_ip: request.sender_ip,
    };
    let len = ethernet::HEADER_LEN + reply.buffer_len();
    let out = room(out, len)?;
    EthernetRepr {
        dst: ethernet.src(),
        src: mac,
        ethertype: EtherType::ARP,
    }
    .emit(out)?;
    reply.emit(&mut out[ethernet::HEADER_LEN..])?;
    Ok(len)
}

/// Answers the neighbour solicitation in `frame`: its target address is at `mac`. `router` says
/// whether that is one. Returns the answer's length.
///
/// To duplicate address detection, which asks without an address of its own, the answer goes to all
/// nodes and is not marked as solicited (RFC 4861 section 7.2.4).
pub fn neighbour_advert(
    frame: &[u8],
    mac: MacAddr,
    router: bool,
    out: &mut [u8],
) -> Result<usize, NoReply> {
    let question = dissect(frame)?;
    let Kind::Ip(packet) = question.kind else {
        return Err(NoReply::NotAQuestion);
    };
    let (L4::NeighbourSolicit { target }, core::net::IpAddr::V6(asker)) = (packet.l4, packet.src)
    else {
        return Err(NoReply::NotAQuestion);
    };
    if packet.ttl != 255 {
        return Err(NoReply::OffLink);
    }
    if target.is_multicast() {
        return Err(NoReply::Multicast);
    }
    if asker.is_multicast() || question.src.is_multicast() {
        return Err(NoReply::BadSource);
    }
    let solicited = !asker.is_unspecified();
    const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let (dst, dst_mac) = if solicited {
        (asker, question.src)
    } else {
        (ALL_NODES, MacAddr::of_ipv6_multicast(ALL_NODES))
    };
    let target_mac = Some(mac);
    let advert = Icmpv6Repr::NeighbourAdvert {
        target,
        router,
        solicited,
        overrides: true,
        target_mac,
    };
    emit_advert(&advert, (mac, target), (dst_mac, dst), out)
}

fn emit_advert(
    advert: &Icmpv6Repr,
    (src_mac, src): (MacAddr, Ipv6Addr),
    (dst_mac, dst): (MacAddr, Ipv6Addr),
    out: &mut [u8],
) -> Result<usize, NoReply> {
    let l4_len = advert.buffer_len();
    let len = ethernet::HEADER_LEN + ipv6::HEADER_LEN + l4_len;
    let out = room(out, len)?;
    let ip = Ipv6Repr {
        traffic_class: 0,
        flow_label: FlowLabel::ZERO,
        payload_len: u16::try_from(l4_len).map_err(|_| EmitError::PayloadTooLong {
            header: Header::Ipv6,
            len: l4_len,
            max: usize::from(u16::MAX),
        })?,
        next_header: protocol::ICMPV6,
        hop_limit: 255,
        src,
        dst,
    };
    EthernetRepr {
        dst: dst_mac,
        src: src_mac,
        ethertype: EtherType::IPV6,
    }
    .emit(out)?;
    ip.emit(&mut out[ethernet::HEADER_LEN..])?;
    advert.emit(&mut out[ethernet::HEADER_LEN + ipv6::HEADER_LEN..])?;
    fill_checksum(out)?;
    Ok(len)
}

/// Fills the ICMP checksum of a frame that was just built.
fn fill_checksum(frame: &mut [u8]) -> Result<(), NoReply> {
    if let Kind::Ip(packet) = dissect(frame)?.kind {
        fill_l4(frame, &packet)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
