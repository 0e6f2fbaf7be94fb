//! rust-vmm's `virtio-queue` as the other side: its mock driver before our device, and our driver
//! before its device. It has split rings only.

use std::fs::File;

use virtio_queue::desc::RawDescriptor;
use virtio_queue::desc::split::Descriptor;
use virtio_queue::mock::MockSplitQueue;
use virtio_queue::{Queue as VmmQueue, QueueOwnedT, QueueT};
use vm_memory::{FileOffset, GuestAddress as VmmAddress, GuestMemoryMmap};
use vring::batch::{Batch, Chain, Segments};
use vring::driver::{Arena, Driver, Returned, Setup};
use vring::features::Features;
use vring::layout::{Layout, NEXT, WRITE};
use vring::memory::{GuestAddress, Region, UserAddress};
use vring::queue::{Position, Queue};

use crate::rig::{self, Dice, buffers};

const USER: u64 = 0x7000_0000_0000;

/// A buffer as either side names it: address, length, whether the device writes it.
type Named = (u64, u32, bool);

fn vmm_memory(arena: &Arena) -> GuestMemoryMmap {
    let ranges = arena.regions().map(|(region, file)| {
        let file = File::from(file.try_clone_to_owned().expect("descriptor"));
        let size = usize::try_from(region.size).expect("small");
        (
            VmmAddress(region.guest.0),
            size,
            Some(FileOffset::new(file, 0)),
        )
    });
    GuestMemoryMmap::from_ranges_with_files(ranges.collect::<Vec<_>>()).expect("mapping")
}

/// The segments of a chain by the guest's addresses.
fn named_by_us(arena: &Arena, chain: Chain<'_>) -> Vec<Named> {
    let side = |segments: Segments<'_>, write| {
        let spans = segments.spans().map(move |span| {
            let len = u32::try_from(span.len()).expect("32 bits");
            (guest_of(arena, span.as_ptr()), len, write)
        });
        spans.collect::<Vec<_>>()
    };
    let mut all = side(chain.readable(), false);
    all.extend(side(chain.writable(), true));
    all
}

fn guest_of(arena: &Arena, at: *const u8) -> u64 {
    let found = arena.memory().regions().find_map(|region| {
        let len = u32::try_from(region.size).expect("small");
        let start = arena.memory().span(region.guest, len)?.as_ptr();
        let offset = at.addr().checked_sub(start.addr())? as u64;
        (offset < region.size).then_some(region.guest.0 + offset)
    });
    found.expect("in the arena")
}

fn named_by_them(chain: impl Iterator<Item = Descriptor>) -> Vec<Named> {
    let one = |descriptor: Descriptor| {
        let address = descriptor.addr().0;
        (address, descriptor.len(), descriptor.is_write_only())
    };
    chain.map(one).collect()
}

/// Random chains for the mock driver: descriptors for its table, linked.
fn random_chains(dice: &mut Dice, descriptors: u16) -> Vec<RawDescriptor> {
    let mut table = Vec::new();
    while table.len() < usize::from(descriptors) {
        let left = u64::from(descriptors) - table.len() as u64;
        let len = 1 + dice.below(left.min(6));
        let readable = dice.below(len + 1);
        for place in 0..len {
            let last = place + 1 == len;
            let mut flags = if place < readable { 0 } else { WRITE };
            if !last {
                flags |= NEXT;
            }
            let next = u16::try_from(table.len() + 1).expect("small");
            let address = 0x2_0000 + dice.below(0x8_0000);
            let bytes = u32::try_from(1 + dice.below(2000)).expect("small");
            let next = if last { 0 } else { next };
            table.push(RawDescriptor::from(Descriptor::new(
                address, bytes, flags, next,
            )));
        }
    }
    table
}

#[test]
fn our_device_serves_their_driver() {
    for seed in 0..60 {
        let mut dice = Dice::new(seed);
        let region = |guest, user, size| Region {
            guest: GuestAddress(guest),
            user: UserAddress(user),
            size,
        };
        let arena = Arena::new(region(0, USER, 1 << 20))
            // Where their mock driver puts indirect tables.
            .and_then(|arena| arena.with_region(region(0x3000_0000, 2 * USER, 1 << 20)))
            .expect("arena");
        let theirs = vmm_memory(&arena);
        let mut mock = MockSplitQueue::create(&theirs, VmmAddress(0x4000), 256);
        let direct = u16::try_from(1 + dice.below(99)).expect("small");
        mock.add_desc_chains(&random_chains(&mut dice, direct), 0)
            .expect("room");
        // Their table is not consumed, so that this chain lies over the others: last, and alone.
        let mut device: VmmQueue = mock.create_queue().expect("queue");
        let mut expected: Vec<_> = device
            .iter(&theirs)
            .expect("ring")
            .map(|chain| (chain.head_index(), named_by_them(chain)))
            .collect();
        let layout = Layout {
            size: 256,
            descriptors: UserAddress(USER + mock.desc_table_addr().0),
            driver: UserAddress(USER + mock.avail_addr().0),
            device: UserAddress(USER + mock.used_addr().0),
        };
        let features = Features::VERSION_1 | Features::INDIRECT_DESC;
        let start = Position::split(0);
        let mut queue = Queue::start(layout, features, arena.memory(), start, None).expect("queue");
        let mut batch = Batch::new(128);
        serve(&arena, &mut queue, &mut batch, &expected, &mut dice, &mock);
        let served = expected.len();
        mock.add_indirect_chain(u16::try_from(1 + dice.below(40)).expect("small"))
            .expect("room");
        let rest = device.iter(&theirs).expect("ring");
        expected.extend(rest.map(|chain| (chain.head_index(), named_by_them(chain))));
        assert_eq!(expected.len(), served + 1);
        serve(
            &arena,
            &mut queue,
            &mut batch,
            &expected[served..],
            &mut dice,
            &mock,
        );
    }
}

/// Takes the chains, compares them, and gives them back in another order.
fn serve(
    arena: &Arena,
    queue: &mut Queue,
    batch: &mut Batch,
    expected: &[(u16, Vec<Named>)],
    dice: &mut Dice,
    mock: &MockSplitQueue<'_, GuestMemoryMmap>,
) {
    let before = mock.used().idx().load();
    assert_eq!(queue.pop(batch, 128), Ok(expected.len()));
    for (chain, (head, named)) in batch.chains().zip(expected) {
        assert_eq!((chain.id(), &named_by_us(arena, chain)), (*head, named));
    }
    let mut order: Vec<usize> = (0..expected.len()).collect();
    for place in (1..order.len()).rev() {
        let other = usize::try_from(dice.below(place as u64 + 1)).expect("small");
        order.swap(place, other);
    }
    for index in &order {
        batch.set_written(*index, u32::try_from(*index).expect("small"));
        assert_eq!(queue.complete(batch, *index..*index + 1), 1);
    }
    assert_eq!(mock.used().idx().load(), before, "before publish");
    assert!(queue.publish(), "their driver asks for calls");
    let count = u16::try_from(expected.len()).expect("small");
    assert_eq!(mock.used().idx().load(), before + count);
    for (place, index) in order.iter().enumerate() {
        let element = mock.used().ring().ref_at(usize::from(before) + place);
        let element = element.expect("inside").load();
        let (head, named) = &expected[*index];
        let room: u32 = named.iter().filter(|one| one.2).map(|one| one.1).sum();
        let written = u32::try_from(*index).expect("small").min(room);
        assert_eq!((element.id(), element.len()), (u32::from(*head), written));
    }
}

fn vmm_queue(arena: &Arena, driver: &Driver, event_idx: bool) -> VmmQueue {
    let layout = driver.layout();
    let guest = |at| VmmAddress(arena.memory().guest_address(at).expect("inside").0);
    let mut queue = VmmQueue::new(layout.size).expect("size");
    queue
        .try_set_desc_table_address(guest(layout.descriptors))
        .expect("aligned");
    queue
        .try_set_avail_ring_address(guest(layout.driver))
        .expect("aligned");
    queue
        .try_set_used_ring_address(guest(layout.device))
        .expect("aligned");
    queue.set_event_idx(event_idx);
    queue.set_ready(true);
    queue
}

#[test]
fn their_device_serves_our_driver() {
    let sets = [
        Features::default(),
        Features::INDIRECT_DESC,
        Features::EVENT_IDX,
        Features::INDIRECT_DESC | Features::EVENT_IDX,
    ];
    for (seed, set) in (0..).zip(sets) {
        let mut dice = Dice::new(seed);
        let mut arena = rig::arena(1 << 16);
        let features = set | Features::VERSION_1;
        let setup = Setup {
            size: 16,
            features,
            table: 4,
        };
        let mut driver = Driver::new(&mut arena, setup).expect("driver");
        let theirs = vmm_memory(&arena);
        let event_idx = set.has(Features::EVENT_IDX);
        let mut queue = vmm_queue(&arena, &driver, event_idx);
        assert!(queue.is_valid(&theirs));
        // Where indices matter most, beyond 65,535.
        let rounds = if set == Features::EVENT_IDX {
            9_000
        } else {
            1_000
        };
        for round in 0..rounds {
            exchange(round, &mut dice, &mut driver, &mut queue, &theirs);
        }
    }
}

/// A few chains there and back, and both sides' wishes on the way.
fn exchange(
    round: u32,
    dice: &mut Dice,
    driver: &mut Driver,
    queue: &mut VmmQueue,
    memory: &GuestMemoryMmap,
) {
    let device_sleeps = dice.once_in(2);
    if device_sleeps {
        assert!(
            !queue.enable_notification(memory).expect("ring"),
            "nothing is there"
        );
    } else {
        queue.disable_notification(memory).expect("ring");
    }
    let mut offered = Vec::new();
    for token in 0..u32::try_from(1 + dice.below(16)).expect("small") {
        let lens = |dice: &mut Dice| {
            (0..dice.below(3))
                .map(|_| 1 + 7 * token)
                .collect::<Vec<_>>()
        };
        let mut readable = lens(dice);
        let writable = lens(dice);
        if readable.is_empty() && writable.is_empty() {
            readable.push(round + 1);
        }
        let first = buffers(token, 0, &readable);
        let second = buffers(token, readable.iter().sum(), &writable);
        if driver.offer(&first, &second, token).is_err() {
            break;
        }
        let sides = [(&first, false), (&second, true)];
        let named = sides.into_iter().flat_map(|(buffers, write)| {
            buffers
                .iter()
                .map(move |buffer| (buffer.address.0, buffer.len, write))
        });
        offered.push((
            token,
            named.collect::<Vec<_>>(),
            writable.iter().sum::<u32>(),
        ));
    }
    let kick = driver.publish();
    assert!(
        kick || !device_sleeps,
        "their device sleeps and is not woken"
    );
    let driver_sleeps = dice.once_in(2);
    if driver_sleeps {
        assert!(!driver.watch(), "nothing is there");
    } else {
        driver.unwatch();
    }
    for (token, named, room) in &offered {
        let chain = queue.pop_descriptor_chain(memory).expect("offered");
        let head = chain.head_index();
        assert_eq!(&named_by_them(chain), named, "round {round}, token {token}");
        queue.add_used(memory, head, *room).expect("ring");
    }
    assert!(queue.pop_descriptor_chain(memory).is_none());
    let call = queue.needs_notification(memory).expect("ring");
    assert!(
        call || !driver_sleeps,
        "we sleep and their device does not wake us"
    );
    let mut back = [Returned::default(); 16];
    let count = driver
        .collect(&mut back)
        .expect("their device keeps to the standard");
    let expected = offered.iter().map(|(token, _, room)| (*token, *room));
    let back = back[..count].iter().map(|one| (one.token, one.written));
    assert!(back.eq(expected));
}
