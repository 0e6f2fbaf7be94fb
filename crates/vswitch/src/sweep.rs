//! What happens without a packet: ageing, and what engines report.

use std::sync::Arc;

use flow::{Counters, EngineCounters, FlowKey, FlowPair, Half, Offload, PortId, Stamp, Tick};
use foldhash::quality::FixedState;
use hashbrown::HashMap;

use crate::Switch;
use crate::follow::{answers_to, is_reevaluation_owed};
use crate::judge::{Judge, Rules};

/// What became of the flows that an engine held.
#[derive(Clone, Debug, Default)]
pub struct Adopted {
    /// Entries to be removed from the engine: the other half is missing, the port is not there any
    /// more, or the table has no room.
    pub orphans: Vec<FlowKey>,
    /// New stamps for entries whose path is what it was.
    pub stamps: Vec<(FlowKey, Stamp)>,
}

/// How many flows one sweep looks at: about a millisecond's work, so that frames do not wait.
const SWEEP_BUDGET: usize = 4_096;

impl Switch {
    /// Forgets what has been idle too long. `confirm` is asked for an engine's counters of a key
    /// before a flow that an engine executes is given up.
    ///
    /// Bounded work: false says that there is more to do.
    pub fn sweep(
        &mut self,
        now: Tick,
        confirm: &mut dyn FnMut(&FlowKey) -> Option<Counters>,
    ) -> bool {
        self.fragments.expire(now);
        let done = self.flows.expire(
            now,
            &self.timeouts,
            SWEEP_BUDGET,
            confirm,
            &mut self.removed,
        );
        self.collect_removed();
        done
    }

    /// Adds what an engine counted for an entry it has let go of. False when the entry is not here
    /// either.
    pub fn absorb(&mut self, last: &EngineCounters) -> bool {
        self.flows.absorb(last)
    }

    /// Notes the flags and the time an engine reports of an entry it holds.
    pub fn observe(&mut self, reading: &EngineCounters) {
        self.flows.observe(reading);
    }

    /// Takes over flows that an engine held when the agent started: a connection that is
    /// established there is established here.
    pub fn adopt(
        &mut self,
        halves: impl IntoIterator<Item = (Half, Counters)>,
        now: Tick,
    ) -> Adopted {
        let mut found: HashMap<FlowKey, (Half, Counters), FixedState> = HashMap::default();
        for (half, counters) in halves {
            found.insert(half.key, (half, counters));
        }
        let mut adopted = Adopted::default();
        for (key, (half, counters)) in &found {
            let peer = half.peer.and_then(|peer| found.get(&peer));
            let peer =
                peer.filter(|(peer, _)| peer.peer == Some(*key) && peer.forward != half.forward);
            let joined = half.peer.is_none() == peer.is_none() && (half.forward || peer.is_some());
            let mut ports = [Some(key.owner()), half.peer.map(|peer| peer.owner())]
                .into_iter()
                .flatten();
            if !joined || !ports.all(|port| self.has_port(port)) {
                adopted.orphans.push(*key);
                continue;
            }
            if !half.forward {
                // It comes with its forward half.
                continue;
            }
            let pair = FlowPair {
                forward: *half,
                reverse: peer.map(|(half, _)| *half),
            };
            let Ok(id) = self.flows.insert(&pair, now, &mut self.removed) else {
                adopted.orphans.push(*key);
                adopted.orphans.extend(half.peer);
                continue;
            };
            self.flows.set_offload(id, Offload::Active);
            for (half, counters) in std::iter::once(&(*half, *counters)).chain(peer) {
                self.flows.observe(&EngineCounters {
                    key: half.key,
                    counters: *counters,
                });
            }
            self.renew_stamps(&pair, &mut adopted.stamps);
        }
        self.collect_removed();
        adopted
    }

    /// A connection whose path is still what it was gets today's stamps, so that a restart makes
    /// nothing stale. One whose path has changed keeps its old ones, and follows on its next packet.
    fn renew_stamps(&mut self, pair: &FlowPair, stamps: &mut Vec<(FlowKey, Stamp)>) {
        let policy = Arc::clone(&self.policy);
        let Some(nic) = policy.nic(pair.forward.key.owner()) else {
            return;
        };
        if is_reevaluation_owed(&policy, pair) {
            return;
        }
        let judge = Judge {
            policy: &policy,
            flows: &self.flows,
        };
        let rules = Rules::Established {
            answers_to: answers_to(pair),
        };
        let today = judge.decide(nic, &pair.forward.key, true, rules, &mut ());
        if today.forward.transposition != pair.forward.transposition {
            return;
        }
        let same_reverse = match (&pair.reverse, &today.reverse) {
            (None, _) => true,
            (Some(old), Some(new)) => {
                old.key == new.key && old.transposition == new.hop.transposition
            }
            (Some(_), None) => false,
        };
        if !same_reverse {
            return;
        }
        let mut renewed = vec![(pair.forward.key, today.forward.stamp)];
        if let (Some(_), Some(new)) = (&pair.reverse, &today.reverse) {
            renewed.push((new.key, new.hop.stamp));
        }
        for (key, stamp) in renewed {
            let entry = self.flows.lookup(&key).and_then(|id| self.flows.get(id));
            let Some((id, transposition)) = entry.map(|entry| (entry.id(), entry.transposition()))
            else {
                continue;
            };
            if self.flows.update(id, &transposition, stamp).is_ok() {
                stamps.push((key, stamp));
            }
        }
    }

    /// Fragmented packets remembered at present.
    pub fn fragments_len(&self) -> usize {
        self.fragments.len()
    }

    fn has_port(&self, port: PortId) -> bool {
        self.ports
            .get(usize::from(port.0))
            .is_some_and(Option::is_some)
    }
}
