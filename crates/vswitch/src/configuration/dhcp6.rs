//! DHCPv6 (RFC 8415): the first association of addresses gets all of the NIC's; there are no
//! temporary addresses and no prefixes to delegate.

use std::net::{IpAddr, Ipv6Addr};

use flow::DropReason;
use policy::NicPolicy;
use wire::dhcpv6::{
    Association, CLIENT_PORT, Dhcpv6View, Dhcpv6Writer, SERVER_PORT, Status, message, option,
};
use wire::envelope::{self, Ends, UDP_V6_PAYLOAD_AT};
use wire::{EmitError, IpPacket, MacAddr};

use super::{LEASE_SECONDS, RENEWAL_SECONDS, ROUTER_LINK_LOCAL, payload, v6};
use crate::neighbour::ROUTER_MAC;

/// When a client asks any server (T2: RFC 8415, 21.4).
const REBINDING_SECONDS: u32 = LEASE_SECONDS / 10 * 8;
/// Addresses that are told of, the first ones: with the longest identifiers and 20 name servers
/// they fit a packet of 1,280 bytes.
const ADDRESSES_MAX: usize = 24;
/// Name servers that are told of, as many as a virtual network may have.
const DNS_SERVERS_MAX: usize = 20;
/// The server is known by the router's Ethernet address: a DUID-LL (RFC 8415, 11.4).
const SERVER_DUID: [u8; 10] = {
    let [a, b, c, d, e, f] = ROUTER_MAC.0;
    [0, 3, 0, 1, a, b, c, d, e, f]
};
/// No other server could do better: the client need not wait for one (RFC 8415, 18.2.1).
const PREFERENCE: u8 = 255;

/// What a message is answered with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// An offer of the NIC's addresses.
    Advertise,
    /// The NIC's addresses, and this to those who want something else.
    Lease { rapid: bool, renewing: bool },
    /// That the NIC's addresses are what it should have, or that what it has is not.
    Status(Status),
    /// All but addresses.
    Information,
}

/// Judges a message. On success the answer is in `reply`, and its length is returned.
pub(super) fn answer(
    nic: &NicPolicy,
    ip: &IpPacket,
    frame: &[u8],
    reply: &mut [u8],
) -> Result<usize, DropReason> {
    let IpAddr::V6(src) = ip.src else {
        return Err(DropReason::Malformed);
    };
    if !src.is_unicast_link_local() && !nic.owns(ip.src) {
        return Err(DropReason::SpoofedIp);
    }
    let message = Dhcpv6View::new(payload(ip, frame)?).map_err(|_| DropReason::Malformed)?;
    if !nic.addresses.iter().any(IpAddr::is_ipv6) || !has_right_identifiers(&message) {
        return Err(DropReason::UnansweredConfiguration);
    }
    let answer = judge(nic, &message).ok_or(DropReason::UnansweredConfiguration)?;
    let well_formed = associations(&message).all(|association| association.is_some());
    if !well_formed {
        return Err(DropReason::Malformed);
    }
    let ends = Ends {
        src_mac: ROUTER_MAC,
        dst_mac: MacAddr(nic.mac),
        src: ROUTER_LINK_LOCAL,
        dst: src,
    };
    let area = reply.get_mut(UDP_V6_PAYLOAD_AT..).unwrap_or_default();
    write(nic, &message, answer, area)
        .and_then(|len| envelope::udp_v6(reply, &ends, (SERVER_PORT, CLIENT_PORT), len))
        .map_err(|_| DropReason::UnansweredConfiguration)
}

/// RFC 8415, 16: who must say who it is, and whom it means.
fn has_right_identifiers(message: &Dhcpv6View<'_>) -> bool {
    let client = message.options().first(option::CLIENT_ID);
    // RFC 8415, 11.1: the type, and 1 to 128 bytes.
    let is_duid = |id: &[u8]| (3..=130).contains(&id.len());
    let named = client.is_some_and(is_duid);
    let server = message.options().first(option::SERVER_ID);
    let means_us = server.map(|id| id == SERVER_DUID);
    match message.message_type() {
        message::SOLICIT | message::CONFIRM | message::REBIND => named && means_us.is_none(),
        message::REQUEST | message::RENEW | message::RELEASE | message::DECLINE => {
            named && means_us == Some(true)
        }
        message::INFORMATION_REQUEST => {
            let asks_for_addresses = message
                .options()
                .any(|(code, _)| matches!(code, option::IA_NA | option::IA_TA | option::IA_PD));
            (named || client.is_none()) && means_us != Some(false) && !asks_for_addresses
        }
        _ => false,
    }
}

/// RFC 8415, 18.3. None when nothing is to be said.
fn judge(nic: &NicPolicy, message: &Dhcpv6View<'_>) -> Option<Answer> {
    let rapid = message.options().first(option::RAPID_COMMIT).is_some();
    Some(match message.message_type() {
        message::SOLICIT if !rapid => Answer::Advertise,
        message::SOLICIT | message::REQUEST => Answer::Lease {
            rapid: message.message_type() == message::SOLICIT,
            renewing: false,
        },
        message::RENEW | message::REBIND => Answer::Lease {
            rapid: false,
            renewing: true,
        },
        message::CONFIRM => {
            let mut addresses = associations(message)
                .flatten()
                .flat_map(|one| one.addresses());
            let first = addresses.next()?;
            let right = nic.owns(first.into()) && addresses.all(|other| nic.owns(other.into()));
            // Others of the subnet are on the link too, and would be dropped as spoofed.
            Answer::Status(if right {
                Status::Success
            } else {
                Status::NotOnLink
            })
        }
        message::RELEASE | message::DECLINE => Answer::Status(Status::Success),
        message::INFORMATION_REQUEST => Answer::Information,
        _ => return None,
    })
}

/// The associations of addresses; None for one that is malformed.
fn associations<'m>(
    message: &Dhcpv6View<'m>,
) -> impl Iterator<Item = Option<Association<'m>>> + use<'m> {
    message
        .options()
        .filter(|(code, _)| *code == option::IA_NA)
        .map(|(_, value)| Association::parse(value).ok())
}

fn write(
    nic: &NicPolicy,
    message: &Dhcpv6View<'_>,
    answer: Answer,
    area: &mut [u8],
) -> Result<usize, EmitError> {
    let kind = match answer {
        Answer::Advertise => message::ADVERTISE,
        _ => message::REPLY,
    };
    let mut writer = Dhcpv6Writer::new(area, kind, message.transaction())?;
    if let Some(client) = message.options().first(option::CLIENT_ID) {
        writer.option(option::CLIENT_ID, client)?;
    }
    writer.option(option::SERVER_ID, &SERVER_DUID)?;
    match answer {
        Answer::Status(status) => {
            writer.status(status)?;
            return Ok(writer.finish());
        }
        Answer::Information => {}
        Answer::Advertise => {
            writer.option(option::PREFERENCE, &[PREFERENCE])?;
            write_leases(nic, message, false, &mut writer)?;
        }
        Answer::Lease { rapid, renewing } => {
            if rapid {
                writer.option(option::RAPID_COMMIT, &[])?;
            }
            write_leases(nic, message, renewing, &mut writer)?;
        }
    }
    let mut servers = nic
        .dns_servers
        .iter()
        .filter_map(v6)
        .take(DNS_SERVERS_MAX)
        .peekable();
    if message.wants(option::DNS_SERVERS) && servers.peek().is_some() {
        writer.nested(option::DNS_SERVERS, |writer| {
            servers.try_for_each(|server| writer.bytes(&server.octets()))
        })?;
    }
    Ok(writer.finish())
}

/// The NIC's addresses in the first association that may have any, and a refusal in all others.
fn write_leases(
    nic: &NicPolicy,
    message: &Dhcpv6View<'_>,
    renewing: bool,
    writer: &mut Dhcpv6Writer<'_>,
) -> Result<(), EmitError> {
    let mut leased = false;
    for (code, value) in message.options() {
        let id = value.first_chunk().map_or(0, |id| u32::from_be_bytes(*id));
        let refusal = |otherwise| {
            if renewing {
                Status::NoBinding
            } else {
                otherwise
            }
        };
        match code {
            option::IA_NA if !leased => {
                leased = true;
                let times = (RENEWAL_SECONDS, REBINDING_SECONDS);
                writer.association(code, id, times, |writer| {
                    write_addresses(nic, value, renewing, writer)
                })?;
            }
            option::IA_NA => writer.association(code, id, (0, 0), |writer| {
                writer.status(refusal(Status::NoAddrsAvail))
            })?,
            option::IA_PD => writer.association(code, id, (0, 0), |writer| {
                writer.status(refusal(Status::NoPrefixAvail))
            })?,
            // This one has no times.
            option::IA_TA => writer.nested(code, |writer| {
                writer.bytes(&id.to_be_bytes())?;
                writer.status(refusal(Status::NoAddrsAvail))
            })?,
            _ => {}
        }
    }
    Ok(())
}

/// The NIC's own; and when a client goes on with others, that those are good no more (RFC 8415,
/// 18.3.4).
fn write_addresses(
    nic: &NicPolicy,
    value: &[u8],
    renewing: bool,
    writer: &mut Dhcpv6Writer<'_>,
) -> Result<(), EmitError> {
    for address in nic.addresses.iter().filter_map(v6).take(ADDRESSES_MAX) {
        writer.address(address, LEASE_SECONDS, LEASE_SECONDS)?;
    }
    if let Ok(association) = Association::parse(value)
        && renewing
    {
        let foreign = |address: &Ipv6Addr| !nic.owns((*address).into());
        let mut gone = association.addresses().filter(foreign);
        gone.try_for_each(|address| writer.address(address, 0, 0))?;
    }
    Ok(())
}
