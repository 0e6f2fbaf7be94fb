//! The driver's side of a split ring (virtio 1.2, section 2.7).

use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

use super::chain::{Chain, Shape, collect_each};
use super::tables::{self, Tables};
use super::{Arena, ArenaError, Buffer, DeviceError, OfferError, Returned, Side};
use crate::features::Features;
use crate::layout::{DESCRIPTOR_BYTES, Descriptor, Layout, NEXT, WRITE};
use crate::memory::{Cells, UserAddress};
use crate::sync::{self, NO_KICK, Word};

/// Places of the words before either ring.
const FLAGS: usize = 0;
const INDEX: usize = 1;

pub(super) struct Split {
    size: u16,
    descriptors: Cells<[AtomicU64; 2]>,
    /// Flags and index of what is available, the ring itself, and the event index behind it.
    avail: Cells<AtomicU16>,
    avail_ring: Cells<AtomicU16>,
    used_event: Cells<AtomicU16>,
    /// The same of what is used.
    used: Cells<AtomicU16>,
    used_ring: Cells<[AtomicU32; 2]>,
    avail_event: Cells<AtomicU16>,
    tables: Option<Tables>,
    event_idx: bool,
    in_order: bool,
    /// By head.
    chains: Box<[Chain]>,
    /// By descriptor, the one that follows it in its chain or in the list of free ones.
    next: Box<[u16]>,
    first_free: u16,
    free: u16,
    /// Free-running: laid out, shown to the device, taken back.
    offered: u16,
    published: u16,
    collected: u16,
    /// In order: head of the chain that comes back next, and the rest of a batch of which only the
    /// last one was named.
    oldest: u16,
    batch: Option<Named>,
}

/// A chain as the device returns it.
#[derive(Clone, Copy)]
struct Named {
    id: u32,
    written: u32,
}

impl Named {
    #[inline(always)]
    fn load([id, written]: &[AtomicU32; 2]) -> Self {
        Self {
            id: Word::load(id, Ordering::Relaxed),
            written: Word::load(written, Ordering::Relaxed),
        }
    }
}

impl Split {
    pub(super) fn new(
        arena: &mut Arena,
        size: u16,
        features: Features,
        tables: Option<Tables>,
    ) -> Result<(Self, Layout), ArenaError> {
        let places = usize::from(size);
        let event_idx = features.has(Features::EVENT_IDX);
        let (descriptors, _, table_at) = arena.cells(places, DESCRIPTOR_BYTES)?;
        // Each side's ring begins a cache line of its own, which the other side does not write.
        let (_, _, avail_at) = arena.cells::<AtomicU16>(places + 3, 64)?;
        let (_, _, used_at) = arena.cells::<AtomicU16>(4 * places + 3, 64)?;
        let ring = Rings {
            arena,
            places,
            avail_at,
            used_at,
        };
        let ring = Self {
            size,
            descriptors,
            avail: ring.words(avail_at.0, 2)?,
            avail_ring: ring.words(avail_at.0 + 4, places)?,
            used_event: ring.words(ring.used_event(), 1)?,
            used: ring.words(used_at.0, 2)?,
            used_ring: ring.elements()?,
            avail_event: ring.words(ring.avail_event(), 1)?,
            tables,
            event_idx,
            in_order: features.has(Features::IN_ORDER),
            chains: vec![Chain::default(); places].into(),
            next: (1..size).chain([0]).collect(),
            first_free: 0,
            free: size,
            offered: 0,
            published: 0,
            collected: 0,
            oldest: 0,
            batch: None,
        };
        let layout = Layout {
            size,
            descriptors: table_at,
            driver: avail_at,
            device: used_at,
        };
        Ok((ring, layout))
    }

    #[inline]
    pub(super) fn free(&self) -> u16 {
        self.free
    }

    #[inline]
    pub(super) fn offer(
        &mut self,
        readable: &[Buffer],
        writable: &[Buffer],
        token: u32,
    ) -> Result<(), OfferError> {
        match (readable, writable) {
            ([one], []) => return self.single(Side::Readable, *one, token),
            ([], [one]) => return self.single(Side::Writable, *one, token),
            _ => {}
        }
        let shape = Shape::of(readable, writable, self.size)?;
        let indirect = self.tables.as_ref().filter(|all| all.suit(shape.count));
        let count = if indirect.is_some() { 1 } else { shape.count };
        if count > self.free {
            return Err(OfferError::Full);
        }
        let head = self.first_free;
        if let Some(tables) = indirect {
            let descriptor = tables.write(head, readable, writable);
            self.place(head, descriptor);
            self.first_free = self.next[usize::from(head)];
        } else {
            self.lay_out(readable, writable);
        }
        self.hand_in(head, shape.chain(token, count, self.offered));
        Ok(())
    }

    /// A chain of one buffer for each of `singles`; how many were taken.
    #[inline]
    pub(super) fn offer_each(
        &mut self,
        side: Side,
        singles: impl Iterator<Item = (Buffer, u32)>,
    ) -> usize {
        // Copies in registers: stores into the rings could change the originals, for the compiler.
        let (descriptors, ring) = (self.descriptors.ring(), self.avail_ring.ring());
        let (mut head, mut offered) = (self.first_free, self.offered);
        let mut taken = 0;
        for (buffer, token) in singles.take(usize::from(self.free)) {
            let at = usize::from(head);
            let (Some(chain), Some(follower)) = (self.chains.get_mut(at), self.next.get(at)) else {
                break;
            };
            if buffer.len == 0 {
                break;
            }
            *chain = Chain::single(token, side, buffer.len, offered);
            let descriptor = Descriptor::single(side, buffer, 0);
            tables::store(descriptors.at(at), descriptor.to_split());
            Word::store(ring.at(usize::from(offered)), head, Ordering::Relaxed);
            head = *follower;
            offered = offered.wrapping_add(1);
            taken += 1;
        }
        self.free -= offered.wrapping_sub(self.offered);
        (self.first_free, self.offered) = (head, offered);
        taken
    }

    #[inline]
    pub(super) fn publish(&mut self) -> bool {
        let (old, new) = (self.published, self.offered);
        if old == new {
            return false;
        }
        self.published = new;
        sync::hand_over(self.avail.wrapping(INDEX), new);
        if self.event_idx {
            sync::wanted_by_event(self.avail_event.first(), old, new)
        } else {
            sync::wanted_by_flags(self.used.wrapping(FLAGS))
        }
    }

    #[inline]
    pub(super) fn collect(&mut self, into: &mut [Returned]) -> Result<usize, DeviceError> {
        let index = sync::look(self.used.wrapping(INDEX));
        let waiting = index.wrapping_sub(self.collected);
        if waiting > self.published.wrapping_sub(self.collected) {
            return Err(DeviceError::IndexJump(index));
        }
        let count = into.len().min(usize::from(waiting));
        let into = &mut into[..count];
        if self.in_order {
            self.collect_in_order(into, waiting)
        } else {
            self.collect_any(into)
        }
    }

    pub(super) fn watch(&mut self) -> bool {
        let index = self.used.wrapping(INDEX);
        let seen = self.collected;
        let now = if self.event_idx {
            sync::wish_then_look(self.used_event.first(), seen, index)
        } else {
            sync::wish_then_look(self.avail.wrapping(FLAGS), 0, index)
        };
        now != seen
    }

    pub(super) fn unwatch(&mut self) {
        if self.event_idx {
            // As far ahead as can be: one call in 65,536 chains is left.
            let far = self.collected.wrapping_sub(1);
            Word::store(self.used_event.first(), far, Ordering::Relaxed);
        } else {
            Word::store(self.avail.wrapping(FLAGS), NO_KICK, Ordering::Relaxed);
        }
    }

    fn single(&mut self, side: Side, one: Buffer, token: u32) -> Result<(), OfferError> {
        match self.offer_each(side, std::iter::once((one, token))) {
            0 if one.len == 0 => Err(OfferError::Empty),
            0 => Err(OfferError::Full),
            _ => Ok(()),
        }
    }

    /// Takes free descriptors for a chain of several; there are enough.
    fn lay_out(&mut self, readable: &[Buffer], writable: &[Buffer]) {
        let mut left = readable.len() + writable.len();
        for (buffers, side) in [(readable, 0), (writable, WRITE)] {
            for buffer in buffers {
                let at = self.first_free;
                let follower = self.next[usize::from(at)];
                left -= 1;
                let linked = left > 0;
                let descriptor = Descriptor {
                    address: buffer.address.0,
                    len: buffer.len,
                    flags: side | if linked { NEXT } else { 0 },
                    link: if linked { follower } else { 0 },
                };
                self.place(at, descriptor);
                self.first_free = follower;
            }
        }
    }

    #[inline(always)]
    fn place(&self, at: u16, descriptor: Descriptor) {
        tables::store(
            self.descriptors.wrapping(usize::from(at)),
            descriptor.to_split(),
        );
    }

    #[inline(always)]
    fn hand_in(&mut self, head: u16, chain: Chain) {
        self.free -= chain.count;
        self.chains[usize::from(head)] = chain;
        let place = self.avail_ring.wrapping(usize::from(self.offered));
        Word::store(place, head, Ordering::Relaxed);
        self.offered = self.offered.wrapping_add(1);
    }

    /// Chains of a device that returns them as it likes; there are as many as places.
    #[inline(always)]
    fn collect_any(&mut self, into: &mut [Returned]) -> Result<usize, DeviceError> {
        let used = self.used_ring.ring();
        let (mut collected, mut first_free) = (self.collected, self.first_free);
        let mut freed = 0;
        let next = &mut self.next;
        let chains = &mut self.chains;
        let done = collect_each(into, || {
            let Named { id, written } = Named::load(used.at(usize::from(collected)));
            let slot = chains.get_mut(id as usize);
            let slot = slot.ok_or(DeviceError::NotOffered(id))?;
            let chain = *slot;
            let returned = chain.returned(id, written)?;
            *slot = Chain::default();
            let mut last = id as usize;
            for _ in 1..chain.count {
                last = usize::from(next[last]);
            }
            next[last] = first_free;
            #[expect(clippy::cast_possible_truncation, reason = "a chain's, below the size")]
            let head = id as u16;
            first_free = head;
            freed += chain.count;
            collected = collected.wrapping_add(1);
            Ok(Some(returned))
        });
        self.free += freed;
        (self.collected, self.first_free) = (collected, first_free);
        done
    }

    /// Chains of a device that returns them in order, `waiting` altogether, and may name only the last
    /// of a batch: in the element of the first, for which the index moves by all of them (2.7.9).
    #[inline(always)]
    fn collect_in_order(
        &mut self,
        into: &mut [Returned],
        waiting: u16,
    ) -> Result<usize, DeviceError> {
        let used = self.used_ring.ring();
        let (start, mask) = (self.collected, self.size - 1);
        let (mut collected, mut oldest) = (self.collected, self.oldest);
        let (mut freed, mut batch) = (0, self.batch);
        let chains = &mut self.chains;
        let done = collect_each(into, || {
            let Named { id, written } = match batch {
                Some(named) => named,
                None => {
                    let named = Named::load(used.at(usize::from(collected)));
                    let last = chains.get(named.id as usize).copied().unwrap_or_default();
                    last.returned(named.id, named.written)?;
                    if last.number.wrapping_sub(start) >= waiting {
                        return Err(DeviceError::NotOffered(named.id));
                    }
                    named
                }
            };
            let Some(slot) = chains.get_mut(usize::from(oldest)) else {
                return Err(DeviceError::NotOffered(id));
            };
            let chain = std::mem::take(slot);
            let is_last = u32::from(oldest) == id;
            batch = (!is_last).then_some(Named { id, written });
            oldest = oldest.wrapping_add(chain.count) & mask;
            collected = collected.wrapping_add(1);
            freed += chain.count;
            Ok(Some(chain.in_batch(is_last.then_some(written))))
        });
        self.free += freed;
        (self.collected, self.oldest, self.batch) = (collected, oldest, batch);
        done
    }
}

/// Where the parts of both rings lie.
struct Rings<'a> {
    arena: &'a Arena,
    places: usize,
    avail_at: UserAddress,
    used_at: UserAddress,
}

impl Rings<'_> {
    fn used_event(&self) -> u64 {
        self.avail_at.0 + 4 + 2 * self.places as u64
    }

    fn avail_event(&self) -> u64 {
        self.used_at.0 + 4 + 8 * self.places as u64
    }

    fn words(&self, at: u64, count: usize) -> Result<Cells<AtomicU16>, ArenaError> {
        let cells = self.arena.memory().cells(UserAddress(at), count);
        cells.map_err(|_| ArenaError::Full(2 * count as u64))
    }

    fn elements(&self) -> Result<Cells<[AtomicU32; 2]>, ArenaError> {
        let at = UserAddress(self.used_at.0 + 4);
        let cells = self.arena.memory().cells(at, self.places);
        cells.map_err(|_| ArenaError::Full(8 * self.places as u64))
    }
}
