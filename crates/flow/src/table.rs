//! The software home of the flow pairs: a table of fixed size that finds a direction by its key.
//!
//! An entry takes 128 bytes at most, all in: a line that every packet reads and writes ([`hot`]), most
//! of a line that IPv4 packets leave alone ([`cold`]), eight bytes for its place in an ageing list
//! ([`lists`]), eight for its place in the [`index`]. So a hit of IPv4 touches two cache lines: one
//! of the index, and the hot one. Tunnel ends, which many entries share, are kept once ([`encaps`]).
//!
//! Both directions of a pair come and go together. A pair is in the list of its [`class`], the
//! oldest first; [`expire`](FlowTable::expire) looks at the heads of the lists.
//! Remembered drops and unanswered handshakes are in lists of their ports, because these are what
//! is recycled, oldest first, when a port or the table is full. What was answered never is.

mod ageing;
mod class;
mod cold;
mod encaps;
mod hash;
mod hit;
mod hot;
mod index;
mod insert;
mod lists;
mod packed_key;
mod slab;
mod types;
mod update;
mod view;

use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;

use foldhash::{SharedSeed, quality::FoldHasher};

use crate::{Encap, FlowKey, PortId, TcpState};
use cold::Cold;
use encaps::Encaps;
use hash::KeyHasher;
use hot::Hot;
use index::Index;
use lists::Lists;
use packed_key::PackedKey;
use slab::Slab;

pub use hit::{Hint, Hit};
pub use types::{
    Basis, Counters, FlowPair, Half, InsertError, Limits, Offload, Removal, Removed, Stamp,
    UpdateError,
};
pub use view::{FlowEntry, FlowId};

const _: () = assert!(
    size_of::<Hot>() + size_of::<Cold>() + Lists::BYTES_PER_NODE + Index::BYTES_PER_ENTRY <= 128
);

/// Flow pairs of all ports, found by key.
///
/// The table allocates when it is made and never again. It is owned by one thread; `now` is handed
/// in and is expected not to run backwards.
pub struct FlowTable {
    limits: Limits,
    slab: Slab,
    index: Index,
    lists: Lists,
    encaps: Encaps,
    ports: Box<[PortUse]>,
    hasher: KeyHasher,
    encap_seed: SharedSeed,
    /// The list at which the next [`expire`](FlowTable::expire) begins.
    expire_next: u32,
    /// The port at which the next search for something to recycle begins.
    recycle_next: u32,
}

/// What a port has in the table.
#[derive(Clone, Copy, Default)]
struct PortUse {
    entries: u32,
    drops: u32,
}

impl FlowTable {
    /// The most entries one [`insert`](FlowTable::insert) removes: two pairs that it replaces, and
    /// a pair for each entry that the table and the ports lack.
    pub const REMOVED_PER_INSERT_MAX: usize = 16;

    /// An empty table. The seed chooses the hash function; take it at random, so that guests cannot
    /// choose keys that collide.
    pub fn with_limits(limits: Limits, seed: u64) -> FlowTable {
        let ports = u32::from(limits.ports_max.min(PortId::MAX.0)) + 1;
        let list_count = ageing::list_count(ports);
        let capacity = limits.flows_max.get().min(u32::MAX - 1 - list_count);
        FlowTable {
            limits,
            slab: Slab::with_capacity(capacity),
            index: Index::with_capacity(capacity),
            lists: Lists::new(capacity, list_count),
            encaps: Encaps::with_capacity(limits.encaps_max()),
            ports: vec![PortUse::default(); ports as usize].into_boxed_slice(),
            hasher: KeyHasher::new(seed),
            encap_seed: SharedSeed::from_u64(seed),
            expire_next: 0,
            recycle_next: 0,
        }
    }

    /// What the table was made for.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Changes how many entries a port may have. Ports above a smaller limit keep what they have,
    /// and take nothing new until they are below it.
    pub fn set_flows_per_port_max(&mut self, max: NonZeroU32) {
        self.limits.flows_per_port_max = max;
    }

    /// The entry with this key.
    #[inline]
    pub fn lookup(&self, key: &FlowKey) -> Option<FlowId> {
        self.find(key).map(|slot| self.slab.id(slot))
    }

    /// The entry with this id, unless it is gone.
    #[inline]
    pub fn get(&self, id: FlowId) -> Option<FlowEntry<'_>> {
        self.slab.slot(id).map(|slot| FlowEntry::at(self, slot))
    }

    /// How far a connection has come; `None` for remembered drops, for what is not TCP and
    /// for what is gone.
    pub fn tcp_state(&self, id: FlowId) -> Option<TcpState> {
        self.get(id)?.tcp_state()
    }

    /// The drops that are remembered for a port, the oldest first.
    pub fn drops_of(&self, port: PortId) -> impl Iterator<Item = FlowEntry<'_>> {
        let known = usize::from(port.0) < self.ports.len();
        let list = known.then(|| self.drop_list(port));
        let slots = list.into_iter().flat_map(|list| self.lists.nodes(list));
        slots.map(|slot| FlowEntry::at(self, slot))
    }

    /// All entries, in no order that means anything. Looks at every place that was ever used.
    pub fn iter(&self) -> impl Iterator<Item = FlowEntry<'_>> {
        let slots = (0..).zip(&self.slab.hot);
        let taken = slots.filter(|(_, hot)| !hot.is_vacant());
        taken.map(|(slot, _)| FlowEntry::at(self, slot))
    }

    /// How many entries there are.
    pub fn len(&self) -> u32 {
        self.slab.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many entries are keyed at this port.
    pub fn port_len(&self, port: PortId) -> u32 {
        self.ports
            .get(usize::from(port.0))
            .map_or(0, |uses| uses.entries)
    }

    /// How many of the port's entries are remembered drops.
    pub fn port_drops(&self, port: PortId) -> u32 {
        self.ports
            .get(usize::from(port.0))
            .map_or(0, |uses| uses.drops)
    }

    /// What the table takes of memory, from the start and for ever.
    pub fn memory_bytes(&self) -> usize {
        size_of::<FlowTable>()
            + self.slab.memory_bytes()
            + self.index.memory_bytes()
            + self.lists.memory_bytes()
            + self.encaps.memory_bytes()
            + size_of_val(&*self.ports)
    }

    fn find(&self, key: &FlowKey) -> Option<u32> {
        self.find_packed(&PackedKey::of(key))
    }

    #[inline]
    fn find_packed(&self, key: &PackedKey) -> Option<u32> {
        self.index
            .find(self.hash_key(key), |slot| self.slab.holds(slot, key))
    }

    fn hash_key(&self, key: &PackedKey) -> u64 {
        self.hasher.hash(key)
    }

    fn hash_encap(&self, encap: &Encap) -> u64 {
        let mut hasher = FoldHasher::with_seed(0, &self.encap_seed);
        encap.hash(&mut hasher);
        hasher.finish()
    }

    fn tcp_state_at(&self, slot: u32) -> Option<TcpState> {
        const TCP: u8 = 6;
        let leader = self.slab.leader(slot);
        let forward = self.slab.hot(leader);
        let reverse = self
            .slab
            .peer(leader)
            .map(|peer| self.slab.hot(peer).tcp_flags());
        // A connection whose way is blocked for now is as far as it was.
        let remembered_drop = forward.drops() && reverse.is_none();
        let tcp = self.slab.key(leader).protocol() == TCP && !remembered_drop;
        tcp.then(|| TcpState::of(forward.tcp_flags(), reverse.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests;
