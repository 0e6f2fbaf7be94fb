//! Rings on their way out, back and out again.

use vring::batch::Batch;
use vring::broken::BrokenKind;
use vring::driver::Returned;
use vring::memory::GuestAddress;
use vring::queue::Position;

use super::bench::{Bench, PACKED, REGION, SPLIT, fd, serve};
use crate::features::NetFeatures;
use crate::protocol::{Code, ReplyBody, Request, VringFd};
use crate::session::{Event, SessionError};

#[test]
fn ring_starts_with_its_last_part_in_any_order() {
    for order in 0..120 {
        let mut bench = Bench::negotiated(SPLIT);
        let [table, num, addresses, error, call, kick, enable] = bench.set_up(0);
        bench.ok(error);
        bench.ok(call);
        let mut parts = vec![table, num, addresses, kick, enable];
        let mut number = order;
        for count in (1..=5).rev() {
            assert!(bench.is_quiet());
            let part = parts.remove(number % count);
            number /= count;
            bench.ok(part);
        }
        let mut queue = bench.started();
        bench.offer(1);
        assert_eq!(serve(&mut queue), 1);
        assert!(bench.is_quiet());
    }
}

#[test]
fn ring_waits_for_features() {
    let mut bench = Bench::new(SPLIT);
    for request in bench.set_up(0) {
        bench.session.handle(request, false).unwrap();
    }
    assert!(bench.is_quiet());
    bench
        .session
        .handle(Request::SetFeatures(SPLIT.0), false)
        .unwrap();
    assert!(matches!(
        bench.session.next_event(),
        Some(Event::FeaturesSet(_))
    ));
    assert!(bench.started().enabled);
}

#[test]
fn ring_is_enabled_by_request_or_without_protocol_features() {
    let mut bench = Bench::negotiated(SPLIT);
    let enable = |enable| Request::SetVringEnable { index: 0, enable };
    for request in bench.set_up(0).into_iter().take(6) {
        bench.ok(request);
    }
    assert!(
        bench.is_quiet(),
        "nothing is taken, and so lost, before it was said"
    );
    bench.ok(enable(false));
    assert!(!bench.started().enabled);
    bench.ok(enable(true));
    let told = bench.session.next_event();
    assert!(matches!(told, Some(Event::QueueEnabled(0, true))));
    bench.ok(enable(true));
    assert!(bench.is_quiet());
    bench.ok(Request::ResetOwner);
    let told = bench.session.next_event();
    assert!(matches!(told, Some(Event::QueueEnabled(0, false))));
    let mut bench = Bench::negotiated(NetFeatures::VERSION_1);
    for request in bench.set_up(0).into_iter().take(6) {
        bench.ok(request);
    }
    assert!(bench.started().enabled);
}

#[test]
fn ring_without_kick_is_polled() {
    let mut bench = Bench::negotiated(SPLIT);
    for request in bench.set_up(0).into_iter().take(5) {
        bench.ok(request);
    }
    bench.ok(Request::SetVringKick(VringFd {
        index: 0,
        file: None,
    }));
    bench.ok(Request::SetVringEnable {
        index: 0,
        enable: true,
    });
    let queue = bench.started();
    assert!(queue.kick.is_none() && queue.call.is_some());
}

#[test]
fn position_is_told_when_the_worker_has_let_go() {
    for features in [SPLIT, PACKED] {
        let (mut bench, mut queue) = Bench::running(features);
        bench.offer(1);
        bench.offer(2);
        assert_eq!(serve(&mut queue), 2);
        bench
            .session
            .handle(Request::GetVringBase { index: 0 }, false)
            .unwrap();
        assert!(bench.is_asked_for(0) && bench.is_quiet());
        assert!(bench.session.is_waiting() && !bench.session.is_drained());
        // The worker is not done at once.
        bench.offer(3);
        assert_eq!(serve(&mut queue), 1);
        bench.session.give_back(queue).unwrap();
        let base = if features == SPLIT { 3 } else { 0x8003_8003 };
        let told = ReplyBody::Base { index: 0, base };
        assert_eq!(bench.reply(Code::GET_VRING_BASE), Some(told));
        assert!(!bench.session.is_waiting() && bench.session.is_drained());
        // It goes on there once there is a kick again.
        bench.offer(4);
        bench.ok(Request::SetVringBase { index: 0, base });
        let addresses = bench.addresses(0, None);
        bench.ok(addresses);
        assert!(bench.is_quiet());
        bench.ok(Request::SetVringKick(fd(0, &bench.kick)));
        assert_eq!(serve(&mut bench.started()), 1);
        let mut returned = [Returned::default(); 8];
        assert_eq!(bench.driver.collect(&mut returned), Ok(4));
        let tokens: Vec<u32> = returned[..4].iter().map(|one| one.token).collect();
        assert_eq!(tokens, [1, 2, 3, 4]);
    }
}

#[test]
fn stopped_ring_tells_what_it_was_told() {
    let mut bench = Bench::negotiated(SPLIT);
    let base = bench.ask(Request::GetVringBase { index: 1 });
    assert_eq!(base, ReplyBody::Base { index: 1, base: 0 });
    bench.ok(Request::SetVringBase { index: 1, base: 9 });
    let base = bench.ask(Request::GetVringBase { index: 1 });
    assert_eq!(base, ReplyBody::Base { index: 1, base: 9 });
    let mut bench = Bench::negotiated(PACKED);
    let base = bench.ask(Request::GetVringBase { index: 0 });
    let start = Position::PACKED_START.0;
    assert_eq!(
        base,
        ReplyBody::Base {
            index: 0,
            base: start
        }
    );
}

#[test]
fn nothing_else_is_taken_while_a_request_waits() {
    let (mut bench, queue) = Bench::running(SPLIT);
    bench
        .session
        .handle(Request::GetVringBase { index: 0 }, false)
        .unwrap();
    assert_eq!(
        bench.session.handle(Request::SetOwner, true),
        Err(SessionError::Busy)
    );
    assert!(bench.is_asked_for(0));
    bench.session.give_back(queue).unwrap();
    assert!(bench.reply(Code::GET_VRING_BASE).is_some());
    bench.ok(Request::SetOwner);
}

#[test]
fn broken_ring_stops_alone_and_can_be_set_up_anew() {
    let (mut bench, mut queue) = Bench::running(SPLIT);
    let avail = bench.driver.layout().driver.0 - REGION.user.0 + REGION.guest.0;
    let index = GuestAddress(avail + 2);
    bench
        .arena
        .memory()
        .write(index, &1000u16.to_le_bytes())
        .unwrap();
    let mut batch = Batch::new(8);
    let broken = queue.queue.pop(&mut batch, 8).unwrap_err();
    assert_eq!(broken.kind, BrokenKind::IndexJump);
    bench.session.give_back(queue).unwrap();
    let told = bench.session.next_event();
    assert!(matches!(told, Some(Event::QueueBroken(0, why)) if why == broken));
    assert!(bench.error.take() && bench.is_quiet() && bench.session.is_drained());
    bench
        .arena
        .memory()
        .write(index, &0u16.to_le_bytes())
        .unwrap();
    bench.ok(Request::SetVringKick(fd(0, &bench.kick)));
    bench.offer(1);
    assert_eq!(serve(&mut bench.started()), 1);
}

#[test]
fn queue_given_back_unasked_is_handed_out_again() {
    let (mut bench, queue) = Bench::running(SPLIT);
    bench.session.give_back(queue).unwrap();
    let mut queue = bench.started();
    bench.offer(1);
    assert_eq!(serve(&mut queue), 1);
}

#[test]
fn queues_of_others_are_not_taken() {
    let (mut bench, _queue) = Bench::running(SPLIT);
    let (_, foreign) = Bench::running(SPLIT);
    let refused = bench.session.give_back(foreign);
    assert_eq!(refused, Err(SessionError::NotOurs(0)));
}

#[test]
fn end_asks_for_everything_and_waits() {
    let (mut bench, queue) = Bench::running(SPLIT);
    bench
        .session
        .handle(Request::GetVringBase { index: 0 }, false)
        .unwrap();
    assert!(bench.is_asked_for(0));
    bench.session.end();
    assert!(!bench.session.is_waiting() && !bench.session.is_drained());
    assert_eq!(
        bench.session.handle(Request::SetOwner, true),
        Err(SessionError::Busy)
    );
    bench.session.give_back(queue).unwrap();
    assert!(bench.session.is_drained() && bench.is_quiet());
}

#[test]
fn driver_is_called_for_what_the_stop_publishes() {
    let (mut bench, mut queue) = Bench::running(SPLIT);
    bench.offer(1);
    let mut batch = Batch::new(8);
    assert_eq!(queue.queue.pop(&mut batch, 8), Ok(1));
    queue.queue.complete(&mut batch, 0..1);
    bench
        .session
        .handle(Request::GetVringBase { index: 0 }, false)
        .unwrap();
    bench.session.give_back(queue).unwrap();
    assert!(bench.call.take());
}

#[test]
fn reset_stops_rings_and_keeps_memory() {
    let (mut bench, queue) = Bench::running(SPLIT);
    bench.session.handle(Request::ResetDevice, true).unwrap();
    assert!(bench.is_asked_for(0));
    bench.session.give_back(queue).unwrap();
    assert_eq!(bench.reply(Code::RESET_DEVICE), Some(ReplyBody::Word(0)));
    assert!(matches!(bench.session.next_event(), Some(Event::Reset)));
    assert_eq!(bench.session.features(), None);
    assert_eq!(bench.session.memory().regions().count(), 1);
    bench.ok(Request::SetFeatures(SPLIT.0));
    let [_, num, addresses, _, _, kick, enable] = bench.set_up(0);
    for request in [num, addresses, kick, enable] {
        bench.ok(request);
    }
    assert!(matches!(
        bench.session.next_event(),
        Some(Event::FeaturesSet(_))
    ));
    assert!(bench.started().call.is_some(), "calls are set once");
}

#[test]
fn status_zero_stops_rings() {
    let (mut bench, queue) = Bench::running(SPLIT);
    bench.session.handle(Request::SetStatus(0), true).unwrap();
    assert!(bench.is_asked_for(0));
    bench.session.give_back(queue).unwrap();
    assert_eq!(bench.reply(Code::SET_STATUS), Some(ReplyBody::Word(0)));
    assert!(matches!(
        bench.session.next_event(),
        Some(Event::DriverStatus(0))
    ));
    assert!(bench.is_quiet() && bench.session.is_drained());
    bench.ok(Request::SetVringKick(fd(0, &bench.kick)));
    let _ = bench.started();
}
