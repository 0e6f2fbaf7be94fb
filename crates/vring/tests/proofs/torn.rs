//! A device that dies inside `publish`: every state of the in-flight region and of the ring between
//! two of its stores, made from what they were before and after, in the order that vhost-user's
//! section "Inflight I/O tracking" gives. Meanwhile the driver may have gone on.

use std::ops::Range;

use vring::batch::Batch;
use vring::driver::{Arena, Driver, Returned, Setup, Side};
use vring::features::Features;
use vring::inflight::{InflightArea, Shape};
use vring::memory::{GuestAddress, GuestMemory, Region, UserAddress};
use vring::queue::Queue;

use crate::rig::{self, RINGS, buffers};

const SIZE: u16 = 4;
const RING_BYTES: usize = 1 << 12;
const ENTRIES: usize = SIZE as usize;

/// One store of `publish`, or several whose order among themselves does not matter.
enum Store {
    /// What the driver sees.
    Show,
    /// These bytes of the region's header.
    Header(Range<usize>),
    /// These bytes of each entry.
    Entries(Range<usize>),
}

/// Where the region's parts are, and in which order they are written.
struct Format {
    header: usize,
    entry: usize,
    stores: Vec<Store>,
}

fn split() -> Format {
    let stores = vec![
        Store::Entries(6..8),
        Store::Header(12..14),
        Store::Show,
        Store::Entries(0..1),
        Store::Header(14..16),
    ];
    Format {
        header: 16,
        entry: 16,
        stores,
    }
}

fn packed() -> Format {
    let stores = vec![
        Store::Entries(2..4),
        Store::Header(12..14),
        Store::Header(20..21),
        Store::Header(16..18),
        Store::Show,
        Store::Entries(0..1),
        Store::Header(14..16),
        Store::Header(21..22),
        Store::Header(18..20),
    ];
    Format {
        header: 32,
        entry: 32,
        stores,
    }
}

struct Scene {
    arena: Arena,
    driver: Driver,
    queue: Option<Queue>,
    area: InflightArea,
    /// Our own view of the in-flight file.
    view: GuestMemory,
    out: Vec<u32>,
}

impl Scene {
    fn new(features: Features) -> Self {
        let mut arena = rig::arena(1 << 16);
        let setup = Setup {
            size: SIZE,
            features,
            table: 0,
        };
        let driver = Driver::new(&mut arena, setup).expect("driver");
        let shape = Shape {
            queues: 1,
            queue_size: SIZE,
            format: features.format(),
        };
        let (file, area) = InflightArea::create(shape).expect("in-flight file");
        let region = Region {
            guest: GuestAddress(0),
            user: UserAddress(0),
            size: shape.bytes(),
        };
        let view = GuestMemory::new().with_region(region, &file, 0);
        let mut scene = Self {
            arena,
            driver,
            queue: None,
            area,
            view: view.expect("view"),
            out: Vec::new(),
        };
        scene.start();
        scene
    }

    fn start(&mut self) {
        let (layout, features) = (self.driver.layout(), self.driver.features());
        let position = rig::beginning(features);
        let region = self.area.queue(0);
        let fresh = Queue::start(layout, features, self.arena.memory(), position, region);
        self.queue = Some(fresh.expect("queue"));
    }

    fn queue(&mut self) -> &mut Queue {
        self.queue.as_mut().expect("started")
    }

    fn offer(&mut self, tokens: Range<u32>) {
        let singles = tokens
            .clone()
            .map(|token| (buffers(token, 0, &[8])[0], token));
        assert_eq!(
            self.driver.offer_each(Side::Writable, singles),
            tokens.len()
        );
        self.out.extend(tokens);
        let _kick = self.driver.publish();
    }

    /// Takes back what there is, each once.
    fn collect(&mut self) -> usize {
        let mut back = [Returned::default(); ENTRIES];
        let count = self.driver.collect(&mut back).expect("none twice");
        for returned in &back[..count] {
            let place = self.out.iter().position(|token| *token == returned.token);
            self.out.remove(place.expect("on offer"));
        }
        count
    }

    /// Serves everything that comes.
    fn drain(&mut self) {
        let mut batch = Batch::new(ENTRIES);
        for _ in 0..2 * ENTRIES {
            let taken = self
                .queue()
                .pop(&mut batch, ENTRIES)
                .expect("a good driver");
            self.queue().complete(&mut batch, 0..taken);
            let _call = self.queue().publish();
            self.collect();
        }
    }

    fn ring(&self) -> Vec<u8> {
        let mut bytes = vec![0; RING_BYTES];
        self.arena.memory().read(RINGS, &mut bytes).expect("rings");
        bytes
    }

    fn region(&self) -> Vec<u8> {
        let size = usize::try_from(self.area.shape().bytes()).expect("small");
        let mut bytes = vec![0; size];
        self.view.read(GuestAddress(0), &mut bytes).expect("region");
        bytes
    }

    /// Publishes, and then makes only the first `done` of the stores have happened.
    fn publish_and_die(&mut self, format: &Format, done: usize) -> bool {
        let before = (self.ring(), self.region());
        let _call = self.queue().publish();
        let after = (self.ring(), self.region());
        self.queue = None;
        let mut region = before.1;
        let mut copy = |range: Range<usize>| region[range.clone()].copy_from_slice(&after.1[range]);
        let mut shown = false;
        for store in &format.stores[..done] {
            match store {
                Store::Show => shown = true,
                Store::Header(range) => copy(range.clone()),
                Store::Entries(range) => {
                    let starts = (0..ENTRIES).map(|entry| format.header + entry * format.entry);
                    starts.for_each(|start| copy(start + range.start..start + range.end));
                }
            }
        }
        if done == format.stores.len() {
            assert!(region == after.1, "publish stores more than we know of");
        }
        let ring = if shown { after.0 } else { before.0 };
        self.arena.memory().write(RINGS, &ring).expect("rings");
        self.view.write(GuestAddress(0), &region).expect("region");
        shown
    }
}

/// A full ring, some of it completed in some order, and death after each store.
fn dies_at_every_store(features: Features, format: &Format, orders: &[&[usize]]) {
    let features = features | Features::VERSION_1;
    // Every place in the ring, in both laps of a packed one.
    for before in 0..2 * u32::from(SIZE) {
        for done in 0..=format.stores.len() {
            for (order, refill) in orders
                .iter()
                .flat_map(|order| [(order, false), (order, true)])
            {
                let mut scene = Scene::new(features);
                for token in 0..before {
                    scene.offer(token..token + 1);
                    scene.drain();
                }
                scene.offer(20..20 + u32::from(SIZE));
                let mut batch = Batch::new(ENTRIES);
                assert_eq!(scene.queue().pop(&mut batch, ENTRIES), Ok(ENTRIES));
                for index in *order {
                    batch.set_written(*index, 8);
                    assert_eq!(scene.queue().complete(&mut batch, *index..*index + 1), 1);
                }
                let shown = scene.publish_and_die(format, done);
                if shown && refill {
                    let back = u32::try_from(scene.collect()).expect("small");
                    assert_eq!(back as usize, order.len());
                    scene.offer(30..30 + back);
                }
                scene.start();
                scene.drain();
                let case = format!("{before} before, {done} stores, {order:?}, refill {refill}");
                assert!(scene.out.is_empty(), "lost: {:?}; {case}", scene.out);
                assert_eq!(scene.driver.free(), SIZE, "{case}");
            }
        }
    }
}

const ANY_ORDER: [&[usize]; 5] = [&[0], &[2], &[3, 1], &[0, 1, 2, 3], &[3, 2, 1, 0]];
const IN_ORDER: [&[usize]; 3] = [&[0], &[0, 1, 2], &[0, 1, 2, 3]];

#[test]
fn a_split_device_dies_at_every_store() {
    dies_at_every_store(Features::default(), &split(), &ANY_ORDER);
    dies_at_every_store(Features::IN_ORDER, &split(), &IN_ORDER);
}

#[test]
fn a_packed_device_dies_at_every_store() {
    dies_at_every_store(Features::RING_PACKED, &packed(), &ANY_ORDER);
    let in_order = Features::RING_PACKED | Features::IN_ORDER;
    dies_at_every_store(in_order, &packed(), &IN_ORDER);
}
