//! How idle pairs are found: one list per timeout, the longest queued first.
//!
//! A packet only stores its time. A pair that turns out to have been active since it was queued
//! goes to the end of its list when it reaches the head. A change of TCP state changes the list at
//! once, which a connection does a handful of times.
//!
//! So a pair goes at the end of its timeout if it was idle since it was queued, and otherwise
//! before a second timeout has passed (and a second, which is how coarsely queueing is timed).

use std::hint::black_box;
use std::ops::Range;

use super::FlowTable;
use super::class::Class;
use super::cold::{coarse, waited};
use super::lists::ListId;
use crate::{Counters, FlowKey, PortId, Removal, Removed, Tick, Timeouts};

/// The lists of the classes that are not kept by port, in the order of [`table_list`].
const TABLE_LISTS: u32 = 5;

/// Pairs that go one after the other, and are brought near together.
const AHEAD: usize = 32;

/// How many lists a table with so many ports has.
pub(super) fn list_count(ports: u32) -> u32 {
    TABLE_LISTS + 2 * ports
}

/// What asks an engine for its present counters of a key.
type Confirm<'a> = &'a mut dyn FnMut(&FlowKey) -> Option<Counters>;

impl FlowTable {
    /// Removes pairs that have been idle for their timeout, appending them to `removed`.
    ///
    /// A pair lives while either direction does. Before a pair that is in an engine goes, `confirm`
    /// is asked for both keys what the engine has counted (as
    /// [`FlowEngine::read`](crate::FlowEngine::read)); the flags and the time are taken over.
    ///
    /// At most `budget` pairs are examined, and each list that is not empty is looked at once. The
    /// answer is whether that was enough; if not, the next call continues where this one stopped.
    pub fn expire(
        &mut self,
        now: Tick,
        timeouts: &Timeouts,
        budget: usize,
        confirm: Confirm<'_>,
        removed: &mut Vec<Removed>,
    ) -> bool {
        let end = list_count(self.port_count());
        let start = self.expire_next;
        let mut left = budget;
        for range in [start..end, 0..start] {
            let mut at = range.start;
            while let Some(list) = self.lists.first_occupied(at..range.end) {
                at = list.0 + 1;
                if !self.expire_list(list, now, timeouts, &mut left, confirm, removed) {
                    self.expire_next = at % end;
                    return false;
                }
            }
        }
        true
    }

    /// Puts a new pair at the end of its list.
    pub(super) fn enlist(&mut self, leader: u32) {
        let class = self.class_of(leader);
        let follower = self.slab.peer(leader);
        let list = match class {
            Class::Drop => self.drop_list(self.slab.hot(leader).owner()),
            Class::Unanswered => self.unanswered_list(self.slab.hot(leader).owner()),
            class => table_list(class),
        };
        self.push(list, leader, class);
        if let Some(follower) = follower {
            self.slab.hot_mut(follower).set_class(class);
            // So that the answering port, too, finds what it may recycle.
            if class == Class::Unanswered {
                let list = self.unanswered_list(self.slab.hot(follower).owner());
                self.push(list, follower, class);
            }
        }
    }

    /// Moves the pair of this entry to another list if its state asks for one.
    pub(super) fn reclassify(&mut self, slot: u32) {
        let leader = self.slab.leader(slot);
        if self.class_of(leader) == self.slab.hot(leader).class() {
            return;
        }
        self.lists.unlink(leader);
        if let Some(follower) = self.slab.peer(leader) {
            self.lists.unlink(follower);
        }
        self.enlist(leader);
    }

    pub(super) fn port_count(&self) -> u32 {
        u32::try_from(self.ports.len()).expect("at most PortId::MAX and zero")
    }

    pub(super) fn drop_lists(&self) -> Range<u32> {
        TABLE_LISTS..TABLE_LISTS + self.port_count()
    }

    pub(super) fn unanswered_lists(&self) -> Range<u32> {
        TABLE_LISTS + self.port_count()..list_count(self.port_count())
    }

    pub(super) fn drop_list(&self, port: PortId) -> ListId {
        ListId(self.drop_lists().start + u32::from(port.0))
    }

    pub(super) fn unanswered_list(&self, port: PortId) -> ListId {
        ListId(self.unanswered_lists().start + u32::from(port.0))
    }

    /// Whether the list was seen to, to the first pair that is not due.
    fn expire_list(
        &mut self,
        list: ListId,
        now: Tick,
        timeouts: &Timeouts,
        left: &mut usize,
        confirm: Confirm<'_>,
        removed: &mut Vec<Removed>,
    ) -> bool {
        let mut near = 0;
        while let Some(slot) = self.lists.front(list) {
            let timeout = self.slab.hot(slot).class().timeout(timeouts);
            let expired = now.since(self.last_active(slot)) >= timeout;
            if !expired && !waited(self.slab.cold(slot).queued, now, timeout) {
                break;
            }
            if *left == 0 {
                return false;
            }
            *left -= 1;
            if !expired || self.is_alive(slot, now, timeouts, confirm) {
                // Unless what the engine said has put it in another list.
                if self.lists.front(list) == Some(slot) {
                    self.requeue(list, slot, now);
                }
            } else {
                if near == 0 {
                    self.bring_near(list);
                    near = AHEAD;
                }
                near -= 1;
                self.remove_pair(slot, Removal::Expired, removed);
            }
        }
        true
    }

    /// Reads what it takes to remove the first pairs of a list, so that the waits for memory
    /// overlap: after a flood most of a removal is such a wait.
    fn bring_near(&self, list: ListId) {
        let mut touched = 0;
        for slot in self.lists.nodes(list).take(AHEAD) {
            for half in [Some(slot), self.slab.peer(slot)].into_iter().flatten() {
                let hash = self.hash_key(&self.slab.packed_key(half));
                touched ^= self.index.touch(self.index.place(hash));
            }
        }
        black_box(touched);
    }

    /// Whether the engine, if there is one, knows of packets that keep the pair alive.
    fn is_alive(
        &mut self,
        slot: u32,
        now: Tick,
        timeouts: &Timeouts,
        confirm: Confirm<'_>,
    ) -> bool {
        for half in [Some(slot), self.slab.peer(slot)].into_iter().flatten() {
            if self.slab.cold(half).offload().in_engine()
                && let Some(counters) = confirm(&self.slab.key(half))
            {
                self.see(half, &counters);
            }
        }
        let timeout = self.slab.hot(slot).class().timeout(timeouts);
        now.since(self.last_active(slot)) < timeout
    }

    /// To the end of the list.
    fn requeue(&mut self, list: ListId, slot: u32, now: Tick) {
        self.lists.unlink(slot);
        self.lists.push_back(list, slot);
        self.slab.cold_mut(slot).queued = coarse(now);
    }

    fn push(&mut self, list: ListId, slot: u32, class: Class) {
        let queued = coarse(self.last_active(slot));
        self.slab.hot_mut(slot).set_class(class);
        self.slab.cold_mut(slot).queued = queued;
        self.lists.push_back(list, slot);
    }

    fn class_of(&self, leader: u32) -> Class {
        let hot = self.slab.hot(leader);
        if hot.drops() && self.slab.peer(leader).is_none() {
            return Class::Drop;
        }
        Class::of(&self.slab.key(leader), self.tcp_state_at(leader))
    }

    /// When the last packet of either direction came.
    fn last_active(&self, slot: u32) -> Tick {
        let own = self.slab.hot(slot).last_seen();
        self.slab
            .peer(slot)
            .map_or(own, |peer| own.max(self.slab.hot(peer).last_seen()))
    }
}

/// Of a class that is not kept by port.
fn table_list(class: Class) -> ListId {
    ListId(class as u32 - Class::Handshake as u32)
}

const _: () = assert!(Class::Icmp as u32 - Class::Handshake as u32 + 1 == TABLE_LISTS);
