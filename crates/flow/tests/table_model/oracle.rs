//! What the table promises, said as simply as possible: a map, and a scan for everything.
//!
//! Where the table has a choice (which idle pair it finds first, which transient pair it recycles)
//! the oracle does not make it again: it checks that the choice was a legal one, and follows.

use std::collections::HashMap;
use std::time::Duration;

use flow::{
    Counters, EngineCounters, FlowKey, FlowPair, Half, InsertError, Limits, Offload, PortId,
    Removal, Removed, Stamp, TcpFlags, TcpState, Tick, Timeouts, Transposition,
};

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) half: Half,
    pub(crate) counters: Counters,
    pub(crate) offload: Offload,
    pub(crate) created: Tick,
    /// When the pair came, or changed its timeout.
    listed: Tick,
}

pub(crate) struct Oracle {
    pub(crate) now: Tick,
    limits: Limits,
    entries: HashMap<FlowKey, Entry>,
}

/// How coarsely the table times its queues.
const SLACK: Duration = Duration::from_millis(1_100);

impl Oracle {
    pub(crate) fn new(limits: Limits) -> Oracle {
        Oracle {
            now: Tick(1 << 30),
            limits,
            entries: HashMap::new(),
        }
    }

    pub(crate) fn get(&self, key: &FlowKey) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn port_len(&self, port: PortId) -> u32 {
        self.count(|entry| entry.half.key.owner() == port)
    }

    pub(crate) fn port_drops(&self, port: PortId) -> u32 {
        self.count(|entry| entry.half.key.owner() == port && is_drop(&entry.half))
    }

    pub(crate) fn tcp_state(&self, key: &FlowKey) -> Option<TcpState> {
        let entry = &self.entries[key];
        let peer = entry.half.peer.map(|peer| &self.entries[&peer]);
        let (forward, reverse) = if entry.half.forward {
            (entry, peer)
        } else {
            (peer.expect("a reverse half"), Some(entry))
        };
        if forward.half.key.protocol() != 6 || is_drop(&forward.half) {
            return None;
        }
        let reverse = reverse.map(|entry| entry.counters.tcp_flags);
        Some(TcpState::of(
            forward.counters.tcp_flags,
            reverse.unwrap_or_default(),
        ))
    }

    pub(crate) fn insert(
        &mut self,
        pair: &FlowPair,
        outcome: Result<(), InsertError>,
        removed: &[Removed],
    ) {
        let lacked = self.lack(pair).is_some();
        let possible = self.possible(pair);
        for gone in removed.iter().filter(|gone| gone.why == Removal::Evicted) {
            assert!(lacked && possible, "recycled without need");
            let legal = is_drop(&gone.half) || !pair.is_drop() && self.unanswered(&gone.half.key);
            assert!(legal, "recycled {gone:?}");
        }
        let (evicted, replaced): (Vec<&Removed>, Vec<&Removed>) = removed
            .iter()
            .partition(|gone| gone.why == Removal::Evicted);
        self.leave(&evicted, Removal::Evicted);
        let Err(error) = outcome else {
            assert_eq!(self.lack(pair), None);
            let keys: Vec<FlowKey> = halves(pair).map(|half| half.key).collect();
            let doomed = self.with_peers(|half| keys.contains(&half.key));
            assert_eq!(
                sorted(replaced.iter().map(|gone| gone.half.key)),
                sorted(doomed)
            );
            self.leave(&replaced, Removal::Replaced);
            for half in halves(pair) {
                let counters = Counters {
                    last_seen: self.now,
                    ..Counters::default()
                };
                let offload = Offload::NotOffloaded(None);
                let (created, listed) = (self.now, self.now);
                self.entries.insert(
                    half.key,
                    Entry {
                        half,
                        counters,
                        offload,
                        created,
                        listed,
                    },
                );
            }
            return;
        };
        assert_eq!(replaced.len(), 0, "replaced after an error");
        if !possible {
            return assert_eq!(evicted.len(), 0);
        }
        assert_eq!(self.lack(pair), Some(error));
        let legal = |entry: &Entry| {
            is_drop(&entry.half) || !pair.is_drop() && self.unanswered(&entry.half.key)
        };
        let left = match error {
            InsertError::PortFull(port) => {
                self.count(|entry| entry.half.key.owner() == port && legal(entry))
            }
            _ => self.count(legal),
        };
        assert_eq!(left, 0, "refused with something to recycle");
    }

    pub(crate) fn record(&mut self, key: &FlowKey, bytes: u64, flags: TcpFlags) {
        let last_seen = self.now;
        let seen = Counters {
            packets: 1,
            bytes,
            tcp_flags: flags,
            last_seen,
        };
        self.merge(key, &seen);
    }

    pub(crate) fn update(&mut self, key: &FlowKey, to: Transposition, stamp: Stamp) -> bool {
        let half = &mut self.entries.get_mut(key).expect("in the table").half;
        let decided = may_become(half, &to);
        if decided {
            (half.transposition, half.stamp) = (to, stamp);
        }
        decided
    }

    pub(crate) fn replace_halves(&mut self, pair: &FlowPair) -> bool {
        let fits = |half: &Half| {
            let known = self.entries.get(&half.key).map(|entry| &entry.half);
            known.is_some_and(|known| {
                known.peer == half.peer
                    && known.forward == half.forward
                    && may_become(known, &half.transposition)
            })
        };
        let fit = halves(pair).all(|half| fits(&half));
        for half in halves(pair).filter(|_| fit) {
            self.entries.get_mut(&half.key).expect("just seen").half = half;
        }
        fit
    }

    pub(crate) fn removed_on_request(&mut self, is: impl Fn(&Half) -> bool, removed: &[Removed]) {
        let doomed = self.with_peers(is);
        assert_eq!(
            sorted(removed.iter().map(|gone| gone.half.key)),
            sorted(doomed)
        );
        self.leave(&removed.iter().collect::<Vec<_>>(), Removal::Requested);
    }

    pub(crate) fn set_offload(&mut self, key: &FlowKey, offload: Offload) {
        for key in self.with_peers(|half| half.key == *key) {
            self.entries.get_mut(&key).expect("in the table").offload = offload;
        }
    }

    pub(crate) fn absorb(&mut self, last: &EngineCounters) -> bool {
        let entry = self
            .entries
            .get_mut(&last.key)
            .filter(|entry| entry.offload.in_engine());
        let found = entry
            .map(|entry| entry.offload = Offload::NotOffloaded(None))
            .is_some();
        if found {
            self.merge(&last.key, &last.counters);
        }
        found
    }

    pub(crate) fn observe(&mut self, reading: &EngineCounters) -> bool {
        let known = self.entries.contains_key(&reading.key);
        if known {
            self.merge(
                &reading.key,
                &Counters {
                    packets: 0,
                    bytes: 0,
                    ..reading.counters
                },
            );
        }
        known
    }

    pub(crate) fn expire(
        &mut self,
        timeouts: &Timeouts,
        budget: usize,
        done: bool,
        asked: &[(FlowKey, Option<Counters>)],
        removed: &[Removed],
    ) {
        for (key, answer) in asked {
            assert!(
                self.entries[key].offload.in_engine(),
                "asked for what is not in an engine"
            );
            if let Some(counters) = answer {
                self.merge(
                    key,
                    &Counters {
                        packets: 0,
                        bytes: 0,
                        ..*counters
                    },
                );
            }
        }
        for gone in removed {
            let (key, timeout) = (gone.half.key, self.timeout(&gone.half.key, timeouts));
            assert!(
                self.now >= self.active(&key) + timeout,
                "gone too early: {gone:?}"
            );
            let was_asked = asked.iter().any(|(asked, _)| *asked == key);
            assert_eq!(
                was_asked,
                gone.offload.in_engine(),
                "gone unasked: {gone:?}"
            );
        }
        assert!(removed.iter().filter(|gone| gone.half.forward).count() <= budget);
        self.leave(&removed.iter().collect::<Vec<_>>(), Removal::Expired);
        if budget == usize::MAX {
            assert!(done);
        }
        for key in self.entries.keys().filter(|_| done) {
            let timeout = self.timeout(key, timeouts);
            let since = self.active(key).max(self.entries[key].listed);
            assert!(
                self.now < since + 2 * timeout + SLACK,
                "still there: {key:?}"
            );
        }
    }

    fn merge(&mut self, key: &FlowKey, seen: &Counters) {
        let before = self.tcp_state(key);
        self.entries
            .get_mut(key)
            .expect("in the table")
            .counters
            .merge(seen);
        if self.tcp_state(key) != before {
            for key in self.with_peers(|half| half.key == *key) {
                self.entries.get_mut(&key).expect("in the table").listed = self.now;
            }
        }
    }

    /// Takes out what the table says has left, if that is what was in, and in whole pairs.
    fn leave(&mut self, removed: &[&Removed], why: Removal) {
        for gone in removed {
            let entry = self
                .entries
                .remove(&gone.half.key)
                .expect("was in the table");
            assert_eq!(gone.half, entry.half);
            assert_eq!(gone.counters, entry.counters);
            assert_eq!(gone.offload, entry.offload);
            assert_eq!(gone.created.0 >> 27, entry.created.0 >> 27);
            assert_eq!(gone.why, why);
        }
        for gone in removed {
            let peer = gone.half.peer;
            assert!(
                peer.is_none_or(|peer| !self.entries.contains_key(&peer)),
                "half a pair left"
            );
        }
    }

    fn possible(&self, pair: &FlowPair) -> bool {
        Oracle::new(self.limits).lack(pair).is_none()
    }

    /// Which limit the pair would break, with what it replaces gone.
    fn lack(&self, pair: &FlowPair) -> Option<InsertError> {
        let keys: Vec<FlowKey> = halves(pair).map(|half| half.key).collect();
        let replaced = self.with_peers(|half| keys.contains(&half.key));
        let kept = |entry: &Entry| !replaced.contains(&entry.half.key);
        let port = pair.forward.key.owner();
        let drops = self.count(|e| kept(e) && e.half.key.owner() == port && is_drop(&e.half));
        if pair.is_drop() && drops + 1 > self.limits.drops_per_port_max() {
            return Some(InsertError::PortFull(port));
        }
        for port in keys.iter().map(FlowKey::owner) {
            let own = u32::try_from(keys.iter().filter(|key| key.owner() == port).count());
            let others = self.count(|entry| kept(entry) && entry.half.key.owner() == port);
            if own.expect("two") + others > self.limits.flows_per_port_max.get() {
                return Some(InsertError::PortFull(port));
            }
        }
        let own = u32::try_from(keys.len()).expect("two");
        (own + self.count(kept) > self.limits.flows_max.get()).then_some(InsertError::TableFull)
    }

    fn unanswered(&self, key: &FlowKey) -> bool {
        self.tcp_state(key) == Some(TcpState::SynSent)
    }

    fn timeout(&self, key: &FlowKey, timeouts: &Timeouts) -> Duration {
        let half = &self.entries[key].half;
        let forward = half.peer.filter(|_| !half.forward).unwrap_or(*key);
        if is_drop(half) {
            timeouts.drop
        } else {
            timeouts.of(&forward, self.tcp_state(key))
        }
    }

    fn active(&self, key: &FlowKey) -> Tick {
        let pair = self.with_peers(|half| half.key == *key);
        pair.iter()
            .map(|key| self.entries[key].counters.last_seen)
            .max()
            .expect("in the table")
    }

    fn with_peers(&self, is: impl Fn(&Half) -> bool) -> Vec<FlowKey> {
        let both = |half: &Half| {
            let peer = half.peer.map(|peer| &self.entries[&peer].half);
            is(half) || peer.is_some_and(&is)
        };
        let found = self.entries.values().filter(|entry| both(&entry.half));
        found.map(|entry| entry.half.key).collect()
    }

    fn count(&self, is: impl Fn(&Entry) -> bool) -> u32 {
        let count = self.entries.values().filter(|entry| is(entry)).count();
        u32::try_from(count).expect("few")
    }
}

fn is_drop(half: &Half) -> bool {
    half.peer.is_none() && half.transposition.drop_reason().is_some()
}

/// Only what has a peer changes between passing and dropping.
fn may_become(half: &Half, to: &Transposition) -> bool {
    half.peer.is_some() || half.transposition.drop_reason().is_some() == to.drop_reason().is_some()
}

fn halves(pair: &FlowPair) -> impl Iterator<Item = Half> {
    std::iter::once(pair.forward).chain(pair.reverse)
}

fn sorted(keys: impl IntoIterator<Item = FlowKey>) -> Vec<String> {
    let mut keys: Vec<String> = keys.into_iter().map(|key| format!("{key:?}")).collect();
    keys.sort();
    keys
}
