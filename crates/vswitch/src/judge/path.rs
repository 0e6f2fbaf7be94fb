//! Where a packet goes: routes and mappings, and the last step off the uplink.

use std::net::IpAddr;

use flow::{DropReason, Encap, FlowId, FlowKey, FlowPair, PortId, Stamp, Transposition, Verdict};
use policy::NicPolicy;
use policy::Observer;
use policy::input::{MappingTarget, NextHop};
use wire::MacAddr;

use super::{Hop, Judge, TCP};
use crate::admission::{admit_addresses, admit_arrival};
use crate::follow::pair_of;
use crate::neighbour::ROUTER_MAC;

impl Judge<'_> {
    /// The route and mapping of a packet: its transposition, or the drop they amount to. A NIC that
    /// has lost the address, or the right to forward for others, has no way for what it may not
    /// send.
    pub(crate) fn path<O: Observer>(
        &self,
        nic: &NicPolicy,
        key: &FlowKey,
        observer: &mut O,
    ) -> Result<Hop, Hop> {
        let dst = key.dst();
        let unmapped = |reason| Hop {
            transposition: Transposition::drop(reason),
            stamp: self.stamp(nic, dst),
        };
        admit_addresses(nic, key.src(), dst).map_err(unmapped)?;
        let Some(route) = nic.route(dst, observer) else {
            return Err(unmapped(DropReason::NoRoute));
        };
        let (missing, (slot, version, target)) = match route.next_hop {
            NextHop::None => return Err(unmapped(DropReason::NoRoute)),
            NextHop::Internet | NextHop::Gateway => return Err(unmapped(DropReason::NoGateway)),
            NextHop::Vnet(vnet) => (
                DropReason::NoMapping,
                self.policy.mapping_observed(vnet, dst, observer),
            ),
            NextHop::Appliance(address) => (
                DropReason::ApplianceUnreachable,
                self.policy.appliance_observed(nic, address, observer),
            ),
        };
        let stamp = Stamp {
            policy: self.policy.generation(),
            path: nic.path_generation,
            mapping_slot: slot.0,
            mapping_version: version,
        };
        let transposition = match target {
            None => Err(missing),
            Some(MappingTarget::Port(port)) => self.deliver(nic, port, key),
            Some(MappingTarget::Remote {
                mac,
                encap,
                vni_of_sender,
            }) => {
                let vni = if vni_of_sender { nic.vni } else { encap.vni };
                self.depart(nic, MacAddr(mac), Encap { vni, ..encap })
            }
        };
        let hop = |transposition| Hop {
            transposition,
            stamp,
        };
        transposition
            .map(hop)
            .map_err(|reason| hop(Transposition::drop(reason)))
    }

    /// The way of a packet that came off the uplink for this NIC: to the NIC, if it may have it.
    ///
    /// The inner TTL stays as it is (SEMANTICS D3): where the network counts as a hop, the sender's
    /// host has counted it.
    pub(super) fn arrival(&self, nic: &NicPolicy, key: &FlowKey) -> Result<Hop, Hop> {
        let stamp = self.stamp(nic, watched(key));
        let hop = |transposition| Hop {
            transposition,
            stamp,
        };
        let dropped = |reason| hop(Transposition::drop(reason));
        admit_arrival(key.src(), key.dst()).map_err(dropped)?;
        if !nic.owns(key.dst()) && !nic.ip_forwarding {
            return Err(dropped(DropReason::ForwardingDisabled));
        }
        Ok(hop(Transposition {
            verdict: Verdict::Deliver(nic.port),
            eth_dst: MacAddr(nic.mac),
            eth_src: ROUTER_MAC,
            decrement_ttl: false,
            mtu: nic.mtu,
            encap: None,
        }))
    }

    /// The key with which a connection's opener sends from now on, if its address has moved: here
    /// from another host, or from here to another host. The policy tells by the answers' way.
    pub(crate) fn relocated(&self, pair: &FlowPair) -> Option<FlowKey> {
        let (key, answers) = (pair.forward.key, pair.reverse?);
        let port = answers.key.port();
        if port.is_from_uplink() {
            return None;
        }
        let peer = self.policy.nic(port)?;
        let way = self.path(peer, &answers.key, &mut ()).ok()?;
        let (before, now) = (answers.transposition.verdict, way.transposition.verdict);
        if before == now {
            return None;
        }
        match now {
            Verdict::Deliver(opener) if key.port().is_from_uplink() => {
                let (nic, key) = (self.policy.nic(opener)?, key.at(opener));
                let way = self.path(nic, &key, &mut ()).ok()?;
                let direct = way.transposition.verdict == Verdict::Deliver(port);
                (direct && nic.owns(key.src())).then_some(key)
            }
            Verdict::Uplink if !key.port().is_from_uplink() => {
                let nic = self.policy.nic(key.port());
                let relayed = nic.is_some_and(|nic| nic.ip_forwarding && !nic.owns(key.src()));
                let (_, _, target) = self.policy.appliance(peer, key.src());
                let away = matches!(target, Some(MappingTarget::Remote { .. }));
                (away && !relayed).then(|| key.at(port.from_uplink()))
            }
            _ => None,
        }
    }

    /// The answers' direction of the connection that a TCP segment without a flow belongs to, because
    /// its sender has moved ([`Judge::relocated`]) and nobody has answered since.
    pub(crate) fn follower(&self, nic: &NicPolicy, key: &FlowKey, opens: bool) -> Option<FlowId> {
        if key.protocol() != TCP || opens {
            return None;
        }
        let receiver = if key.port().is_from_uplink() {
            nic.port
        } else {
            let way = self.path(nic, key, &mut ()).ok()?;
            way.transposition.receiver()?
        };
        let id = self.flows.lookup(&key.reversed_at(receiver))?;
        let pair = pair_of(self.flows, id)?;
        (self.relocated(&pair) == Some(*key)).then_some(id)
    }

    /// The port behind which an address is, as this NIC sees it.
    pub(crate) fn port_of(&self, nic: &NicPolicy, address: IpAddr) -> Option<PortId> {
        match self.policy.appliance(nic, address) {
            (_, _, Some(MappingTarget::Port(port))) => Some(port),
            _ => None,
        }
    }

    fn deliver(
        &self,
        nic: &NicPolicy,
        port: PortId,
        key: &FlowKey,
    ) -> Result<Transposition, DropReason> {
        if port == nic.port {
            return Err(DropReason::RouteLoop);
        }
        let receiver = self.policy.nic(port).ok_or(DropReason::PortDown)?;
        if !receiver.owns(key.dst()) && !receiver.ip_forwarding {
            return Err(DropReason::ForwardingDisabled);
        }
        Ok(Transposition {
            verdict: Verdict::Deliver(port),
            eth_dst: MacAddr(receiver.mac),
            eth_src: ROUTER_MAC,
            decrement_ttl: nic.decrement_ttl,
            mtu: receiver.mtu,
            encap: None,
        })
    }

    fn depart(
        &self,
        nic: &NicPolicy,
        mac: MacAddr,
        encap: Encap,
    ) -> Result<Transposition, DropReason> {
        let uplink = self.policy.uplink().ok_or(DropReason::UplinkUnavailable)?;
        Ok(Transposition {
            verdict: Verdict::Uplink,
            eth_dst: mac,
            eth_src: ROUTER_MAC,
            decrement_ttl: nic.decrement_ttl,
            mtu: uplink.mtu,
            encap: Some(encap),
        })
    }

    /// The stamp of what no mapping led to. It watches the slot that an address has in the NIC's own
    /// network all the same: an address that appears there may be what was missing.
    pub(super) fn stamp(&self, nic: &NicPolicy, address: IpAddr) -> Stamp {
        let (slot, version, _) = self.policy.mapping(nic.vnet, address);
        Stamp {
            policy: self.policy.generation(),
            path: nic.path_generation,
            mapping_slot: slot.0,
            mapping_version: version,
        }
    }
}

/// The address whose mapping a packet depends on: its destination's or, off the uplink, its
/// sender's, so that a connection follows the sender whoever of the two speaks first.
pub(super) fn watched(key: &FlowKey) -> IpAddr {
    if key.port().is_from_uplink() {
        key.src()
    } else {
        key.dst()
    }
}
