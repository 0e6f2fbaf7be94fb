//! The slow path: from a first packet to the transpositions of both directions.

use std::net::IpAddr;

use flow::{DropReason, FlowKey, FlowTable, PortId, Stamp, Transposition, Verdict};
use policy::input::{Layer, MappingTarget, NextHop};
use policy::{Judgement, NicPolicy, Observer, Snapshot, Tuple};
use wire::MacAddr;

use crate::admission::admit_addresses;
use crate::neighbour::ROUTER_MAC;

/// The Ethernet address of the virtual router, the same on every port: what ARP answers say, and
/// the source of everything a guest receives. Locally administered.
pub fn router_mac() -> MacAddr {
    ROUTER_MAC
}

const TCP: u8 = 6;

/// Where a packet goes, once its route is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hop {
    pub(crate) transposition: Transposition,
    pub(crate) stamp: Stamp,
}

/// What the policy says of a first packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decision {
    pub(crate) forward: Hop,
    /// The answer's direction; none for a drop, for a remote receiver, and for a packet that is
    /// itself an answer which came round by another way.
    pub(crate) reverse: Option<Reverse>,
    /// Whether a drop may be remembered: not where that would drop the answers of a connection, or
    /// where what is missing may come without a change of policy.
    pub(crate) memorable: bool,
}

/// The direction the answer takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reverse {
    pub(crate) key: FlowKey,
    pub(crate) hop: Hop,
}

/// Which rules still have a say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    /// All: this may be a new connection.
    Apply,
    /// All, of an established connection: re-evaluation was asked for.
    Again,
    /// None: the connection is established, and only its path may have changed.
    Established {
        /// The port the answers are sent to at present.
        answers_to: Option<PortId>,
    },
}

impl Rules {
    fn are_asked(self) -> bool {
        !matches!(self, Rules::Established { .. })
    }
}

/// The policy and the connections it is walked against.
#[derive(Clone, Copy)]
pub(crate) struct Judge<'a> {
    pub(crate) policy: &'a Snapshot,
    pub(crate) flows: &'a FlowTable,
}

impl Judge<'_> {
    /// Judges a packet with this key. `opens` is false for a TCP segment that opens nothing.
    pub(crate) fn decide<O: Observer>(
        &self,
        nic: &NicPolicy,
        key: &FlowKey,
        opens: bool,
        rules: Rules,
        observer: &mut O,
    ) -> Decision {
        let tuple = Tuple::from(key);
        if rules == Rules::Apply
            && !opens
            && let Some(hop) = self.answer_through_appliance(nic, key)
        {
            return Decision {
                forward: hop,
                reverse: None,
                memorable: true,
            };
        }
        if rules.are_asked()
            && let Judgement::Deny(layer) = nic.outbound(&tuple, observer)
        {
            return self.drop(nic, key, denied(layer, DropReason::NsgDenyOutbound));
        }
        let hop = match self.path(nic, key, observer) {
            Ok(hop) => hop,
            Err(dropped) => return refusal(dropped),
        };
        let Verdict::Deliver(receiver) = hop.transposition.verdict else {
            return self.decide_remote(nic, key, opens, rules, hop);
        };
        let Some(peer) = self.policy.nic(receiver) else {
            return self.drop(nic, key, DropReason::PortDown);
        };
        let called = self.opened_by(&key.reversed_at(receiver));
        // A SYN answers nothing: it opens, whatever its tuple was used for (SEMANTICS part 3, C9).
        let syn = rules == Rules::Apply && opens && key.protocol() == TCP;
        let answers = called && !syn;
        if rules.are_asked() && !answers {
            if let Judgement::Deny(layer) = peer.inbound(&tuple, observer) {
                let reason = denied(layer, DropReason::NsgDenyInbound);
                let forward = Hop {
                    transposition: Transposition::drop(reason),
                    ..hop
                };
                return Decision {
                    memorable: !called,
                    ..refusal(forward)
                };
            }
            if rules == Rules::Apply && !opens && !self.carries(nic, key) {
                return self.drop(nic, key, DropReason::TcpNoConnection);
            }
        }
        let reverse = (!answers).then(|| self.reverse(nic, peer, key, rules));
        Decision {
            forward: hop,
            reverse,
            memorable: true,
        }
    }

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
        let dropped = |reason| Hop {
            transposition: Transposition::drop(reason),
            stamp,
        };
        match target {
            None => Err(dropped(missing)),
            Some(MappingTarget::Port(port)) => self
                .deliver(nic, port, key)
                .map(|transposition| Hop {
                    transposition,
                    stamp,
                })
                .map_err(dropped),
            Some(MappingTarget::Remote { mac, encap, .. }) => {
                let transposition = Transposition {
                    verdict: Verdict::Uplink,
                    eth_dst: MacAddr(mac),
                    eth_src: ROUTER_MAC,
                    decrement_ttl: nic.decrement_ttl,
                    mtu: u16::MAX,
                    encap: Some(encap),
                };
                Ok(Hop {
                    transposition,
                    stamp,
                })
            }
        }
    }

    /// Whether a connection with this key was opened by its port.
    fn opened_by(&self, key: &FlowKey) -> bool {
        let entry = self.flows.lookup(key).and_then(|id| self.flows.get(id));
        entry.is_some_and(|entry| entry.forward() && entry.peer().is_some())
    }

    /// Whether the NIC is an appliance that a connection with this key has been routed through: its
    /// packets come in, so they may go out, although the one that opened went another way.
    fn carries(&self, nic: &NicPolicy, key: &FlowKey) -> bool {
        let entry = self
            .flows
            .lookup(&key.reversed_at(nic.port))
            .and_then(|id| self.flows.get(id));
        let answers = entry.is_some_and(|entry| !entry.forward() && entry.peer().is_some());
        nic.ip_forwarding && answers
    }

    /// The way of an answer to a connection that has been routed through an appliance since: the
    /// appliance, which the other direction passes already. Rules have no say in it, as in any
    /// answer.
    fn answer_through_appliance(&self, nic: &NicPolicy, key: &FlowKey) -> Option<Hop> {
        let hop = self.path(nic, key, &mut ()).ok()?;
        let Verdict::Deliver(port) = hop.transposition.verdict else {
            return None;
        };
        let appliance = self.policy.nic(port)?;
        // What the appliance sends on for the answerer is an answer there.
        let sent_on = key.at(port);
        self.carries(appliance, &sent_on.reversed_at(port))
            .then_some(hop)
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

    /// A receiver on another host is judged there; what remains here is whether the segment may
    /// open a connection.
    fn decide_remote(
        &self,
        nic: &NicPolicy,
        key: &FlowKey,
        opens: bool,
        rules: Rules,
        hop: Hop,
    ) -> Decision {
        if rules == Rules::Apply && !opens {
            return self.drop(nic, key, DropReason::TcpNoConnection);
        }
        Decision {
            forward: hop,
            reverse: None,
            memorable: true,
        }
    }

    /// The way back. Rules have no say in it, save at a third NIC that the answer is routed
    /// through and that has neither opened the connection nor been let the answers in before: to it
    /// the answer is a new packet.
    pub(crate) fn reverse(
        &self,
        opener: &NicPolicy,
        peer: &NicPolicy,
        key: &FlowKey,
        rules: Rules,
    ) -> Reverse {
        let reverse_key = key.reversed_at(peer.port);
        let hop = match self.path(peer, &reverse_key, &mut ()) {
            Ok(hop) | Err(hop) => hop,
        };
        let known = |port| {
            port == opener.port
                || rules
                    == Rules::Established {
                        answers_to: Some(port),
                    }
                || self.opened_by(&key.at(port))
        };
        let hop = match hop.transposition.verdict {
            Verdict::Deliver(port) if !known(port) => {
                match self
                    .policy
                    .nic(port)
                    .map(|nic| nic.inbound(&Tuple::from(&reverse_key), &mut ()))
                {
                    Some(Judgement::Allow) => hop,
                    Some(Judgement::Deny(layer)) => {
                        let reason = denied(layer, DropReason::NsgDenyInbound);
                        Hop {
                            transposition: Transposition::drop(reason),
                            ..hop
                        }
                    }
                    None => Hop {
                        transposition: Transposition::drop(DropReason::PortDown),
                        ..hop
                    },
                }
            }
            _ => hop,
        };
        Reverse {
            key: reverse_key,
            hop,
        }
    }

    fn drop(&self, nic: &NicPolicy, key: &FlowKey, reason: DropReason) -> Decision {
        let stamp = self.stamp(nic, key.dst());
        refusal(Hop {
            transposition: Transposition::drop(reason),
            stamp,
        })
    }

    /// The stamp of a drop that no mapping led to. It watches the destination's slot in the NIC's
    /// own network all the same: an address that appears there may be what was missing.
    fn stamp(&self, nic: &NicPolicy, dst: IpAddr) -> Stamp {
        let (slot, version, _) = self.policy.mapping(nic.vnet, dst);
        Stamp {
            policy: self.policy.generation(),
            path: nic.path_generation,
            mapping_slot: slot.0,
            mapping_version: version,
        }
    }
}

fn refusal(forward: Hop) -> Decision {
    let passing = [
        Some(DropReason::TcpNoConnection),
        Some(DropReason::PortDown),
    ];
    let memorable = !passing.contains(&forward.transposition.drop_reason());
    Decision {
        forward,
        reverse: None,
        memorable,
    }
}

fn denied(layer: Layer, by_group: DropReason) -> DropReason {
    match layer {
        Layer::SecurityAdmin => DropReason::AdminDeny,
        Layer::NicGroup | Layer::SubnetGroup => by_group,
    }
}
