//! What changes around rings, most of it while they run.

use vring::batch::Batch;
use vring::driver::Returned;
use vring::memory::{GuestAddress, Region, UserAddress};

use super::bench::{Bench, PACKED, SPLIT, duplicate, fd, serve, shared};
use crate::features::NetFeatures;
use crate::notifier::Notifier;
use crate::protocol::{Code, InflightArea, LogArea, ReplyBody, Request, SharedRegion, VringFd};
use crate::session::{Event, Refusal};

const LOGGING: NetFeatures = NetFeatures(SPLIT.0 | NetFeatures::LOG_ALL.0);

fn other_region() -> Region {
    Region {
        guest: GuestAddress(0x4000_0000),
        user: UserAddress(0x7f40_0000_0000),
        size: 1 << 16,
    }
}

#[test]
fn memory_comes_and_goes_under_a_running_ring() {
    let (mut bench, queue) = Bench::running(SPLIT);
    let more = vring::driver::Arena::new(other_region()).unwrap();
    let (region, file) = more.regions().next().unwrap();
    let add = Request::AddMemReg(shared(region, file));
    bench.session.handle(add, true).unwrap();
    assert!(bench.is_asked_for(0) && bench.session.next_reply().is_none());
    bench.session.give_back(queue).unwrap();
    assert_eq!(bench.reply(Code::ADD_MEM_REG), Some(ReplyBody::Word(0)));
    let mut queue = bench.started();
    assert_eq!(bench.session.memory().regions().count(), 2);
    bench.offer(1);
    assert_eq!(serve(&mut queue), 1);
    let remove = SharedRegion {
        guest_address: region.guest.0,
        size: region.size,
        user_address: region.user.0,
        mmap_offset: 77,
        file: (),
    };
    bench
        .session
        .handle(Request::RemMemReg(remove), true)
        .unwrap();
    assert!(bench.is_asked_for(0));
    bench.session.give_back(queue).unwrap();
    assert_eq!(bench.reply(Code::REM_MEM_REG), Some(ReplyBody::Word(0)));
    bench.offer(2);
    assert_eq!(serve(&mut bench.started()), 1);
}

#[test]
fn whole_table_is_replaced_under_a_running_ring() {
    let (mut bench, queue) = Bench::running(SPLIT);
    bench.session.handle(bench.table(), true).unwrap();
    assert!(bench.is_asked_for(0));
    bench.session.give_back(queue).unwrap();
    assert_eq!(bench.reply(Code::SET_MEM_TABLE), Some(ReplyBody::Word(0)));
    let mut queue = bench.started();
    bench.offer(1);
    assert_eq!(serve(&mut queue), 1);
}

#[test]
fn bad_table_leaves_the_ring_where_it_was() {
    let (mut bench, queue) = Bench::running(SPLIT);
    let file = tempfile::tempfile().unwrap();
    let bad = SharedRegion {
        guest_address: 0,
        size: 1 << 50,
        user_address: 0,
        mmap_offset: 0,
        file: duplicate(file),
    };
    bench
        .session
        .handle(Request::SetMemTable(vec![bad]), true)
        .unwrap();
    assert!(bench.is_asked_for(0));
    bench.session.give_back(queue).unwrap();
    assert_eq!(bench.reply(Code::SET_MEM_TABLE), Some(ReplyBody::Word(1)));
    let mut queue = bench.started();
    let refused = bench.session.next_event();
    assert!(matches!(refused, Some(Event::Refused(Refusal::MemorySize(size))) if size == 1 << 50));
    bench.offer(1);
    assert_eq!(serve(&mut queue), 1);
}

#[test]
fn ring_that_loses_its_memory_stays_stopped() {
    let (mut bench, queue) = Bench::running(SPLIT);
    let more = vring::driver::Arena::new(other_region()).unwrap();
    let table = more.regions().map(|(region, file)| shared(region, file));
    let table = Request::SetMemTable(table.collect());
    bench.session.handle(table, true).unwrap();
    assert!(bench.is_asked_for(0));
    bench.session.give_back(queue).unwrap();
    assert_eq!(bench.reply(Code::SET_MEM_TABLE), Some(ReplyBody::Word(0)));
    assert!(matches!(
        bench.session.next_event(),
        Some(Event::QueueLost(0, _))
    ));
    assert!(bench.error.take(), "the front end is told");
    bench.ok(bench.table());
    assert!(bench.is_quiet(), "it has to be set up anew");
    bench.ok(Request::SetVringKick(fd(0, &bench.kick)));
    bench.offer(1);
    assert_eq!(serve(&mut bench.started()), 1);
}

#[test]
fn signals_change_without_a_stop() {
    let (mut bench, _queue) = Bench::running(SPLIT);
    let other = Notifier::new().unwrap();
    bench.ok(Request::SetVringCall(fd(0, &other)));
    let Some(Event::CallChanged(0, Some(call))) = bench.session.next_event() else {
        panic!("no other call");
    };
    call.signal();
    assert!(other.take());
    bench.ok(Request::SetVringKick(VringFd {
        index: 0,
        file: None,
    }));
    assert!(matches!(
        bench.session.next_event(),
        Some(Event::KickChanged(0, None))
    ));
}

#[test]
fn files_are_no_signals() {
    let mut bench = Bench::negotiated(SPLIT);
    let file = Some(duplicate(tempfile::tempfile().unwrap()));
    let refusal = bench.refused(Request::SetVringCall(VringFd { index: 0, file }));
    assert!(
        matches!(refusal, Refusal::RingNotifier { index: 0, .. }),
        "{refusal}"
    );
}

#[test]
fn size_and_position_are_fixed_while_a_ring_runs() {
    let (mut bench, _queue) = Bench::running(SPLIT);
    let num = Request::SetVringNum { index: 0, num: 16 };
    assert_eq!(bench.refused(num), Refusal::RingRunning(0));
    let base = Request::SetVringBase { index: 0, base: 1 };
    assert_eq!(bench.refused(base), Refusal::RingRunning(0));
    let area = InflightArea {
        mmap_size: 0,
        mmap_offset: 0,
        num_queues: 1,
        queue_size: 8,
    };
    let inflight = bench.refused(Request::GetInflightFd(area));
    assert_eq!(inflight, Refusal::RingRunning(0));
}

#[test]
fn ring_moves_while_it_runs() {
    let (mut bench, mut queue) = Bench::running(SPLIT);
    bench.offer(1);
    assert_eq!(serve(&mut queue), 1);
    // Another ring in the same memory takes its place.
    let setup = vring::driver::Setup {
        size: 8,
        features: SPLIT.rings(),
        table: 0,
    };
    bench.driver = vring::driver::Driver::new(&mut bench.arena, setup).unwrap();
    let moved = bench.addresses(0, None);
    bench.session.handle(moved, true).unwrap();
    assert!(bench.is_asked_for(0));
    bench.session.give_back(queue).unwrap();
    assert_eq!(bench.reply(Code::SET_VRING_ADDR), Some(ReplyBody::Word(0)));
    let mut queue = bench.started();
    assert_eq!(queue.queue.layout(), bench.driver.layout());
    bench.offer(2);
    assert_eq!(serve(&mut queue), 1);
}

#[test]
fn ring_moved_out_of_memory_is_refused_and_stopped() {
    let (mut bench, queue) = Bench::running(SPLIT);
    let Request::SetVringAddr(mut addresses) = bench.addresses(0, None) else {
        unreachable!()
    };
    addresses.used = 0x1000;
    bench
        .session
        .handle(Request::SetVringAddr(addresses), true)
        .unwrap();
    assert!(bench.is_asked_for(0));
    bench.session.give_back(queue).unwrap();
    assert_eq!(bench.reply(Code::SET_VRING_ADDR), Some(ReplyBody::Word(1)));
    let refused = bench.session.next_event();
    assert!(matches!(
        refused,
        Some(Event::Refused(Refusal::RingStart { index: 0, .. }))
    ));
    assert!(bench.session.is_drained());
    let addresses = bench.addresses(0, None);
    bench.ok(addresses);
    let _ = bench.started();
}

#[test]
fn only_logging_changes_while_rings_run() {
    let (mut bench, queue) = Bench::running(SPLIT);
    bench.ok(Request::SetFeatures(SPLIT.0));
    assert!(bench.is_quiet(), "the same again asks for nothing");
    let more = NetFeatures::EVENT_IDX;
    let refusal = bench.refused(Request::SetFeatures((SPLIT | more).0));
    assert_eq!(refusal, Refusal::FeaturesFixed(more));
    bench
        .session
        .handle(Request::SetFeatures(LOGGING.0), true)
        .unwrap();
    assert!(bench.is_asked_for(0));
    bench.session.give_back(queue).unwrap();
    assert_eq!(bench.reply(Code::SET_FEATURES), Some(ReplyBody::Word(0)));
    assert!(matches!(
        bench.session.next_event(),
        Some(Event::Logging(true))
    ));
}

#[test]
fn writes_are_logged_from_the_request_on() {
    let (mut bench, queue) = Bench::running(SPLIT);
    let file = rustix::fs::memfd_create("log", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&file, 4096).unwrap();
    let area = LogArea {
        size: 4096,
        offset: 0,
    };
    let base = Request::SetLogBase(area, duplicate(&file));
    bench.session.handle(base, false).unwrap();
    assert!(bench.is_asked_for(0));
    bench.session.give_back(queue).unwrap();
    assert_eq!(bench.reply(Code::SET_LOG_BASE), Some(ReplyBody::Log(area)));
    let mut queue = bench.started();
    let before = bench.offer(1);
    serve(&mut queue);
    let mut give = Some(queue);
    for request in [
        Request::SetFeatures(LOGGING.0),
        bench.addresses(0, Some(0x3000)),
    ] {
        bench.session.handle(request, false).unwrap();
        assert!(bench.is_asked_for(0));
        bench.session.give_back(give.take().unwrap()).unwrap();
        give = loop {
            if let Some(Event::QueueStarted(queue)) = bench.session.next_event() {
                break Some(*queue);
            }
        };
    }
    let after = bench.offer(2);
    serve(give.as_mut().unwrap());
    let mut log = [0; 4096];
    rustix::io::pread(&file, &mut log, 0).unwrap();
    let is_marked = |address: u64| {
        let page = usize::try_from(address / 4096).unwrap();
        log[page / 8] >> (page % 8) & 1 == 1
    };
    assert!(!is_marked(before.0) && is_marked(after.0));
    assert!(is_marked(0x3000), "the used ring");
}

#[test]
fn what_was_in_flight_is_given_out_again() {
    for features in [SPLIT, PACKED] {
        let mut bench = Bench::negotiated(features);
        let wanted = InflightArea {
            mmap_size: 0,
            mmap_offset: 0,
            num_queues: 4,
            queue_size: 8,
        };
        bench
            .session
            .handle(Request::GetInflightFd(wanted), false)
            .unwrap();
        let reply = bench.session.next_reply().unwrap();
        let body = crate::protocol::Reply::decode(Code::GET_INFLIGHT_FD, reply);
        let ReplyBody::Inflight(area, Some(file)) = body.unwrap().body else {
            panic!("no area");
        };
        assert!(area.mmap_size > 0 && area.num_queues == 4);
        bench.ok(Request::SetInflightFd(area, duplicate(&file)));
        for request in bench.set_up(0) {
            bench.ok(request);
        }
        let mut queue = bench.started();
        bench.offer(1);
        bench.offer(2);
        let mut batch = Batch::new(8);
        assert_eq!(queue.queue.pop(&mut batch, 8), Ok(2));
        // Here the back end dies. Another one finds what it had.
        drop((batch, queue));
        bench.session = crate::session::Session::new(super::bench::config());
        bench.negotiate(features);
        bench.ok(Request::SetInflightFd(area, file));
        for request in bench.set_up(0) {
            bench.ok(request);
        }
        assert_eq!(serve(&mut bench.started()), 2);
        let mut returned = [Returned::default(); 8];
        assert_eq!(bench.driver.collect(&mut returned), Ok(2));
    }
}

#[test]
fn unusable_inflight_areas_are_refused() {
    let mut bench = Bench::negotiated(SPLIT);
    let area = |num_queues, queue_size| InflightArea {
        mmap_size: 64,
        mmap_offset: 0,
        num_queues,
        queue_size,
    };
    let many = bench.refused(Request::GetInflightFd(area(5, 8)));
    assert_eq!(many, Refusal::RingUnknown(5));
    for shape in [area(0, 8), area(1, 0)] {
        let none = bench.refused(Request::GetInflightFd(shape));
        assert!(matches!(none, Refusal::Inflight(_)), "{none}");
    }
    let file = rustix::fs::memfd_create("short", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&file, 64).unwrap();
    let short = bench.refused(Request::SetInflightFd(area(4, 256), file));
    assert!(matches!(short, Refusal::Inflight(_)), "{short}");
}
