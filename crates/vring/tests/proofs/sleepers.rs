//! A driver and a device on two threads that sleep whenever there is nothing to do. If a kick were
//! lost, both would sleep for ever; the bell's patience ends that.

use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Duration;

use vring::batch::Batch;
use vring::driver::{Arena, Driver, Returned, Setup};
use vring::features::Features;
use vring::memory::GuestAddress;
use vring::queue::Queue;

use crate::rig::{self, Dice, buffers};

const PATIENCE: Duration = Duration::from_secs(10);

/// An eventfd: rung any number of times, waited for once.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    ring: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock().expect("no panic") = true;
        self.ring.notify_one();
    }

    fn wait(&self, who: &str) {
        let rung = self.rung.lock().expect("no panic");
        let waited = self.ring.wait_timeout_while(rung, PATIENCE, |rung| !*rung);
        let (mut rung, outcome) = waited.expect("no panic");
        assert!(!outcome.timed_out(), "{who} was not woken");
        *rung = false;
    }
}

/// Sends tokens in every round, the serial number in the buffer, and checks what comes back.
fn drive(arena: &Arena, mut driver: Driver, chains: u32, kick: &Bell, call: &Bell) {
    let size = u32::from(driver.layout().size);
    let mut dice = Dice::new(1);
    let mut free: Vec<u32> = (0..size).collect();
    let mut serials = vec![0_u32; size as usize];
    let (mut sent, mut received) = (0, 0);
    let mut back = vec![Returned::default(); size as usize];
    while received < chains {
        let burst = 1 + dice.below(u64::from(size));
        for _ in 0..burst {
            if sent == chains {
                break;
            }
            let Some(token) = free.pop() else { break };
            let buffer = buffers(token, 0, &[4, 4]);
            let at = buffer[0].address;
            arena.memory().write(at, &sent.to_le_bytes()).expect("slot");
            if driver.offer(&buffer[..1], &buffer[1..], token).is_err() {
                free.push(token);
                break;
            }
            serials[token as usize] = sent;
            sent += 1;
        }
        if driver.publish() {
            kick.ring();
        }
        let mut count = driver.collect(&mut back).expect("a good device");
        if count == 0 && (free.is_empty() || sent == chains || driver.free() < 2) {
            if !driver.watch() {
                call.wait("the driver");
            }
            driver.unwatch();
            count = driver.collect(&mut back).expect("a good device");
        }
        for returned in &back[..count] {
            let token = returned.token;
            let mut bytes = [0; 4];
            let at = GuestAddress(buffers(token, 4, &[4])[0].address.0);
            arena.memory().read(at, &mut bytes).expect("slot");
            assert_eq!(!u32::from_le_bytes(bytes), serials[token as usize]);
            free.push(token);
            received += 1;
        }
    }
}

/// Answers every chain with the complement of its four bytes.
fn serve(mut queue: Queue, chains: u32, kick: &Bell, call: &Bell) {
    let mut dice = Dice::new(2);
    let mut batch = Batch::new(16);
    let mut served = 0;
    while served < chains {
        let max = usize::try_from(1 + dice.below(16)).expect("small");
        let count = queue.pop(&mut batch, max).expect("a good driver");
        if count == 0 {
            if !queue.watch() {
                kick.wait("the device");
            }
            queue.unwatch();
            continue;
        }
        for index in 0..count {
            let chain = batch.chain(index).expect("popped");
            let value: u32 = chain.readable().read_value(0).expect("four bytes");
            chain
                .writable()
                .write_value(0, &!value)
                .expect("four bytes");
            batch.set_written(index, 4);
        }
        assert_eq!(queue.complete(&mut batch, 0..count), count);
        served += u32::try_from(count).expect("small");
        if queue.publish() {
            call.ring();
        }
    }
}

fn both_sleep_and_are_woken(features: Features) {
    // Small rings, so that both wait for each other all the time; once beyond 65,535.
    for (size, chains) in [(2, 8_000), (4, 8_000), (16, 70_000)] {
        let mut arena = rig::arena(1 << 16);
        let setup = Setup {
            size,
            features: features | Features::VERSION_1,
            table: 0,
        };
        let (driver, queue) = rig::pair(&mut arena, setup);
        let (kick, call) = (Bell::default(), Bell::default());
        thread::scope(|scope| {
            scope.spawn(|| serve(queue, chains, &kick, &call));
            drive(&arena, driver, chains, &kick, &call);
        });
    }
}

#[test]
fn split() {
    both_sleep_and_are_woken(Features::default());
}

#[test]
fn split_with_event_idx() {
    both_sleep_and_are_woken(Features::EVENT_IDX);
}

#[test]
fn packed() {
    both_sleep_and_are_woken(Features::RING_PACKED);
}

#[test]
fn packed_with_event_idx() {
    both_sleep_and_are_woken(Features::RING_PACKED | Features::EVENT_IDX);
}

#[test]
fn packed_in_order_with_event_idx() {
    both_sleep_and_are_woken(Features::RING_PACKED | Features::EVENT_IDX | Features::IN_ORDER);
}
