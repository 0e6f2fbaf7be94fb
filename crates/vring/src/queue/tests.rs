//! Rings written by hand, word for word, as no driver of ours would.

mod lost;
mod packed;
mod split;

use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use super::*;
use crate::features::Features;
use crate::layout::Descriptor;
use crate::memory::{GuestAddress, Region, UserAddress};

/// Where the rings and the buffers are, for the guest; the second region adjoins the first.
const DESCRIPTORS: u64 = 0x1_0000;
const DRIVER: u64 = 0x1_1000;
const DEVICE: u64 = 0x1_2000;
const BUFFERS: u64 = 0x1_4000;
const TABLE: u64 = 0x1_8000;
const BORDER: u64 = 0x2_0000;
const END: u64 = 0x3_0000;
/// What is added for the front end's addresses.
const USER: u64 = 0x7f00_0000_0000;
const SIZE: u16 = 8;

/// A guest's memory with room for one queue.
struct Guest {
    memory: GuestMemory,
    files: Vec<OwnedFd>,
    layout: Layout,
}

impl Guest {
    fn new() -> Self {
        let mut memory = GuestMemory::new();
        let mut files = Vec::new();
        for (start, end) in [(DESCRIPTORS, BORDER), (BORDER, END)] {
            let file = memfd_create("guest", MemfdFlags::CLOEXEC).unwrap();
            ftruncate(&file, end - start).unwrap();
            let region = Region {
                guest: GuestAddress(start),
                // Apart, so that a range across the border is not contiguous in either.
                user: UserAddress(USER + 2 * start),
                size: end - start,
            };
            memory = memory.with_region(region, &file, 0).unwrap();
            files.push(file);
        }
        let layout = Layout {
            size: SIZE,
            descriptors: user(DESCRIPTORS),
            driver: user(DRIVER),
            device: user(DEVICE),
        };
        Self {
            memory,
            files,
            layout,
        }
    }

    fn start(&self, features: Features) -> Queue {
        let position = match features.format() {
            crate::layout::Format::Split => Position::split(0),
            crate::layout::Format::Packed => Position::PACKED_START,
        };
        let features = features | Features::VERSION_1;
        Queue::start(self.layout, features, &self.memory, position, None).unwrap()
    }

    fn put(&self, address: u64, bytes: &[u8]) {
        self.memory.write(GuestAddress(address), bytes).unwrap();
    }

    fn put_words(&self, address: u64, words: [u64; 2]) {
        self.put(address, words.map(u64::to_ne_bytes).as_flattened());
    }

    fn put16(&self, address: u64, value: u16) {
        self.put(address, &value.to_le_bytes());
    }

    fn get<const N: usize>(&self, address: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.memory.read(GuestAddress(address), &mut bytes).unwrap();
        bytes
    }

    fn get16(&self, address: u64) -> u16 {
        u16::from_le_bytes(self.get(address))
    }
}

fn user(guest: u64) -> UserAddress {
    UserAddress(USER + 2 * DESCRIPTORS + (guest - DESCRIPTORS))
}

fn descriptor(address: u64, len: u32, flags: u16, link: u16) -> Descriptor {
    Descriptor {
        address,
        len,
        flags,
        link,
    }
}

/// What stops the queue; a batch that it fills before has to be empty.
fn broken(queue: &mut Queue) -> Broken {
    let mut batch = Batch::new(4);
    let broken = queue.pop(&mut batch, 4).unwrap_err();
    assert!(batch.is_empty());
    // It stays stopped, whatever the driver does next.
    assert_eq!(queue.pop(&mut batch, 4), Err(broken));
    assert_eq!(queue.broken(), Some(broken));
    broken
}

#[test]
fn impossible_queues_are_refused() {
    let guest = Guest::new();
    let at = |change: fn(&mut Layout), features| {
        let mut layout = guest.layout;
        change(&mut layout);
        let position = Position::PACKED_START;
        let started = Queue::start(layout, features, &guest.memory, position, None);
        started.err()
    };
    let (split, packed) = (Features::VERSION_1, Features::RING_PACKED);
    for features in [split, packed] {
        let refused = at(|layout| layout.size = 0, features);
        assert_eq!(refused, Some(StartError::Size(0)));
        let refused = at(|layout| layout.size = 32_769, features);
        assert_eq!(refused, Some(StartError::Size(32_769)));
        let refused = at(|layout| layout.descriptors.0 += 8, features);
        assert!(matches!(refused, Some(StartError::Misaligned(_))));
        let refused = at(|layout| layout.device.0 += 1, features);
        assert!(matches!(refused, Some(StartError::Misaligned(_))));
        let refused = at(|layout| layout.driver.0 = 0x1000, features);
        assert!(matches!(refused, Some(StartError::Outside(_))));
        let refused = at(|layout| layout.descriptors.0 = u64::MAX - 15, features);
        assert!(matches!(refused, Some(StartError::Outside(_))));
        // The end of the table would be in the next region.
        let refused = at(|layout| layout.descriptors = user(BORDER - 16), features);
        assert!(matches!(refused, Some(StartError::Outside(_))));
        assert_eq!(at(|_| (), features), None);
    }
    assert_eq!(
        at(|layout| layout.size = 7, split),
        Some(StartError::Size(7))
    );
    assert_eq!(at(|layout| layout.size = 7, packed), None);
    let position = Position::packed(Place { at: 8, wrap: true }, Place::START);
    let started = Queue::start(guest.layout, packed, &guest.memory, position, None);
    assert!(matches!(started, Err(StartError::Position(_))));
}

#[test]
fn counters_have_names_of_their_own() {
    let names: std::collections::BTreeSet<_> =
        BrokenKind::ALL.iter().map(|kind| kind.counter()).collect();
    assert_eq!(names.len(), BrokenKind::ALL.len());
}
