//! The slots of the entries, and which of them are vacant.

use super::FlowId;
use super::cold::{Cold, NIL};
use super::encaps::EncapId;
use super::hot::Hot;
use super::packed_key::PackedKey;
use crate::{FlowKey, Offload, Stamp, Tick, Transposition};

/// All memory is asked for at once, and touched slot by slot as the table fills for the first time:
/// an idle table costs the host next to nothing.
pub(super) struct Slab {
    pub(super) hot: Vec<Hot>,
    pub(super) cold: Vec<Cold>,
    capacity: u32,
    /// Vacant slots are used in the order in which they became vacant, so that a slot, and with it
    /// the generation of an old [`FlowId`], comes around as late as it can.
    vacant_first: u32,
    vacant_last: u32,
    len: u32,
}

impl Slab {
    pub(super) fn with_capacity(capacity: u32) -> Slab {
        Slab {
            hot: Vec::with_capacity(capacity as usize),
            cold: Vec::with_capacity(capacity as usize),
            capacity,
            vacant_first: NIL,
            vacant_last: NIL,
            len: 0,
        }
    }

    pub(super) fn capacity(&self) -> u32 {
        self.capacity
    }

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn hot(&self, slot: u32) -> &Hot {
        &self.hot[slot as usize]
    }

    pub(super) fn hot_mut(&mut self, slot: u32) -> &mut Hot {
        &mut self.hot[slot as usize]
    }

    pub(super) fn cold(&self, slot: u32) -> &Cold {
        &self.cold[slot as usize]
    }

    pub(super) fn cold_mut(&mut self, slot: u32) -> &mut Cold {
        &mut self.cold[slot as usize]
    }

    /// Whether the entry of the key is there. A slot that does not exist is no entry.
    #[inline(always)]
    pub(super) fn holds(&self, slot: u32, key: &PackedKey) -> bool {
        let may_match = |hot: &Hot| hot.may_match(key);
        self.hot.get(slot as usize).is_some_and(may_match)
            && (!key.is_wide() || self.cold(slot).far_key == key.far)
    }

    /// Something of the line that every hit reads, to be read ahead of need.
    #[inline]
    pub(super) fn touch(&self, slot: u32) -> u64 {
        let hot = self.hot.get(slot as usize);
        hot.map_or(0, |hot| u64::from(hot.generation))
    }

    /// Something of each line that hits of IPv6 read besides.
    #[inline]
    pub(super) fn touch_far(&self, slot: u32) -> u64 {
        let cold = self.cold.get(slot as usize);
        cold.map_or(0, |cold| cold.far_key[0] ^ cold.far_key[2])
    }

    /// A slot for a new entry. There must be a vacant one.
    pub(super) fn occupy(&mut self, key: &PackedKey, forward: bool, now: Tick) -> u32 {
        let slot = self.take();
        self.hot_mut(slot).occupy(key, forward, now);
        self.cold_mut(slot).occupy(key, now);
        slot
    }

    fn take(&mut self) -> u32 {
        assert!(self.len < self.capacity, "the caller made room");
        self.len += 1;
        let slot = self.vacant_first;
        if slot != NIL {
            self.vacant_first = self.cold(slot).peer;
            return slot;
        }
        // Every slot touched so far is taken, so there are as many as there are entries.
        self.hot.push(Hot::vacant());
        self.cold.push(Cold::vacant(NIL));
        self.len - 1
    }

    /// Makes a slot vacant, which ends the life of its [`FlowId`].
    pub(super) fn give_back(&mut self, slot: u32) {
        self.hot_mut(slot).vacate();
        self.cold_mut(slot).peer = NIL;
        if self.vacant_first == NIL {
            self.vacant_first = slot;
        } else {
            let last = self.vacant_last;
            self.cold_mut(last).peer = slot;
        }
        self.vacant_last = slot;
        self.len -= 1;
    }

    pub(super) fn id(&self, slot: u32) -> FlowId {
        FlowId {
            slot,
            generation: self.hot(slot).generation,
        }
    }

    /// The slot, if it has not been given away since.
    pub(super) fn slot(&self, id: FlowId) -> Option<u32> {
        let hot = self.hot.get(id.slot as usize)?;
        (hot.generation == id.generation && !hot.is_vacant()).then_some(id.slot)
    }

    /// The other direction of the same pair.
    pub(super) fn peer(&self, slot: u32) -> Option<u32> {
        let peer = self.cold(slot).peer;
        (peer != NIL).then_some(peer)
    }

    /// The direction that opened.
    pub(super) fn leader(&self, slot: u32) -> u32 {
        if self.hot(slot).is_forward() {
            slot
        } else {
            self.peer(slot).unwrap_or(slot)
        }
    }

    pub(super) fn packed_key(&self, slot: u32) -> PackedKey {
        self.hot(slot).key(self.cold(slot))
    }

    pub(super) fn key(&self, slot: u32) -> FlowKey {
        self.packed_key(slot).key()
    }

    pub(super) fn stamp(&self, slot: u32) -> Stamp {
        let hot = self.hot(slot);
        let other = self.cold(slot).other_generation;
        Stamp::of_parts(hot.basis(), other, hot.drops())
    }

    /// Gives an entry a decision; its tunnel end, if it has one, was interned as `encap`.
    pub(super) fn decide(
        &mut self,
        slot: u32,
        to: &Transposition,
        stamp: &Stamp,
        encap: Option<EncapId>,
    ) {
        self.hot_mut(slot).decide(to, stamp, encap);
        let drops = to.drop_reason().is_some();
        self.cold_mut(slot).decide(stamp, drops);
    }

    pub(super) fn set_offload(&mut self, slot: u32, offload: Offload) {
        self.hot_mut(slot).note_offload(offload);
        self.cold_mut(slot).set_offload(offload);
    }

    /// Packets and bytes that were counted.
    pub(super) fn counted(&self, slot: u32) -> (u64, u64) {
        self.hot(slot).counted(self.cold(slot))
    }

    /// Counts what somebody else did.
    pub(super) fn add(&mut self, slot: u32, packets: u64, bytes: u64) {
        let at = slot as usize;
        self.hot[at].add(packets, bytes, &mut self.cold[at]);
    }

    /// Counts a packet.
    #[inline]
    pub(super) fn record(&mut self, slot: u32, bytes: u64, now: Tick) {
        let hot = self.hot_mut(slot);
        hot.see(now);
        if !hot.count(bytes) {
            self.add(slot, 1, bytes);
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.hot.capacity() * size_of::<Hot>() + self.cold.capacity() * size_of::<Cold>()
    }
}
