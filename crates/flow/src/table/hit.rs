//! The way of every packet after the first: look ahead, hit, record.
//!
//! A million flows do not fit into a cache, and a packet that waits for its entry waits for memory
//! several times in a row. So a batch is looked ahead first: what its packets will read is read once
//! for all of them, in loops whose loads do not depend on each other, so that the waits overlap.
//! What that yields are [`Hint`]s, which are never more than that.

use std::hint::black_box;

use super::FlowTable;
use super::encaps::Encaps;
use super::entry::{Cold, Hot, NIL};
use crate::apply::take_hop;
use crate::{ApplyError, Encap, Family, FlowKey, Offload, Stamp, TcpFlags, Tick, Verdict};

/// Where the entry of a key may be. It is checked before it is used: a wrong or an old one costs
/// time and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint(u32);

impl Hint {
    /// No idea where.
    pub const NONE: Hint = Hint(u32::MAX);
}

/// The entry a packet has hit.
pub struct Hit<'table> {
    hot: &'table Hot,
    cold: &'table mut Cold,
    encaps: &'table Encaps,
}

impl FlowTable {
    /// The most keys one look ahead is for.
    pub const AHEAD_MAX: usize = 64;

    /// Brings near what [`hit`](FlowTable::hit) will need for these keys, and says where it was.
    /// Keys beyond [`FlowTable::AHEAD_MAX`] or beyond the hints are left alone.
    pub fn look_ahead(&self, keys: &[FlowKey], hints: &mut [Hint]) {
        let mut hashes = [0; Self::AHEAD_MAX];
        let count = keys.len().min(hints.len()).min(Self::AHEAD_MAX);
        let (hashes, hints) = (&mut hashes[..count], &mut hints[..count]);
        // `black_box` wants to see the bytes, so the compiler has to load them.
        let mut touched = 0;
        for (hash, key) in hashes.iter_mut().zip(keys) {
            *hash = self.hash_key(key);
            touched ^= self.index.touch(*hash);
        }
        black_box(touched);
        for (hint, hash) in hints.iter_mut().zip(hashes) {
            *hint = Hint(self.index.candidate(*hash));
        }
        // A loop of its own: the shorter it is, the more of its loads are under way at once.
        for hint in hints {
            touched ^= self.slab.touch(hint.0);
        }
        black_box(touched);
    }

    /// The entry with this key.
    #[inline(always)] // The key is in registers yet.
    pub fn hit(&mut self, key: &FlowKey, hint: Hint) -> Option<Hit<'_>> {
        let hinted = self.slab.hot.get(hint.0 as usize);
        let slot = match hinted {
            Some(hot) if hot.matches(key) => hint.0,
            _ => self.find(key)?,
        };
        let (hot, cold) = self.slab.both(slot);
        Some(Hit {
            hot,
            cold,
            encaps: &self.encaps,
        })
    }
}

impl<'table> Hit<'table> {
    /// Where the packet goes.
    #[inline]
    pub fn verdict(&self) -> Verdict {
        self.hot.verdict()
    }

    /// The tunnel it takes, for [`Verdict::Uplink`].
    #[inline]
    pub fn encap(&self) -> Option<&'table Encap> {
        self.hot.encap().and_then(|id| self.encaps.get(id))
    }

    /// Whether it goes nowhere.
    #[inline]
    pub fn drops(&self) -> bool {
        self.hot.drops()
    }

    /// As [`Transposition::mtu`](crate::Transposition::mtu).
    #[inline]
    pub fn mtu(&self) -> u16 {
        self.hot.mtu()
    }

    /// As [`Transposition::decrement_ttl`](crate::Transposition::decrement_ttl).
    #[inline]
    pub fn decrements_ttl(&self) -> bool {
        self.hot.decrements_ttl()
    }

    /// What the entry was compiled against.
    #[inline]
    pub fn stamp(&self) -> &Stamp {
        &self.cold.stamp
    }

    /// Whether this is one direction of a connection, and not a remembered drop.
    #[inline]
    pub fn is_paired(&self) -> bool {
        self.cold.peer != NIL
    }

    /// Whether packets with these flags have been here: if not, recording them may change the
    /// connection's state, which is for [`FlowTable::record`].
    #[inline]
    pub fn has_seen(&self, tcp_flags: TcpFlags) -> bool {
        self.hot.tcp_flags.contains(tcp_flags)
    }

    /// Whether engines are yet to be told of the pair ([`Offload::Deferred`]).
    #[inline]
    pub fn is_deferred(&self) -> bool {
        self.hot.offload() == Offload::Deferred
    }

    /// Rewrites a frame as [`apply`](crate::apply()) does, unless the entry drops.
    #[inline(always)]
    pub fn rewrite(
        &self,
        frame: &mut [u8],
        l3_offset: usize,
        family: Family,
    ) -> Result<(), ApplyError> {
        if self.hot.decrements_ttl() {
            take_hop(frame, l3_offset, family)?;
        }
        let ethernet = frame.first_chunk_mut().ok_or(ApplyError::Truncated)?;
        self.hot.write_macs(ethernet);
        Ok(())
    }

    /// Counts the packet, whose flags were seen before.
    #[inline]
    pub fn record(&mut self, bytes: u64, now: Tick) {
        self.cold.record(bytes, now);
    }
}
