//! Split rings.

use std::sync::Arc;

use super::*;
use crate::batch::SEGMENTS_MAX;
use crate::dirty::DirtyLog;
use crate::layout::{INDIRECT, NEXT, WRITE};
use crate::memory::Mapping;

const SPLIT: Features = Features::VERSION_1;
const USED_EVENT: u64 = DRIVER + 4 + 2 * SIZE as u64;
const AVAIL_EVENT: u64 = DEVICE + 4 + 8 * SIZE as u64;

impl Guest {
    /// Writes descriptor `index` of the table.
    fn split(&self, index: u16, content: Descriptor) {
        self.put_words(DESCRIPTORS + 16 * u64::from(index), content.to_split());
    }

    /// Makes heads available from ring position 0 on.
    fn offer(&self, heads: &[u16]) {
        for (at, head) in (0..).zip(heads) {
            self.put16(DRIVER + 4 + 2 * (at % u64::from(SIZE)), *head);
        }
        self.put16(DRIVER + 2, u16::try_from(heads.len()).unwrap());
    }

    /// Element `at` of the used ring: id and length.
    fn used(&self, at: u16) -> (u32, u32) {
        let element: [u8; 8] = self.get(DEVICE + 4 + 8 * u64::from(at));
        let [a, b, c, d, e, f, g, h] = element;
        (
            u32::from_le_bytes([a, b, c, d]),
            u32::from_le_bytes([e, f, g, h]),
        )
    }

    /// Offers one chain that begins at descriptor 0, and says what becomes of it.
    fn refused(&self, chain: &[Descriptor], features: Features) -> Broken {
        for (index, content) in (0..).zip(chain) {
            self.split(index, *content);
        }
        self.offer(&[0]);
        broken(&mut self.start(features))
    }
}

fn some(flags: u16, link: u16) -> Descriptor {
    descriptor(BUFFERS, 64, flags, link)
}

#[test]
fn chains_come_with_their_bytes_and_go_back_with_what_was_written() {
    let guest = Guest::new();
    guest.put(BUFFERS, b"readable bytes");
    guest.split(3, descriptor(BUFFERS, 8, NEXT, 1));
    guest.split(1, descriptor(BUFFERS + 8, 6, NEXT, 5));
    guest.split(5, descriptor(BUFFERS + 64, 32, WRITE | NEXT, 2));
    guest.split(2, descriptor(BUFFERS + 128, 32, WRITE, 0));
    guest.split(6, descriptor(BUFFERS + 256, 16, WRITE, 0));
    guest.offer(&[3, 6]);
    let mut queue = guest.start(SPLIT);
    let mut batch = Batch::new(4);
    assert_eq!(queue.pop(&mut batch, 4), Ok(2));
    assert_eq!(queue.pop(&mut Batch::new(1), 1), Ok(0));

    let chain = batch.chain(0).unwrap();
    assert_eq!((chain.readable().len(), chain.writable().len()), (14, 64));
    let mut bytes = [0; 14];
    chain.readable().read(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"readable bytes");
    chain
        .readable()
        .copy_to(2, chain.writable(), 26, 12)
        .unwrap();
    assert_eq!(&guest.get::<6>(BUFFERS + 64 + 26), b"adable");
    assert_eq!(&guest.get::<6>(BUFFERS + 128), b" bytes");
    assert!(chain.readable().read(1, &mut bytes).is_err());
    assert!(chain.writable().write(60, b"12345").is_err());
    chain.set_written(38);
    batch.set_written(1, 999);

    assert_eq!(queue.complete(&mut batch, 0..2), 2);
    assert_eq!(guest.get16(DEVICE + 2), 0);
    assert!(queue.publish());
    assert_eq!(guest.get16(DEVICE + 2), 2);
    assert_eq!((guest.used(0), guest.used(1)), ((3, 38), (6, 16)));
    assert_eq!(queue.complete(&mut batch, 0..2), 0);
    assert!(!queue.publish());
    assert_eq!(queue.stop(), (Position::split(2), false));
}

#[test]
fn a_buffer_across_two_regions_is_cut_in_two() {
    let guest = Guest::new();
    guest.put(BORDER - 3, b"across");
    guest.split(0, descriptor(BORDER - 3, 6, 0, 0));
    guest.offer(&[0]);
    let mut queue = guest.start(SPLIT);
    let mut batch = Batch::new(1);
    assert_eq!(queue.pop(&mut batch, 1), Ok(1));
    let readable = batch.chain(0).unwrap().readable();
    let lens: Vec<usize> = readable.spans().map(|span| span.len()).collect();
    assert_eq!(lens, [3, 3]);
    let mut bytes = [0; 6];
    readable.read(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"across");
}

#[test]
fn indices_that_jump_stop_the_queue() {
    let guest = Guest::new();
    guest.put16(DRIVER + 2, SIZE + 1);
    let expected = BrokenKind::IndexJump.at(SIZE + 1);
    assert_eq!(broken(&mut guest.start(SPLIT)), expected);
    // Backwards is forwards by 65,535.
    guest.put16(DRIVER + 2, u16::MAX);
    assert_eq!(broken(&mut guest.start(SPLIT)).kind, BrokenKind::IndexJump);

    // Nor may the driver take back what it has offered, or offer again what it has not got back.
    for next in [1, SIZE + 1] {
        let guest = Guest::new();
        (0..SIZE).for_each(|index| guest.split(index, some(0, 0)));
        guest.offer(&[0, 1, 2]);
        let mut queue = guest.start(SPLIT);
        assert_eq!(queue.pop(&mut Batch::new(4), 4), Ok(3));
        guest.put16(DRIVER + 2, next);
        assert_eq!(broken(&mut queue).kind, BrokenKind::IndexJump);
    }
}

#[test]
fn descriptors_outside_the_table_stop_the_queue() {
    let guest = Guest::new();
    guest.offer(&[SIZE]);
    assert_eq!(
        broken(&mut guest.start(SPLIT)),
        BrokenKind::HeadOutOfRange.at(0u64)
    );
    let refused = guest.refused(&[some(NEXT, SIZE)], SPLIT);
    assert_eq!(refused, BrokenKind::NextOutOfRange.at(SIZE));
}

#[test]
fn loops_stop_the_queue() {
    let guest = Guest::new();
    let refused = guest.refused(&[some(NEXT, 1), some(NEXT, 0)], SPLIT);
    assert_eq!(refused, BrokenKind::ChainTooLong.at(0u64));
    let refused = guest.refused(&[some(NEXT, 0)], SPLIT);
    assert_eq!(refused.kind, BrokenKind::ChainTooLong);
}

#[test]
fn bad_buffers_stop_the_queue() {
    let guest = Guest::new();
    let one = |content| guest.refused(&[content], SPLIT);
    assert_eq!(
        one(descriptor(BUFFERS, 0, 0, 0)),
        BrokenKind::ZeroLength.at(0u64)
    );
    for address in [0, DESCRIPTORS - 1, END - 63, END, u64::MAX - 3] {
        let refused = one(descriptor(address, 64, 0, 0));
        assert_eq!(refused, BrokenKind::AddressOutside.at(address));
    }
    let long = descriptor(BUFFERS, u32::MAX, WRITE, 0);
    assert_eq!(one(long).kind, BrokenKind::AddressOutside);
    let refused = guest.refused(&[some(WRITE | NEXT, 1), some(0, 0)], SPLIT);
    assert_eq!(refused, BrokenKind::ReadAfterWrite.at(1u64));
}

#[test]
fn a_chain_of_four_gib_stops_the_queue() {
    let guest = Guest::new();
    let file = memfd_create("large", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&file, 1 << 31).unwrap();
    let region = Region {
        guest: GuestAddress(1 << 40),
        user: UserAddress(1 << 40),
        size: 1 << 31,
    };
    let memory = guest.memory.with_region(region, &file, 0).unwrap();
    let guest = Guest { memory, ..guest };
    let half = |flags, link| descriptor(1 << 40, 1 << 31, flags, link);
    let refused = guest.refused(&[half(NEXT, 1), half(0, 0)], SPLIT);
    assert_eq!(refused, BrokenKind::ChainTooLarge.at(1u64));
}

#[test]
fn an_indirect_table_is_a_chain() {
    let guest = Guest::new();
    // The table lies across two regions, and its descriptors in no order.
    let table = BORDER - 24;
    guest.put_words(table, descriptor(BUFFERS, 4, NEXT, 2).to_split());
    guest.put_words(table + 16, descriptor(BUFFERS + 8, 4, WRITE, 0).to_split());
    guest.put_words(table + 32, descriptor(BUFFERS + 4, 4, NEXT, 1).to_split());
    guest.split(1, descriptor(BUFFERS + 16, 4, NEXT, 4));
    guest.split(4, descriptor(table, 48, INDIRECT, 0));
    guest.offer(&[1]);
    let mut queue = guest.start(SPLIT | Features::INDIRECT_DESC);
    let mut batch = Batch::new(1);
    assert_eq!(queue.pop(&mut batch, 1), Ok(1));
    let chain = batch.chain(0).unwrap();
    assert_eq!((chain.readable().len(), chain.writable().len()), (12, 4));
    assert_eq!(chain.id(), 1);
}

#[test]
fn bad_indirect_tables_stop_the_queue() {
    let guest = Guest::new();
    let indirect = SPLIT | Features::INDIRECT_DESC;
    let table = |len, flags| descriptor(TABLE, len, INDIRECT | flags, 1);
    let kind = |content, features| guest.refused(&[content], features).kind;
    assert_eq!(kind(table(16, 0), SPLIT), BrokenKind::IndirectRefused);
    assert_eq!(
        kind(table(16, NEXT), indirect),
        BrokenKind::IndirectWithNext
    );
    let longest = u32::try_from(16 * SEGMENTS_MAX).unwrap();
    for len in [0, 15, 17, longest + 16, u32::MAX] {
        assert_eq!(kind(table(len, 0), indirect), BrokenKind::IndirectLength);
    }
    guest.put_words(TABLE, descriptor(BUFFERS, 4, INDIRECT, 0).to_split());
    assert_eq!(kind(table(16, 0), indirect), BrokenKind::IndirectNested);
    guest.put_words(TABLE, some(NEXT, 1).to_split());
    assert_eq!(kind(table(16, 0), indirect), BrokenKind::NextOutOfRange);
    guest.put_words(TABLE + 16, some(NEXT, 0).to_split());
    assert_eq!(kind(table(32, 0), indirect), BrokenKind::ChainTooLong);
    for address in [END - 8, u64::MAX - 15, 0] {
        let outside = descriptor(address, 32, INDIRECT, 0);
        assert_eq!(kind(outside, indirect), BrokenKind::AddressOutside);
    }
}

#[test]
fn a_table_of_the_longest_chain_fits_into_any_batch() {
    let guest = Guest::new();
    let table = BUFFERS;
    let count = u16::try_from(SEGMENTS_MAX).unwrap();
    for index in 0..count {
        let last = index + 1 == count;
        let content = descriptor(BORDER, 1, if last { 0 } else { NEXT }, index + 1);
        guest.put_words(table + 16 * u64::from(index), content.to_split());
    }
    let len = 16 * u32::from(count);
    guest.split(0, descriptor(table, len, INDIRECT, 0));
    guest.offer(&[0, 0]);
    let mut queue = guest.start(SPLIT | Features::INDIRECT_DESC);
    let mut batch = Batch::new(2);
    // The second one has no room in this batch, and comes with the next.
    for _ in 0..2 {
        assert_eq!(queue.pop(&mut batch, 2), Ok(1));
        assert_eq!(batch.chain(0).unwrap().readable().len(), u32::from(count));
    }
}

#[test]
fn good_chains_before_a_bad_one_are_taken_first() {
    let guest = Guest::new();
    guest.split(0, some(0, 0));
    guest.split(1, descriptor(0, 64, 0, 0));
    guest.offer(&[0, 0, 1, 0]);
    let mut queue = guest.start(SPLIT);
    assert_eq!(queue.pop(&mut Batch::new(4), 4), Ok(2));
    assert_eq!(broken(&mut queue).kind, BrokenKind::AddressOutside);
}

#[test]
fn chains_put_back_are_taken_again() {
    let guest = Guest::new();
    (0..SIZE).for_each(|index| guest.split(index, some(WRITE, 0)));
    guest.offer(&[4, 5, 6]);
    let mut queue = guest.start(SPLIT);
    let (mut batch, mut later) = (Batch::new(4), Batch::new(4));
    assert_eq!(queue.pop(&mut batch, 4), Ok(3));
    assert_eq!(queue.unpop(&mut batch, 1), 2);
    assert_eq!(batch.len(), 1);
    assert_eq!(queue.pop(&mut later, 4), Ok(2));
    let ids: Vec<u16> = later.chains().map(|chain| chain.id()).collect();
    assert_eq!(ids, [5, 6]);
    // Only of the last batch, and only what was not completed.
    assert_eq!(queue.unpop(&mut batch, 0), 0);
    assert_eq!(queue.complete(&mut later, 1..2), 1);
    assert_eq!(queue.unpop(&mut later, 0), 0);
    // Nor does a queue complete what another one took.
    let mut other = guest.start(SPLIT);
    assert_eq!(other.complete(&mut later, 0..2), 0);
}

#[test]
fn in_order_one_element_stands_for_chains_used_whole() {
    let guest = Guest::new();
    (0..SIZE).for_each(|index| guest.split(index, some(if index < 4 { 0 } else { WRITE }, 0)));
    guest.offer(&[0, 1, 2, 4, 5, 3]);
    let mut queue = guest.start(SPLIT | Features::IN_ORDER);
    let mut batch = Batch::new(8);
    assert_eq!(queue.pop(&mut batch, 8), Ok(6));
    batch.set_written(3, 10);
    batch.set_written(4, 64);
    assert_eq!(queue.complete(&mut batch, 0..6), 6);
    assert!(queue.publish());
    assert_eq!(guest.get16(DEVICE + 2), 6);
    // 0, 1 and 2 were used whole and 4 was not; 5 and 3 were again.
    assert_eq!((guest.used(0), guest.used(4)), ((4, 10), (3, 0)));
    assert_eq!((guest.used(1), guest.used(5)), ((0, 0), (0, 0)));
}

#[test]
fn the_driver_is_called_when_it_wants_to_be() {
    for (features, wish, unwanted) in [
        (SPLIT, (DRIVER, 0), (DRIVER, 1)),
        (
            SPLIT | Features::EVENT_IDX,
            (USED_EVENT, 1),
            (USED_EVENT, 2),
        ),
    ] {
        for ((address, value), call) in [(wish, true), (unwanted, false)] {
            let guest = Guest::new();
            (0..SIZE).for_each(|index| guest.split(index, some(0, 0)));
            guest.offer(&[0, 1]);
            guest.put16(address, value);
            let mut queue = guest.start(features);
            let mut batch = Batch::new(4);
            queue.pop(&mut batch, 4).unwrap();
            queue.complete(&mut batch, 0..2);
            assert_eq!(queue.publish(), call);
        }
    }
}

#[test]
fn kicks_are_asked_for_before_the_last_look() {
    let guest = Guest::new();
    guest.split(0, some(0, 0));
    let mut queue = guest.start(SPLIT);
    queue.unwatch();
    assert_eq!(guest.get16(DEVICE), 1);
    assert!(!queue.watch());
    assert_eq!(guest.get16(DEVICE), 0);
    guest.offer(&[0]);
    assert!(queue.watch());

    let mut queue = guest.start(SPLIT | Features::EVENT_IDX);
    queue.pop(&mut Batch::new(1), 1).unwrap();
    assert!(!queue.watch());
    assert_eq!(guest.get16(AVAIL_EVENT), 1);
}

#[test]
fn a_start_goes_on_at_the_used_index() {
    let guest = Guest::new();
    guest.split(2, some(0, 0));
    guest.put16(DEVICE + 2, u16::MAX);
    guest.put16(DRIVER + 4 + 2 * u64::from(SIZE - 1), 2);
    guest.put16(DRIVER + 2, 0);
    // The last back end took the chain, and did not give it back.
    let position = Position::split(0);
    let started = Queue::start(guest.layout, SPLIT, &guest.memory, position, None);
    let mut queue = started.unwrap();
    let mut batch = Batch::new(1);
    assert_eq!(queue.pop(&mut batch, 1), Ok(1));
    assert_eq!(queue.complete(&mut batch, 0..1), 1);
    assert!(queue.publish());
    assert_eq!(guest.get16(DEVICE + 2), 0);
    assert_eq!(guest.used(SIZE - 1), (2, 0));
}

#[test]
fn what_is_written_is_marked_in_the_log() {
    let guest = Guest::new();
    let file = memfd_create("log", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&file, 4096).unwrap();
    let used = GuestAddress(0x5_0000);
    let mut queue = guest.start(SPLIT);
    queue.set_log(Some(QueueLog {
        log: Arc::new(DirtyLog::new(&file, 0, 64).unwrap()),
        used: Some(used),
    }));
    guest.split(0, descriptor(BORDER - 10, 0x2000, WRITE, 0));
    guest.split(1, descriptor(BUFFERS, 8, 0, 0));
    guest.offer(&[0, 1]);
    let mut batch = Batch::new(2);
    assert_eq!(queue.pop(&mut batch, 2), Ok(2));
    batch.set_written(0, 11);
    queue.complete(&mut batch, 0..2);
    assert!(queue.publish());

    let bits = Arc::new(Mapping::new(std::os::fd::AsFd::as_fd(&file), 0, 64).unwrap());
    let bits = crate::memory::Cells::<std::sync::atomic::AtomicU8>::new(&bits, 0, 64).unwrap();
    let marked: Vec<usize> = (0..512)
        .filter(|page| {
            let byte = bits.get(page / 8).unwrap();
            byte.load(std::sync::atomic::Ordering::Relaxed) >> (page % 8) & 1 != 0
        })
        .collect();
    assert_eq!(marked, [0x1f, 0x20, 0x50]);
}
