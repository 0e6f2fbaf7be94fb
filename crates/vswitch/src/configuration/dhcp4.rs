//! DHCP (RFC 2131): the lease is the NIC's first IPv4 address, the server is its gateway.

use std::net::{IpAddr, Ipv4Addr};

use flow::DropReason;
use ipnet::{IpNet, Ipv4Net};
use policy::NicPolicy;
use wire::dhcpv4::{
    CLIENT_PORT, Dhcpv4Repr, Dhcpv4View, Dhcpv4Writer, MessageType, PACKET_LEN_MIN, SERVER_PORT,
    option,
};
use wire::envelope::{self, Ends, UDP_V4_PAYLOAD_AT};
use wire::{EmitError, IpPacket, MacAddr};

use super::{LEASE_SECONDS, RENEWAL_SECONDS, payload, v4};
use crate::neighbour::ROUTER_MAC;

/// When a client asks any server (T2: RFC 2131, 4.4.5).
const REBINDING_SECONDS: u32 = LEASE_SECONDS / 8 * 7;
/// Bytes of IP and UDP header, which count towards a client's largest message.
const HEADERS_LEN: usize = 28;
/// Name servers that one option holds.
const DNS_SERVERS_MAX: usize = u8::MAX as usize / 4;

/// What there is to tell a NIC.
struct Lease {
    address: Ipv4Addr,
    subnet: Ipv4Net,
    /// The gateway, by which the server is known.
    server: Ipv4Addr,
}

/// What a message is answered with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Offer,
    /// To a client that has the lease already, or is to have it.
    Ack {
        client_address: Ipv4Addr,
    },
    /// All but the lease, to a client that came by this address otherwise.
    Information {
        client_address: Ipv4Addr,
    },
    Nak,
}

/// Judges a message. On success the answer is in `reply`, and its length is returned.
pub(super) fn answer(
    nic: &NicPolicy,
    ip: &IpPacket,
    frame: &[u8],
    reply: &mut [u8],
) -> Result<usize, DropReason> {
    if !matches!(ip.src, IpAddr::V4(src) if src.is_unspecified()) && !nic.owns(ip.src) {
        return Err(DropReason::SpoofedIp);
    }
    let message = Dhcpv4View::new(payload(ip, frame)?).map_err(|_| DropReason::Malformed)?;
    if !message.is_ethernet_request() || message.relay().is_some() {
        return Err(DropReason::UnansweredConfiguration);
    }
    if message.client_mac() != MacAddr(nic.mac) {
        return Err(DropReason::SpoofedMac);
    }
    let (lease, answer) = Lease::of(nic)
        .and_then(|lease| {
            let answer = lease.judge(nic, &message)?;
            Some((lease, answer))
        })
        .ok_or(DropReason::UnansweredConfiguration)?;
    lease
        .emit(nic, &message, answer, reply)
        .map_err(|_| DropReason::UnansweredConfiguration)
}

impl Lease {
    fn of(nic: &NicPolicy) -> Option<Lease> {
        let mut with_subnets = nic.addresses.iter().zip(&nic.subnets);
        let (address, subnet) = with_subnets.find_map(|pair| match pair {
            (IpAddr::V4(address), IpNet::V4(subnet)) => Some((*address, *subnet)),
            _ => None,
        })?;
        let server = v4(&nic.gateway_for(address.into())?)?;
        Some(Lease {
            address,
            subnet,
            server,
        })
    }

    /// RFC 2131, 4.3. None when nothing is to be said.
    fn judge(&self, nic: &NicPolicy, message: &Dhcpv4View<'_>) -> Option<Answer> {
        let client_address = message.client_address();
        match message.message_type()? {
            MessageType::Discover => Some(Answer::Offer),
            MessageType::Request => self.judge_request(message),
            MessageType::Inform if nic.owns(client_address.into()) => {
                Some(Answer::Information { client_address })
            }
            _ => None,
        }
    }

    /// RFC 2131, 4.3.2: a client that was offered the address names the server; one that starts
    /// again asks for the address it had; one that goes on has it.
    fn judge_request(&self, message: &Dhcpv4View<'_>) -> Option<Answer> {
        let server = message.option(option::SERVER_ID);
        if server.is_some_and(|id| id != self.server.octets()) {
            return None;
        }
        let client_address = message.client_address();
        let has = (!client_address.is_unspecified()).then_some(client_address);
        let wants = message.address_option(option::REQUESTED_ADDRESS).or(has)?;
        let right = wants == self.address && has.is_none_or(|has| has == self.address);
        Some(if right {
            Answer::Ack { client_address }
        } else {
            Answer::Nak
        })
    }

    fn emit(
        &self,
        nic: &NicPolicy,
        message: &Dhcpv4View<'_>,
        answer: Answer,
        reply: &mut [u8],
    ) -> Result<usize, EmitError> {
        let none = Ipv4Addr::UNSPECIFIED;
        let (client_address, your_address) = match answer {
            Answer::Offer => (none, self.address),
            Answer::Ack { client_address } => (client_address, self.address),
            Answer::Information { client_address } => (client_address, none),
            Answer::Nak => (none, none),
        };
        // RFC 2131, 4.1: where the answer goes.
        let dst = if answer == Answer::Nak {
            Ipv4Addr::BROADCAST
        } else if !client_address.is_unspecified() {
            client_address
        } else if message.broadcast() {
            Ipv4Addr::BROADCAST
        } else {
            self.address
        };
        let head = Dhcpv4Repr {
            reply: true,
            xid: message.xid(),
            broadcast: message.broadcast(),
            client_address,
            your_address,
            client_mac: MacAddr(nic.mac),
        };
        let area = reply.get_mut(UDP_V4_PAYLOAD_AT..).unwrap_or_default();
        let longest = area.len().min(message_len_max(nic, message));
        let mut writer = Dhcpv4Writer::new(&mut area[..longest], &head)?;
        self.write_options(nic, message, answer, &mut writer)?;
        let len = writer.finish();
        let ends = Ends {
            src_mac: ROUTER_MAC,
            dst_mac: if dst.is_broadcast() {
                MacAddr::BROADCAST
            } else {
                MacAddr(nic.mac)
            },
            src: self.server,
            dst,
        };
        envelope::udp_v4(reply, &ends, (SERVER_PORT, CLIENT_PORT), len)
    }

    /// What the client must have comes first: what does not fit is left out.
    fn write_options(
        &self,
        nic: &NicPolicy,
        message: &Dhcpv4View<'_>,
        answer: Answer,
        writer: &mut Dhcpv4Writer<'_>,
    ) -> Result<(), EmitError> {
        let kind = match answer {
            Answer::Offer => MessageType::Offer,
            Answer::Ack { .. } | Answer::Information { .. } => MessageType::Ack,
            Answer::Nak => MessageType::Nak,
        };
        writer.option(option::MESSAGE_TYPE, &[kind as u8])?;
        writer.option(option::SERVER_ID, &self.server.octets())?;
        // RFC 6842.
        if let Some(id) = message.option(option::CLIENT_ID) {
            writer.option(option::CLIENT_ID, id)?;
        }
        if answer == Answer::Nak {
            return Ok(());
        }
        if !matches!(answer, Answer::Information { .. }) {
            for (code, seconds) in [
                (option::LEASE_TIME, LEASE_SECONDS),
                (option::RENEWAL_TIME, RENEWAL_SECONDS),
                (option::REBINDING_TIME, REBINDING_SECONDS),
            ] {
                writer.option(code, &seconds.to_be_bytes())?;
            }
        }
        writer.option(option::SUBNET_MASK, &self.subnet.netmask().octets())?;
        let mut offer = |code, value: &[u8]| {
            if !value.is_empty() && message.wants(code) && value.len() <= writer.room() {
                writer.option(code, value)?;
            }
            Ok(())
        };
        let gateway = self.server.octets();
        if nic.primary {
            // RFC 3442: whoever understands routes with lengths heeds no others, so both say it.
            let [a, b, c, d] = gateway;
            offer(option::CLASSLESS_ROUTES, &[0, a, b, c, d])?;
            offer(option::ROUTER, &gateway)?;
        }
        offer(option::INTERFACE_MTU, &nic.mtu.to_be_bytes())?;
        offer(option::BROADCAST_ADDRESS, &self.subnet.broadcast().octets())?;
        if message.wants(option::DNS_SERVERS) {
            write_dns(nic, writer)?;
        }
        Ok(())
    }
}

/// As many name servers as there is room for.
fn write_dns(nic: &NicPolicy, writer: &mut Dhcpv4Writer<'_>) -> Result<(), EmitError> {
    let mut octets = [0; DNS_SERVERS_MAX * 4];
    let fitting = DNS_SERVERS_MAX.min(writer.room() / 4);
    let mut len = 0;
    for server in nic.dns_servers.iter().filter_map(v4).take(fitting) {
        octets[len..len + 4].copy_from_slice(&server.octets());
        len += 4;
    }
    if len > 0 {
        writer.option(option::DNS_SERVERS, &octets[..len])?;
    }
    Ok(())
}

/// What the client takes and its NIC lets through.
fn message_len_max(nic: &NicPolicy, message: &Dhcpv4View<'_>) -> usize {
    let takes = message.u16_option(option::MAX_MESSAGE_SIZE).unwrap_or(0);
    let packet = takes.max(PACKET_LEN_MIN).min(nic.mtu);
    usize::from(packet).saturating_sub(HEADERS_LEN)
}
