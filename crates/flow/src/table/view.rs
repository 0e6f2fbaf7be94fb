use std::fmt;

use super::FlowTable;
use crate::{Counters, FlowKey, Half, Offload, Stamp, TcpState, Tick, Transposition};

/// Which entry, for as long as it is there: a later entry in the same place has another id.
///
/// An id tells apart the last 65,536 entries of its place, and vacant places are used in turn. So
/// keep it for a batch, not for a flow's life; what is to be kept is the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowId {
    pub(super) slot: u32,
    pub(super) generation: u16,
}

/// An entry of the table, seen from outside.
#[derive(Clone, Copy)]
pub struct FlowEntry<'table> {
    table: &'table FlowTable,
    slot: u32,
    key: FlowKey,
}

impl FlowEntry<'_> {
    /// The entry in a slot that is not vacant.
    #[inline]
    pub(super) fn at(table: &FlowTable, slot: u32) -> FlowEntry<'_> {
        FlowEntry {
            table,
            slot,
            key: table.slab.key(slot),
        }
    }

    /// Its id.
    pub fn id(&self) -> FlowId {
        self.table.slab.id(self.slot)
    }

    /// What it matches.
    pub fn key(&self) -> &FlowKey {
        &self.key
    }

    /// What it does.
    #[inline]
    pub fn transposition(&self) -> Transposition {
        let hot = self.table.slab.hot(self.slot);
        let encap = hot
            .encap()
            .and_then(|id| self.table.encaps.get(id))
            .copied();
        Transposition {
            encap,
            ..hot.transposition()
        }
    }

    /// What it was compiled against.
    pub fn stamp(&self) -> Stamp {
        self.table.slab.stamp(self.slot)
    }

    /// Whether this direction opened the connection.
    pub fn forward(&self) -> bool {
        self.table.slab.hot(self.slot).is_forward()
    }

    /// The other direction. A drop has none.
    pub fn peer(&self) -> Option<FlowId> {
        self.table
            .slab
            .peer(self.slot)
            .map(|slot| self.table.slab.id(slot))
    }

    /// The key of the other direction.
    pub fn peer_key(&self) -> Option<FlowKey> {
        self.table
            .slab
            .peer(self.slot)
            .map(|slot| self.table.slab.key(slot))
    }

    /// All of the above but the ids.
    pub fn half(&self) -> Half {
        Half {
            key: self.key,
            transposition: self.transposition(),
            stamp: self.stamp(),
            peer: self.peer_key(),
            forward: self.forward(),
        }
    }

    /// What the switch executed itself, and what engines had counted when the entry left them.
    /// While the entry is in an engine, what the engine has counted so far comes on top
    /// ([`Counters::merge`] of [`FlowEngine::read`](crate::FlowEngine::read)).
    ///
    /// `last_seen` starts as the time of insertion.
    pub fn counters(&self) -> Counters {
        let hot = self.table.slab.hot(self.slot);
        let (packets, bytes) = self.table.slab.counted(self.slot);
        Counters {
            packets,
            bytes,
            tcp_flags: hot.tcp_flags(),
            last_seen: hot.last_seen(),
        }
    }

    /// When it came, to within 2^27 ns (an eighth of a second).
    pub fn created(&self) -> Tick {
        self.table.slab.cold(self.slot).created()
    }

    /// Where it is executed besides the switch.
    pub fn offload(&self) -> Offload {
        self.table.slab.cold(self.slot).offload()
    }

    /// How far the connection has come, if it is a TCP connection and not a remembered drop.
    pub fn tcp_state(&self) -> Option<TcpState> {
        self.table.tcp_state_at(self.slot)
    }
}

impl fmt::Debug for FlowEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowEntry")
            .field("half", &self.half())
            .field("counters", &self.counters())
            .field("created", &self.created())
            .field("offload", &self.offload())
            .finish_non_exhaustive()
    }
}
