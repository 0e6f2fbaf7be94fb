//! How an established connection follows a change of policy.

use std::sync::Arc;

use flow::{
    Counters, DropReason, EngineCounters, FlowId, FlowKey, FlowPair, FlowTable, Half, PortId, Tick,
    Verdict,
};
use policy::{NicPolicy, Snapshot};

use crate::Switch;
use crate::judge::{Decision, Judge, Rules};
use crate::packet::Packet;
use crate::switch::{is_remembered_drop, pair};

impl Switch {
    /// Sends a stale connection along its path of today, both directions.
    pub(crate) fn resimulate(
        &mut self,
        policy: &Snapshot,
        id: FlowId,
        now: Tick,
    ) -> Result<Option<FlowId>, DropReason> {
        let (Some(hit), Some(old)) = (
            self.flows.get(id).map(|it| *it.key()),
            pair_of(&self.flows, id),
        ) else {
            return Ok(None);
        };
        let FlowPair { forward, reverse } = old;
        let judge = Judge {
            policy,
            flows: &self.flows,
        };
        let key = judge.relocated(&old).unwrap_or(forward.key);
        let opener = policy.nic(key.owner()).ok_or(DropReason::PortDown)?;
        let rules = match is_reevaluation_owed(policy, &old) {
            true => Rules::Again,
            false => Rules::Established {
                answers_to: answers_to(&old),
            },
        };
        let mut decision = judge.decide(opener, &key, true, rules, &mut ());
        if let Some(reason) = decision.forward.transposition.drop_reason() {
            if rules == Rules::Again && is_by_rule(reason) {
                self.flows.remove(id, &mut self.removed);
                self.collect_removed();
                let refused = self.remember(&key, &decision, now)?;
                return if hit == key {
                    Ok(Some(refused))
                } else {
                    Err(reason)
                };
            }
            // No way at present: the connection is kept, so that it goes on when there is one.
            decision.reverse =
                reverse.and_then(|half| judge.answers_from(half.key.port(), &key, rules));
            if rules == Rules::Again {
                // Rules beyond the missing way have not been asked: that is owed still.
                decision.forward.stamp.path = forward.stamp.path;
                if let (Some(now), Some(then)) = (&mut decision.reverse, &reverse) {
                    now.hop.stamp.path = then.stamp.path;
                }
            }
        }
        self.follow(&old, &key, &decision, now)?;
        // None when the sender's address has moved elsewhere, and the connection with it.
        Ok(self.flows.lookup(&hit))
    }

    /// The flow of a TCP segment that has none where it comes from, because its sender has moved:
    /// here from another host, or there from here. Nobody has sent an answer since.
    pub(crate) fn take_along(
        &mut self,
        policy: &Snapshot,
        nic: &NicPolicy,
        packet: &Packet,
        now: Tick,
    ) -> Result<Option<FlowId>, DropReason> {
        let judge = Judge {
            policy,
            flows: &self.flows,
        };
        let Some(id) = judge.follower(nic, &packet.key, packet.opens()) else {
            return Ok(None);
        };
        self.resimulate(policy, id, now)?;
        Ok(self.flows.lookup(&packet.key))
    }

    /// Connections between a NIC that is leaving and others of this host go on where the policy has
    /// the address on another host now.
    pub(crate) fn hand_over(&mut self, leaving: PortId) {
        let policy = Arc::clone(&self.policy);
        if policy.uplink().is_none() {
            return;
        }
        let judge = Judge {
            policy: &policy,
            flows: &self.flows,
        };
        let departs = |half: &Half| {
            let nic = policy.nic(half.key.port());
            let way = nic.and_then(|nic| judge.path(nic, &half.key, &mut ()).ok());
            way.is_some_and(|hop| hop.transposition.verdict == Verdict::Uplink)
        };
        let leavers = self.flows.iter().filter(|entry| {
            let peer = entry.peer_key().map(|peer| peer.port());
            peer == Some(leaving) && entry.key().owner() != leaving && departs(&entry.half())
        });
        let staying: Vec<(FlowKey, Tick)> = leavers
            .map(|entry| (*entry.key(), entry.counters().last_seen))
            .collect();
        for (key, last_seen) in staying {
            if let Some(id) = self.flows.lookup(&key) {
                // What cannot follow goes with the port.
                let _ = self.resimulate(&policy, id, last_seen);
            }
        }
    }

    /// Gives an established pair its new path, keeping what it counted. Where its keys change with
    /// it, what remains is how far it has come.
    fn follow(
        &mut self,
        old: &FlowPair,
        key: &FlowKey,
        decision: &Decision,
        now: Tick,
    ) -> Result<(), DropReason> {
        let pair = pair(key, decision);
        let halves = [Some(&old.forward), old.reverse.as_ref()];
        if self.flows.replace_halves(&pair).is_ok() {
            for half in halves.into_iter().flatten() {
                self.take_from_engine(half);
            }
        } else {
            let flags = halves.map(|half| self.flags_of(half));
            let inserted = self.flows.insert(&pair, now, &mut self.removed);
            self.collect_removed();
            let reason = decision.forward.transposition.drop_reason();
            inserted.map_err(|error| reason.unwrap_or(error.into()))?;
            let new = [Some(&pair.forward), pair.reverse.as_ref()];
            for ((old, new), tcp_flags) in halves.into_iter().zip(new).zip(flags) {
                let (Some(old), Some(new)) = (old, new) else {
                    continue;
                };
                let counters = Counters {
                    tcp_flags,
                    ..Counters::default()
                };
                self.flows.observe(&EngineCounters {
                    key: new.key,
                    counters,
                });
                // An engine may have seen more.
                self.work.moved.push((old.key, new.key));
            }
        }
        self.forget_refused_answers(&pair);
        self.work.install.push(pair);
        Ok(())
    }

    /// What a NIC was refused to forward before somebody asked for it is an answer now. Where the
    /// answers come directly they have the refusal's key, and replaced it.
    pub(crate) fn forget_refused_answers(&mut self, pair: &FlowPair) {
        let Some(reverse) = &pair.reverse else { return };
        let by_port = reverse.transposition.receiver();
        let other = by_port.filter(|port| *port != pair.forward.key.port());
        for port in [other, self.asks_for(&pair.forward)].into_iter().flatten() {
            let refused = self.flows.lookup(&reverse.key.at(port));
            let refused = refused
                .and_then(|id| self.flows.get(id))
                .filter(is_remembered_drop);
            if let Some(id) = refused.map(|entry| entry.id()) {
                self.flows.remove(id, &mut self.removed);
                self.collect_removed();
            }
        }
    }

    /// Where the answers may come in too of what an appliance sends off the host for another NIC:
    /// straight off the uplink.
    fn asks_for(&self, forward: &Half) -> Option<PortId> {
        let (key, verdict) = (&forward.key, forward.transposition.verdict);
        let nic = self.policy.nic(key.port())?;
        if verdict != Verdict::Uplink || nic.owns(key.src()) {
            return None;
        }
        let judge = Judge {
            policy: &self.policy,
            flows: &self.flows,
        };
        judge.port_of(nic, key.src()).map(PortId::from_uplink)
    }

    /// An entry that an engine has is to be put in anew. It stays marked as in the engine, so that
    /// what the engine has counted is added to it.
    fn take_from_engine(&mut self, old: &Half) {
        let entry = self
            .flows
            .lookup(&old.key)
            .and_then(|id| self.flows.get(id));
        let in_engine = entry.is_some_and(|entry| entry.offload().in_engine());
        if !in_engine || self.renewed.contains(&old.key) {
            return;
        }
        self.renewed.push(old.key);
        self.work.remove.push(old.key);
    }

    fn flags_of(&self, half: Option<&Half>) -> flow::TcpFlags {
        let find = |key: &FlowKey| self.flows.lookup(key).and_then(|id| self.flows.get(id));
        let entry = half.and_then(|half| find(&half.key));
        entry
            .map(|entry| entry.counters().tcp_flags)
            .unwrap_or_default()
    }
}

/// Both directions of a connection, whichever of them the id is of.
pub(crate) fn pair_of(flows: &FlowTable, id: FlowId) -> Option<FlowPair> {
    let entry = flows.get(id)?;
    let hit = entry.half();
    let other = entry
        .peer()
        .and_then(|peer| flows.get(peer))
        .map(|entry| entry.half());
    let (forward, reverse) = match other {
        Some(forward) if !hit.forward => (forward, Some(hit)),
        other => (hit, other),
    };
    Some(FlowPair { forward, reverse })
}

/// Whether the rules have to be asked again: what changed them is younger than the pair's stamps.
pub(crate) fn is_reevaluation_owed(policy: &Snapshot, pair: &FlowPair) -> bool {
    let owed = |half: &Half| {
        let nic = policy.nic(half.key.owner());
        nic.is_some_and(|nic| half.stamp.path < nic.reevaluate_generation)
    };
    owed(&pair.forward) || pair.reverse.as_ref().is_some_and(owed)
}

/// The port that gets the answers.
pub(crate) fn answers_to(pair: &FlowPair) -> Option<PortId> {
    match pair.reverse?.transposition.verdict {
        Verdict::Deliver(port) => Some(port),
        Verdict::Uplink | Verdict::Drop(_) => None,
    }
}

fn is_by_rule(reason: DropReason) -> bool {
    matches!(
        reason,
        DropReason::AdminDeny | DropReason::NsgDenyOutbound | DropReason::NsgDenyInbound
    )
}
