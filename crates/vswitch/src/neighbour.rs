//! ARP and neighbour discovery: the switch answers for every address but the guest's own, always
//! with the virtual router's Ethernet address. So a guest needs no broadcast domain, and whatever
//! it sends comes to the switch (as the cloud does: SEMANTICS part 1 D).

use std::net::{IpAddr, Ipv6Addr};

use flow::DropReason;
use policy::NicPolicy;
use wire::arp::{ArpOperation, ArpRepr, ArpView};
use wire::ethernet::HEADER_LEN as ETHERNET_LEN;
use wire::icmp_reply::{arp_reply, neighbour_advert};
use wire::{IpPacket, MacAddr};

pub(crate) const ROUTER_MAC: MacAddr = MacAddr([0x02, 0x63, 0x77, 0x00, 0x00, 0x01]);

/// Judges an ARP frame. On success the answer is in `reply`, and its length is returned.
pub(crate) fn answer_arp(
    nic: &NicPolicy,
    frame: &[u8],
    reply: &mut [u8],
) -> Result<usize, DropReason> {
    let arp = frame
        .get(ETHERNET_LEN..)
        .and_then(|bytes| ArpView::new(bytes).ok())
        .and_then(|view| ArpRepr::parse(view).ok())
        .ok_or(DropReason::Malformed)?;
    let probing = arp.sender_ip.is_unspecified();
    let sender = IpAddr::V4(arp.sender_ip);
    if arp.sender_mac != MacAddr(nic.mac) || !(probing || nic.owns(sender)) {
        return Err(DropReason::SpoofedNeighbour);
    }
    if arp.operation != ArpOperation::Request || !answers_for(nic, IpAddr::V4(arp.target_ip)) {
        return Err(DropReason::UnansweredNeighbour);
    }
    arp_reply(frame, ROUTER_MAC, reply).map_err(|_| DropReason::Malformed)
}

/// Judges a neighbour solicitation, likewise.
///
/// A solicitation from the unspecified address asks whether an address is taken (RFC 4862, 5.4);
/// to answer would tell the guest that its own is, so it ends here.
pub(crate) fn answer_solicitation(
    nic: &NicPolicy,
    ip: &IpPacket,
    target: Ipv6Addr,
    frame: &[u8],
    reply: &mut [u8],
) -> Result<usize, DropReason> {
    let IpAddr::V6(src) = ip.src else {
        return Err(DropReason::Malformed);
    };
    if src.is_unspecified() {
        return Err(DropReason::UnansweredNeighbour);
    }
    if !nic.owns(ip.src) && !src.is_unicast_link_local() {
        return Err(DropReason::SpoofedNeighbour);
    }
    if !answers_for(nic, IpAddr::V6(target)) {
        return Err(DropReason::UnansweredNeighbour);
    }
    // What is refused here came from off the link (RFC 4861, 7.1.1), or contradicts itself.
    neighbour_advert(frame, ROUTER_MAC, true, reply).map_err(|_| DropReason::Malformed)
}

fn answers_for(nic: &NicPolicy, target: IpAddr) -> bool {
    let unicast = match target {
        IpAddr::V4(v4) => !(v4.is_multicast() || v4.is_broadcast() || v4.is_unspecified()),
        IpAddr::V6(v6) => !(v6.is_multicast() || v6.is_unspecified()),
    };
    unicast && !nic.owns(target)
}
