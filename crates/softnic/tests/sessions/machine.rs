//! Our front end against our back end.

use std::os::fd::AsFd;

use softnic::device::Device;
use softnic::features::{NetFeatures, ProtocolFeatures};
use softnic::frontend::{Frontend, FrontendError, Machine};
use softnic::protocol::{BackendRequest, Code, Request};
use softnic::transport::Endpoint;
use vring::batch::Batch;
use vring::driver::{Arena, Buffer, Returned, Setup};
use vring::memory::{GuestAddress, Region, UserAddress};

use crate::echo::Echo;
use crate::{BackEnd, TIMEOUT, config, listen, socket, until};

const SPLIT: NetFeatures =
    NetFeatures(NetFeatures::VERSION_1.0 | NetFeatures::MRG_RXBUF.0 | NetFeatures::EVENT_IDX.0);
const PACKED: NetFeatures = NetFeatures(SPLIT.0 | NetFeatures::RING_PACKED.0);
const FRAME: u32 = 76;
const QUEUE: u16 = 64;

fn region(number: u64) -> Region {
    Region {
        guest: GuestAddress(number << 24),
        user: UserAddress(0x7f00_0000_0000 + (number << 24)),
        size: 1 << 20,
    }
}

/// A machine of two pairs, with room to receive in the first.
fn machine(features: NetFeatures) -> Machine {
    let arena = Arena::new(region(1)).unwrap();
    let setup = Setup {
        size: QUEUE,
        features: features.rings(),
        table: 0,
    };
    let mut machine = Machine::new(arena, features, 4, setup).unwrap();
    for token in 0..u32::from(QUEUE) {
        let buffer = buffer(&mut machine, 2048);
        let (receive, _) = machine.queue_mut(0).unwrap();
        receive.offer(&[], &[buffer], token).unwrap();
    }
    let (receive, _) = machine.queue_mut(0).unwrap();
    let _ = receive.publish();
    machine
}

fn buffer(machine: &mut Machine, len: u32) -> Buffer {
    let address = machine.arena_mut().take(u64::from(len), 64).unwrap();
    Buffer { address, len }
}

fn send(machine: &mut Machine, token: u32) {
    let buffer = buffer(machine, FRAME);
    let mut frame = [0; FRAME as usize];
    frame[12..16].copy_from_slice(&token.to_le_bytes());
    machine
        .arena()
        .memory()
        .write(buffer.address, &frame)
        .unwrap();
    let (transmit, end) = machine.queue_mut(1).unwrap();
    transmit.offer(&[buffer], &[], token).unwrap();
    if transmit.publish() {
        end.kick.signal();
    }
}

/// Waits for `count` chains of a queue; returns their tokens and lengths.
fn collect(machine: &mut Machine, queue: u16, count: usize) -> Vec<Returned> {
    let mut all = Vec::new();
    until("chains come back", || {
        let mut some = [Returned::default(); QUEUE as usize];
        let (driver, _) = machine.queue_mut(queue).unwrap();
        let number = driver.collect(&mut some).unwrap();
        all.extend_from_slice(&some[..number]);
        all.len() >= count
    });
    assert_eq!(all.len(), count);
    all
}

fn exchange(machine: &mut Machine, count: u32) {
    for token in 0..count {
        send(machine, token);
    }
    let sent = collect(machine, 1, count as usize);
    assert!(sent.iter().map(|one| one.token).eq(0..count));
    let received = collect(machine, 0, count as usize);
    assert!(received.iter().all(|one| one.written == FRAME));
}

#[test]
fn frames_come_back_in_both_formats_and_roles() {
    for features in [SPLIT, PACKED, SPLIT | NetFeatures::IN_ORDER] {
        for back_end_listens in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let path = socket(&folder);
            let (back_end, mut front_end) = if back_end_listens {
                let back_end = BackEnd::start(listen(&path));
                (back_end, Frontend::connect(&path, TIMEOUT).unwrap())
            } else {
                let mut endpoint = listen(&path);
                let back_end = BackEnd::start(Endpoint::connect(&path).unwrap());
                (
                    back_end,
                    Frontend::wait_for(&mut endpoint, TIMEOUT).unwrap(),
                )
            };
            let mut machine = machine(features);
            machine.attach(&mut front_end).unwrap();
            exchange(&mut machine, 32);
            machine.detach(&mut front_end).unwrap();
            drop(front_end);
            let echo = back_end.stop();
            assert_eq!((echo.echoed, echo.dropped, echo.served.len()), (32, 0, 0));
        }
    }
}

#[test]
fn nothing_is_lost_or_twice_when_the_back_end_dies() {
    for features in [SPLIT, PACKED] {
        let folder = tempfile::tempdir().unwrap();
        let path = socket(&folder);
        let mut endpoint = listen(&path);
        let mut machine = machine(features);
        let first = BackEnd::start(Endpoint::connect(&path).unwrap());
        let mut front_end = Frontend::wait_for(&mut endpoint, TIMEOUT).unwrap();
        machine.attach(&mut front_end).unwrap();
        exchange(&mut machine, 5);
        // The back end takes ten more frames and is no more.
        let mut echo = first.stop();
        for token in 5..15 {
            send(&mut machine, token);
        }
        assert_eq!(echo.served.len(), 4);
        let mut batch = Batch::new(32);
        let transmit = echo.served.get_mut(&1).unwrap();
        assert_eq!(transmit.queue.pop(&mut batch, 32), Ok(10));
        drop((batch, echo));
        drop(front_end);
        let second = BackEnd::start(Endpoint::connect(&path).unwrap());
        let mut front_end = Frontend::wait_for(&mut endpoint, TIMEOUT).unwrap();
        machine.attach(&mut front_end).unwrap();
        let sent = collect(&mut machine, 1, 10);
        assert!(sent.iter().map(|one| one.token).eq(5..15), "{sent:?}");
        assert_eq!(collect(&mut machine, 0, 10).len(), 10);
        let echo = second.stop();
        assert_eq!((echo.echoed, echo.dropped), (10, 0));
    }
}

#[test]
fn queues_move_to_another_back_end_where_they_stopped() {
    for features in [SPLIT, PACKED] {
        let folder = tempfile::tempdir().unwrap();
        let path = socket(&folder);
        let back_end = BackEnd::start(listen(&path));
        let mut machine = machine(features);
        for _ in 0..3 {
            let mut front_end = Frontend::connect(&path, TIMEOUT).unwrap();
            machine.attach(&mut front_end).unwrap();
            exchange(&mut machine, 7);
            machine.detach(&mut front_end).unwrap();
        }
        assert_eq!(back_end.stop().echoed, 21);
    }
}

#[test]
fn memory_grows_past_a_table_and_shrinks_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = socket(&folder);
    let back_end = BackEnd::start(listen(&path));
    let mut front_end = Frontend::connect(&path, TIMEOUT).unwrap();
    let mut machine = machine(SPLIT);
    machine.attach(&mut front_end).unwrap();
    let mut more = Arena::new(region(2)).unwrap();
    for number in 3..15 {
        more = more.with_region(region(number)).unwrap();
    }
    for (region, file) in more.regions() {
        front_end.add_region(region, file).unwrap();
        exchange(&mut machine, 2);
    }
    for (region, _) in more.regions() {
        front_end.remove_region(region).unwrap();
        exchange(&mut machine, 2);
    }
    let refused = front_end.remove_region(region(2));
    let code = Code::REM_MEM_REG;
    assert!(matches!(refused, Err(FrontendError::Refused { code: found, .. }) if found == code));
    exchange(&mut machine, 1);
    let echo = back_end.stop();
    assert_eq!(echo.device.counters()["memory_refused"], 1);
}

#[test]
fn disabled_ring_drops_what_the_guest_sends() {
    let folder = tempfile::tempdir().unwrap();
    let path = socket(&folder);
    let back_end = BackEnd::start(listen(&path));
    let mut front_end = Frontend::connect(&path, TIMEOUT).unwrap();
    let mut machine = machine(SPLIT);
    machine.attach(&mut front_end).unwrap();
    front_end.enable_queue(0, false).unwrap();
    for token in 0..4 {
        send(&mut machine, token);
    }
    collect(&mut machine, 1, 4);
    front_end.enable_queue(0, true).unwrap();
    exchange(&mut machine, 3);
    let echo = back_end.stop();
    assert_eq!((echo.echoed, echo.dropped), (3, 4));
}

#[test]
fn configuration_change_is_told_on_the_back_channel() {
    let folder = tempfile::tempdir().unwrap();
    let path = socket(&folder);
    let mut echo = Echo::new(Device::new(listen(&path), config()));
    let asked = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut front_end = Frontend::connect(&path, TIMEOUT).unwrap();
            let none = NetFeatures::default();
            front_end
                .negotiate(none, none, ProtocolFeatures::SUPPORTED)
                .unwrap();
            assert_eq!(front_end.config(6, 2).unwrap(), [1, 0]);
            front_end.open_back_channel().unwrap();
            assert_eq!(front_end.queue_pairs().unwrap(), 2);
            front_end
        });
        while !asking.is_finished() {
            echo.turn();
        }
        asking.join()
    });
    let mut front_end = asked.unwrap();
    assert!(front_end.back_end_request().unwrap().is_none());
    echo.device.set_link(false, std::time::Instant::now());
    let told = front_end.back_end_request().unwrap();
    assert_eq!(
        told.map(|told| matches!(told, BackendRequest::ConfigChange)),
        Some(true)
    );
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| assert_eq!(front_end.config(6, 2).unwrap(), [0, 0]));
        while !asking.is_finished() {
            echo.turn();
        }
    });
}

#[test]
fn memory_that_is_truncated_stops_its_rings_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = socket(&folder);
    let back_end = BackEnd::start(listen(&path));
    let mut front_end = Frontend::connect(&path, TIMEOUT).unwrap();
    let mut machine = machine(SPLIT);
    machine.attach(&mut front_end).unwrap();
    exchange(&mut machine, 2);
    // A guest whose memory has no seals, and whose VMM takes it away.
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let file = rustix::fs::memfd_create("guest", flags).unwrap();
    rustix::fs::ftruncate(&file, 1 << 20).unwrap();
    front_end.add_region(region(9), file.as_fd()).unwrap();
    let (transmit, end) = machine.queue_mut(1).unwrap();
    let lost = Buffer {
        address: region(9).guest,
        len: FRAME,
    };
    rustix::fs::ftruncate(&file, 0).unwrap();
    transmit.offer(&[lost], &[], 1).unwrap();
    if transmit.publish() {
        end.kick.signal();
    }
    let (_, end) = machine.queue_mut(1).unwrap();
    let error = end.error.clone();
    send(&mut machine, 2);
    until("the ring is reported broken", || error.take());
    // The session itself lives on.
    assert_eq!(front_end.queue_pairs().unwrap(), 2);
    let echo = back_end.stop();
    assert!(echo.device.counters()["ring_memory_lost"] >= 1);
}

#[test]
fn silent_back_end_is_a_timeout() {
    let folder = tempfile::tempdir().unwrap();
    let path = socket(&folder);
    let _nobody = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let short = std::time::Duration::from_millis(30);
    let mut front_end = Frontend::connect(&path, short).unwrap();
    let silent = front_end.ask(Request::GetFeatures);
    assert!(matches!(silent, Err(FrontendError::Timeout(time)) if time == short));
}
