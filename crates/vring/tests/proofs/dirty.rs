//! The migration log: every page that the device wrote is marked, and no other.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use vring::batch::Batch;
use vring::dirty::{DirtyLog, LOG_PAGE, QueueLog};
use vring::driver::{Arena, Driver, Returned, Setup};
use vring::features::Features;
use vring::memory::{GuestAddress, GuestMemory, Region, UserAddress};
use vring::queue::Queue;

use crate::rig::{self, Dice, buffers, pattern};

/// For 16 MiB, which is more than the guest has.
const LOG_BYTES: u64 = (1 << 24) / LOG_PAGE / 8;
const SIZE: u16 = 1024;

/// A log and our own view of its file.
struct Log {
    log: Arc<DirtyLog>,
    view: GuestMemory,
}

impl Log {
    fn new() -> Self {
        let file = memfd_create("log", MemfdFlags::CLOEXEC).expect("memfd");
        ftruncate(&file, LOG_BYTES).expect("length");
        let region = Region {
            guest: GuestAddress(0),
            user: UserAddress(0),
            size: LOG_BYTES,
        };
        let view = GuestMemory::new().with_region(region, &file, 0);
        Self {
            log: Arc::new(DirtyLog::new(&file, 0, LOG_BYTES).expect("log")),
            view: view.expect("view"),
        }
    }

    /// The pages marked since the last time.
    fn take(&self) -> BTreeSet<u64> {
        let mut bytes = vec![0; usize::try_from(LOG_BYTES).expect("small")];
        self.view.read(GuestAddress(0), &mut bytes).expect("whole");
        self.view
            .write(GuestAddress(0), &vec![0; bytes.len()])
            .expect("whole");
        let bytes = (0_u64..).zip(bytes);
        let bits = bytes.flat_map(|(at, byte)| {
            (0..8)
                .filter(move |bit| byte & (1 << bit) != 0)
                .map(move |bit| at * 8 + bit)
        });
        bits.collect()
    }
}

/// Everything in the arena, by page.
fn pages(arena: &Arena) -> Vec<(u64, Vec<u8>)> {
    let regions = arena.memory().regions();
    let pages = regions.flat_map(|region| {
        let addresses =
            (0..region.size / LOG_PAGE).map(move |page| region.guest.0 + page * LOG_PAGE);
        addresses.map(|at| {
            let mut bytes = vec![0; usize::try_from(LOG_PAGE).expect("small")];
            arena
                .memory()
                .read(GuestAddress(at), &mut bytes)
                .expect("inside");
            (at / LOG_PAGE, bytes)
        })
    });
    pages.collect()
}

fn span_of(address: GuestAddress, len: u64) -> impl Iterator<Item = u64> {
    let last = (address.0 + len).saturating_sub(1);
    (address.0 / LOG_PAGE..=last / LOG_PAGE).take(if len == 0 { 0 } else { usize::MAX })
}

/// The guest's addresses of what the device may write of its ring, by page.
fn ring_pages(arena: &Arena, driver: &Driver) -> BTreeSet<u64> {
    let layout = driver.layout();
    let guest = |at: UserAddress| arena.memory().guest_address(at).expect("inside");
    if driver.features().has(Features::RING_PACKED) {
        let ring = 16 * u64::from(layout.size);
        let ring = span_of(guest(layout.descriptors), ring);
        ring.chain(span_of(guest(layout.device), 4)).collect()
    } else {
        let ring = 4 + 8 * u64::from(layout.size) + 2;
        span_of(guest(layout.device), ring).collect()
    }
}

struct Setting {
    arena: Arena,
    driver: Driver,
    queue: Queue,
    log: Log,
    /// Descriptors that went through the ring.
    passed: u64,
}

impl Setting {
    fn new(features: Features, ring_too: bool) -> Self {
        let mut arena = rig::arena(1 << 17);
        // A ring of several pages, so that marking all of it would show.
        let setup = Setup {
            size: 1024,
            features,
            table: 0,
        };
        let (driver, mut queue) = rig::pair(&mut arena, setup);
        let log = Log::new();
        let device = arena.memory().guest_address(driver.layout().device);
        queue.set_log(Some(QueueLog {
            log: Arc::clone(&log.log),
            used: device.filter(|_| ring_too),
        }));
        Self {
            arena,
            driver,
            queue,
            log,
            passed: 0,
        }
    }

    /// Some chains there and back; returns the pages that the buffers written lie on.
    fn round(&mut self, dice: &mut Dice, serial: &mut u64) -> BTreeSet<u64> {
        let mut expected = BTreeSet::new();
        let count = u32::try_from(1 + dice.below(20)).expect("small");
        for token in 0..count {
            let chain = buffers(token, 0, &[50, 300, 200]);
            self.driver
                .offer(&chain[..1], &chain[1..], token)
                .expect("room");
        }
        let _kick = self.driver.publish();
        let before = pages(&self.arena);
        let mut batch = Batch::new(32);
        let taken = self.queue.pop(&mut batch, 32).expect("a good driver");
        assert_eq!(taken, count as usize);
        for (index, token) in (0..).zip(0..count) {
            let written = dice.pick(&[0, 1, 299, 300, 301, 500]);
            let bytes = pattern(*serial, written);
            *serial += 1;
            let chain = batch.chain(index).expect("popped");
            chain.writable().write(0, &bytes).expect("room");
            batch.set_written(index, written);
            let start = buffers(token, 50, &[1])[0].address;
            expected.extend(span_of(start, u64::from(written)));
        }
        self.queue.complete(&mut batch, 0..taken);
        let _call = self.queue.publish();
        let changed = changed(&before, &pages(&self.arena));
        let ring = ring_pages(&self.arena, &self.driver);
        assert!(
            changed
                .difference(&expected)
                .all(|page| ring.contains(page)),
            "the device wrote where nobody asked it to"
        );
        let mut back = [Returned::default(); 32];
        assert_eq!(self.driver.collect(&mut back), Ok(taken));
        let taken = self.taken_places(3 * u64::from(count));
        self.check_marks(&expected, &changed, &taken);
        expected
    }

    /// Pages of the places in a packed ring that chains of so many descriptors took.
    fn taken_places(&mut self, descriptors: u64) -> BTreeSet<u64> {
        let at = self.driver.layout().descriptors;
        let start = self.arena.memory().guest_address(at).expect("inside").0;
        let places = self.passed..self.passed + descriptors;
        self.passed += descriptors;
        let addresses = places.map(|place| start + 16 * (place % u64::from(SIZE)));
        addresses.map(|address| address / LOG_PAGE).collect()
    }

    fn check_marks(
        &self,
        expected: &BTreeSet<u64>,
        changed: &BTreeSet<u64>,
        taken: &BTreeSet<u64>,
    ) {
        let marked = self.log.take();
        let ring = ring_pages(&self.arena, &self.driver);
        let in_buffers: BTreeSet<_> = marked.difference(&ring).copied().collect();
        assert_eq!(&in_buffers, expected, "pages of buffers");
        let in_ring: BTreeSet<_> = marked.intersection(&ring).copied().collect();
        let ring_changed: BTreeSet<_> = changed.intersection(&ring).copied().collect();
        if self.driver.features().has(Features::RING_PACKED) {
            // A chain's places count as written, of which only one may have been.
            assert!(
                in_ring.is_superset(&ring_changed),
                "{in_ring:?} {ring_changed:?}"
            );
            assert!(in_ring.is_subset(taken), "{in_ring:?} {taken:?}");
        } else {
            assert_eq!(in_ring, ring_changed, "pages of the ring");
        }
    }
}

fn changed(before: &[(u64, Vec<u8>)], after: &[(u64, Vec<u8>)]) -> BTreeSet<u64> {
    let both = before.iter().zip(after);
    let changed = both.filter(|(old, new)| old.1 != new.1);
    changed.map(|(old, _)| old.0).collect()
}

#[test]
fn every_page_written_is_marked_and_no_other() {
    for features in rig::every_feature_set() {
        let mut setting = Setting::new(features, true);
        let (mut dice, mut serial) = (Dice::new(features.0), 0);
        let mut all = BTreeSet::new();
        for _ in 0..40 {
            all.extend(setting.round(&mut dice, &mut serial));
        }
        assert!(
            all.len() > 2,
            "buffers lay on several pages, on both sides of a border"
        );
    }
}

#[test]
fn a_used_ring_that_is_not_to_be_logged_is_not() {
    let mut setting = Setting::new(Features::VERSION_1, false);
    let chain = buffers(0, 0, &[10]);
    setting.driver.offer(&[], &chain, 0).expect("room");
    let _kick = setting.driver.publish();
    let mut batch = Batch::new(1);
    assert_eq!(setting.queue.pop(&mut batch, 1), Ok(1));
    batch.set_written(0, 10);
    setting.queue.complete(&mut batch, 0..1);
    let _call = setting.queue.publish();
    let expected: BTreeSet<_> = span_of(chain[0].address, 10).collect();
    assert_eq!(setting.log.take(), expected);
}
