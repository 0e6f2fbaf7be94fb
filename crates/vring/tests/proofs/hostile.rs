//! Drivers that write what they like into rings, tables and indices, at any time.
//!
//! The memory stands between pages that nobody may touch, and every segment that a queue gives out
//! is checked to lie in it. All choices come from seeds.

#![expect(
    unsafe_code,
    reason = "pages that nobody may touch are mapped around the memory"
)]

use std::collections::HashSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, ptr, thread};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use vring::batch::{Batch, Chain, SEGMENTS_MAX};
use vring::broken::{Broken, BrokenKind};
use vring::driver::{Arena, Returned, Setup};
use vring::features::Features;
use vring::layout::{INDIRECT, Layout, NEXT, WRITE};
use vring::memory::{GuestAddress, Region, UserAddress};
use vring::queue::{Place, Position, Queue};

use crate::rig::{self, Dice, buffers, config};

const PAGE: usize = 4096;
const GUEST: u64 = 0x4000_0000;
const USER: u64 = 0x7f00_0000_0000;
const BYTES: u64 = 1 << 16;

/// Memory between two pages without access.
struct Yard {
    arena: Arena,
    host: Range<usize>,
    fences: Vec<usize>,
}

impl Yard {
    fn new() -> Self {
        let region = Region {
            guest: GuestAddress(GUEST),
            user: UserAddress(USER),
            size: BYTES,
        };
        // The kernel chooses where a mapping goes; where something else adjoins, we ask again and
        // keep the old one so that its place is not chosen twice.
        let mut kept = Vec::new();
        let mut fences: Vec<usize> = Vec::new();
        for _ in 0..64 {
            let arena = Arena::new(region).expect("arena");
            let len = u32::try_from(BYTES).expect("small");
            let span = arena.memory().span(region.guest, len).expect("whole");
            let start = span.as_ptr().addr();
            let host = start..start + span.len();
            let sides = [host.start - PAGE, host.end];
            fences.extend(sides.into_iter().filter(|at| fence(*at)));
            if sides.iter().all(|at| fences.contains(at)) {
                return Self {
                    arena,
                    host,
                    fences,
                };
            }
            kept.push(arena);
        }
        panic!("no place for memory between fences:\n{}", maps());
    }

    fn fill(&self, bytes: &[u8], at: u64) {
        let at = GuestAddress(GUEST + at);
        self.arena.memory().write(at, bytes).expect("inside");
    }

    /// Uses a chain as a data path does, and looks at every byte's place.
    fn exercise(&self, chain: Chain<'_>) {
        let (readable, writable) = (chain.readable(), chain.writable());
        let mut segments = 0;
        for side in [readable, writable] {
            let mut sum = 0;
            for span in side.spans() {
                let start = span.as_ptr().addr();
                assert!(!span.is_empty());
                assert!(
                    self.host.contains(&start),
                    "{start:#x} outside {:x?}",
                    self.host
                );
                assert!(span.len() <= self.host.end - start, "past {:x?}", self.host);
                sum += span.len() as u64;
                segments += 1;
            }
            assert_eq!(sum, u64::from(side.len()));
        }
        assert!((1..=SEGMENTS_MAX).contains(&segments));
        let mut head = [0; 64];
        let mut tail = [0; 8];
        let whole = readable.len() as usize;
        assert_eq!(readable.read(0, &mut head).is_ok(), whole >= head.len());
        if whole >= tail.len() {
            readable
                .read(whole - tail.len(), &mut tail)
                .expect("its end");
        }
        assert!(readable.read(whole, &mut tail).is_err());
        let whole = writable.len() as usize;
        assert_eq!(writable.write(0, &head).is_ok(), whole >= head.len());
        if whole > 0 {
            writable
                .write(whole - 1, &tail[..1])
                .expect("its last byte");
        }
        assert!(writable.write(whole, &tail).is_err());
        let len = readable.len().min(writable.len()) as usize;
        readable.copy_to(0, writable, 0, len).expect("both have it");
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        for at in &self.fences {
            // SAFETY: a page that `fence` mapped and that nothing refers to.
            unsafe { munmap(ptr::without_provenance_mut(*at), PAGE) }.expect("fence");
        }
    }
}

/// Maps a page without access at this very place, if nothing is there.
fn fence(at: usize) -> bool {
    let flags = MapFlags::PRIVATE | MapFlags::FIXED_NOREPLACE;
    let place = ptr::without_provenance_mut(at);
    // SAFETY: FIXED_NOREPLACE replaces nothing that is mapped.
    unsafe { mmap_anonymous(place, PAGE, ProtFlags::empty(), flags) }.is_ok()
}

fn maps() -> String {
    fs::read_to_string("/proc/self/maps").unwrap_or_default()
}

/// What a random driver may write where a word of 16, 32 or 64 bits stands.
struct Garbage {
    dice: Dice,
    size: u16,
}

impl Garbage {
    fn address(&mut self) -> u64 {
        match self.dice.below(40) {
            0 => self.dice.next(),
            1 => GUEST + BYTES - self.dice.below(64),
            2 => GUEST.wrapping_sub(self.dice.below(64)),
            3 => u64::MAX - self.dice.below(64),
            _ => GUEST + (self.dice.below(BYTES) & !15),
        }
    }

    fn len(&mut self) -> u32 {
        let len = match self.dice.below(40) {
            0 => 0,
            1 => self.dice.next(),
            2 => BYTES + self.dice.below(3) - 1,
            18 => u64::from(u32::MAX) - self.dice.below(64),
            3..=16 => 16 * (1 + self.dice.below(20)),
            17 => 16 * (1 + self.dice.below(1100)),
            _ => 1 + self.dice.below(300),
        };
        u32::try_from(len & u64::from(u32::MAX)).expect("32 bits")
    }

    /// Flags of a split descriptor.
    fn flags(&mut self) -> u16 {
        let common = [0, 0, WRITE, WRITE, WRITE, NEXT, NEXT | WRITE, INDIRECT];
        match self.dice.below(60) {
            0 => self.word(),
            1 => INDIRECT | NEXT,
            _ => self.dice.pick(&common),
        }
    }

    fn word(&mut self) -> u16 {
        u16::try_from(self.dice.below(1 << 16)).expect("16 bits")
    }

    fn index(&mut self) -> u16 {
        match self.dice.below(60) {
            0 => self.word(),
            _ => self.word() % self.size,
        }
    }

    /// Sixteen bytes that may be a descriptor, in this lap's eyes of a packed ring or not.
    fn descriptor(&mut self, packed: bool) -> [u8; 16] {
        let (flags, index) = (self.flags(), self.index());
        let marks = [
            1_u16 << 7,
            1 << 15,
            1 << 7,
            1 << 15,
            1 << 7,
            0,
            1 << 15 | 1 << 7,
        ];
        let marks = self.dice.pick(&marks);
        let tail = if packed {
            [index, flags | marks]
        } else {
            [flags, index]
        };
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.address().to_le_bytes());
        bytes[8..12].copy_from_slice(&self.len().to_le_bytes());
        bytes[12..14].copy_from_slice(&tail[0].to_le_bytes());
        bytes[14..].copy_from_slice(&tail[1].to_le_bytes());
        bytes
    }

    /// Where a front end may claim a ring to be: mostly inside, often at the very end.
    fn area(&mut self, bytes: u64, align: u64) -> UserAddress {
        let offset = match self.dice.below(24) {
            0 => self.dice.next(),
            1 => self.dice.below(BYTES),
            2 => BYTES - bytes.min(BYTES) + align,
            3..=8 => (BYTES - bytes.min(BYTES)) / align * align,
            _ => self.dice.below(BYTES) / align * align,
        };
        UserAddress(USER.wrapping_add(offset))
    }
}

/// What the cases came across, so that we know that they reach what they are for.
#[derive(Default)]
struct Seen {
    refused: u32,
    chains: u32,
    kinds: HashSet<BrokenKind>,
}

/// One front end and driver: a random layout on random bytes, served for a while.
fn serve_garbage(yard: &Yard, features: Features, garbage: &mut Garbage, seen: &mut Seen) {
    let size = garbage.size;
    let packed = features.has(Features::RING_PACKED);
    let event_idx = features.has(Features::EVENT_IDX);
    let (avail, used) = if packed {
        (Layout::EVENT_BYTES, Layout::EVENT_BYTES)
    } else {
        (
            Layout::avail_bytes(size, event_idx),
            Layout::used_bytes(size, event_idx),
        )
    };
    let layout = Layout {
        size: if garbage.dice.once_in(200) {
            garbage.word()
        } else {
            size
        },
        descriptors: garbage.area(Layout::descriptor_bytes(size), 16),
        driver: garbage.area(avail, 4),
        device: garbage.area(used, 4),
    };
    let position = if packed {
        let place = Place {
            at: garbage.index(),
            wrap: garbage.dice.once_in(2),
        };
        Position::packed(place, place)
    } else {
        Position(u32::from(garbage.word()))
    };
    let memory = yard.arena.memory();
    let Ok(mut queue) = Queue::start(layout, features, memory, position, None) else {
        seen.refused += 1;
        return;
    };
    let driver = layout.driver.0.wrapping_sub(USER);
    let device = layout.device.0.wrapping_sub(USER);
    if !packed {
        let mut index = [0; 2];
        memory
            .read(GuestAddress(GUEST + device + 2), &mut index)
            .expect("it was started");
        let index = u16::from_le_bytes(index).wrapping_add(garbage.index());
        yard.fill(&index.to_le_bytes(), driver + 2);
        for place in 0..u64::from(size.min(16)) {
            yard.fill(&garbage.index().to_le_bytes(), driver + 4 + 2 * place);
        }
    }
    let mut batch = Batch::new(16);
    for _ in 0..12 {
        let max = usize::try_from(garbage.dice.below(20)).expect("small");
        match queue.pop(&mut batch, max) {
            Err(broken) => {
                seen.kinds.insert(broken.kind);
                assert_eq!(queue.broken(), Some(broken));
                assert_eq!(queue.pop(&mut batch, max), Err(broken), "it stays broken");
                assert!(batch.is_empty());
                break;
            }
            Ok(count) => {
                assert!(count <= max.min(16) && count == batch.len());
                seen.chains += u32::try_from(count).expect("small");
                use_batch(yard, &mut queue, &mut batch, garbage);
            }
        }
        // Buffers may lie over the rings, and the driver goes on writing anyway.
        yard.fill(
            &garbage.descriptor(packed),
            garbage.dice.below(BYTES - 16) & !15,
        );
    }
    let _stopped = queue.stop();
}

fn use_batch(yard: &Yard, queue: &mut Queue, batch: &mut Batch, garbage: &mut Garbage) {
    let count = batch.len();
    for chain in batch.chains() {
        yard.exercise(chain);
    }
    let end = usize::try_from(garbage.dice.below(20))
        .expect("small")
        .min(count);
    let written = garbage.len();
    (0..count).for_each(|index| batch.set_written(index, written));
    if garbage.dice.once_in(4) {
        let kept = queue.unpop(batch, end);
        assert!(kept <= count);
    }
    queue.complete(batch, 0..end);
    let _call = queue.publish();
    if garbage.dice.once_in(3) {
        let _work = queue.watch();
        queue.unwatch();
    }
}

#[test]
fn garbage_is_served_or_refused() {
    let yard = Yard::new();
    let mut seen = Seen::default();
    let rounds = u64::from(config(160).cases);
    for seed in 0..rounds {
        let mut garbage = Garbage {
            dice: Dice::new(seed),
            size: 1,
        };
        let packed = seed % 2 == 0;
        garbage.size = garbage.dice.pick(&[1, 2, 8, 16, 64]);
        let bytes: Vec<u8> = (0..BYTES / 16)
            .flat_map(|_| garbage.descriptor(packed))
            .collect();
        let sets = rig::every_feature_set();
        let sets: Vec<_> = sets
            .into_iter()
            .filter(|set| set.has(Features::RING_PACKED) == packed)
            .collect();
        yard.fill(&bytes, 0);
        for _ in 0..50 {
            let features = garbage.dice.pick(&sets);
            serve_garbage(&yard, features, &mut garbage, &mut seen);
        }
    }
    assert!(seen.refused > 500, "front ends refused: {}", seen.refused);
    assert!(seen.chains > 1_500, "chains accepted: {}", seen.chains);
    let missed = BrokenKind::ALL
        .iter()
        .filter(|kind| !seen.kinds.contains(*kind));
    let missed: Vec<_> = missed.collect();
    assert_eq!(
        missed,
        [&BrokenKind::MemoryLost],
        "what garbage cannot do alone"
    );
}

/// A good driver whose memory is changed behind its back: what comes through the first checks.
#[test]
fn a_good_ring_with_a_few_wrong_bytes_is_served_or_refused() {
    let mut broken = 0;
    let mut dice = Dice::new(77);
    let cases = config(2_000).cases;
    for case in 0..cases {
        let features = dice.pick(&rig::every_feature_set());
        broken += u32::from(serve_a_spoilt_ring(features, &mut dice).is_err());
        assert!(broken <= case + 1);
    }
    assert!(broken > cases / 5, "only {broken} of {cases} were noticed");
    assert!(broken < cases, "some were harmless");
}

fn serve_a_spoilt_ring(features: Features, dice: &mut Dice) -> Result<(), Broken> {
    let mut arena = rig::arena(1 << 14);
    let setup = Setup {
        size: 8,
        features,
        table: 4,
    };
    let (mut driver, mut queue) = rig::pair(&mut arena, setup);
    let mut batch = Batch::new(8);
    let mut back = [Returned::default(); 8];
    for round in 0..30_u32 {
        for token in 0..u32::try_from(dice.below(6)).expect("small") {
            let chain = buffers(token, 0, &[20, 30, 40]);
            let readable = usize::try_from(dice.below(4)).expect("small");
            let _full = driver.offer(&chain[..readable], &chain[readable..], token);
        }
        let _kick = driver.publish();
        if round > 8 {
            let byte = u8::try_from(1 << dice.below(8)).expect("a bit");
            let at = GuestAddress(rig::RINGS.0 + dice.below(700));
            let mut old = [0];
            arena.memory().read(at, &mut old).expect("inside");
            arena.memory().write(at, &[old[0] ^ byte]).expect("inside");
        }
        let count = queue.pop(&mut batch, 8)?;
        for chain in batch.chains() {
            let len = chain.readable().len().min(chain.writable().len()) as usize;
            let copied = chain.readable().copy_to(0, chain.writable(), 0, len);
            copied.expect("both have it");
        }
        queue.complete(&mut batch, 0..count);
        let _call = queue.publish();
        if driver.collect(&mut back).is_err() {
            // Its own memory lies to it now.
            return Ok(());
        }
    }
    Ok(())
}

/// Somebody writes into the rings while they are read: what was checked is what is used.
#[test]
fn rings_change_while_they_are_read() {
    let yard = Yard::new();
    for packed in [false, true] {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut garbage = Garbage {
                    dice: Dice::new(3),
                    size: 16,
                };
                while !stop.load(Ordering::Relaxed) {
                    let at = garbage.dice.below(BYTES - 16) & !15;
                    yard.fill(&garbage.descriptor(packed), at);
                }
            });
            let mut garbage = Garbage {
                dice: Dice::new(4),
                size: 16,
            };
            let mut seen = Seen::default();
            let sets = rig::every_feature_set();
            for _ in 0..4_000 {
                let set = garbage.dice.pick(&sets);
                let set = set.without(Features::RING_PACKED);
                let set = if packed {
                    set | Features::RING_PACKED
                } else {
                    set
                };
                serve_garbage(&yard, set, &mut garbage, &mut seen);
            }
            stop.store(true, Ordering::Relaxed);
            assert!(seen.chains > 100, "{}", seen.chains);
        });
    }
}
