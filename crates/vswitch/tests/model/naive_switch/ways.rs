//! Where the policy of the moment sends a packet.

use std::net::IpAddr;

use flow::{DropReason, FlowKey, PortId};
use policy::input::{Layer, MappingTarget, NextHop, NicInput};
use policy::{Judgement, MappingSlot, Tuple, naive};

use super::frames::admit;
use super::{Judged, NaiveSwitch};

/// Where a packet goes that may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) target: MappingTarget,
    pub(super) decrement_ttl: bool,
}

impl NaiveSwitch {
    /// The way from a NIC to an address, and the mapping slot that it depends on.
    pub(super) fn way(&self, nic: &NicInput, key: &FlowKey) -> (Judged<Way>, MappingSlot) {
        if key.port().is_from_uplink() {
            let sender = MappingSlot::of(nic.vnet, key.src());
            return (self.way_in(nic, key), sender);
        }
        let dst = key.dst();
        let own = MappingSlot::of(nic.vnet, dst);
        if let Err(reason) = admit(nic, key) {
            return (Err(reason), own);
        }
        let Some(hop) = naive::routes(&nic.routes, dst)
            .first()
            .map(|route| route.next_hop)
        else {
            return (Err(DropReason::NoRoute), own);
        };
        let (target, missing, slot) = match hop {
            NextHop::None => return (Err(DropReason::NoRoute), own),
            NextHop::Internet | NextHop::Gateway => return (Err(DropReason::NoGateway), own),
            NextHop::Vnet(vnet) => (
                naive::mapping(&self.input, vnet, dst),
                DropReason::NoMapping,
                MappingSlot::of(vnet, dst),
            ),
            NextHop::Appliance(address) => (
                naive::appliance(&self.input, nic, address),
                DropReason::ApplianceUnreachable,
                self.appliance_slot(nic, address),
            ),
        };
        let way = Way {
            target: MappingTarget::Port(nic.port),
            decrement_ttl: nic.decrement_ttl,
        };
        let judged = match target {
            None => Err(missing),
            Some(MappingTarget::Port(port)) if port == nic.port => Err(DropReason::RouteLoop),
            Some(MappingTarget::Port(port)) => match self.nic(port) {
                None => Err(DropReason::PortDown),
                Some(receiver) if receiver.ip_forwarding || receiver.addresses.contains(&dst) => {
                    Ok(Way {
                        target: MappingTarget::Port(port),
                        ..way
                    })
                }
                Some(_) => Err(DropReason::ForwardingDisabled),
            },
            Some(_) if self.input.uplink.is_none() => Err(DropReason::UplinkUnavailable),
            Some(mut target) => {
                if let MappingTarget::Remote {
                    encap,
                    vni_of_sender: true,
                    ..
                } = &mut target
                {
                    encap.vni = nic.vni;
                }
                Ok(Way { target, ..way })
            }
        };
        (judged, slot)
    }

    /// Off the uplink to a NIC: what its sender's host counted as hops is counted.
    fn way_in(&self, nic: &NicInput, key: &FlowKey) -> Judged<Way> {
        admit(nic, key)?;
        match nic.ip_forwarding || nic.addresses.contains(&key.dst()) {
            true => Ok(Way {
                target: MappingTarget::Port(nic.port),
                decrement_ttl: false,
            }),
            false => Err(DropReason::ForwardingDisabled),
        }
    }

    /// On which port an address is, as a NIC sees it.
    pub(super) fn port_of(&self, nic: &NicInput, address: IpAddr) -> Option<PortId> {
        match naive::appliance(&self.input, nic, address) {
            Some(MappingTarget::Port(port)) => Some(port),
            _ => None,
        }
    }

    fn appliance_slot(&self, nic: &NicInput, address: IpAddr) -> MappingSlot {
        let own = naive::mapping(&self.input, nic.vnet, address);
        match naive::routes(&nic.routes, address)
            .first()
            .map(|route| route.next_hop)
        {
            Some(NextHop::Vnet(peer)) if own.is_none() => MappingSlot::of(peer, address),
            _ => MappingSlot::of(nic.vnet, address),
        }
    }

    /// The way of an answer, given what is known of who opened the connection.
    pub(super) fn answer_way(
        &self,
        nic: &NicInput,
        answer: &FlowKey,
        opener: &FlowKey,
        known: Option<PortId>,
    ) -> (Judged<Way>, MappingSlot) {
        let (judged, slot) = self.way(nic, answer);
        let Ok(Way {
            target: MappingTarget::Port(third),
            ..
        }) = judged
        else {
            return (judged, slot);
        };
        let admitted =
            third == opener.port() || known == Some(third) || self.was_opened_by(&opener.at(third));
        if admitted {
            return (judged, slot);
        }
        let receiver = self.nic(third).expect("the way leads to it");
        let judged = match naive::inbound(receiver, &Tuple::from(answer)).judgement {
            Judgement::Allow => judged,
            Judgement::Deny(layer) => Err(denied(layer, DropReason::NsgDenyInbound)),
        };
        (judged, slot)
    }

    /// Whether the port has a connection that it opened with this key.
    pub(super) fn was_opened_by(&self, key: &FlowKey) -> bool {
        self.entries
            .get(key)
            .is_some_and(|entry| entry.forward && entry.peer.is_some())
    }
}

pub(super) fn denied(layer: Layer, by_group: DropReason) -> DropReason {
    if layer == Layer::SecurityAdmin {
        DropReason::AdminDeny
    } else {
        by_group
    }
}
