//! Packed rings.

use super::*;
use crate::layout::{AVAIL, INDIRECT, NEXT, USED, WRITE};

const PACKED: Features = Features::RING_PACKED;
const INDIRECT_TOO: Features = Features(Features::RING_PACKED.0 | Features::INDIRECT_DESC.0);

impl Guest {
    fn packed(&self, at: u16, content: Descriptor) {
        self.put_words(DESCRIPTORS + 16 * u64::from(at), content.to_packed());
    }

    /// Length, id and flags of the descriptor at a place.
    fn returned(&self, at: u16) -> (u32, u16, u16) {
        let bytes: [u8; 16] = self.get(DESCRIPTORS + 16 * u64::from(at));
        let words = [0, 8].map(|at| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap()));
        let found = Descriptor::from_packed(words);
        (found.len, found.link, found.flags)
    }

    fn refused_packed(&self, chain: &[Descriptor], features: Features) -> Broken {
        for (at, content) in (0..).zip(chain) {
            self.packed(at, *content);
        }
        broken(&mut self.start(features))
    }
}

/// A buffer offered in the first lap.
fn first_lap(flags: u16, id: u16) -> Descriptor {
    descriptor(BUFFERS, 64, flags | AVAIL, id)
}

#[test]
fn chains_come_and_go_across_the_end_of_the_ring() {
    let mut guest = Guest::new();
    guest.layout.size = 5;
    let mut queue = guest.start(PACKED);
    let mut batch = Batch::new(4);
    guest.put(BUFFERS, b"abcd");
    guest.packed(0, first_lap(NEXT, 9));
    guest.packed(1, first_lap(NEXT, 9));
    guest.packed(2, first_lap(WRITE, 77));
    guest.packed(3, first_lap(0, 78));
    assert_eq!(queue.pop(&mut batch, 4), Ok(2));
    let chain = batch.chain(0).unwrap();
    assert_eq!((chain.id(), chain.descriptors()), (77, 3));
    assert_eq!((chain.readable().len(), chain.writable().len()), (128, 64));
    batch.set_written(0, 5);
    queue.complete(&mut batch, 0..2);
    // The first is shown last.
    assert_eq!(guest.returned(0).2 & USED, 0);
    assert_eq!(guest.returned(3), (0, 78, AVAIL | USED));
    assert!(queue.publish());
    assert_eq!(guest.returned(0), (5, 77, AVAIL | USED | WRITE));

    // The next chain begins in the last place, and goes on in the second lap.
    guest.packed(4, first_lap(NEXT, 9));
    guest.packed(0, descriptor(BUFFERS, 64, USED, 80));
    assert_eq!(queue.pop(&mut batch, 4), Ok(1));
    assert_eq!(batch.chain(0).unwrap().id(), 80);
    queue.complete(&mut batch, 0..1);
    let (position, call) = queue.stop();
    assert!(call);
    assert_eq!(guest.returned(4), (0, 80, AVAIL | USED));
    let place = Place { at: 1, wrap: false };
    assert_eq!(position, Position::packed(place, place));
    assert_eq!(position, Position(0x0001_0001));

    let started = Queue::start(guest.layout, PACKED, &guest.memory, position, None);
    let mut queue = started.unwrap();
    assert_eq!(queue.pop(&mut batch, 4), Ok(0));
    guest.packed(1, descriptor(BUFFERS, 64, USED | WRITE, 81));
    assert_eq!(queue.pop(&mut batch, 4), Ok(1));
    queue.complete(&mut batch, 0..1);
    assert!(queue.publish());
    assert_eq!(guest.returned(1), (0, 81, 0));
}

#[test]
fn descriptors_of_neither_side_stop_the_queue() {
    let guest = Guest::new();
    let refused = guest.refused_packed(&[first_lap(USED, 0)], PACKED);
    assert_eq!(refused, BrokenKind::FlagsNonsense.at(0u64));
    guest.packed(0, descriptor(BUFFERS, 64, USED, 0));
    assert_eq!(guest.start(PACKED).pop(&mut Batch::new(1), 1), Ok(0));
}

#[test]
fn bad_chains_stop_the_queue() {
    let guest = Guest::new();
    let kind = |chain: &[Descriptor]| guest.refused_packed(chain, PACKED).kind;
    assert_eq!(
        kind(&[first_lap(NEXT, 0), descriptor(BUFFERS, 64, 0, 0)]),
        BrokenKind::ChainUnfinished
    );
    assert_eq!(
        kind(&[first_lap(WRITE | NEXT, 0), first_lap(0, 0)]),
        BrokenKind::ReadAfterWrite
    );
    assert_eq!(
        kind(&[descriptor(BUFFERS, 0, AVAIL, 0)]),
        BrokenKind::ZeroLength
    );
    assert_eq!(
        kind(&[descriptor(END - 1, 2, AVAIL, 0)]),
        BrokenKind::AddressOutside
    );
    assert_eq!(
        kind(&[first_lap(NEXT, 0), first_lap(NEXT, 0), first_lap(USED, 0)]),
        BrokenKind::ChainUnfinished
    );
    // As many as the ring has, and then the first one made available for the next lap.
    let endless = [first_lap(NEXT, 0); SIZE as usize];
    assert_eq!(kind(&endless), BrokenKind::ChainUnfinished);
}

#[test]
fn more_than_the_ring_holds_stops_the_queue() {
    let guest = Guest::new();
    (0..SIZE).for_each(|at| guest.packed(at, first_lap(0, at)));
    let mut queue = guest.start(PACKED);
    assert_eq!(queue.pop(&mut Batch::new(16), 16), Ok(8));
    guest.packed(0, descriptor(BUFFERS, 64, USED, 0));
    assert_eq!(broken(&mut queue), BrokenKind::IndexJump.at(0u64));

    let guest = Guest::new();
    (0..SIZE - 1).for_each(|at| guest.packed(at, first_lap(0, at)));
    let mut queue = guest.start(PACKED);
    assert_eq!(queue.pop(&mut Batch::new(16), 16), Ok(7));
    guest.packed(SIZE - 1, first_lap(NEXT, 0));
    guest.packed(0, descriptor(BUFFERS, 64, USED, 0));
    let expected = BrokenKind::ChainTooLong.at(SIZE - 1);
    assert_eq!(broken(&mut queue), expected);
}

#[test]
fn an_indirect_table_is_read_to_its_end() {
    let guest = Guest::new();
    // NEXT and ids mean nothing in a packed ring's table.
    guest.put_words(TABLE, descriptor(BUFFERS, 4, 0, 7).to_packed());
    guest.put_words(
        TABLE + 16,
        descriptor(BUFFERS, 8, WRITE | NEXT, 7).to_packed(),
    );
    guest.packed(0, descriptor(TABLE, 32, INDIRECT | AVAIL, 42));
    let mut queue = guest.start(INDIRECT_TOO);
    let mut batch = Batch::new(1);
    assert_eq!(queue.pop(&mut batch, 1), Ok(1));
    let chain = batch.chain(0).unwrap();
    assert_eq!((chain.id(), chain.descriptors()), (42, 1));
    assert_eq!((chain.readable().len(), chain.writable().len()), (4, 8));
}

#[test]
fn bad_indirect_tables_stop_the_queue() {
    let guest = Guest::new();
    let table = |len, flags| descriptor(TABLE, len, INDIRECT | AVAIL | flags, 1);
    let kind = |chain: &[Descriptor], features| guest.refused_packed(chain, features).kind;
    assert_eq!(kind(&[table(16, 0)], PACKED), BrokenKind::IndirectRefused);
    let with_next = kind(&[table(16, NEXT), first_lap(0, 0)], INDIRECT_TOO);
    assert_eq!(with_next, BrokenKind::IndirectWithNext);
    let behind = kind(&[first_lap(NEXT, 0), table(16, 0)], INDIRECT_TOO);
    assert_eq!(behind, BrokenKind::IndirectWithNext);
    for len in [0, 24, 1 << 20] {
        assert_eq!(
            kind(&[table(len, 0)], INDIRECT_TOO),
            BrokenKind::IndirectLength
        );
    }
    guest.put_words(TABLE, descriptor(BUFFERS, 4, INDIRECT, 0).to_packed());
    assert_eq!(
        kind(&[table(16, 0)], INDIRECT_TOO),
        BrokenKind::IndirectNested
    );
}

#[test]
fn chains_put_back_are_taken_again() {
    let guest = Guest::new();
    for (at, flags) in [(0, 0), (1, NEXT), (2, WRITE), (3, 0)] {
        guest.packed(at, first_lap(flags, at));
    }
    let mut queue = guest.start(PACKED);
    let mut batch = Batch::new(4);
    assert_eq!(queue.pop(&mut batch, 4), Ok(3));
    assert_eq!(queue.unpop(&mut batch, 1), 2);
    let mut later = Batch::new(4);
    assert_eq!(queue.pop(&mut later, 4), Ok(2));
    let ids: Vec<u16> = later.chains().map(|chain| chain.id()).collect();
    assert_eq!(ids, [2, 3]);
}

#[test]
fn in_order_one_descriptor_stands_for_chains_used_whole() {
    let guest = Guest::new();
    for at in 0..6 {
        guest.packed(at, first_lap(if at == 3 { WRITE } else { 0 }, at));
    }
    let mut queue = guest.start(PACKED | Features::IN_ORDER);
    let mut batch = Batch::new(8);
    assert_eq!(queue.pop(&mut batch, 8), Ok(6));
    batch.set_written(3, 10);
    assert_eq!(queue.complete(&mut batch, 0..6), 6);
    assert_eq!(guest.returned(0).2 & USED, 0);
    assert!(queue.publish());
    assert_eq!(guest.returned(0), (10, 3, AVAIL | USED | WRITE));
    assert_eq!(guest.returned(4), (0, 5, AVAIL | USED));
    for skipped in [1, 2, 3, 5] {
        assert_eq!(guest.returned(skipped).2 & USED, 0);
    }
}

#[test]
fn the_driver_is_called_when_it_wants_to_be() {
    let at = |place: u16, wrap: bool| place | u16::from(wrap) << 15;
    for (place, flags, call) in [
        (0, 0, true),
        (0, 1, false),
        (at(1, true), 2, true),
        (at(2, true), 2, false),
        (at(0, false), 2, false),
    ] {
        let guest = Guest::new();
        (0..2).for_each(|at| guest.packed(at, first_lap(0, at)));
        guest.put16(DRIVER, place);
        guest.put16(DRIVER + 2, flags);
        let mut queue = guest.start(PACKED | Features::EVENT_IDX);
        let mut batch = Batch::new(4);
        queue.pop(&mut batch, 4).unwrap();
        queue.complete(&mut batch, 0..2);
        assert_eq!(queue.publish(), call, "{place:#x} {flags}");
    }
}

#[test]
fn kicks_are_asked_for_before_the_last_look() {
    let guest = Guest::new();
    let mut queue = guest.start(PACKED | Features::EVENT_IDX);
    assert!(!queue.watch());
    assert_eq!(guest.get::<4>(DEVICE), [0, 0x80, 2, 0]);
    guest.packed(0, first_lap(0, 0));
    assert!(queue.watch());
    queue.unwatch();
    assert_eq!(guest.get::<4>(DEVICE), [0, 0, 1, 0]);
    assert!(guest.start(PACKED).watch());
    assert_eq!(guest.get::<4>(DEVICE), [0, 0, 0, 0]);
}
