//! What happens to an entry between its coming and its leaving.

use super::encaps::EncapId;
use super::{FlowId, FlowTable};
use crate::{
    Counters, EngineCounters, FlowKey, FlowPair, Half, Offload, Stamp, TcpFlags, Tick,
    Transposition, UpdateError,
};

impl FlowTable {
    /// Counts a frame that the switch executed. An id that is stale counts nothing.
    ///
    /// This is the per-packet cost of ageing: the time is stored, and flags are looked at only when
    /// the entry has not seen them before.
    #[inline]
    pub fn record(&mut self, id: FlowId, bytes: u64, tcp_flags: TcpFlags, now: Tick) {
        let Some(slot) = self.slab.slot(id) else {
            return;
        };
        self.slab.record(slot, bytes, now);
        self.see_flags(slot, tcp_flags);
    }

    /// Gives one direction what re-simulation decided, keeping its counters, its age and its
    /// timeout. A direction of a pair may come to drop, and later to allow again; a remembered drop
    /// stays one.
    pub fn update(
        &mut self,
        id: FlowId,
        transposition: &Transposition,
        stamp: Stamp,
    ) -> Result<(), UpdateError> {
        let slot = self.slab.slot(id).ok_or(UpdateError::Gone)?;
        self.check_verdict(slot, transposition)?;
        let encap = self
            .take_encap(transposition)
            .ok_or(UpdateError::EncapsFull)?;
        self.set(slot, transposition, stamp, encap);
        Ok(())
    }

    /// Gives both directions of a pair, found by their keys, what re-simulation decided, keeping
    /// their counters and their age: both or, after an error, neither. Returns the id of the
    /// forward direction.
    pub fn replace_halves(&mut self, pair: &FlowPair) -> Result<FlowId, UpdateError> {
        let find = |half: &Half| self.find(&half.key).ok_or(UpdateError::Gone);
        let leader = find(&pair.forward)?;
        let follower = pair.reverse.as_ref().map(find).transpose()?;
        if self.slab.peer(leader) != follower || !self.slab.hot(leader).is_forward() {
            return Err(UpdateError::OtherPair);
        }
        let forward = &pair.forward;
        self.check_verdict(leader, &forward.transposition)?;
        if let (Some(follower), Some(reverse)) = (follower, &pair.reverse) {
            self.check_verdict(follower, &reverse.transposition)?;
        }
        let reverse = pair.reverse.as_ref();
        let (forward_encap, reverse_encap) = self
            .take_encaps(
                &forward.transposition,
                reverse.map(|half| &half.transposition),
            )
            .ok_or(UpdateError::EncapsFull)?;
        self.set(leader, &forward.transposition, forward.stamp, forward_encap);
        if let (Some(follower), Some(reverse)) = (follower, reverse) {
            self.set(
                follower,
                &reverse.transposition,
                reverse.stamp,
                reverse_encap,
            );
        }
        Ok(self.slab.id(leader))
    }

    /// Notes where a pair is executed; both directions are there or neither. False when the id is
    /// stale. Counters of an engine that has let go of the pair go to
    /// [`absorb`](FlowTable::absorb), which notes the leaving itself.
    pub fn set_offload(&mut self, id: FlowId, offload: Offload) -> bool {
        let Some(slot) = self.slab.slot(id) else {
            return false;
        };
        self.slab.set_offload(slot, offload);
        if let Some(peer) = self.slab.peer(slot) {
            self.slab.set_offload(peer, offload);
        }
        true
    }

    /// As [`set_offload`](FlowTable::set_offload), for the pair in which this key is.
    pub fn set_offload_of(&mut self, key: &FlowKey, offload: Offload) -> bool {
        self.lookup(key)
            .is_some_and(|id| self.set_offload(id, offload))
    }

    /// Adds the last counters of an entry that has left an engine, as
    /// [`FlowEngine::remove`](crate::FlowEngine::remove) gives them, and notes that this direction
    /// is there no more. Counters of a key that is not here, or not marked as in an engine, are
    /// not for this entry: they are left alone, and the answer is false. So counters are added once
    /// for each installation, whoever reports twice.
    ///
    /// A packet is counted in one place at any time: here if the switch executed it, in the engine
    /// while the entry is there. That is why no difference between readings has to be kept.
    pub fn absorb(&mut self, last: &EngineCounters) -> bool {
        let Some(slot) = self.find(&last.key) else {
            return false;
        };
        if !self.slab.cold(slot).offload().in_engine() {
            return false;
        }
        let counters = &last.counters;
        self.slab.set_offload(slot, Offload::NotOffloaded(None));
        self.slab.add(slot, counters.packets, counters.bytes);
        self.see(slot, counters);
        true
    }

    /// Takes note of the flags and the time that an engine reports for an entry it holds. Counts
    /// nothing, so it may be repeated. False when there is no such entry.
    pub fn observe(&mut self, reading: &EngineCounters) -> bool {
        let slot = self.find(&reading.key);
        if let Some(slot) = slot {
            self.see(slot, &reading.counters);
        }
        slot.is_some()
    }

    pub(super) fn see(&mut self, slot: u32, counters: &Counters) {
        self.slab.hot_mut(slot).see(counters.last_seen);
        self.see_flags(slot, counters.tcp_flags);
    }

    #[inline]
    fn see_flags(&mut self, slot: u32, flags: TcpFlags) {
        if self.slab.hot_mut(slot).add_tcp_flags(flags) {
            self.reclassify(slot);
        }
    }

    fn check_verdict(&self, slot: u32, to: &Transposition) -> Result<(), UpdateError> {
        // A connection may find its way blocked and open again; a remembered drop is no connection.
        let connected = self.slab.peer(slot).is_some();
        let same = self.slab.hot(slot).drops() == to.drop_reason().is_some();
        if same || connected {
            Ok(())
        } else {
            Err(UpdateError::OtherVerdict)
        }
    }

    fn set(&mut self, slot: u32, to: &Transposition, stamp: Stamp, encap: Option<EncapId>) {
        let before = self.slab.hot(slot).encap();
        self.slab.decide(slot, to, &stamp, encap);
        self.release_encap(before);
    }
}
