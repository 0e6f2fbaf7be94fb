//! The way of every packet after the first: look ahead, hit, record.
//!
//! A million flows do not fit into a cache, and a packet that waits for its entry waits for memory
//! several times in a row. So a batch is looked ahead first: what its packets will read is read once
//! for all of them, in loops whose loads do not depend on each other, so that the waits overlap.
//! What that yields are [`Hint`]s, which are never more than that.

use std::hint::black_box;

use super::FlowTable;
use super::cold::{Cold, NIL};
use super::encaps::Encaps;
use super::hot::Hot;
use super::index::Place;
use super::packed_key::PackedKey;
use super::types::Basis;
use crate::apply::take_hop;
use crate::{ApplyError, Encap, Family, FlowKey, TcpFlags, Tick, Verdict};

/// Where the entry of a key may be. It is checked before it is used: a wrong or an old one costs
/// time and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint(pub(super) u32);

impl Hint {
    /// No idea where.
    pub const NONE: Hint = Hint(u32::MAX);
}

/// The entry a packet has hit.
pub struct Hit<'table> {
    hot: &'table mut Hot,
    /// In its slot, which most packets do not look at.
    cold: (&'table mut [Cold], u32),
    encaps: &'table Encaps,
}

impl FlowTable {
    /// The most keys one look ahead is for: as many as a word has bits.
    pub const AHEAD_MAX: usize = u64::BITS as usize;

    /// Brings near what [`hit`](FlowTable::hit) will need for these keys, and says where it was.
    /// Keys beyond [`FlowTable::AHEAD_MAX`] are left alone. Returns how many hints there are: one for
    /// each key, also for one that is not known.
    #[inline(always)] // The keys are to be read and hashed in registers.
    pub fn look_ahead(
        &self,
        keys: impl Iterator<Item = Option<FlowKey>>,
        hints: &mut [Hint; Self::AHEAD_MAX],
    ) -> usize {
        let mut places = [Place::NONE; Self::AHEAD_MAX];
        let (mut count, mut wide) = (0, 0_u64);
        for (place, key) in places.iter_mut().zip(keys) {
            if let Some(key) = key {
                let key = PackedKey::of(&key);
                *place = self.index.place(self.hash_key(&key));
                wide |= u64::from(key.is_wide()) << count;
            }
            count += 1;
        }
        self.look_at(&places[..count], wide, hints);
        count
    }

    /// The second half: the buckets, where the entries may be, and these themselves. What waits for
    /// memory is in loops of its own: the shorter they are, the more loads are under way at once.
    #[inline(never)]
    fn look_at(&self, places: &[Place], wide: u64, hints: &mut [Hint; Self::AHEAD_MAX]) {
        // `black_box` wants to see the bytes, so the compiler has to load them.
        let mut touched = 0;
        for place in places {
            touched ^= self.index.touch(*place);
        }
        black_box(touched);
        let hints = &mut hints[..places.len()];
        for (hint, place) in hints.iter_mut().zip(places) {
            *hint = Hint(self.index.candidate(*place));
        }
        for hint in &*hints {
            touched ^= self.slab.touch(hint.0);
        }
        if wide != 0 {
            let wide = hints.iter().zip(0..).filter(|(_, at)| wide >> at & 1 != 0);
            for (hint, _) in wide {
                touched ^= self.slab.touch_far(hint.0);
            }
        }
        black_box(touched);
    }

    /// The entry with this key.
    #[inline(always)] // The key is in registers yet.
    pub fn hit(&mut self, key: &FlowKey, hint: Hint) -> Option<Hit<'_>> {
        let key = PackedKey::of(key);
        let slot = if self.slab.holds(hint.0, &key) {
            hint.0
        } else {
            self.find_packed(&key)?
        };
        Some(Hit {
            hot: &mut self.slab.hot[slot as usize],
            cold: (&mut self.slab.cold, slot),
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

    /// What of its stamp the packet is to be held against.
    #[inline]
    pub fn basis(&self) -> &Basis {
        self.hot.basis()
    }

    /// Whether this is one direction of a connection, and not a remembered drop.
    #[inline]
    pub fn is_paired(&self) -> bool {
        let (cold, slot) = &self.cold;
        cold[*slot as usize].peer != NIL
    }

    /// Whether packets with these flags have been here: if not, recording them may change the
    /// connection's state, which is for [`FlowTable::record`].
    #[inline]
    pub fn has_seen(&self, tcp_flags: TcpFlags) -> bool {
        self.hot.tcp_flags().contains(tcp_flags)
    }

    /// Whether engines are yet to be told of the pair ([`Offload::Deferred`](crate::Offload::Deferred)).
    #[inline]
    pub fn is_deferred(&self) -> bool {
        self.hot.is_deferred()
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
    #[inline(always)]
    pub fn record(&mut self, bytes: u64, now: Tick) {
        self.hot.see(now);
        if !self.hot.count(bytes) {
            let (cold, slot) = &mut self.cold;
            self.hot.add(1, bytes, &mut cold[*slot as usize]);
        }
    }
}
