//! The second word of a packed ring's descriptor: length, id, flags, and whose it is.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Place;
use crate::layout::{AVAIL, Descriptor, USED, WRITE};

/// How a descriptor's flags look from the device's next place.
pub(super) enum Offer {
    /// The driver's, for us.
    Made,
    /// None yet.
    None,
    /// Marked as used in a lap in which we have not been there.
    Nonsense,
}

/// What the driver says of the descriptor at the device's next place.
#[inline(always)]
pub(super) const fn offer(place: Place, word: u64) -> Offer {
    let found = bits(word);
    if found == avail_bits(place.wrap) {
        Offer::Made
    } else if found == used_bits(place.wrap) {
        Offer::Nonsense
    } else {
        Offer::None
    }
}

/// The second word of a used descriptor, in the ring's byte order.
#[inline(always)]
pub(super) const fn used_word(place: Place, id: u16, written: u32) -> u64 {
    let write = if written > 0 { WRITE } else { 0 };
    let [_, word] = Descriptor {
        address: 0,
        len: written,
        flags: used_bits(place.wrap) | write,
        link: id,
    }
    .to_packed();
    word
}

/// The availability bits in a descriptor's second word.
#[inline(always)]
pub(super) const fn bits(word: u64) -> u16 {
    let [.., low, high] = word.to_le_bytes();
    u16::from_le_bytes([low, high]) & (AVAIL | USED)
}

/// Those of a descriptor that the driver made available in a lap.
#[inline(always)]
pub(super) const fn avail_bits(wrap: bool) -> u16 {
    if wrap { AVAIL } else { USED }
}

/// Those of one that the device used in a lap.
#[inline(always)]
pub(super) const fn used_bits(wrap: bool) -> u16 {
    if wrap { AVAIL | USED } else { 0 }
}

/// Reads a descriptor, each half once.
pub(super) fn load([address, word]: &[AtomicU64; 2]) -> Descriptor {
    let word = word.load(Ordering::Acquire);
    Descriptor::from_packed([address.load(Ordering::Relaxed), word])
}
