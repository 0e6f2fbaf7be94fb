//! Tier 1 for the commonest packets: a current hit, executed without a detour.
//!
//! This is no second opinion: it takes a packet only where [`Switch::process`] would do the same to
//! it, byte for byte and count for count, and leaves every other one untouched.

use flow::{Basis, FlowTable, Hint, PortId, Stamp, Tick, Verdict, outer_source_port};
use policy::{MappingSlot, NicPolicy, Snapshot};
use wire::MacAddr;
use wire::dissect::{plain, plain_head};

use crate::neighbour::ROUTER_MAC;
use crate::packet::Packet;
use crate::port::Port;
use crate::switch::Gso;
use crate::tunnelled::Tunnelled;
use crate::{FromUplink, Outcome, Switch};

impl Switch {
    /// Processes a frame of `len` bytes of the guest behind `port`, if it is one for here. Its first
    /// bytes are at hand.
    #[inline]
    pub(crate) fn pass(
        &mut self,
        port: PortId,
        head: &mut [u8],
        len: usize,
        gso: Option<Gso>,
        hint: Hint,
        now: Tick,
    ) -> Option<Outcome> {
        let found = plain_head(head, len)?;
        let nic = self.policy.nic(port)?;
        if found.dst != ROUTER_MAC || found.src != MacAddr(nic.mac) {
            return None;
        }
        // A frame of no port is counted nowhere, which is not for here.
        self.ports.get(usize::from(port.0))?.as_ref()?;
        let packet = Packet::of_plain(port, &found, gso);
        let passage = Passage {
            policy: &self.policy,
            nic,
            ports: &mut self.ports,
        };
        let outcome = passage.execute(&mut self.flows, &packet, head, len, hint, now)?;
        if let Some(sender) = self.port_mut(port) {
            sender.count_from_guest(len);
            if let Outcome::Dropped(reason) = outcome {
                sender.counters.drops.add(reason, 1, len as u64);
            }
        }
        Some(outcome)
    }

    /// Processes a frame off the uplink, if it is one for here.
    #[inline]
    pub(crate) fn pass_from_uplink(
        &mut self,
        frame: &mut [u8],
        gso: Option<Gso>,
        hint: Hint,
        now: Tick,
    ) -> Option<FromUplink> {
        let outer_len = frame.len();
        let tunnelled = Tunnelled::of(frame)?;
        let owner = self.admitted.owner(&self.policy, &tunnelled.tunnel)?;
        let nic = self.policy.nic(owner)?;
        let open = self.is_up(PortId::UPLINK) && self.policy.uplink().is_some();
        // What congestion does to the inner packet is not for here.
        if !open || tunnelled.congested {
            return None;
        }
        let inner = tunnelled.inner;
        let frame = &mut frame[inner.clone()];
        let packet = Packet::of_plain(owner.from_uplink(), &plain(frame)?, gso);
        let passage = Passage {
            policy: &self.policy,
            nic,
            ports: &mut self.ports,
        };
        let len = frame.len();
        let outcome = passage.execute(&mut self.flows, &packet, frame, len, hint, now)?;
        if let Some(uplink) = self.port_mut(PortId::UPLINK) {
            uplink.count_from_guest(outer_len);
        }
        if let Outcome::Dropped(reason) = outcome
            && let Some(port) = self.port_mut(owner)
        {
            port.counters.drops.add(reason, 1, inner.len() as u64);
        }
        Some(FromUplink {
            outcome,
            inner,
            owner,
        })
    }
}

/// What a packet is held against.
struct Passage<'a> {
    policy: &'a Snapshot,
    /// The NIC that sent it or, off the uplink, that it is for.
    nic: &'a NicPolicy,
    ports: &'a mut [Option<Port>],
}

impl Passage<'_> {
    /// Executes a current hit of a packet that is whole, and counts it for the flow and for who gets
    /// it. Nothing has happened where the answer is none.
    #[inline(always)] // Half of the work would be to hand over what it needs.
    fn execute(
        self,
        flows: &mut FlowTable,
        packet: &Packet,
        head: &mut [u8],
        len: usize,
        hint: Hint,
        now: Tick,
    ) -> Option<Outcome> {
        let mut hit = flows.hit(&packet.key, hint)?;
        let drops = hit.drops();
        let opens = packet.opens() && (hit.is_paired() || !drops);
        if opens
            || !hit.has_seen(packet.tcp_flags)
            || hit.is_deferred()
            || is_behind(self.policy, self.nic, hit.basis(), drops)
        {
            return None;
        }
        let bytes = len as u64;
        let (receiver, encap) = match hit.verdict() {
            Verdict::Deliver(port) => (port, None),
            Verdict::Uplink => (PortId::UPLINK, Some(hit.encap()?)),
            Verdict::Drop(reason) => {
                hit.record(bytes, now);
                return Some(Outcome::Dropped(reason));
            }
        };
        let port = self.ports.get_mut(usize::from(receiver.0))?.as_mut()?;
        let too_long = packet.largest_packet > usize::from(hit.mtu());
        let too_old = hit.decrements_ttl() && packet.ttl <= 1;
        if !port.up || too_long || too_old {
            return None;
        }
        hit.rewrite(head, packet.l3_offset, packet.key.family())
            .ok()?;
        hit.record(bytes, now);
        match encap {
            None => {
                port.count_to_guest(bytes);
                Some(Outcome::Deliver(receiver))
            }
            Some(encap) => {
                port.count_to_guest(bytes + encap.overhead() as u64);
                Some(Outcome::Uplink {
                    encap: *encap,
                    source_port: outer_source_port(&packet.key),
                })
            }
        }
    }
}

/// Whether a hit has to be looked at anew before it is executed.
pub(crate) fn is_stale(policy: &Snapshot, nic: &NicPolicy, stamp: &Stamp, drops: bool) -> bool {
    is_behind(policy, nic, &stamp.basis(drops), drops)
}

#[inline]
fn is_behind(policy: &Snapshot, nic: &NicPolicy, basis: &Basis, drops: bool) -> bool {
    let moved = basis.mapping_version != policy.slot_version(MappingSlot(basis.mapping_slot));
    let current = if drops {
        policy.generation()
    } else {
        nic.path_generation
    };
    moved || basis.generation != current
}
