//! Every interleaving of two sides that hand over work, fall asleep and wake each other.
//!
//! A lost kick shows as a deadlock, which loom reports; stale contents show as a failed assertion.

use std::sync::atomic::Ordering::Relaxed;

use loom::model::Builder;
use loom::sync::atomic::{AtomicU16, AtomicU32, AtomicU64};
use loom::sync::{Arc, Notify};
use loom::thread;

use super::*;

const AVAIL: u16 = 1 << 7;
const USED: u16 = 1 << 15;

/// Enough preemptions for every race between two threads; loom's authors suggest 2 or 3.
fn model(check: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(check);
}

/// How a side of a split ring says that it wants to be woken.
#[derive(Clone, Copy, PartialEq)]
enum Wish {
    Flags,
    EventIndex,
}

/// One direction of a split ring: who hands over, who takes, and the eventfd between them.
struct Split {
    wish: Wish,
    index: AtomicU16,
    word: AtomicU16,
    content: AtomicU64,
    kick: Notify,
}

impl Split {
    fn new(wish: Wish, start: u16) -> Self {
        let word = if wish == Wish::Flags { 0 } else { start };
        Self {
            wish,
            index: AtomicU16::new(start),
            word: AtomicU16::new(word),
            content: AtomicU64::new(0),
            kick: Notify::new(),
        }
    }

    fn put(&self, old: u16, content: u64) -> u16 {
        let new = old.wrapping_add(1);
        self.content.store(content, Relaxed);
        hand_over(&self.index, new);
        let wanted = match self.wish {
            Wish::Flags => wanted_by_flags(&self.word),
            Wish::EventIndex => wanted_by_event(&self.word, old, new),
        };
        if wanted {
            self.kick.notify();
        }
        new
    }

    /// Sleeps until the index is no longer `seen`; returns where it is.
    fn wait(&self, seen: u16) -> u16 {
        loop {
            let value = if self.wish == Wish::Flags { 0 } else { seen };
            let now = wish_then_look(&self.word, value, &self.index);
            if now != seen {
                if self.wish == Wish::Flags {
                    self.word.store(NO_KICK, Relaxed);
                }
                return now;
            }
            self.kick.wait();
        }
    }
}

#[test]
fn what_is_handed_over_is_seen_whole() {
    model(|| {
        let ring = Arc::new(Split::new(Wish::Flags, u16::MAX));
        let driver = Arc::clone(&ring);
        let thread = thread::spawn(move || driver.put(u16::MAX, 7));
        if look(&ring.index) == 0 {
            assert_eq!(ring.content.load(Relaxed), 7);
        }
        thread.join().expect("driver");
    });
}

fn no_kick_is_lost(wish: Wish) {
    model(move || {
        let ring = Arc::new(Split::new(wish, u16::MAX));
        let driver = Arc::clone(&ring);
        let thread = thread::spawn(move || {
            let next = driver.put(u16::MAX, 1);
            driver.put(next, 2);
        });
        let mut seen = u16::MAX;
        while seen != 1 {
            let now = ring.wait(seen);
            assert!(ring.content.load(Relaxed) >= u64::from(now.wrapping_add(1)));
            seen = now;
        }
        thread.join().expect("driver");
    });
}

#[test]
fn no_kick_is_lost_with_flags() {
    no_kick_is_lost(Wish::Flags);
}

#[test]
fn no_kick_is_lost_with_event_idx() {
    no_kick_is_lost(Wish::EventIndex);
}

/// A ring of one place, so that each side has to wait for the other again and again.
fn both_sides_sleep_and_wake(wish: Wish) {
    model(move || {
        let start = u16::MAX;
        let avail = Arc::new(Split::new(wish, start));
        let used = Arc::new(Split::new(wish, start));
        let (to_device, from_device) = (Arc::clone(&avail), Arc::clone(&used));
        let driver = thread::spawn(move || {
            let mut index = start;
            for content in 1..=2 {
                let next = to_device.put(index, content);
                from_device.wait(index);
                assert_eq!(from_device.content.load(Relaxed), content * 10);
                index = next;
            }
        });
        let mut index = start;
        for content in 1..=2 {
            avail.wait(index);
            assert_eq!(avail.content.load(Relaxed), content);
            index = used.put(index, content * 10);
        }
        driver.join().expect("driver");
    });
}

#[test]
fn both_sides_sleep_and_wake_with_flags() {
    both_sides_sleep_and_wake(Wish::Flags);
}

#[test]
fn both_sides_sleep_and_wake_with_event_idx() {
    both_sides_sleep_and_wake(Wish::EventIndex);
}

/// The proof that these models can fail: the same without the fence loses a kick.
#[test]
#[should_panic(expected = "deadlock")]
fn without_the_fence_a_kick_is_lost() {
    model(|| {
        let ring = Arc::new(Split::new(Wish::Flags, 0));
        ring.word.store(NO_KICK, Relaxed);
        let driver = Arc::clone(&ring);
        let thread = thread::spawn(move || {
            hand_over(&driver.index, 1);
            if driver.word.load(Relaxed) & NO_KICK == 0 {
                driver.kick.notify();
            }
        });
        ring.word.store(0, Relaxed);
        if look(&ring.index) == 0 {
            ring.kick.wait();
        }
        thread.join().expect("driver");
    });
}

/// A packed ring: flags and contents of each place, and both event suppression words.
struct Packed {
    flags: [AtomicU16; 2],
    content: [AtomicU64; 2],
    driver_event: AtomicU32,
    device_event: AtomicU32,
    to_device: Notify,
    to_driver: Notify,
}

/// Where a side stands in the ring.
#[derive(Clone, Copy)]
struct Place {
    at: u16,
    wrap: bool,
}

impl Place {
    const START: Self = Self { at: 0, wrap: true };

    fn next(self) -> Self {
        if self.at == 1 {
            Self {
                at: 0,
                wrap: !self.wrap,
            }
        } else {
            Self { at: 1, ..self }
        }
    }

    fn is_avail(self, flags: u16) -> bool {
        (flags & AVAIL != 0) == self.wrap && (flags & USED != 0) != self.wrap
    }

    fn is_used(self, flags: u16) -> bool {
        (flags & AVAIL != 0) == self.wrap && (flags & USED != 0) == self.wrap
    }

    fn avail_flags(self) -> u16 {
        if self.wrap { AVAIL } else { USED }
    }

    fn used_flags(self) -> u16 {
        if self.wrap { AVAIL | USED } else { 0 }
    }
}

impl Packed {
    fn new(wish: EventWord) -> Self {
        Self {
            flags: [AtomicU16::new(0), AtomicU16::new(0)],
            content: [AtomicU64::new(0), AtomicU64::new(0)],
            driver_event: AtomicU32::new(wish.0),
            device_event: AtomicU32::new(wish.0),
            to_device: Notify::new(),
            to_driver: Notify::new(),
        }
    }

    fn put(&self, place: Place, flags: u16, event: &AtomicU32, kick: &Notify) -> Place {
        let next = place.next();
        hand_over(&self.flags[usize::from(place.at)], flags);
        if event_word(event).wants(next.at, next.wrap, 1, 2) {
            kick.notify();
        }
        next
    }

    fn wait(&self, place: Place, ready: fn(Place, u16) -> bool, event: &AtomicU32, kick: &Notify) {
        let flags = &self.flags[usize::from(place.at)];
        while !ready(
            place,
            event_then_look(event, EventWord::at(place.at, place.wrap), flags),
        ) {
            kick.wait();
        }
    }

    fn driver(&self, rounds: u64) {
        let mut place = Place::START;
        for content in 1..=rounds {
            self.content[usize::from(place.at)].store(content, Relaxed);
            let next = self.put(
                place,
                place.avail_flags(),
                &self.device_event,
                &self.to_device,
            );
            self.wait(place, Place::is_used, &self.driver_event, &self.to_driver);
            assert_eq!(
                self.content[usize::from(place.at)].load(Relaxed),
                content * 10
            );
            place = next;
        }
    }

    fn device(&self, rounds: u64) {
        let mut place = Place::START;
        for content in 1..=rounds {
            self.wait(place, Place::is_avail, &self.device_event, &self.to_device);
            let slot = &self.content[usize::from(place.at)];
            assert_eq!(slot.load(Relaxed), content);
            slot.store(content * 10, Relaxed);
            place = self.put(
                place,
                place.used_flags(),
                &self.driver_event,
                &self.to_driver,
            );
        }
    }
}

#[test]
fn both_sides_of_a_packed_ring_sleep_and_wake_across_its_end() {
    model(|| {
        let ring = Arc::new(Packed::new(EventWord::NEVER));
        let driver = Arc::clone(&ring);
        let thread = thread::spawn(move || driver.driver(3));
        ring.device(3);
        thread.join().expect("driver");
    });
}
