//! Frames off the uplink: out of their tunnel, and to the NIC they are for.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use flow::{DropReason, FlowKey, PortId, Tick, Verdict, outer_source_port};
use policy::{NicPolicy, Snapshot};
use wire::ethernet::HEADER_LEN as ETHERNET_LEN;
use wire::vxlan::pop_vxlan;
use wire::{IpPacket, Kind, MacAddr, Vni, checksum, dissect};

use crate::Switch;
use crate::judge::Judge;
use crate::packet::Packet;
use crate::switch::{Gso, Outcome};

/// What became of a frame off the uplink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FromUplink {
    /// [`Outcome::Deliver`] or [`Outcome::Dropped`].
    pub outcome: Outcome,
    /// The bytes that matter: of a delivered frame the inner one, which is to be sent; of a dropped
    /// one what was counted, the inner frame if it was known whose it is, else the whole.
    pub inner: Range<usize>,
    /// Whose the frame is: the port of the NIC it is for or, if that was not found or is not
    /// attached, [`PortId::UPLINK`]. A drop is counted for this port.
    pub owner: PortId,
}

/// How far a frame has come on its way to a NIC.
struct Place {
    inner: Range<usize>,
    owner: PortId,
}

impl Switch {
    /// What happens to a frame that came off the uplink to this host's provider address and VXLAN
    /// port: `frame` begins with the outer Ethernet header, and the inner frame is rewritten in
    /// place. `gso` is that of the inner packet.
    ///
    /// Who may receive and who may have sent is looked up for every frame in the policy of now;
    /// what follows is [`Switch::process`] with a marked key, tiers and all. There is no answer in
    /// [`Switch::reply`]; an ICMP error for the sender may be in [`Switch::reply_to_uplink`].
    pub fn process_uplink(&mut self, frame: &mut [u8], gso: Option<Gso>, now: Tick) -> FromUplink {
        self.reply_len = 0;
        self.reply_tunnel = None;
        let hint = self.ahead.take();
        if let Some(passed) = self.pass_from_uplink(frame, gso, hint, now) {
            return passed;
        }
        let policy = Arc::clone(&self.policy);
        let mut place = Place {
            inner: 0..frame.len(),
            owner: PortId::UPLINK,
        };
        if let Some(uplink) = self.port_mut(PortId::UPLINK) {
            uplink.counters.from_guest_packets += 1;
            uplink.counters.from_guest_bytes += frame.len() as u64;
        }
        let outcome = self
            .receive(&policy, frame, gso, now, &mut place)
            .unwrap_or_else(Outcome::Dropped);
        let Place { inner, owner } = place;
        self.account_uplink(owner, inner.len() as u64, outcome);
        FromUplink {
            outcome,
            inner,
            owner,
        }
    }

    /// The port of the NIC that a frame with these headers is for: what its VNI, its outer source
    /// (provider address validation, SEMANTICS D6) and its inner Ethernet destination say.
    ///
    /// # Errors
    /// The reason for which [`Switch::process_uplink`] drops it.
    pub fn receiver_off_uplink(
        &self,
        vni: Vni,
        provider: IpAddr,
        inner_destination: MacAddr,
    ) -> Result<PortId, DropReason> {
        receiver(&self.policy, vni, provider, inner_destination)
    }

    /// The ICMP error about the last frame of [`Switch::process_uplink`], for its sender: the
    /// tunnel, the outer UDP source port, and the frame to encapsulate.
    pub fn reply_to_uplink(&self) -> Option<(flow::Encap, u16, &[u8])> {
        let (encap, source_port) = self.reply_tunnel.filter(|_| self.reply_len > 0)?;
        Some((encap, source_port, &self.reply[..self.reply_len]))
    }

    fn receive(
        &mut self,
        policy: &Snapshot,
        frame: &mut [u8],
        gso: Option<Gso>,
        now: Tick,
        place: &mut Place,
    ) -> Result<Outcome, DropReason> {
        if !self.is_up(PortId::UPLINK) || policy.uplink().is_none() {
            return Err(DropReason::UplinkUnavailable);
        }
        let (outer, inner) = pop_vxlan(frame).map_err(|_| DropReason::Malformed)?;
        let mac = frame[inner.clone()].first_chunk().copied();
        let mac = MacAddr(mac.ok_or(DropReason::Malformed)?);
        let port = receiver(policy, outer.vni, outer.outer_src, mac)?;
        let nic = policy.nic(port).ok_or(DropReason::PortDown)?;
        if self.port(port).is_none() {
            // Nobody is here yet whose counters could take it.
            return Err(DropReason::PortDown);
        }
        let frame = &mut frame[inner.clone()];
        *place = Place {
            inner,
            owner: nic.port,
        };
        let ip = match dissect(frame).map_err(|_| DropReason::Malformed)?.kind {
            Kind::Ip(ip) => ip,
            Kind::Arp | Kind::Other { .. } => return Err(DropReason::UnsupportedEthertype),
        };
        if is_for_the_link(&ip, frame) {
            return Err(DropReason::UnansweredNeighbour);
        }
        let congested = outer.dscp_ecn & ECN == ECN_CE;
        if congested && ip.dscp_ecn & ECN == 0 {
            return Err(DropReason::CongestionNotEcnCapable);
        }
        let outcome = self.forward(policy, nic, nic.port.from_uplink(), &ip, frame, gso, now)?;
        if congested {
            mark_congestion(frame, &ip);
        }
        Ok(outcome)
    }

    /// Counts an outcome where it belongs.
    pub(crate) fn account_uplink(&mut self, owner: PortId, bytes: u64, outcome: Outcome) {
        self.count_sent(&outcome, bytes);
        if let Outcome::Dropped(reason) = outcome
            && let Some(port) = self.port_mut(owner)
        {
            port.counters.drops.add(reason, 1, bytes);
        }
        let sent = self
            .reply_to_uplink()
            .map(|(encap, _, reply)| (encap.overhead() + reply.len()) as u64);
        if let (Some(sent), Some(uplink)) = (sent, self.port_mut(PortId::UPLINK)) {
            uplink.counters.answered += 1;
            uplink.counters.to_guest_packets += 1;
            uplink.counters.to_guest_bytes += sent;
        }
    }

    /// Sends the composed reply off the host, to the sender of the packet with this key, the way
    /// that an answer takes. There is no reply if that is not over the uplink.
    pub(crate) fn send_reply_off(&mut self, about: &FlowKey) {
        let len = std::mem::take(&mut self.reply_len);
        let policy = Arc::clone(&self.policy);
        let Some(nic) = policy.nic(about.owner()) else {
            return;
        };
        let judge = Judge {
            policy: &policy,
            flows: &self.flows,
        };
        let Ok(way) = judge.path(nic, &about.reversed_at(nic.port), &mut ()) else {
            return;
        };
        let reply = &mut self.reply[..len];
        let (Verdict::Uplink, Some(encap)) = (way.transposition.verdict, way.transposition.encap)
        else {
            return;
        };
        let fits = reply.len() <= ETHERNET_LEN + usize::from(way.transposition.mtu);
        let Some(key) = key_of(nic, reply).filter(|_| fits) else {
            return;
        };
        reply[..6].copy_from_slice(&way.transposition.eth_dst.0);
        self.reply_tunnel = Some((encap, outer_source_port(&key)));
        self.reply_len = len;
    }
}

/// The ECN field, and its value for congestion experienced (RFC 3168, 5).
const ECN: u8 = 0b11;
const ECN_CE: u8 = 0b11;

fn receiver(
    policy: &Snapshot,
    vni: Vni,
    provider: IpAddr,
    mac: MacAddr,
) -> Result<PortId, DropReason> {
    let segment = policy.segment(vni).ok_or(DropReason::UnknownVni)?;
    if !segment.trusts(provider) {
        return Err(DropReason::UnknownProvider);
    }
    segment.nic(mac.0).ok_or_else(|| {
        if mac.is_broadcast() {
            DropReason::Broadcast
        } else if mac.is_multicast() {
            DropReason::Multicast
        } else {
            DropReason::UnknownDestinationMac
        }
    })
}

/// Whether this is neighbour discovery (RFC 4861, 4): it never leaves its link, and a guest believes
/// what has not been forwarded, which it tells by a hop limit that no tunnel touches.
fn is_for_the_link(ip: &IpPacket, frame: &[u8]) -> bool {
    const ICMPV6: u8 = 58;
    let first = ip.fragment.is_none_or(|fragment| fragment.is_first());
    let kind = frame.get(ip.l4_offset).copied();
    let whole = matches!(ip.src, IpAddr::V6(_)) && ip.proto == ICMPV6 && first;
    whole && kind.is_some_and(|kind| (133..=137).contains(&kind))
}

/// Sets congestion experienced on the inner packet, which is ECN-capable (RFC 6040, 4.2).
fn mark_congestion(frame: &mut [u8], ip: &IpPacket) {
    let Some(header) = frame.get_mut(ip.l3_offset..ip.l4_offset) else {
        return;
    };
    if ip.src.is_ipv6() {
        // The traffic class lies across two bytes (RFC 8200, 3).
        header[1] |= ECN_CE << 4;
        return;
    }
    let before = u16::from_be_bytes([header[0], header[1]]);
    header[1] |= ECN_CE;
    let after = u16::from_be_bytes([header[0], header[1]]);
    let sum = u16::from_be_bytes([header[10], header[11]]);
    let sum = checksum::update_u16(sum, before, after).to_be_bytes();
    header[10..12].copy_from_slice(&sum);
}

fn key_of(nic: &NicPolicy, frame: &[u8]) -> Option<FlowKey> {
    match dissect(frame).ok()?.kind {
        Kind::Ip(ip) => Some(Packet::new(nic.port, &ip, frame, None).key),
        Kind::Arp | Kind::Other { .. } => None,
    }
}
