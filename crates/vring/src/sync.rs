//! In which order two sides of a ring see each other's stores.
//!
//! Everything that has to hold between two processors is here, as functions over single shared
//! words; device and driver, split and packed rings go through the same ones. Under `cfg(loom)` the
//! words and the fence are loom's, and `sync/tests.rs` walks through every interleaving:
//!
//! ```console
//! $ RUSTFLAGS="--cfg loom" cargo test -p vring --lib --release --target-dir target/loom sync
//! ```
//!
//! Two patterns are all there is. *Handing over*: contents first, then the word that says so
//! ([`hand_over`], release), and the other side looks at the word before the contents ([`look`],
//! acquire). *Sleeping*: a side that is about to sleep writes down when it wants to be woken and then
//! looks a last time; a side that has handed over reads that wish last. With a full fence between the
//! two steps on both sides ([`settle`]) at least one of them sees the other's store, so work is never
//! pending while both sleep (virtio 1.2, sections 2.7.7.1, 2.7.10, 2.8.10).

use std::sync::atomic::Ordering;

#[cfg(not(loom))]
use std::sync::atomic::fence;

#[cfg(loom)]
use loom::sync::atomic::fence;

#[cfg(all(test, loom))]
mod tests;

/// Never wake me: the whole meaning of a split ring's flags word (`NO_NOTIFY`, `NO_INTERRUPT`).
pub(crate) const NO_KICK: u16 = 1;

/// Values of a packed ring's event flags (virtio 1.2, section 2.8.14).
pub(crate) const EVENTS_ENABLE: u16 = 0;
/// The side that wrote this polls.
pub(crate) const EVENTS_DISABLE: u16 = 1;
/// Wake me at the descriptor named in the other half of the word.
pub(crate) const EVENTS_AT_DESCRIPTOR: u16 = 2;

/// A word of memory that both sides see, in the ring's byte order (little endian).
pub(crate) trait Word {
    /// What the word holds, in the processor's byte order.
    type Value: Copy;

    /// Reads the word once.
    fn load(&self, order: Ordering) -> Self::Value;

    /// Writes the word once.
    fn store(&self, value: Self::Value, order: Ordering);
}

macro_rules! words {
    ($($atomic:ty => $value:ty),*) => {$(
        impl Word for $atomic {
            type Value = $value;

            #[inline(always)]
            fn load(&self, order: Ordering) -> $value {
                <$value>::from_le(<$atomic>::load(self, order))
            }

            #[inline(always)]
            fn store(&self, value: $value, order: Ordering) {
                <$atomic>::store(self, value.to_le(), order);
            }
        }
    )*};
}

words!(
    std::sync::atomic::AtomicU16 => u16,
    std::sync::atomic::AtomicU32 => u32,
    std::sync::atomic::AtomicU64 => u64
);

#[cfg(loom)]
words!(loom::sync::atomic::AtomicU16 => u16, loom::sync::atomic::AtomicU32 => u32);

/// Stores the word that says that what was written before it is the other side's now.
#[inline(always)]
pub(crate) fn hand_over<W: Word>(word: &W, value: W::Value) {
    word.store(value, Ordering::Release);
}

/// Reads the word that says how much is ours; only then may the contents be read.
#[inline(always)]
pub(crate) fn look<W: Word>(word: &W) -> W::Value {
    word.load(Ordering::Acquire)
}

/// Separates a store of ours from the following load, which may otherwise overtake it.
#[inline(always)]
pub(crate) fn settle() {
    fence(Ordering::SeqCst);
}

/// Whether handing over `old..new` passes the index `event` at which the other side wants to be
/// woken (`vring_need_event`, virtio 1.2, section 2.7.10). All three are free-running.
#[inline(always)]
pub(crate) const fn passes(event: u16, old: u16, new: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

/// Split: after the index was handed over, whether the other side's flags ask for a kick.
#[inline(always)]
pub(crate) fn wanted_by_flags<W: Word<Value = u16>>(flags: &W) -> bool {
    settle();
    flags.load(Ordering::Relaxed) & NO_KICK == 0
}

/// Split with EVENT_IDX: after the index was moved from `old` to `new`, whether the other side's
/// event index asks for a kick.
#[inline(always)]
pub(crate) fn wanted_by_event<W: Word<Value = u16>>(event: &W, old: u16, new: u16) -> bool {
    settle();
    passes(event.load(Ordering::Relaxed), old, new)
}

/// Split: leaves the wish `value` in `wish` (our flags, or the event index), then looks at the other
/// side's index. If it is no longer what we have seen, there is work and nobody may sleep.
#[inline(always)]
pub(crate) fn wish_then_look<W: Word<Value = u16>>(wish: &W, value: u16, index: &W) -> u16 {
    wish.store(value, Ordering::Relaxed);
    settle();
    look(index)
}

/// A packed ring's event suppression structure: offset and wrap counter in the lower half, event
/// flags in the upper (virtio 1.2, section 2.8.14). It is aligned to four bytes, so that one load
/// sees both halves of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventWord(pub(crate) u32);

impl EventWord {
    /// Wake me at every descriptor.
    pub(crate) const ALWAYS: Self = Self((EVENTS_ENABLE as u32) << 16);

    /// I poll.
    pub(crate) const NEVER: Self = Self((EVENTS_DISABLE as u32) << 16);

    /// Wake me when the descriptor at `offset` of the lap `wrap` is handed over.
    #[inline(always)]
    pub(crate) const fn at(offset: u16, wrap: bool) -> Self {
        let place = offset | (wrap as u16) << 15;
        Self(place as u32 | (EVENTS_AT_DESCRIPTOR as u32) << 16)
    }

    /// Whether handing over `count` descriptors, the last of them just before `next` of the lap
    /// `wrap`, in a ring of `size`, is to wake who wrote this. What the standard does not define
    /// wakes: an idle call too many harms less than one too few.
    #[inline(always)]
    pub(crate) fn wants(self, next: u16, wrap: bool, count: u16, size: u16) -> bool {
        let [a, b, c, d] = self.0.to_le_bytes();
        match u16::from_le_bytes([c, d]) & 3 {
            EVENTS_DISABLE => false,
            EVENTS_AT_DESCRIPTOR => {
                let place = u16::from_le_bytes([a, b]);
                let lap = if (place >> 15 != 0) == wrap { 0 } else { size };
                let event = (place & 0x7fff).wrapping_sub(lap);
                passes(event, next.wrapping_sub(count), next)
            }
            _ => true,
        }
    }
}

/// Packed: after the descriptors were handed over, the other side's wish.
#[inline(always)]
pub(crate) fn event_word<W: Word<Value = u32>>(word: &W) -> EventWord {
    settle();
    EventWord(word.load(Ordering::Relaxed))
}

/// Packed: leaves a wish, then looks at the word of the next descriptor that has its flags.
#[inline(always)]
pub(crate) fn event_then_look<E, N>(word: &E, wish: EventWord, next: &N) -> N::Value
where
    E: Word<Value = u32>,
    N: Word,
{
    word.store(wish.0, Ordering::Relaxed);
    settle();
    look(next)
}
