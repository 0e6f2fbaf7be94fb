//! A device in a process of its own that is killed at any instruction, again and again: with the
//! in-flight region, no chain is lost and none comes back twice.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, process, thread};

use vring::batch::Batch;
use vring::driver::{Arena, Driver, Returned, Setup};
use vring::features::Features;
use vring::inflight::{InflightArea, Shape};
use vring::layout::Layout;
use vring::memory::{GuestAddress, GuestMemory, Region, UserAddress};
use vring::queue::Queue;

use crate::rig::{self, Dice, buffers};

/// Tells the test binary, started anew by a test, to be that test's device.
const ROLE: &str = "VRING_TEST_DEVICE";
const SIZE: u16 = 64;
const TOKENS: u32 = 50;
const KILLS: u64 = 25;
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the device finds everything, as numbers in a row.
fn describe(arena: &Arena, driver: &Driver, inflight: &impl AsFd) -> String {
    let layout = driver.layout();
    let mut numbers = vec![
        u64::from(process::id()),
        driver.features().0,
        layout.descriptors.0,
        layout.driver.0,
        layout.device.0,
        fd_number(inflight),
    ];
    for (region, file) in arena.regions() {
        numbers.extend([region.guest.0, region.user.0, region.size, fd_number(&file)]);
    }
    let numbers: Vec<_> = numbers.iter().map(ToString::to_string).collect();
    numbers.join(" ")
}

fn fd_number(file: &impl AsFd) -> u64 {
    u64::try_from(file.as_fd().as_raw_fd()).expect("open")
}

fn open(process: u64, fd: u64) -> File {
    let path = format!("/proc/{process}/fd/{fd}");
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .open(path)
        .expect("the driver's file")
}

fn shape(features: Features) -> Shape {
    Shape {
        queues: 1,
        queue_size: SIZE,
        format: features.format(),
    }
}

/// The device: answers each chain's eight bytes by their complement, until it is killed.
fn be_the_device(described: &str) -> ! {
    let signal = rustix::process::Signal::KILL;
    rustix::process::set_parent_process_death_signal(Some(signal)).expect("prctl");
    let numbers: Vec<u64> = described
        .split(' ')
        .map(|number| number.parse().expect("a number"))
        .collect();
    let [
        parent,
        features,
        descriptors,
        driver,
        device,
        inflight,
        regions @ ..,
    ] = &numbers[..]
    else {
        panic!("{described}");
    };
    let features = Features(*features);
    let mut memory = GuestMemory::new();
    for region in regions.chunks_exact(4) {
        let at = Region {
            guest: GuestAddress(region[0]),
            user: UserAddress(region[1]),
            size: region[2],
        };
        let file = open(*parent, region[3]);
        memory = memory.with_region(at, &file, 0).expect("region");
    }
    let layout = Layout {
        size: SIZE,
        descriptors: UserAddress(*descriptors),
        driver: UserAddress(*driver),
        device: UserAddress(*device),
    };
    let shape = shape(features);
    let area = InflightArea::open(open(*parent, *inflight), 0, shape.bytes(), shape);
    let region = area.expect("in-flight file").queue(0);
    let position = rig::beginning(features);
    let queue = Queue::start(layout, features, &memory, position, region).expect("queue");
    serve(queue)
}

fn serve(mut queue: Queue) -> ! {
    let mut dice = Dice::new(process::id().into());
    let mut batch = Batch::new(8);
    let in_order = queue.features().has(Features::IN_ORDER);
    loop {
        let max = usize::try_from(1 + dice.below(8)).expect("small");
        let count = queue.pop(&mut batch, max).expect("a good driver");
        if count == 0 {
            thread::yield_now();
            continue;
        }
        let kept = usize::try_from(dice.below(count as u64 + 1)).expect("small");
        if dice.once_in(4) && queue.unpop(&mut batch, kept) > 0 && kept == 0 {
            continue;
        }
        let count = batch.len();
        let rotated = if in_order {
            0
        } else {
            usize::try_from(dice.below(8)).expect("small")
        };
        for place in 0..count {
            let index = (place + rotated) % count;
            let chain = batch.chain(index).expect("popped");
            let value: u64 = chain.readable().read_value(0).expect("eight bytes");
            chain
                .writable()
                .write_value(0, &!value)
                .expect("eight bytes");
            batch.set_written(index, 8);
            queue.complete(&mut batch, index..index + 1);
            if dice.once_in(8) {
                let _call = queue.publish();
            }
        }
        let _call = queue.publish();
    }
}

/// A device process, ended with its handle.
struct Device(Child);

impl Device {
    fn spawn(test: &str, described: &str) -> Self {
        let mut command = Command::new(env::current_exe().expect("this binary"));
        command
            .args(["--exact", test, "--nocapture"])
            .env(ROLE, described);
        Self(command.stdout(Stdio::null()).spawn().expect("device"))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.0.kill().expect("our own child");
        self.0.wait().expect("our own child");
    }
}

struct Guest {
    arena: Arena,
    driver: Driver,
    free: Vec<u32>,
    /// By token.
    serials: Vec<u64>,
    sent: u64,
    received: u64,
}

impl Guest {
    fn offer(&mut self, dice: &mut Dice) {
        for _ in 0..dice.below(40) {
            let Some(token) = self.free.pop() else { break };
            let chain = buffers(token, 0, &[8, 4, 4]);
            let value = self.sent.to_le_bytes();
            self.arena
                .memory()
                .write(chain[0].address, &value)
                .expect("slot");
            // Chains of one to three places in the ring.
            let shapes: [&[u32]; 3] = [&[8], &[4, 4], &[1, 7]];
            let writable = buffers(token, 8, dice.pick(&shapes));
            if self.driver.offer(&chain[..1], &writable, token).is_err() {
                self.free.push(token);
                break;
            }
            self.serials[token as usize] = self.sent;
            self.sent += 1;
        }
        let _kick = self.driver.publish();
    }

    fn collect(&mut self) -> usize {
        let mut back = [Returned::default(); 64];
        let count = self.driver.collect(&mut back).expect("each chain once");
        if count == 0 {
            thread::yield_now();
        }
        for returned in &back[..count] {
            let token = returned.token;
            let mut bytes = [0; 8];
            let at = buffers(token, 8, &[8])[0].address;
            self.arena.memory().read(at, &mut bytes).expect("slot");
            assert_eq!(returned.written, 8);
            assert_eq!(!u64::from_le_bytes(bytes), self.serials[token as usize]);
            self.free.push(token);
            self.received += 1;
        }
        count
    }
}

fn kill_again_and_again(test: &str, features: Features) {
    if let Ok(described) = env::var(ROLE) {
        be_the_device(&described);
    }
    let features = features | Features::VERSION_1;
    let mut arena = rig::arena(1 << 16);
    let setup = Setup {
        size: SIZE,
        features,
        table: 4,
    };
    let driver = Driver::new(&mut arena, setup).expect("driver");
    let (file, _area) = InflightArea::create(shape(features)).expect("in-flight file");
    let described = describe(&arena, &driver, &file);
    let mut guest = Guest {
        arena,
        driver,
        free: (0..TOKENS).collect(),
        serials: vec![0; TOKENS as usize],
        sent: 0,
        received: 0,
    };
    let mut dice = Dice::new(features.0);
    for _ in 0..KILLS {
        let device = Device::spawn(test, &described);
        let until = guest.received + 50 + dice.below(300);
        let mut start = Instant::now();
        while guest.received < until {
            guest.offer(&mut dice);
            if guest.collect() > 0 {
                start = Instant::now();
            }
            assert!(
                start.elapsed() < PATIENCE,
                "a chain was lost, so that both wait"
            );
        }
        drop(device);
    }
    let device = Device::spawn(test, &described);
    let mut start = Instant::now();
    while guest.received < guest.sent {
        if guest.collect() > 0 {
            start = Instant::now();
        }
        assert!(
            start.elapsed() < PATIENCE,
            "{} lost",
            guest.sent - guest.received
        );
    }
    drop(device);
    assert_eq!(guest.driver.free(), SIZE);
}

#[test]
fn split() {
    kill_again_and_again("killed::split", Features::default());
}

#[test]
fn split_in_order_with_tables() {
    let features = Features::IN_ORDER | Features::INDIRECT_DESC;
    kill_again_and_again("killed::split_in_order_with_tables", features);
}

#[test]
fn packed() {
    kill_again_and_again("killed::packed", Features::RING_PACKED);
}

#[test]
fn packed_with_tables() {
    let features = Features::RING_PACKED | Features::INDIRECT_DESC;
    kill_again_and_again("killed::packed_with_tables", features);
}

#[test]
fn packed_in_order() {
    let features = Features::RING_PACKED | Features::IN_ORDER;
    kill_again_and_again("killed::packed_in_order", features);
}
