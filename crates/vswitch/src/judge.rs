//! The slow path: from a first packet to the transpositions of both directions.
//!
//! A packet comes from a NIC of this host, or off the uplink for one; then its key's port is that
//! NIC's with the mark ([`PortId::from_uplink`]), and its sender was judged where it is.

mod path;

use flow::{DropReason, FlowKey, FlowTable, PortId, Stamp, Transposition, Verdict};
use policy::input::Layer;
use policy::{Judgement, NicPolicy, Observer, Snapshot, Tuple};
use wire::MacAddr;

use self::path::watched;
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
    /// The answer's direction; none for a drop, and for a packet that is itself an answer which came
    /// round by another way.
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
    /// Judges a packet with this key. `nic` is the one that sent it or, where the key is marked, that
    /// it came off the uplink for. `opens` is false for a TCP segment that opens nothing.
    pub(crate) fn decide<O: Observer>(
        &self,
        nic: &NicPolicy,
        key: &FlowKey,
        opens: bool,
        rules: Rules,
        observer: &mut O,
    ) -> Decision {
        if key.port().is_from_uplink() {
            return self.decide_arrival(nic, key, opens, rules, observer);
        }
        if rules == Rules::Apply
            && !opens
            && let Some(hop) = self.answer_through_appliance(nic, key)
        {
            return allowed(hop, None);
        }
        if rules.are_asked()
            && let Judgement::Deny(layer) = nic.outbound(&Tuple::from(key), observer)
        {
            return self.drop(nic, key, denied(layer, DropReason::NsgDenyOutbound));
        }
        let hop = match self.path(nic, key, observer) {
            Ok(hop) => hop,
            Err(dropped) => return refusal(dropped),
        };
        let Verdict::Deliver(receiver) = hop.transposition.verdict else {
            return self.decide_departure(nic, key, opens, rules, hop);
        };
        let Some(peer) = self.policy.nic(receiver) else {
            return self.drop(nic, key, DropReason::PortDown);
        };
        let called = self.opened_by(&key.reversed_at(receiver));
        let answers = called && !is_new(key, opens, rules);
        if rules.are_asked() && !answers {
            if let Some(refused) = self.inbound(peer, key, called, hop, observer) {
                return refused;
            }
            if rules == Rules::Apply && !opens && !self.carries(nic, key) {
                return self.drop(nic, key, DropReason::TcpNoConnection);
            }
        }
        let reverse = (!answers).then(|| self.reverse(peer, key, rules));
        allowed(hop, reverse)
    }

    /// A packet that came off the uplink for this NIC. Its sender's rules and addresses are its own
    /// host's to hold it to.
    fn decide_arrival<O: Observer>(
        &self,
        nic: &NicPolicy,
        key: &FlowKey,
        opens: bool,
        rules: Rules,
        observer: &mut O,
    ) -> Decision {
        let hop = match self.arrival(nic, key) {
            Ok(hop) => hop,
            Err(dropped) => return refusal(dropped),
        };
        let new = is_new(key, opens, rules);
        let called = self.opened_by(&key.reversed_at(nic.port));
        let answers = called && !new;
        // An answer to another NIC, routed through this one: new to its rules, but no new connection.
        let passes = !new && self.answers_beyond(nic, key);
        if rules.are_asked() && !answers {
            if let Some(refused) = self.inbound(nic, key, called, hop, observer) {
                return refused;
            }
            if rules == Rules::Apply && !opens && !passes {
                return self.drop(nic, key, DropReason::TcpNoConnection);
            }
        }
        let reverse = (!answers && !passes).then(|| self.reverse(nic, key, rules));
        allowed(hop, reverse)
    }

    /// A receiver on another host is judged there; what remains here is whether the segment may
    /// open a connection, and that its answers may come in.
    fn decide_departure(
        &self,
        nic: &NicPolicy,
        key: &FlowKey,
        opens: bool,
        rules: Rules,
        hop: Hop,
    ) -> Decision {
        let answers = !is_new(key, opens, rules) && self.answers_for_other(nic, key);
        if rules == Rules::Apply && !opens && !answers && !self.carries(nic, key) {
            return self.drop(nic, key, DropReason::TcpNoConnection);
        }
        let reverse = (!answers).then(|| self.reverse_arrival(nic, key));
        allowed(hop, reverse)
    }

    /// What the receiver's rules say against a packet. Where it would be an answer if it were not a
    /// SYN, that is not to be remembered.
    fn inbound<O: Observer>(
        &self,
        receiver: &NicPolicy,
        key: &FlowKey,
        called: bool,
        hop: Hop,
        observer: &mut O,
    ) -> Option<Decision> {
        let Judgement::Deny(layer) = receiver.inbound(&Tuple::from(key), observer) else {
            return None;
        };
        let reason = denied(layer, DropReason::NsgDenyInbound);
        let forward = Hop {
            transposition: Transposition::drop(reason),
            ..hop
        };
        Some(Decision {
            memorable: !called,
            ..refusal(forward)
        })
    }

    /// The answers that come from `from`: a port of this host, or its NIC's marked one where they
    /// come off the uplink.
    pub(crate) fn answers_from(
        &self,
        from: PortId,
        key: &FlowKey,
        rules: Rules,
    ) -> Option<Reverse> {
        let nic = self.policy.nic(from.guest())?;
        Some(if from.is_from_uplink() {
            self.reverse_arrival(nic, key)
        } else {
            self.reverse(nic, key, rules)
        })
    }

    /// The answers of a receiver on another host.
    fn reverse_arrival(&self, opener: &NicPolicy, key: &FlowKey) -> Reverse {
        let key = key.reversed_at(opener.port.from_uplink());
        let hop = match self.arrival(opener, &key) {
            Ok(hop) | Err(hop) => hop,
        };
        Reverse { key, hop }
    }

    /// The way back from a receiver on this host. Rules have no say in it, save at a third NIC that
    /// the answer is routed through and that has neither opened the connection nor been let the
    /// answers in before: to it the answer is a new packet.
    fn reverse(&self, peer: &NicPolicy, key: &FlowKey, rules: Rules) -> Reverse {
        let reverse_key = key.reversed_at(peer.port);
        let hop = match self.path(peer, &reverse_key, &mut ()) {
            Ok(hop) | Err(hop) => hop,
        };
        let known = |port| {
            port == key.port()
                || rules
                    == Rules::Established {
                        answers_to: Some(port),
                    }
                || self.opened_by(&key.at(port))
        };
        let hop = match hop.transposition.verdict {
            Verdict::Deliver(port) if !known(port) => Hop {
                transposition: self.let_through(port, &reverse_key, hop.transposition),
                ..hop
            },
            _ => hop,
        };
        Reverse {
            key: reverse_key,
            hop,
        }
    }

    fn let_through(&self, port: PortId, key: &FlowKey, by: Transposition) -> Transposition {
        let Some(nic) = self.policy.nic(port) else {
            return Transposition::drop(DropReason::PortDown);
        };
        match nic.inbound(&Tuple::from(key), &mut ()) {
            Judgement::Allow => by,
            Judgement::Deny(layer) => {
                Transposition::drop(denied(layer, DropReason::NsgDenyInbound))
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

    /// Whether an appliance sends this for another NIC of the host, which so answers a connection
    /// that was opened to it from afar.
    fn answers_for_other(&self, nic: &NicPolicy, key: &FlowKey) -> bool {
        let answerer = || self.port_of(nic, key.src());
        nic.ip_forwarding
            && !nic.owns(key.src())
            && answerer().is_some_and(|port| self.opened_by(&key.reversed_at(port.from_uplink())))
    }

    /// Whether this came to an appliance as the answer to a connection that another NIC of the host
    /// opened.
    fn answers_beyond(&self, nic: &NicPolicy, key: &FlowKey) -> bool {
        let opener = || self.port_of(nic, key.dst());
        nic.ip_forwarding
            && !nic.owns(key.dst())
            && opener().is_some_and(|port| self.opened_by(&key.reversed_at(port)))
    }

    fn drop(&self, nic: &NicPolicy, key: &FlowKey, reason: DropReason) -> Decision {
        let stamp = self.stamp(nic, watched(key));
        refusal(Hop {
            transposition: Transposition::drop(reason),
            stamp,
        })
    }
}

/// A SYN answers nothing: it opens, whatever its tuple was used for (SEMANTICS part 3, C9).
fn is_new(key: &FlowKey, opens: bool, rules: Rules) -> bool {
    rules == Rules::Apply && opens && key.protocol() == TCP
}

fn allowed(forward: Hop, reverse: Option<Reverse>) -> Decision {
    Decision {
        forward,
        reverse,
        memorable: true,
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
