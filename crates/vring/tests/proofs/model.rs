//! Random operations on both sides of a queue, with a naive queue as the oracle.
//!
//! Every chain comes back exactly once, with its bytes, in the order in which it was completed; each
//! side sees what the other has published and nothing more; who sleeps is woken.

use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::prelude::*;
use vring::batch::Batch;
use vring::driver::{Arena, Driver, OfferError, Returned, Setup, Side};
use vring::features::Features;
use vring::inflight::{InflightArea, Shape};
use vring::memory::GuestAddress;
use vring::queue::{Position, Queue};

use crate::rig::{self, BUFFERS, SLOT, buffers, config, pattern};

const TOKENS: u32 = 50;

#[derive(Clone, Debug)]
enum Step {
    Offer {
        readable: Vec<u32>,
        writable: Vec<u32>,
    },
    Show,
    Pop {
        max: usize,
    },
    Complete {
        which: usize,
        from: usize,
        count: usize,
        share: u32,
    },
    PutBack {
        keep: usize,
    },
    Return,
    Collect {
        max: usize,
    },
    DeviceSleeps,
    DevicePolls,
    DriverSleeps,
    DriverPolls,
    Restart,
    Crash,
}

/// A chain as the naive queue knows it.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    token: u32,
    serial: u64,
    readable: u32,
    writable: u32,
    written: u32,
}

/// A batch that the device has not given back wholly.
struct Held {
    batch: Batch,
    chains: Vec<Option<Known>>,
    /// Whether they were in flight when a device died.
    again: bool,
}

struct World {
    arena: Arena,
    driver: Driver,
    queue: Option<Queue>,
    inflight: Option<InflightArea>,
    in_order: bool,
    free: Vec<u32>,
    serial: u64,
    /// What is where, oldest first.
    offered: VecDeque<Known>,
    visible: VecDeque<Known>,
    /// Taken by a device that died, for the next one to take again.
    lost: VecDeque<Known>,
    held: VecDeque<Held>,
    completed: VecDeque<Known>,
    returned: VecDeque<Known>,
    /// Who went to sleep and was not woken since; who said that it polls.
    device_sleeps: bool,
    device_polls: bool,
    driver_sleeps: bool,
    driver_polls: bool,
    /// Whether the last batch held is the one that was popped last.
    last_is_held: bool,
    /// The latest chain of those that were completed.
    latest_completed: Option<u64>,
}

impl World {
    fn new(setup: Setup, tracked: bool) -> Self {
        let mut arena = rig::arena(1 << 16);
        let (driver, queue) = rig::pair(&mut arena, setup);
        let inflight = tracked.then(|| {
            let shape = Shape {
                queues: 2,
                queue_size: setup.size,
                format: setup.features.format(),
            };
            InflightArea::create(shape).expect("in-flight file").1
        });
        let mut world = Self {
            inflight,
            in_order: setup.features.has(Features::IN_ORDER),
            arena,
            driver,
            queue: Some(queue),
            free: (0..TOKENS).collect(),
            serial: 0,
            offered: VecDeque::new(),
            visible: VecDeque::new(),
            lost: VecDeque::new(),
            held: VecDeque::new(),
            completed: VecDeque::new(),
            returned: VecDeque::new(),
            device_sleeps: false,
            device_polls: false,
            driver_sleeps: false,
            driver_polls: false,
            last_is_held: false,
            latest_completed: None,
        };
        if tracked {
            world.start(rig::beginning(setup.features));
        }
        world
    }

    fn start(&mut self, position: Position) {
        let (layout, features) = (self.driver.layout(), self.driver.features());
        let region = self.inflight.as_ref().and_then(|area| area.queue(1));
        let fresh = Queue::start(layout, features, self.arena.memory(), position, region);
        self.queue = Some(fresh.expect("queue"));
        self.last_is_held = false;
        // The wish of an old one is still in memory, but nobody waits for it.
        (self.device_sleeps, self.device_polls) = (false, false);
    }

    fn queue(&mut self) -> &mut Queue {
        self.queue.as_mut().expect("only taken for a moment")
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Offer { readable, writable } => self.offer(readable, writable),
            Step::Show => self.show(),
            Step::Pop { max } => self.pop(*max),
            Step::Complete {
                which,
                from,
                count,
                share,
            } => {
                self.complete(*which, *from, *count, *share);
            }
            Step::PutBack { keep } => self.put_back(*keep),
            Step::Return => self.give_back(),
            Step::Collect { max } => self.collect(*max),
            Step::DeviceSleeps => {
                let work = self.queue().watch();
                let any = !(self.visible.is_empty() && self.lost.is_empty());
                assert_eq!(work, any, "the device's last look");
                (self.device_sleeps, self.device_polls) = (!work, false);
            }
            Step::DevicePolls => {
                self.queue().unwatch();
                (self.device_sleeps, self.device_polls) = (false, true);
            }
            Step::DriverSleeps => {
                let work = self.driver.watch();
                assert_eq!(work, !self.returned.is_empty(), "the driver's last look");
                (self.driver_sleeps, self.driver_polls) = (!work, false);
            }
            Step::DriverPolls => {
                self.driver.unwatch();
                (self.driver_sleeps, self.driver_polls) = (false, true);
            }
            Step::Restart => self.restart(),
            Step::Crash => self.crash(),
        }
    }

    fn offer(&mut self, readable: &[u32], writable: &[u32]) {
        let Some(token) = self.free.pop() else { return };
        let (to_read, to_write) = (readable.iter().sum(), writable.iter().sum());
        let known = Known {
            token,
            serial: self.serial,
            readable: to_read,
            writable: to_write,
            written: 0,
        };
        let room = self.driver.free();
        let first = buffers(token, 0, readable);
        let second = buffers(token, to_read, writable);
        match self.driver.offer(&first, &second, token) {
            Ok(()) => {
                let bytes = pattern(known.serial, to_read);
                self.arena
                    .memory()
                    .write(slot(token), &bytes)
                    .expect("slot");
                self.serial += 1;
                self.offered.push_back(known);
            }
            Err(OfferError::Full) => {
                assert!(usize::from(room) < readable.len() + writable.len());
                self.free.push(token);
            }
            Err(OfferError::TooLong) => {
                assert!(usize::from(self.driver.layout().size) < readable.len() + writable.len());
                self.free.push(token);
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn show(&mut self) {
        let any = !self.offered.is_empty();
        let kick = self.driver.publish();
        self.visible.append(&mut self.offered);
        if any && self.device_sleeps {
            assert!(kick, "the device sleeps and nobody wakes it");
            self.device_sleeps = false;
        }
        if !any || (self.device_polls && self.says_never()) {
            assert!(!kick, "a kick for nothing");
        }
    }

    fn give_back(&mut self) {
        let call = self.queue().publish();
        self.judge_call(call);
    }

    /// What was completed is the driver's now, and `call` is what the device was told to do.
    fn judge_call(&mut self, call: bool) {
        let any = !self.completed.is_empty();
        self.returned.append(&mut self.completed);
        if any && self.driver_sleeps {
            assert!(call, "the driver sleeps and nobody wakes it");
            self.driver_sleeps = false;
        }
        if !any || (self.driver_polls && self.says_never()) {
            assert!(!call, "a call for nothing");
        }
    }

    /// A split ring's event index cannot say "never", only "in 65,536 chains".
    fn says_never(&self) -> bool {
        let features = self.driver.features();
        features.has(Features::RING_PACKED) || !features.has(Features::EVENT_IDX)
    }

    fn pop(&mut self, max: usize) {
        let mut batch = Batch::new(8);
        let taken = self.queue().pop(&mut batch, max).expect("a good driver");
        let again = !self.lost.is_empty();
        let from = if again {
            &mut self.lost
        } else {
            &mut self.visible
        };
        assert_eq!(taken, max.min(8).min(from.len()));
        assert_eq!(taken, batch.len());
        let chains: Vec<_> = from.drain(..taken).collect();
        for (chain, known) in batch.chains().zip(&chains) {
            assert_eq!(chain.readable().len(), known.readable);
            assert_eq!(chain.writable().len(), known.writable);
            let mut bytes = vec![0; known.readable as usize];
            chain.readable().read(0, &mut bytes).expect("its length");
            assert!(bytes == pattern(known.serial, known.readable), "{known:?}");
        }
        self.last_is_held = taken > 0;
        if taken > 0 {
            self.device_sleeps = false;
            let chains = chains.into_iter().map(Some).collect();
            self.held.push_back(Held {
                batch,
                chains,
                again,
            });
        }
    }

    fn complete(&mut self, which: usize, from: usize, count: usize, share: u32) {
        if self.held.is_empty() {
            return;
        }
        let index = if self.in_order {
            0
        } else {
            which % self.held.len()
        };
        let held = &mut self.held[index];
        let len = held.chains.len();
        let first_left = held.chains.iter().position(Option::is_some).unwrap_or(0);
        let start = if self.in_order {
            first_left
        } else {
            from % len
        };
        let range = start..(start + count).min(len);
        let mut expected = 0;
        for place in range.clone() {
            let Some(mut known) = held.chains[place].take() else {
                continue;
            };
            // Often all of it, which lets a device that works in order skip elements.
            known.written = if share >= 4 {
                known.writable
            } else {
                known.writable * share / 4
            };
            let chain = held.batch.chain(place).expect("held");
            let bytes = pattern(!known.serial, known.written);
            chain.writable().write(0, &bytes).expect("its length");
            held.batch.set_written(place, known.written);
            self.latest_completed = self.latest_completed.max(Some(known.serial));
            self.completed.push_back(known);
            expected += 1;
        }
        let queue = self.queue.as_mut().expect("only taken for a moment");
        assert_eq!(queue.complete(&mut held.batch, range), expected);
        if held.chains.iter().all(Option::is_none) {
            self.held.remove(index);
            self.last_is_held &= index < self.held.len();
        }
    }

    /// The last batch can be put back from its end, up to a chain that was completed.
    fn put_back(&mut self, keep: usize) {
        let Some(held) = self.held.back_mut() else {
            return;
        };
        let untouched = held.chains.iter().skip(keep).all(Option::is_some);
        let expected = if self.last_is_held && untouched {
            held.chains.len().saturating_sub(keep)
        } else {
            0
        };
        let queue = self.queue.as_mut().expect("only taken for a moment");
        assert_eq!(queue.unpop(&mut held.batch, keep), expected);
        for known in held
            .chains
            .split_off(held.chains.len() - expected)
            .into_iter()
            .rev()
        {
            let known = known.expect("untouched");
            if held.again {
                self.lost.push_front(known);
            } else {
                self.visible.push_front(known);
            }
        }
        if held.chains.iter().all(Option::is_none) {
            self.held.pop_back();
            self.last_is_held = false;
        }
    }

    fn collect(&mut self, max: usize) {
        let mut into = vec![Returned::default(); max];
        let count = self.driver.collect(&mut into).expect("a good device");
        assert_eq!(count, max.min(self.returned.len()));
        for (returned, known) in into.iter().zip(self.returned.drain(..count)) {
            let Known { token, written, .. } = known;
            assert_eq!(*returned, Returned { token, written });
            let mut bytes = vec![0; written as usize];
            let at = GuestAddress(slot(token).0 + u64::from(known.readable));
            self.arena.memory().read(at, &mut bytes).expect("slot");
            assert!(bytes == pattern(!known.serial, written), "{known:?}");
            self.free.push(token);
        }
        if count > 0 {
            self.driver_sleeps = false;
        }
    }

    /// Another device goes on where this one stops. What this one holds is taken again, if it is
    /// recorded or nothing behind it was completed.
    fn restart(&mut self) {
        let held = self
            .held
            .iter()
            .flat_map(|held| held.chains.iter().flatten());
        let oldest = held.map(|known| known.serial).min();
        let tracked = self.inflight.is_some();
        if !tracked && oldest.is_some_and(|oldest| Some(oldest) < self.latest_completed) {
            return;
        }
        let (position, call) = self.queue.take().expect("only taken for a moment").stop();
        self.judge_call(call);
        let mut held = self.take_held();
        if tracked {
            held.append(&mut self.lost);
            self.lost = held;
        } else {
            held.append(&mut self.visible);
            self.visible = held;
        }
        self.start(position);
    }

    /// The device is gone between two calls; the next one only has what is in shared memory. What was
    /// completed and not shown is in flight as well.
    fn crash(&mut self) {
        if self.inflight.is_none() {
            return;
        }
        drop(self.queue.take());
        let mut lost = self.take_held();
        lost.append(&mut self.completed);
        lost.append(&mut self.lost);
        lost.make_contiguous()
            .sort_unstable_by_key(|known| known.serial);
        lost.iter_mut().for_each(|known| known.written = 0);
        self.lost = lost;
        self.start(rig::beginning(self.driver.features()));
    }

    /// What the device has, in the order in which it took it.
    fn take_held(&mut self) -> VecDeque<Known> {
        let held = self.held.drain(..).flat_map(|held| held.chains);
        let mut held: VecDeque<Known> = held.flatten().collect();
        held.make_contiguous()
            .sort_unstable_by_key(|known| known.serial);
        held
    }

    /// Runs until nothing is under way, and everything is back.
    fn finish(&mut self) {
        self.show();
        while !(self.lost.is_empty() && self.visible.is_empty()) {
            self.pop(8);
        }
        while !self.held.is_empty() {
            self.complete(0, 0, 8, 4);
        }
        self.give_back();
        self.collect(TOKENS as usize);
        assert_eq!(self.free.len(), TOKENS as usize);
        assert_eq!(self.driver.free(), self.driver.layout().size);
    }

    /// Moves the indices on, by chains of one buffer, past the naive queue.
    fn advance(&mut self, chains: u32) {
        let queue = self.queue.as_mut().expect("only taken for a moment");
        let mut batch = Batch::new(8);
        let mut back = [Returned::default(); 8];
        let one = buffers(0, 0, &[1])[0];
        let mut left = chains;
        while left > 0 {
            let now = left.min(8);
            let taken = self
                .driver
                .offer_each(Side::Writable, (0..now).map(|token| (one, token)));
            let _kick = self.driver.publish();
            assert_eq!(queue.pop(&mut batch, 8), Ok(taken));
            assert_eq!(queue.complete(&mut batch, 0..taken), taken);
            let _call = queue.publish();
            assert_eq!(self.driver.collect(&mut back), Ok(taken));
            left -= now;
        }
    }
}

fn slot(token: u32) -> GuestAddress {
    GuestAddress(BUFFERS.0 + u64::from(token) * SLOT)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let lens = || vec(1_u32..80, 0..4);
    let shape = (lens(), lens()).prop_map(|(mut readable, writable)| {
        if readable.is_empty() && writable.is_empty() {
            readable.push(1);
        }
        Step::Offer { readable, writable }
    });
    let single = (1_u32..80).prop_map(|len| Step::Offer {
        readable: Vec::new(),
        writable: vec![len],
    });
    let complete = (0_usize..4, 0_usize..8, 1_usize..8, 0_u32..8);
    let complete = complete.prop_map(|(which, from, count, share)| Step::Complete {
        which,
        from,
        count,
        share,
    });
    let step = prop_oneof![
        4 => shape,
        4 => single,
        4 => Just(Step::Show),
        4 => (0_usize..10).prop_map(|max| Step::Pop { max }),
        6 => complete,
        1 => (0_usize..4).prop_map(|keep| Step::PutBack { keep }),
        4 => Just(Step::Return),
        4 => (0_usize..10).prop_map(|max| Step::Collect { max }),
        1 => Just(Step::DeviceSleeps),
        1 => Just(Step::DevicePolls),
        1 => Just(Step::DriverSleeps),
        1 => Just(Step::DriverPolls),
        1 => Just(Step::Restart),
        2 => Just(Step::Crash),
    ];
    vec(step, 1..160)
}

fn setups() -> impl Strategy<Value = Setup> {
    let sizes = prop_oneof![
        Just(1_u16),
        Just(2),
        Just(3),
        Just(4),
        Just(7),
        Just(8),
        Just(64)
    ];
    let sets = proptest::sample::select(rig::every_feature_set());
    let tables = prop_oneof![Just(0_u16), Just(3), Just(8)];
    (sizes, sets, tables).prop_map(|(size, features, table)| {
        let packed = features.has(Features::RING_PACKED);
        let size = if packed {
            size
        } else {
            size.next_power_of_two()
        };
        Setup {
            size,
            features,
            table,
        }
    })
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn both_sides_do_as_a_naive_queue(setup in setups(), steps in steps()) {
        let mut world = World::new(setup, false);
        for step in &steps {
            world.step(step);
        }
        world.finish();
    }
}

proptest! {
    #![proptest_config(config(150))]

    /// With an in-flight region, and devices that die between any two steps: nothing is lost, nothing
    /// comes back twice, and what was in flight is taken first, in the old order.
    #[test]
    fn nothing_in_flight_is_lost(setup in setups(), steps in steps()) {
        let mut world = World::new(setup, true);
        for step in &steps {
            world.step(step);
        }
        world.finish();
    }
}

proptest! {
    #![proptest_config(config(16))]

    /// Free-running indices pass 65,535 in the middle of the steps; wishes and all.
    #[test]
    fn indices_wrap_around(
        set in proptest::sample::select(rig::every_feature_set()),
        before in 0_u32..40,
        steps in steps(),
    ) {
        let mut world = World::new(Setup { size: 8, features: set, table: 8 }, before % 2 == 0);
        world.advance(65_536 - before);
        for step in &steps {
            world.step(step);
        }
        world.finish();
    }
}
