//! How pairs come into the table and leave it.

use super::class::Class;
use super::encaps::EncapId;
use super::packed_key::PackedKey;
use super::{FlowEntry, FlowId, FlowTable};
use crate::{FlowKey, FlowPair, Half, InsertError, PortId, Removal, Removed, Tick, Transposition};

/// Why a pair does not fit, yet.
#[derive(Clone, Copy)]
enum Lack {
    /// The table has too many entries.
    Table,
    /// The port has too many entries.
    Port(PortId),
    /// The port has too many drops.
    Drops(PortId),
}

impl FlowTable {
    /// Puts in a pair or a drop, and returns the id of its forward direction.
    ///
    /// Pairs that have one of the keys are replaced: they leave with both their directions. When
    /// the table or a port is full, the oldest drop leaves, or else the oldest unanswered TCP
    /// handshake; a new drop only ever recycles drops, and a port's drops above
    /// [`Limits::drops_per_port_max`](crate::Limits::drops_per_port_max) recycle each other.
    /// All that leaves is appended to `removed`, for the caller to take out of engines; that is at
    /// most [`FlowTable::REMOVED_PER_INSERT_MAX`]. After an error nothing was replaced.
    ///
    /// The place in the pair decides which half is `forward` and who is whose `peer`. A tunnel end
    /// without [`Verdict::Uplink`](crate::Verdict::Uplink) means nothing and is not kept. A reverse
    /// half with the key of the forward one is left out: the one entry matches both directions.
    pub fn insert(
        &mut self,
        pair: &FlowPair,
        now: Tick,
        removed: &mut Vec<Removed>,
    ) -> Result<FlowId, InsertError> {
        let forward = &pair.forward;
        let reverse = pair
            .reverse
            .as_ref()
            .filter(|reverse| reverse.key != forward.key);
        let pair = FlowPair {
            forward: *forward,
            reverse: reverse.copied(),
        };
        self.make_room(&pair, removed)?;
        let (forward_encap, reverse_encap) = self
            .take_encaps(
                &forward.transposition,
                reverse.map(|half| &half.transposition),
            )
            .ok_or(InsertError::EncapsFull)?;
        for key in keys(&pair) {
            if let Some(slot) = self.find(key) {
                self.remove_pair(slot, Removal::Replaced, removed);
            }
        }
        let leader = self.occupy(forward, forward_encap, true, now);
        if let Some(reverse) = reverse {
            let follower = self.occupy(reverse, reverse_encap, false, now);
            self.slab.cold_mut(leader).peer = follower;
            self.slab.cold_mut(follower).peer = leader;
        }
        if pair.is_drop() {
            self.ports[usize::from(forward.key.owner().0)].drops += 1;
        }
        self.enlist(leader);
        Ok(self.slab.id(leader))
    }

    /// Takes out an entry and its peer, the forward direction first. False when the id is stale.
    pub fn remove(&mut self, id: FlowId, removed: &mut Vec<Removed>) -> bool {
        let slot = self.slab.slot(id);
        if let Some(slot) = slot {
            self.remove_pair(slot, Removal::Requested, removed);
        }
        slot.is_some()
    }

    /// Takes out all pairs with a direction keyed at this port, so that a later NIC of the same
    /// number does not inherit them. Looks at every place of the table.
    pub fn remove_port(&mut self, port: PortId, removed: &mut Vec<Removed>) {
        for slot in 0.. {
            if self.port_len(port) == 0 {
                break;
            }
            let hot = self.slab.hot(slot);
            if !hot.is_vacant() && hot.owner() == port {
                self.remove_pair(slot, Removal::Requested, removed);
            }
        }
    }

    pub(super) fn remove_pair(&mut self, slot: u32, why: Removal, removed: &mut Vec<Removed>) {
        let leader = self.slab.leader(slot);
        let follower = self.slab.peer(leader);
        // Both are described before either goes: a half names its peer.
        for slot in [Some(leader), follower].into_iter().flatten() {
            let entry = FlowEntry::at(self, slot);
            removed.push(Removed {
                half: entry.half(),
                counters: entry.counters(),
                created: entry.created(),
                offload: entry.offload(),
                why,
            });
        }
        for slot in [Some(leader), follower].into_iter().flatten() {
            self.vacate(slot);
        }
    }

    /// The numbers of the tunnel ends of two transpositions, or `None` and no change.
    pub(super) fn take_encaps(
        &mut self,
        forward: &Transposition,
        reverse: Option<&Transposition>,
    ) -> Option<(Option<EncapId>, Option<EncapId>)> {
        let first = self.take_encap(forward)?;
        let second = match reverse {
            None => None,
            Some(reverse) => match self.take_encap(reverse) {
                Some(second) => second,
                None => {
                    self.release_encap(first);
                    return None;
                }
            },
        };
        Some((first, second))
    }

    /// `None` when there is no room, `Some(None)` when there is no tunnel end.
    pub(super) fn take_encap(&mut self, of: &Transposition) -> Option<Option<EncapId>> {
        let Some(encap) = of.tunnel_end() else {
            return Some(None);
        };
        let hash = self.hash_encap(encap);
        self.encaps.take(hash, encap).map(Some)
    }

    pub(super) fn release_encap(&mut self, id: Option<EncapId>) {
        if let Some(id) = id
            && let Some(encap) = self.encaps.get(id)
        {
            let hash = self.hash_encap(encap);
            self.encaps.release(hash, id);
        }
    }

    fn occupy(&mut self, half: &Half, encap: Option<EncapId>, forward: bool, now: Tick) -> u32 {
        let key = PackedKey::of(&half.key);
        let slot = self.slab.occupy(&key, forward, now);
        self.slab
            .decide(slot, &half.transposition, &half.stamp, encap);
        self.index.insert(self.hash_key(&key), slot);
        self.ports[usize::from(half.key.owner().0)].entries += 1;
        slot
    }

    fn vacate(&mut self, slot: u32) {
        let hot = *self.slab.hot(slot);
        let key = self.slab.packed_key(slot);
        self.lists.unlink(slot);
        self.index.remove(self.hash_key(&key), slot);
        self.release_encap(hot.encap());
        let uses = &mut self.ports[usize::from(hot.owner().0)];
        uses.entries -= 1;
        if hot.class() == Class::Drop {
            uses.drops -= 1;
        }
        self.slab.give_back(slot);
    }

    /// Recycles until the pair fits.
    fn make_room(
        &mut self,
        pair: &FlowPair,
        removed: &mut Vec<Removed>,
    ) -> Result<(), InsertError> {
        self.check_possible(pair)?;
        while let Some(lack) = self.lack(pair) {
            let drops_only = pair.is_drop();
            let found = match lack {
                Lack::Drops(port) => self.oldest_of(port, true),
                Lack::Port(port) => self.oldest_of(port, drops_only),
                Lack::Table => self.oldest_of_any(drops_only),
            };
            match (found, lack) {
                (Some(slot), _) => self.remove_pair(slot, Removal::Evicted, removed),
                (None, Lack::Table) => return Err(InsertError::TableFull),
                (None, Lack::Port(port) | Lack::Drops(port)) => {
                    return Err(InsertError::PortFull(port));
                }
            }
        }
        Ok(())
    }

    /// Whether the pair would fit into an empty table; if not, nothing should be recycled for it.
    fn check_possible(&self, pair: &FlowPair) -> Result<(), InsertError> {
        for key in keys(pair) {
            let port = key.owner();
            if usize::from(port.0) >= self.ports.len() {
                return Err(InsertError::UnknownPort(port));
            }
            if at_port(pair, port) > self.limits.flows_per_port_max.get() {
                return Err(InsertError::PortFull(port));
            }
        }
        if count(keys(pair)) > self.slab.capacity() {
            return Err(InsertError::TableFull);
        }
        Ok(())
    }

    /// What is too full for the pair, once what it replaces is gone.
    fn lack(&self, pair: &FlowPair) -> Option<Lack> {
        let replaced = self.replaced(pair);
        let replaced = || replaced.iter().flatten().map(|&slot| self.slab.hot(slot));
        let port = pair.forward.key.owner();
        if pair.is_drop() {
            let gone =
                count(replaced().filter(|hot| hot.class() == Class::Drop && hot.owner() == port));
            if self.port_drops(port) - gone + 1 > self.limits.drops_per_port_max() {
                return Some(Lack::Drops(port));
            }
        }
        for key in keys(pair) {
            let port = key.owner();
            let gone = count(replaced().filter(|hot| hot.owner() == port));
            let wanted = self.port_len(port) - gone + at_port(pair, port);
            if wanted > self.limits.flows_per_port_max.get() {
                return Some(Lack::Port(port));
            }
        }
        let wanted = self.len() - count(replaced()) + count(keys(pair));
        (wanted > self.slab.capacity()).then_some(Lack::Table)
    }

    /// The entries that inserting this pair would replace, each once.
    fn replaced(&self, pair: &FlowPair) -> [Option<u32>; 4] {
        let found = self.find(&pair.forward.key);
        let found_peer = found.and_then(|slot| self.slab.peer(slot));
        let other = pair
            .reverse
            .as_ref()
            .and_then(|reverse| self.find(&reverse.key));
        let other = other.filter(|_| other != found_peer);
        let other_peer = other.and_then(|slot| self.slab.peer(slot));
        [found, found_peer, other, other_peer]
    }

    fn oldest_of(&self, port: PortId, drops_only: bool) -> Option<u32> {
        let drop = self.lists.front(self.drop_list(port));
        let unanswered = || self.lists.front(self.unanswered_list(port));
        drop.or_else(|| if drops_only { None } else { unanswered() })
    }

    /// The ports take turns, so that none of them pays for all.
    fn oldest_of_any(&mut self, drops_only: bool) -> Option<u32> {
        let drops = self.drop_lists();
        let unanswered = self.unanswered_lists();
        let candidates = [Some(drops), (!drops_only).then_some(unanswered)];
        for range in candidates.into_iter().flatten() {
            let middle = range.start + self.recycle_next;
            let later = self.lists.first_occupied(middle..range.end);
            let found = later.or_else(|| self.lists.first_occupied(range.start..middle));
            if let Some(list) = found {
                self.recycle_next = (list.0 - range.start + 1) % self.port_count();
                return self.lists.front(list);
            }
        }
        None
    }
}

fn keys(pair: &FlowPair) -> impl Iterator<Item = &FlowKey> {
    std::iter::once(&pair.forward.key).chain(pair.reverse.as_ref().map(|half| &half.key))
}

/// How many entries the pair has at a port.
fn at_port(pair: &FlowPair, port: PortId) -> u32 {
    count(keys(pair).filter(|key| key.owner() == port))
}

fn count(items: impl Iterator) -> u32 {
    items.fold(0, |count, _| count + 1)
}
