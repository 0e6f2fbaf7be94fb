//! The driver's side of a packed ring (virtio 1.2, section 2.8).

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::chain::{Chain, Shape, collect_each};
use super::tables::{self, Tables};
use super::{Arena, ArenaError, Buffer, DeviceError, OfferError, Returned, Side};
use crate::features::Features;
use crate::layout::{AVAIL, DESCRIPTOR_BYTES, Descriptor, Layout, NEXT, USED, WRITE};
use crate::memory::Cells;
use crate::sync::{self, EventWord, Word};

pub(super) struct Packed {
    size: u16,
    ring: Cells<[AtomicU64; 2]>,
    /// What we write about calls, and what the device writes about kicks.
    driver_event: Cells<AtomicU32>,
    device_event: Cells<AtomicU32>,
    tables: Option<Tables>,
    event_idx: bool,
    in_order: bool,
    /// By buffer id. In order, the id is the place of the head; otherwise one of `free_ids`, since a
    /// place can be taken again while the chain that was there is still out.
    chains: Box<[Chain]>,
    free_ids: Box<[u16]>,
    /// How many of `free_ids` are, from the start.
    ids: usize,
    free: u16,
    /// Where the next descriptor goes, and the lap.
    next: Place,
    /// The head that makes all of what is laid out visible, written last.
    head: Option<(u16, u64)>,
    /// Descriptors since the last `publish`.
    laid_out: u16,
    /// Where the next used descriptor appears.
    used: Place,
    /// In order: the rest of a batch of which only the last chain was named.
    batch: Option<Named>,
}

/// A place in the ring and the wrap counter of the lap.
#[derive(Clone, Copy)]
struct Place {
    at: u16,
    wrap: bool,
}

/// A chain as the device returns it.
#[derive(Clone, Copy)]
struct Named {
    id: u16,
    written: u32,
}

impl Place {
    #[inline(always)]
    fn pass(&mut self, chain: Chain, size: u16) {
        // A branch that is foretold, where the sum would wait for the chain's record to be loaded.
        if chain.count == 1 {
            self.advance(1, size);
        } else {
            self.advance(chain.count, size);
        }
    }

    #[inline(always)]
    fn advance(&mut self, count: u16, size: u16) {
        // Neither is above 32,768, and the place is below that.
        self.at += count;
        if self.at >= size {
            self.at -= size;
            self.wrap = !self.wrap;
        }
    }

    /// Flags of a descriptor that is available in this lap.
    #[inline(always)]
    const fn avail(self) -> u16 {
        if self.wrap { AVAIL } else { USED }
    }

    /// Whether a descriptor with these flags was used in this lap.
    #[inline(always)]
    const fn is_used(self, flags: u16) -> bool {
        flags & (AVAIL | USED) == if self.wrap { AVAIL | USED } else { 0 }
    }

    /// The used descriptor at this place, if it is there.
    #[inline(always)]
    fn named(self, ring: &[[AtomicU64; 2]]) -> Option<Named> {
        let [_, word] = ring.get(usize::from(self.at))?;
        let used = Descriptor::from_packed([0, sync::look(word)]);
        self.is_used(used.flags).then_some(Named {
            id: used.link,
            written: used.len,
        })
    }
}

impl Packed {
    pub(super) fn new(
        arena: &mut Arena,
        size: u16,
        features: Features,
        tables: Option<Tables>,
    ) -> Result<(Self, Layout), ArenaError> {
        let places = usize::from(size);
        let (ring, _, ring_at) = arena.cells(places, DESCRIPTOR_BYTES)?;
        let (driver_event, _, driver_at) = arena.cells(1, 64)?;
        let (device_event, _, device_at) = arena.cells(1, 64)?;
        let in_order = features.has(Features::IN_ORDER);
        let start = Place { at: 0, wrap: true };
        let ring = Self {
            size,
            ring,
            driver_event,
            device_event,
            tables,
            event_idx: features.has(Features::EVENT_IDX),
            in_order,
            chains: vec![Chain::default(); places].into(),
            free_ids: (0..size).rev().collect(),
            ids: places,
            free: size,
            next: start,
            head: None,
            laid_out: 0,
            used: start,
            batch: None,
        };
        let layout = Layout {
            size,
            descriptors: ring_at,
            driver: driver_at,
            device: device_at,
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
        let id = self.take_id();
        self.chains[usize::from(id)] = shape.chain(token, count, 0);
        if let Some(tables) = &self.tables
            && count != shape.count
        {
            let descriptor = tables.write(id, readable, writable);
            self.place(descriptor, id);
        } else {
            self.lay_out(id, readable, writable);
        }
        Ok(())
    }

    /// A chain of one buffer for each of `singles`; how many were taken.
    #[inline]
    pub(super) fn offer_each(
        &mut self,
        side: Side,
        singles: impl Iterator<Item = (Buffer, u32)>,
    ) -> usize {
        // Copies in registers: stores into the ring could change the originals, for the compiler.
        let (ring, size) = (self.ring.all(), self.size);
        let (mut next, mut head) = (self.next, self.head);
        let (mut taken, mut count) = (0, 0);
        let mut ids = self.ids;
        for (buffer, token) in singles.take(usize::from(self.free)) {
            if buffer.len == 0 {
                break;
            }
            let id = if self.in_order {
                next.at
            } else {
                let Some((id, rest)) = self.free_ids[..ids].split_last() else {
                    break;
                };
                ids = rest.len();
                *id
            };
            let slot = self.chains.get_mut(usize::from(id));
            let (Some(slot), Some(cell)) = (slot, ring.get(usize::from(next.at))) else {
                break;
            };
            *slot = Chain::single(token, side, buffer.len, 0);
            let mut descriptor = Descriptor::single(side, buffer, id);
            descriptor.flags |= next.avail();
            write(cell, next.at, descriptor, &mut head);
            next.advance(1, size);
            count += 1;
            taken += 1;
        }
        self.ids = ids;
        self.free -= count;
        self.laid_out += count;
        (self.next, self.head) = (next, head);
        taken
    }

    #[inline]
    pub(super) fn publish(&mut self) -> bool {
        let Some((at, word)) = self.head.take() else {
            return false;
        };
        if let Some(cell) = self.ring.get(usize::from(at)) {
            sync::hand_over(&cell[1], word);
        }
        let count = std::mem::take(&mut self.laid_out);
        let Place { at, wrap } = self.next;
        sync::event_word(self.device_event.first()).wants(at, wrap, count, self.size)
    }

    #[inline]
    pub(super) fn collect(&mut self, into: &mut [Returned]) -> Result<usize, DeviceError> {
        if self.in_order {
            return self.collect_in_order(into);
        }
        let (ring, size) = (self.ring.all(), self.size);
        let (mut used, mut freed) = (self.used, 0);
        let (chains, free_ids, mut ids) = (&mut self.chains, &mut self.free_ids, self.ids);
        let done = collect_each(into, || {
            let Some(Named { id, written }) = used.named(ring) else {
                return Ok(None);
            };
            let slot = chains.get_mut(usize::from(id));
            let slot = slot.ok_or(DeviceError::NotOffered(u32::from(id)))?;
            let chain = *slot;
            let returned = chain.returned(u32::from(id), written)?;
            *slot = Chain::default();
            if let Some(place) = free_ids.get_mut(ids) {
                *place = id;
            }
            ids += 1;
            freed += chain.count;
            used.pass(chain, size);
            Ok(Some(returned))
        });
        self.free += freed;
        (self.used, self.ids) = (used, ids);
        done
    }

    pub(super) fn watch(&mut self) -> bool {
        let Place { at, wrap } = self.used;
        let wish = if self.event_idx {
            EventWord::at(at, wrap)
        } else {
            EventWord::ALWAYS
        };
        let Some(cell) = self.ring.get(usize::from(at)) else {
            return false;
        };
        let word = sync::event_then_look(self.driver_event.first(), wish, &cell[1]);
        let flags = Descriptor::from_packed([0, word]).flags;
        self.batch.is_some() || self.used.is_used(flags)
    }

    pub(super) fn unwatch(&mut self) {
        let word = self.driver_event.first();
        Word::store(word, EventWord::NEVER.0, Ordering::Relaxed);
    }

    #[inline(always)]
    fn take_id(&mut self) -> u16 {
        if self.in_order {
            self.next.at
        } else {
            // There are as many ids as descriptors, and one of those is free.
            self.ids -= 1;
            self.free_ids[self.ids]
        }
    }

    /// Takes places for a chain of several; there are enough.
    fn lay_out(&mut self, id: u16, readable: &[Buffer], writable: &[Buffer]) {
        let mut left = readable.len() + writable.len();
        for (buffers, side) in [(readable, 0), (writable, WRITE)] {
            for buffer in buffers {
                left -= 1;
                let descriptor = Descriptor {
                    address: buffer.address.0,
                    len: buffer.len,
                    flags: side | if left > 0 { NEXT } else { 0 },
                    link: 0,
                };
                self.place(descriptor, id);
            }
        }
    }

    /// Writes the next descriptor, marked as available.
    fn place(&mut self, descriptor: Descriptor, id: u16) {
        let at = self.next.at;
        let descriptor = Descriptor {
            flags: descriptor.flags | self.next.avail(),
            link: id,
            ..descriptor
        };
        if let Some(cell) = self.ring.get(usize::from(at)) {
            write(cell, at, descriptor, &mut self.head);
        }
        self.next.advance(1, self.size);
        self.free -= 1;
        self.laid_out += 1;
    }

    fn single(&mut self, side: Side, one: Buffer, token: u32) -> Result<(), OfferError> {
        match self.offer_each(side, std::iter::once((one, token))) {
            0 if one.len == 0 => Err(OfferError::Empty),
            0 => Err(OfferError::Full),
            _ => Ok(()),
        }
    }

    /// Chains of a device that returns them in order, and may name only the last of a batch: in the
    /// place of the first, after which it skips all of them (section 2.8.9).
    #[inline(always)]
    fn collect_in_order(&mut self, into: &mut [Returned]) -> Result<usize, DeviceError> {
        let (ring, size) = (self.ring.all(), self.size);
        let (mut used, mut freed, mut batch) = (self.used, 0, self.batch);
        let chains = &mut self.chains;
        let done = collect_each(into, || {
            let Named { id, written } = match batch {
                Some(named) => named,
                None => {
                    let Some(named) = used.named(ring) else {
                        return Ok(None);
                    };
                    let last = chains.get(usize::from(named.id)).copied();
                    // All chains from here to this one are out, because ids are places in order.
                    let last = last.unwrap_or_default();
                    last.returned(u32::from(named.id), named.written)?;
                    named
                }
            };
            let Some(slot) = chains.get_mut(usize::from(used.at)) else {
                return Ok(None);
            };
            let chain = std::mem::take(slot);
            let is_last = used.at == id;
            batch = (!is_last).then_some(Named { id, written });
            used.pass(chain, size);
            freed += chain.count;
            Ok(Some(chain.in_batch(is_last.then_some(written))))
        });
        self.free += freed;
        (self.used, self.batch) = (used, batch);
        done
    }
}

/// Writes an available descriptor. The first since the last publication stays hidden in `head`: the
/// device stops there, whatever is behind.
#[inline(always)]
fn write(cell: &[AtomicU64; 2], at: u16, descriptor: Descriptor, head: &mut Option<(u16, u64)>) {
    let words = descriptor.to_packed();
    if head.is_some() {
        tables::store(cell, words);
    } else {
        cell[0].store(words[0], Ordering::Relaxed);
        *head = Some((at, words[1]));
    }
}
