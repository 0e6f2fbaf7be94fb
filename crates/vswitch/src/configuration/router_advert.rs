//! Router advertisements (RFC 4861, 4.2 and 6.2; RFC 8106).
//!
//! What a stock guest makes of ours: addresses come by DHCPv6 (flags M and O); the subnet is on the
//! link, so that a NIC without default route reaches it too; no address is to be made of it (flag A
//! clear), for anti-spoofing would drop what is sent from one. The default route leads to the
//! router's link-local address, at the primary NIC only (SEMANTICS part 1 D).

use std::net::{IpAddr, Ipv6Addr};

use flow::DropReason;
use ipnet::IpNet;
use policy::NicPolicy;
use wire::checksum::{L4Check, verify_l4};
use wire::envelope::{self, Ends};
use wire::icmpv6::{
    Icmpv6View, PrefixInformation, RouterAdvert, RouterAdvertWriter, RouterSolicitView,
};
use wire::{EmitError, IpPacket, MacAddr};

use super::{ROUTER_LINK_LOCAL, v6};
use crate::neighbour::ROUTER_MAC;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Neighbour discovery never left its link (RFC 4861, 7.1).
const HOP_LIMIT: u8 = 255;
/// What guests are to send with.
const HOPS: u8 = 64;
/// The most a router may ask for (RFC 8319): the guest keeps its route while no agent is there.
const ROUTER_SECONDS: u16 = u16::MAX;
const FOR_EVER: u32 = u32::MAX;
/// The least MTU there is (RFC 8200, 5): less is not to be said.
const MTU_MIN: u16 = 1_280;
/// Prefixes of a subnet that are told of: the first ones.
const PREFIXES_MAX: usize = 16;

/// Judges a router solicitation (RFC 4861, 6.1.1). On success the answer is in `reply`, and its
/// length is returned.
pub(super) fn answer(
    nic: &NicPolicy,
    ip: &IpPacket,
    frame: &[u8],
    reply: &mut [u8],
) -> Result<usize, DropReason> {
    let IpAddr::V6(src) = ip.src else {
        return Err(DropReason::Malformed);
    };
    let packet = frame.get(ip.l4_offset..ip.l3_offset + ip.l3_len);
    let solicit = packet
        .and_then(|packet| Icmpv6View::new(packet).ok())
        .and_then(|message| RouterSolicitView::new(message).ok())
        .ok_or(DropReason::Malformed)?;
    let valid = ip.ttl == HOP_LIMIT && verify_l4(frame, ip) == Ok(L4Check::Valid);
    let source_mac = solicit.source_mac();
    if !valid || (src.is_unspecified() && source_mac.is_some()) {
        return Err(DropReason::Malformed);
    }
    let itself = src.is_unspecified() || src.is_unicast_link_local() || nic.owns(ip.src);
    if !itself || source_mac.is_some_and(|mac| mac != MacAddr(nic.mac)) {
        return Err(DropReason::SpoofedNeighbour);
    }
    if src.is_unspecified() {
        to_all(nic, reply)
    } else {
        emit(nic, src, MacAddr(nic.mac), reply)
    }
}

/// Writes the advertisement that everybody on the NIC's link is meant to hear.
pub(super) fn to_all(nic: &NicPolicy, reply: &mut [u8]) -> Result<usize, DropReason> {
    let mac = MacAddr::of_ipv6_multicast(ALL_NODES);
    emit(nic, ALL_NODES, mac, reply)
}

fn emit(
    nic: &NicPolicy,
    dst: Ipv6Addr,
    dst_mac: MacAddr,
    reply: &mut [u8],
) -> Result<usize, DropReason> {
    if !nic.addresses.iter().any(IpAddr::is_ipv6) {
        return Err(DropReason::UnansweredConfiguration);
    }
    let ends = Ends {
        src_mac: ROUTER_MAC,
        dst_mac,
        src: ROUTER_LINK_LOCAL,
        dst,
    };
    let message = reply.get_mut(envelope::ICMPV6_AT..).unwrap_or_default();
    write(nic, message)
        .and_then(|len| envelope::icmpv6(reply, &ends, HOP_LIMIT, len))
        .map_err(|_| DropReason::UnansweredConfiguration)
}

fn write(nic: &NicPolicy, message: &mut [u8]) -> Result<usize, EmitError> {
    let advert = RouterAdvert {
        hop_limit: HOPS,
        managed: true,
        other: true,
        lifetime: if nic.primary { ROUTER_SECONDS } else { 0 },
    };
    let mut writer = RouterAdvertWriter::new(message, &advert)?;
    writer.source_mac(ROUTER_MAC)?;
    if nic.mtu >= MTU_MIN {
        writer.mtu(nic.mtu.into())?;
    }
    let is_new = |index: usize, subnet: &IpNet| !nic.subnets[..index].contains(subnet);
    let subnets = nic.subnets.iter().enumerate();
    let new = subnets.filter(|(index, subnet)| is_new(*index, subnet));
    let v6_only = new.filter_map(|(_, subnet)| match subnet {
        IpNet::V4(_) => None,
        IpNet::V6(subnet) => Some(subnet),
    });
    for subnet in v6_only.take(PREFIXES_MAX) {
        writer.prefix(&PrefixInformation {
            prefix: subnet.network(),
            length: subnet.prefix_len(),
            on_link: true,
            autonomous: false,
            valid: FOR_EVER,
            preferred: FOR_EVER,
        })?;
    }
    writer.dns_servers(FOR_EVER, nic.dns_servers.iter().filter_map(v6))?;
    Ok(writer.finish())
}
