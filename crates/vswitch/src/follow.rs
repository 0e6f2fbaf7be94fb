//! How an established connection follows a change of policy.

use flow::{
    Counters, DropReason, EngineCounters, FlowId, FlowKey, FlowPair, Half, PortId, Tick, Verdict,
};
use policy::Snapshot;

use crate::Switch;
use crate::judge::{Decision, Judge, Rules};
use crate::switch::{is_remembered_drop, pair};

impl Switch {
    /// Sends a stale connection along its path of today, both directions.
    pub(crate) fn resimulate(
        &mut self,
        policy: &Snapshot,
        id: FlowId,
        now: Tick,
    ) -> Result<Option<FlowId>, DropReason> {
        let Some(entry) = self.flows.get(id) else {
            return Ok(None);
        };
        let hit = entry.half();
        let other = entry
            .peer()
            .and_then(|peer| self.flows.get(peer))
            .map(|entry| entry.half());
        let (forward, reverse) = match other {
            Some(forward) if !hit.forward => (forward, Some(hit)),
            other => (hit, other),
        };
        let opener = policy.nic(forward.key.port()).ok_or(DropReason::PortDown)?;
        let old = FlowPair { forward, reverse };
        let rules = match is_reevaluation_owed(policy, &old) {
            true => Rules::Again,
            false => Rules::Established {
                answers_to: answers_to(&old),
            },
        };
        let judge = Judge {
            policy,
            flows: &self.flows,
        };
        let mut decision = judge.decide(opener, &forward.key, true, rules, &mut ());
        if let Some(reason) = decision.forward.transposition.drop_reason() {
            if rules == Rules::Again && is_by_rule(reason) {
                self.flows.remove(id, &mut self.removed);
                self.collect_removed();
                let refused = self.remember(&forward.key, &decision, now)?;
                return if hit.forward {
                    Ok(Some(refused))
                } else {
                    Err(reason)
                };
            }
            // No way at present: the connection is kept, so that it goes on when there is one.
            decision.reverse = reverse.and_then(|half| {
                let peer = policy.nic(half.key.port())?;
                Some(judge.reverse(opener, peer, &forward.key, rules))
            });
            if rules == Rules::Again {
                // Rules beyond the missing way have not been asked: that is owed still.
                decision.forward.stamp.path = forward.stamp.path;
                if let (Some(now), Some(then)) = (&mut decision.reverse, &reverse) {
                    now.hop.stamp.path = then.stamp.path;
                }
            }
        }
        self.follow(&old, &decision, now)?;
        // None when the guest's address has moved to another port, and the connection with it.
        Ok(self.flows.lookup(&hit.key))
    }

    /// Gives an established pair its new path, keeping what it counted. Where its keys change with
    /// it, what remains is how far it has come.
    fn follow(&mut self, old: &FlowPair, decision: &Decision, now: Tick) -> Result<(), DropReason> {
        let pair = pair(&old.forward.key, decision);
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
        let Verdict::Deliver(port) = reverse.transposition.verdict else {
            return;
        };
        if port == pair.forward.key.port() {
            return;
        }
        let refused = self.flows.lookup(&reverse.key.at(port));
        let refused = refused
            .and_then(|id| self.flows.get(id))
            .filter(is_remembered_drop);
        if let Some(id) = refused.map(|entry| entry.id()) {
            self.flows.remove(id, &mut self.removed);
            self.collect_removed();
        }
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

/// Whether the rules have to be asked again: what changed them is younger than the pair's stamps.
pub(crate) fn is_reevaluation_owed(policy: &Snapshot, pair: &FlowPair) -> bool {
    let owed = |half: &Half| {
        let nic = policy.nic(half.key.port());
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
