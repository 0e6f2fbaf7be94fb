//! A guest in an arena: rings in one region, buffers in two that adjoin, so that one buffer lies
//! across the border. User addresses have nothing in common with guest addresses.

use proptest::prelude::ProptestConfig;
use vring::driver::{Arena, Buffer, Driver, Setup};
use vring::features::Features;
use vring::memory::{GuestAddress, Region, UserAddress};
use vring::queue::{Position, Queue};

const PAGE: u64 = 4096;
pub(crate) const RINGS: GuestAddress = GuestAddress(0x10_0000);
pub(crate) const BUFFERS: GuestAddress = GuestAddress(0x40_0000);
pub(crate) const BUFFERS_EACH: u64 = 4 * PAGE;

/// Bytes for each token's chain. No divisor of a page, so that some of them cross pages, and one the
/// border between two regions.
pub(crate) const SLOT: u64 = 648;

/// `PROPTEST_CASES` goes deeper.
pub(crate) fn config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_some() {
        default
    } else {
        ProptestConfig { cases, ..default }
    }
}

/// Arena with rings and buffers.
pub(crate) fn arena(rings: u64) -> Arena {
    let region = |guest: u64, user, size| Region {
        guest: GuestAddress(guest),
        user: UserAddress(user),
        size,
    };
    let (first, second) = (BUFFERS.0, BUFFERS.0 + BUFFERS_EACH);
    Arena::new(region(RINGS.0, 0x7f12_3400_0000, rings))
        .and_then(|arena| arena.with_region(region(first, 0x7000_0000_0000, BUFFERS_EACH)))
        .and_then(|arena| arena.with_region(region(second, 0x1000_0000, BUFFERS_EACH)))
        .expect("arena")
}

/// Both sides of a fresh queue.
pub(crate) fn pair(arena: &mut Arena, setup: Setup) -> (Driver, Queue) {
    let driver = Driver::new(arena, setup).expect("driver");
    let queue = start(arena, &driver);
    (driver, queue)
}

/// A device for a driver that has offered nothing yet.
pub(crate) fn start(arena: &Arena, driver: &Driver) -> Queue {
    let position = beginning(driver.features());
    let (layout, features) = (driver.layout(), driver.features());
    Queue::start(layout, features, arena.memory(), position, None).expect("queue")
}

pub(crate) fn beginning(features: Features) -> Position {
    if features.has(Features::RING_PACKED) {
        Position::PACKED_START
    } else {
        Position::split(0)
    }
}

/// Buffers of the given lengths, in a row from the token's slot on.
pub(crate) fn buffers(token: u32, skip: u32, lens: &[u32]) -> Vec<Buffer> {
    let mut at = BUFFERS.0 + u64::from(token) * SLOT + u64::from(skip);
    let mut all = Vec::new();
    for len in lens {
        let address = GuestAddress(at);
        all.push(Buffer { address, len: *len });
        at += u64::from(*len);
    }
    all
}

/// Bytes that no other serial number has in this place.
pub(crate) fn pattern(serial: u64, len: u32) -> Vec<u8> {
    let mut state = serial.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..len).map(|_| next()).collect()
}

/// Every combination of features in either format.
pub(crate) fn every_feature_set() -> Vec<Features> {
    let bits = [
        Features::RING_PACKED,
        Features::IN_ORDER,
        Features::EVENT_IDX,
        Features::INDIRECT_DESC,
    ];
    let sets = (0..1 << bits.len()).map(|set: u32| {
        let chosen = bits.iter().enumerate();
        let chosen = chosen.filter(|(bit, _)| set & (1 << bit) != 0);
        chosen.fold(Features::VERSION_1, |all, (_, bit)| all | *bit)
    });
    sets.collect()
}

/// A small, repeatable source of choices.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed ^ 0x5851_f42d_4c95_7f2d)
    }

    /// SplitMix64.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of `0..end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True once in `of` times.
    pub(crate) fn once_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        let index = usize::try_from(self.next()).unwrap_or(0) % all.len();
        all[index]
    }
}
