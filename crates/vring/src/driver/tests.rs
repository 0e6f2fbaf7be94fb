use std::ops::RangeInclusive;

use super::*;
use crate::layout::{AVAIL, Descriptor, INDIRECT, NEXT, USED, WRITE};
use crate::memory::{Region, UserAddress};

const GUEST: u64 = 0x1_0000_0000;
const USER: u64 = 0x7f00_0000_0000;
const PACKED: Features = Features::RING_PACKED;

/// A queue and the device's hand in its memory.
struct Bench {
    arena: Arena,
    driver: Driver,
}

fn arena(size: u64) -> Arena {
    let region = Region {
        guest: GuestAddress(GUEST),
        user: UserAddress(USER),
        size,
    };
    Arena::new(region).expect("arena")
}

fn bench(size: u16, features: Features, table: u16) -> Bench {
    let mut arena = arena(1 << 20);
    let setup = Setup {
        size,
        features,
        table,
    };
    let driver = Driver::new(&mut arena, setup).expect("driver");
    Bench { arena, driver }
}

fn buffer(address: u64, len: u32) -> Buffer {
    Buffer {
        address: GuestAddress(address),
        len,
    }
}

impl Bench {
    fn read<const N: usize>(&self, at: UserAddress, offset: u64) -> [u8; N] {
        let memory = self.arena.memory();
        let guest = memory.guest_address(at).expect("inside");
        let mut bytes = [0; N];
        memory
            .read(GuestAddress(guest.0 + offset), &mut bytes)
            .expect("inside");
        bytes
    }

    fn write(&self, at: UserAddress, offset: u64, bytes: &[u8]) {
        let memory = self.arena.memory();
        let guest = memory.guest_address(at).expect("inside");
        memory
            .write(GuestAddress(guest.0 + offset), bytes)
            .expect("inside");
    }

    fn avail(&self, word: u64) -> u16 {
        u16::from_le_bytes(self.read(self.driver.layout().driver, 2 * word))
    }

    fn descriptor(&self, index: u16) -> Descriptor {
        let bytes: [u8; 16] = self.read(self.driver.layout().descriptors, u64::from(index) * 16);
        let words = [0, 8].map(|at| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("8")));
        if self.driver.features().has(PACKED) {
            Descriptor::from_packed(words)
        } else {
            Descriptor::from_split(words)
        }
    }

    fn set_device_word(&self, word: u64, value: u16) {
        self.write(self.driver.layout().device, 2 * word, &value.to_le_bytes());
    }

    fn use_split(&self, place: u64, id: u32, written: u32) {
        let device = self.driver.layout().device;
        self.write(device, 4 + 8 * place, &id.to_le_bytes());
        self.write(device, 8 + 8 * place, &written.to_le_bytes());
    }

    fn use_packed(&self, place: u16, id: u16, written: u32, flags: u16) {
        let used = Descriptor {
            address: 0,
            len: written,
            flags,
            link: id,
        };
        let [_, word] = used.to_packed();
        let at = u64::from(place) * 16 + 8;
        self.write(self.driver.layout().descriptors, at, &word.to_ne_bytes());
    }

    fn offer_writable(&mut self, tokens: RangeInclusive<u32>) {
        let all = tokens.map(|token| (buffer(GUEST, 100 + token), token));
        let count = all.clone().count();
        assert_eq!(self.driver.offer_each(Side::Writable, all), count);
        let _kick = self.driver.publish();
    }

    fn collect(&mut self) -> Result<Vec<(u32, u32)>, DeviceError> {
        let mut into = [Returned::default(); 8];
        let count = self.driver.collect(&mut into)?;
        let all = into[..count].iter();
        Ok(all.map(|one| (one.token, one.written)).collect())
    }
}

fn row(address: u64, len: u32, flags: u16, link: u16) -> Descriptor {
    Descriptor {
        address,
        len,
        flags,
        link,
    }
}

#[test]
fn split_chain_is_laid_out_as_2_7_5_says() {
    let mut bench = bench(4, Features::VERSION_1, 0);
    let readable = [buffer(0x10, 1), buffer(0x20, 2)];
    bench
        .driver
        .offer(&readable, &[buffer(0x30, 3)], 9)
        .expect("room");
    assert_eq!(bench.avail(1), 0, "nothing is shown before publish");
    assert!(bench.driver.publish());
    assert_eq!(bench.descriptor(0), row(0x10, 1, NEXT, 1));
    assert_eq!(bench.descriptor(1), row(0x20, 2, NEXT, 2));
    assert_eq!(bench.descriptor(2), row(0x30, 3, WRITE, 0));
    assert_eq!((bench.avail(1), bench.avail(2)), (1, 0));
    assert_eq!(bench.driver.free(), 1);
    bench.use_split(0, 0, 3);
    bench.set_device_word(1, 1);
    assert_eq!(bench.collect(), Ok(vec![(9, 3)]));
    assert_eq!(bench.driver.free(), 4);
}

#[test]
fn packed_chain_is_laid_out_as_2_8_says_on_every_lap() {
    let mut bench = bench(3, PACKED, 0);
    let readable = [buffer(0x10, 1), buffer(0x20, 2)];
    bench
        .driver
        .offer(&readable, &[buffer(0x30, 3)], 9)
        .expect("room");
    assert_eq!(bench.descriptor(0).flags, 0, "the head is hidden");
    assert!(bench.driver.publish());
    assert_eq!(bench.descriptor(0), row(0x10, 1, NEXT | AVAIL, 0));
    assert_eq!(bench.descriptor(1), row(0x20, 2, NEXT | AVAIL, 0));
    assert_eq!(bench.descriptor(2), row(0x30, 3, WRITE | AVAIL, 0));
    bench.use_packed(0, 0, 3, AVAIL | USED);
    assert_eq!(bench.collect(), Ok(vec![(9, 3)]));
    // The second lap: the driver's counter is 0 now, so available is USED without AVAIL.
    bench.offer_writable(1..=1);
    assert_eq!(bench.descriptor(0), row(GUEST, 101, WRITE | USED, 0));
    assert_eq!(bench.collect(), Ok(vec![]));
    bench.use_packed(0, 0, 7, 0);
    assert_eq!(bench.collect(), Ok(vec![(1, 7)]));
}

#[test]
fn indirect_tables_are_linked_in_split_and_plain_in_packed() {
    for features in [Features::default(), PACKED] {
        let mut bench = bench(4, features | Features::INDIRECT_DESC, 2);
        let (one, two) = ([buffer(0x10, 1)], [buffer(0x20, 2)]);
        bench.driver.offer(&one, &two, 9).expect("room");
        let _kick = bench.driver.publish();
        let table = bench.descriptor(0);
        assert_eq!((table.len, table.flags & INDIRECT), (32, INDIRECT));
        assert_eq!(table.flags & NEXT, 0);
        assert_eq!(bench.driver.free(), 3);
        let mut bytes = [0; 32];
        let address = GuestAddress(table.address);
        bench
            .arena
            .memory()
            .read(address, &mut bytes)
            .expect("table");
        let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("8"));
        let packed = features.has(PACKED);
        let parse = if packed {
            Descriptor::from_packed
        } else {
            Descriptor::from_split
        };
        let linked = if packed { (0, 0) } else { (NEXT, 1) };
        assert_eq!(parse([word(0), word(8)]), row(0x10, 1, linked.0, linked.1));
        assert_eq!(parse([word(16), word(24)]), row(0x20, 2, WRITE, 0));
        // Three do not fit a table of two and go into the ring.
        let long = [buffer(0x30, 1); 3];
        assert_eq!(bench.driver.offer(&long, &[], 10), Ok(()));
        assert_eq!(bench.driver.free(), 0);
    }
}

#[test]
fn split_batch_in_order_is_named_by_its_last() {
    let mut bench = bench(4, Features::IN_ORDER, 0);
    bench.offer_writable(1..=4);
    // 2.7.9: one element, in the place of the first, and the index moves by three.
    bench.use_split(0, 2, 5);
    bench.set_device_word(1, 3);
    assert_eq!(bench.collect(), Ok(vec![(1, 101), (2, 102), (3, 5)]));
    bench.use_split(3, 3, 6);
    bench.set_device_word(1, 4);
    assert_eq!(bench.collect(), Ok(vec![(4, 6)]));
}

#[test]
fn packed_batch_in_order_is_named_by_its_last() {
    let mut bench = bench(4, PACKED | Features::IN_ORDER, 0);
    bench.offer_writable(1..=4);
    bench.use_packed(0, 2, 5, AVAIL | USED);
    assert_eq!(bench.collect(), Ok(vec![(1, 101), (2, 102), (3, 5)]));
    bench.use_packed(3, 3, 6, AVAIL | USED);
    assert_eq!(bench.collect(), Ok(vec![(4, 6)]));
    bench.offer_writable(5..=5);
    bench.use_packed(0, 0, 8, 0);
    assert_eq!(bench.collect(), Ok(vec![(5, 8)]));
}

#[test]
fn a_batch_is_collected_in_small_portions() {
    for features in [Features::default(), PACKED] {
        let mut bench = bench(4, features | Features::IN_ORDER, 0);
        bench.offer_writable(1..=4);
        if features.has(PACKED) {
            bench.use_packed(0, 3, 5, AVAIL | USED);
        } else {
            bench.use_split(0, 3, 5);
            bench.set_device_word(1, 4);
        }
        for written in [101, 102, 103, 5] {
            let mut one = [Returned::default()];
            assert!(bench.driver.watch(), "{features:?}");
            assert_eq!(bench.driver.collect(&mut one), Ok(1));
            assert_eq!(one[0].written, written);
        }
        assert!(!bench.driver.watch());
    }
}

#[test]
fn split_device_that_lies_is_named() {
    for order in [Features::default(), Features::IN_ORDER] {
        let cases = [
            (9, 0, DeviceError::NotOffered(9)),
            (3, 0, DeviceError::NotOffered(3)),
            (0x1_0000, 0, DeviceError::NotOffered(0x1_0000)),
            (
                0,
                102,
                DeviceError::TooMuchWritten {
                    id: 0,
                    written: 102,
                    room: 101,
                },
            ),
        ];
        for (id, written, error) in cases {
            let mut bench = bench(4, order, 0);
            bench.offer_writable(1..=2);
            bench.use_split(0, id, written);
            bench.set_device_word(1, 1);
            assert_eq!(bench.collect(), Err(error));
        }
        let mut bench = bench(4, order, 0);
        bench.offer_writable(1..=2);
        bench.set_device_word(1, 3);
        assert_eq!(bench.collect(), Err(DeviceError::IndexJump(3)));
        bench.use_split(0, 0, 1);
        bench.use_split(1, 0, 1);
        bench.set_device_word(1, 2);
        assert_eq!(bench.collect(), Ok(vec![(1, 1)]), "the good one first");
        assert_eq!(bench.collect(), Err(DeviceError::NotOffered(0)), "twice");
    }
}

#[test]
fn packed_device_that_lies_is_named() {
    for order in [Features::default(), Features::IN_ORDER] {
        let cases = [
            (9, 0, DeviceError::NotOffered(9)),
            (2, 0, DeviceError::NotOffered(2)),
        ];
        for (id, written, error) in cases {
            let mut bench = bench(3, PACKED | order, 0);
            bench.offer_writable(1..=2);
            bench.use_packed(0, id, written, AVAIL | USED);
            assert_eq!(bench.collect(), Err(error));
        }
        let mut bench = bench(3, PACKED | order, 0);
        bench.offer_writable(1..=1);
        bench.use_packed(0, 0, 200, AVAIL | USED);
        let (written, room) = (200, 101);
        assert_eq!(
            bench.collect(),
            Err(DeviceError::TooMuchWritten {
                id: 0,
                written,
                room
            })
        );
        bench.use_packed(0, 0, 1, AVAIL | USED);
        bench.use_packed(1, 0, 1, AVAIL | USED);
        assert_eq!(bench.collect(), Ok(vec![(1, 1)]), "the good one first");
        assert_eq!(bench.collect(), Err(DeviceError::NotOffered(0)), "twice");
    }
}

#[test]
fn what_is_refused_leaves_no_trace() {
    for features in [Features::default(), PACKED] {
        let mut bench = bench(2, features, 0);
        let whole = buffer(0, u32::MAX);
        let driver = &mut bench.driver;
        assert_eq!(driver.offer(&[], &[], 1), Err(OfferError::Empty));
        assert_eq!(
            driver.offer(&[buffer(0, 0)], &[], 1),
            Err(OfferError::Empty)
        );
        let pair = [buffer(0, 1), buffer(0, 0)];
        assert_eq!(driver.offer(&pair, &[], 1), Err(OfferError::Empty));
        assert_eq!(
            driver.offer(&[whole], &[whole], 1),
            Err(OfferError::TooLarge)
        );
        let three = [buffer(0, 1); 3];
        assert_eq!(driver.offer(&three, &[], 1), Err(OfferError::TooLong));
        assert!(!driver.publish());
        assert_eq!(driver.free(), 2);
        driver.offer(&three[..1], &[], 1).expect("room");
        assert_eq!(driver.offer(&three[..2], &[], 1), Err(OfferError::Full));
        driver.offer(&[], &three[..1], 1).expect("room");
        assert_eq!(driver.offer(&three[..1], &[], 1), Err(OfferError::Full));
    }
}

#[test]
fn kicks_are_given_as_the_device_asks() {
    // Flags: word 0 of the used ring. Packed: 16 bits of place, then flags.
    let mut split = bench(8, Features::default(), 0);
    let one = [buffer(GUEST, 1)];
    split.set_device_word(0, 1);
    split.driver.offer(&one, &[], 1).expect("room");
    assert!(!split.driver.publish(), "VIRTQ_USED_F_NO_NOTIFY");

    let mut event = bench(8, Features::EVENT_IDX, 0);
    event.set_device_word(2 + 4 * 8, 1);
    for wanted in [false, true, false] {
        event.driver.offer(&one, &[], 1).expect("room");
        assert_eq!(event.driver.publish(), wanted);
    }

    let mut packed = bench(3, PACKED | Features::EVENT_IDX, 0);
    for (place, flags, wanted) in [(0, 1, false), (1, 2, true), (1, 2, false)] {
        packed.set_device_word(0, place | 1 << 15);
        packed.set_device_word(1, flags);
        packed.driver.offer(&one, &[], 1).expect("room");
        assert_eq!(packed.driver.publish(), wanted, "{place} {flags}");
    }
}

#[test]
fn wishes_for_calls_are_where_the_device_looks() {
    let mut split = bench(4, Features::default(), 0);
    split.driver.unwatch();
    assert_eq!(split.avail(0), 1);
    assert!(!split.driver.watch());
    assert_eq!(split.avail(0), 0);

    let mut event = bench(4, Features::EVENT_IDX, 0);
    event.driver.unwatch();
    assert_eq!(event.avail(2 + 4), u16::MAX);
    assert!(!event.driver.watch());
    assert_eq!(event.avail(2 + 4), 0);
    event.offer_writable(1..=1);
    event.set_device_word(1, 1);
    assert!(event.driver.watch(), "it has come back meanwhile");

    let mut packed = bench(4, PACKED, 0);
    packed.driver.unwatch();
    assert_eq!((packed.avail(0), packed.avail(1)), (0, 1));
    assert!(!packed.driver.watch());
    assert_eq!((packed.avail(0), packed.avail(1)), (0, 0));

    let mut event = bench(4, PACKED | Features::EVENT_IDX, 0);
    assert!(!event.driver.watch());
    assert_eq!((event.avail(0), event.avail(1)), (1 << 15, 2));
}

#[test]
fn sizes_are_those_of_the_format() {
    let mut arena = arena(1 << 20);
    let mut refused = |size, features| {
        let setup = Setup {
            size,
            features,
            table: 0,
        };
        Driver::new(&mut arena, setup).err()
    };
    let split = Features::default();
    assert_eq!(refused(0, split), Some(SetupError::Size(0)));
    assert_eq!(refused(3, split), Some(SetupError::Size(3)));
    assert_eq!(refused(32_769, PACKED), Some(SetupError::Size(32_769)));
    assert_eq!(refused(3, PACKED), None);
    assert_eq!(refused(1, split), None);
}

#[test]
fn an_arena_gives_aligned_zeros_until_it_is_full() {
    let mut arena = arena(8192);
    let first = arena.take(1, 1).expect("room");
    let second = arena.take(4096, 64).expect("room");
    assert_eq!((first.0, second.0), (GUEST, GUEST + 64));
    let mut bytes = [1; 4096];
    arena.memory().read(second, &mut bytes).expect("inside");
    assert!(bytes.iter().all(|byte| *byte == 0));
    assert_eq!(arena.take(4096, 64), Err(ArenaError::Full(4096)));
    assert_eq!(
        arena.take(64, 4096),
        Err(ArenaError::Full(64)),
        "4160 is past the last page"
    );
    let rest = arena.take(4032, 1).expect("the last byte is given too");
    assert_eq!(rest.0 + 4032, GUEST + 8192);
    let next = Region {
        guest: GuestAddress(GUEST + 8192),
        user: UserAddress(USER + 8192),
        size: 4096,
    };
    let mut arena = arena.with_region(next).expect("beside");
    assert_eq!(arena.take(64, 4096), Ok(next.guest));
    let odd = Region {
        guest: GuestAddress(64),
        ..next
    };
    assert_eq!(Arena::new(odd).err(), Some(ArenaError::Misaligned(odd)));
}

#[test]
fn an_arenas_file_cannot_be_truncated() {
    let arena = arena(8192);
    let (region, file) = arena.regions().next().expect("one");
    assert_eq!(region.size, 8192);
    let shrunk = rustix::fs::ftruncate(file, 0);
    assert_eq!(shrunk, Err(rustix::io::Errno::PERM));
}
