//! ICMP errors: those that guests send belong to the flow whose packet they are about
//! (RFC 792; RFC 4443) and to no other, and are let through exactly where an answer of that flow would
//! be; and those that the switch sends itself.

use flow::{DropReason, FlowId, FlowKey, FlowTable, PortId, Tick};
use wire::dissect::InnerL4;
use wire::icmp_reply::{IcmpError, Responder, icmp_error};
use wire::{IpPacket, L4};

use crate::packet::Packet;
use crate::port::payer;
use crate::switch::is_remembered_drop;
use crate::{Switch, neighbour};

impl Switch {
    /// Tells the sender why, where an ICMP error is due at all (RFC 1122, 3.2.2), at a bounded rate
    /// (RFC 4443, 2.4 (f)).
    ///
    /// It comes from the virtual router, as the guest knows it; from the destination where the
    /// guest knows no router.
    pub(crate) fn complain(&mut self, frame: &[u8], packet: &Packet, error: IcmpError, now: Tick) {
        let port = self.port_mut(payer(packet.key.port()));
        if !port.is_some_and(|port| port.icmp_errors.admit(now)) {
            return;
        }
        let dst = packet.key.dst();
        let nic = self.policy.nic(packet.key.owner());
        let gateway = nic.and_then(|nic| nic.gateway_for(dst));
        let responder = Responder {
            mac: neighbour::ROUTER_MAC,
            ip: gateway.unwrap_or(dst),
        };
        self.reply_len = icmp_error(frame, error, responder, &mut self.reply).unwrap_or(0);
        if packet.key.port().is_from_uplink() {
            self.send_reply_off(&packet.key);
        }
    }
}

/// The flow whose way an error sent from `port` takes: that of the answers to the packet it is
/// about. A refusal is no flow.
pub(crate) fn flow_of(
    flows: &FlowTable,
    port: PortId,
    ip: &IpPacket,
) -> Result<FlowId, DropReason> {
    let L4::IcmpError { inner } = ip.l4 else {
        return Err(DropReason::Malformed);
    };
    let inner = inner.ok_or(DropReason::IcmpErrorNoFlow)?;
    // The error goes to whoever sent the packet it is about.
    if inner.src != ip.dst || inner.src.is_ipv4() != inner.dst.is_ipv4() {
        return Err(DropReason::IcmpErrorNoFlow);
    }
    let (source_port, destination_port) = match inner.l4 {
        InnerL4::Ports { sport, dport } => (sport, dport),
        InnerL4::Echo { request, ident } => (ident, echo_type(inner.src.is_ipv4(), request)),
        InnerL4::Other => (0, 0),
    };
    let about = FlowKey::new(
        port,
        inner.src,
        inner.dst,
        inner.proto,
        source_port,
        destination_port,
    );
    let entry = flows
        .lookup(&about.reversed_at(port))
        .and_then(|id| flows.get(id));
    let entry = entry.filter(|entry| !is_remembered_drop(entry));
    entry
        .map(|entry| entry.id())
        .ok_or(DropReason::IcmpErrorNoFlow)
}

/// Type and code of an echo message, as a key keeps them (RFC 792; RFC 4443, 4.1 and 4.2).
fn echo_type(v4: bool, request: bool) -> u16 {
    let kind: u16 = match (v4, request) {
        (true, true) => 8,
        (true, false) => 0,
        (false, true) => 128,
        (false, false) => 129,
    };
    kind << 8
}
