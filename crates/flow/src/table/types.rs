use std::num::NonZeroU32;

use thiserror::Error;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{DropReason, FlowKey, PortId, Refusal, TcpFlags, Tick, Transposition};

/// What an entry was compiled against. A packet that finds an older stamp than its port's is stale.
///
/// An allowing entry is stale when `path` is behind its port's path generation (routes, peerings,
/// re-evaluation) or `mapping_version` is behind the version of its mapping slot. A dropping entry
/// is stale when `policy` is behind its port's policy generation, which every change advances: an
/// edit that allows more must reach what was refused, while an edit that allows less leaves
/// established connections alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The port's policy generation.
    pub policy: u32,
    /// The port's path generation.
    pub path: u32,
    /// Which mapping slot the destination was found in.
    pub mapping_slot: u32,
    /// The version that slot had.
    pub mapping_version: u32,
}

/// What of a [`Stamp`] a packet is held against, which depends on whether the entry drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Basis {
    /// The port's policy generation if the entry drops, its path generation if it allows.
    pub generation: u32,
    /// As [`Stamp::mapping_slot`].
    pub mapping_slot: u32,
    /// As [`Stamp::mapping_version`].
    pub mapping_version: u32,
}

impl Stamp {
    /// What packets of an entry with this stamp are held against.
    #[inline]
    pub fn basis(&self, drops: bool) -> Basis {
        Basis {
            generation: if drops { self.policy } else { self.path },
            mapping_slot: self.mapping_slot,
            mapping_version: self.mapping_version,
        }
    }

    /// The generation that is not in [`Stamp::basis`].
    pub(super) fn other_generation(&self, drops: bool) -> u32 {
        if drops { self.path } else { self.policy }
    }

    /// The stamp that was taken apart.
    pub(super) fn of_parts(basis: &Basis, other_generation: u32, drops: bool) -> Stamp {
        let (policy, path) = if drops {
            (basis.generation, other_generation)
        } else {
            (other_generation, basis.generation)
        };
        Stamp {
            policy,
            path,
            mapping_slot: basis.mapping_slot,
            mapping_version: basis.mapping_version,
        }
    }
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Half {
    /// What it matches.
    pub key: FlowKey,
    /// What it does.
    pub transposition: Transposition,
    /// What it was compiled against.
    pub stamp: Stamp,
    /// The key of the other direction. A drop has none.
    pub peer: Option<FlowKey>,
    /// Whether this direction opened the connection.
    pub forward: bool,
}

/// Both directions of a connection, or one remembered drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowPair {
    /// The direction that opened.
    pub forward: Half,
    /// The answer's direction.
    pub reverse: Option<Half>,
}

impl FlowPair {
    /// Whether this is a remembered drop: one direction, and it ends here.
    pub fn is_drop(&self) -> bool {
        self.reverse.is_none() && self.forward.transposition.drop_reason().is_some()
    }
}

/// What was counted for one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames, a super-segment counting once.
    pub packets: u64,
    /// Bytes of those frames, Ethernet header included, as the guest sent them.
    pub bytes: u64,
    /// All TCP flags seen.
    pub tcp_flags: TcpFlags,
    /// When the last one came.
    pub last_seen: Tick,
}

impl Counters {
    /// Adds what somebody else counted for the same direction.
    pub fn merge(&mut self, other: &Counters) {
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.tcp_flags = self.tcp_flags | other.tcp_flags;
        self.last_seen = self.last_seen.max(other.last_seen);
    }
}

/// How much a [`FlowTable`](crate::FlowTable) holds. All memory is taken when the table is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries, that is directions, of all ports together.
    pub flows_max: NonZeroU32,
    /// Entries keyed at one port.
    pub flows_per_port_max: NonZeroU32,
    /// The largest port number whose keys are taken; more than [`PortId::MAX`] counts as that.
    pub ports_max: u16,
}

impl Limits {
    /// How many of a port's entries may be remembered drops: a quarter, and at least one. So what
    /// a guest is refused never crowds out what it is allowed.
    pub fn drops_per_port_max(&self) -> u32 {
        (self.flows_per_port_max.get() / 4).max(1)
    }

    /// How many different tunnel ends entries may name: one per 64 entries, at least 256.
    pub fn encaps_max(&self) -> u16 {
        let wanted = (self.flows_max.get() / 64).clamp(256, u32::from(u16::MAX) - 1);
        u16::try_from(wanted).expect("clamped to the type")
    }
}

/// Where a pair is executed besides the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Offload {
    /// Nowhere; with the engine's reason, if it was asked.
    NotOffloaded(Option<Refusal>),
    /// Nowhere, and an engine is to be asked once the pair has another packet: many never have.
    Deferred,
    /// In the engine, deactivated.
    Installed,
    /// In the engine, which executes it.
    Active,
}

impl Offload {
    /// Whether the engine holds an entry.
    pub fn in_engine(self) -> bool {
        matches!(self, Offload::Installed | Offload::Active)
    }
}

/// Why a pair is not taken in. Nothing it would have replaced is touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InsertError {
    /// As many entries as the table may have, and none that may be recycled.
    #[error("flow table full")]
    TableFull,
    /// As many entries at this port as it may have, and none that may be recycled.
    #[error("flows of {0} at their limit")]
    PortFull(PortId),
    /// The pair needs another tunnel end than the ones in use, and those are at their limit.
    #[error("tunnel ends at their limit")]
    EncapsFull,
    /// A key's port is beyond [`Limits::ports_max`].
    #[error("{0} beyond the flow table's ports")]
    UnknownPort(PortId),
}

impl From<InsertError> for DropReason {
    /// The packet that wanted the flow is dropped for this.
    fn from(_: InsertError) -> DropReason {
        DropReason::FlowTableFull
    }
}

/// Why an entry is not given another transposition. The entry stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UpdateError {
    /// The flow is no longer there.
    #[error("flow gone")]
    Gone,
    /// The keys are not, or no longer, the two directions of one flow; insert the pair instead.
    #[error("flow has other directions")]
    OtherPair,
    /// A remembered drop would become a flow, or a flow without a peer a drop; insert the new
    /// decision instead.
    #[error("flow has the other verdict")]
    OtherVerdict,
    /// The tunnel ends in use are at their limit.
    #[error("tunnel ends at their limit")]
    EncapsFull,
}

/// Why an entry left the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Removal {
    /// A new pair has its key, or the key of its peer.
    Replaced,
    /// Room was needed, and it was a drop or an unanswered handshake.
    Evicted,
    /// It was idle for as long as it may be.
    Expired,
    /// The table's owner asked.
    Requested,
}

/// An entry that left the table. Both directions of a pair leave together, one of these each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// What it was.
    pub half: Half,
    /// What the table had counted; see [`FlowEntry::counters`](crate::FlowEntry::counters).
    pub counters: Counters,
    /// When it came, to within 2^27 ns (an eighth of a second).
    pub created: Tick,
    /// Whether an engine has it still: then the engine is to forget it too, and the counters the
    /// engine gives back belong to these.
    pub offload: Offload,
    /// Why it left.
    pub why: Removal,
}
