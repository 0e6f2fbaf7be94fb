//! A front end that says anything, in any order, and workers that take their time.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use proptest::prelude::*;

use super::bench::{Bench, SPLIT, duplicate};
use crate::features::NetFeatures;
use crate::protocol::{
    Code, ConfigRange, InflightArea, LogArea, Request, RingAddresses, SharedRegion, VringFd,
};
use crate::session::{Event, QueueHandover, SessionError};

/// A step of such a front end, or of a worker.
#[derive(Clone, Debug)]
enum Step {
    /// Part of what sets this ring up; the eighth is all of it.
    SetUp { ring: u32, part: usize },
    /// A request by number, with arbitrary fields.
    Any(u8, u64, u64, u32),
    /// The worker of this ring gives its queue back.
    GiveBack(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u32..4, 0usize..8).prop_map(|(ring, part)| Step::SetUp { ring, part }),
        4 => any::<(u8, u64, u64, u32)>().prop_map(|(a, b, c, d)| Step::Any(a, b, c, d)),
        3 => (0u16..4).prop_map(Step::GiveBack),
    ]
}

fn some_file(kind: u32) -> OwnedFd {
    match kind % 3 {
        0 => duplicate(tempfile::tempfile().unwrap()),
        1 => crate::notifier::Notifier::new().unwrap().share().unwrap(),
        _ => {
            let file = rustix::fs::memfd_create("any", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
            rustix::fs::ftruncate(&file, 1 << 16).unwrap();
            file
        }
    }
}

/// Requests with fields that are often nearly right.
fn any_request(number: u8, a: u64, b: u64, c: u32) -> Request<OwnedFd> {
    let index = c % 6;
    let near = |value: u64| {
        if value.is_multiple_of(3) {
            value
        } else {
            value % 0x2_0000
        }
    };
    let (a, b) = (near(a), near(b));
    let low = |value: u64| u32::try_from(value & 0xffff).unwrap_or_default();
    let half = |value: u64| u16::try_from(value & 0x3f).unwrap_or_default();
    let region = |file| SharedRegion {
        guest_address: a,
        size: b,
        user_address: a,
        mmap_offset: 0,
        file,
    };
    let file = some_file(c);
    let vring = |file| VringFd {
        index: u8::try_from(index).unwrap_or_default(),
        file: c.is_multiple_of(2).then_some(file),
    };
    let area = InflightArea {
        mmap_size: a,
        mmap_offset: b % 64,
        num_queues: half(a) % 6,
        queue_size: half(b),
    };
    let range = ConfigRange {
        offset: low(a) % 300,
        size: 2,
        flags: 0,
    };
    match number % 26 {
        0 => Request::SetFeatures((SPLIT.0 | a) & NetFeatures::BASE.0),
        1 => Request::SetFeatures(a),
        2 => Request::SetMemTable(vec![region(file)]),
        3 => Request::AddMemReg(region(file)),
        4 => Request::RemMemReg(SharedRegion {
            guest_address: 0x10_0000,
            size: 1 << 20,
            user_address: 0x7f00_0000_0000,
            mmap_offset: 0,
            file: (),
        }),
        5 => Request::SetLogBase(LogArea { size: a, offset: 0 }, file),
        6 => Request::SetVringNum {
            index,
            num: low(a) % 64,
        },
        7 => Request::SetVringAddr(RingAddresses {
            index,
            logged: c.is_multiple_of(2),
            descriptor: 0x7f00_0000_0000 + (a & !0xf),
            used: 0x7f00_0000_0000 + (b & !0x3),
            available: 0x7f00_0000_0000 + (a & !0x3),
            log: b,
        }),
        8 => Request::SetVringBase {
            index,
            base: low(a) << 16 | low(b),
        },
        9 | 10 => Request::GetVringBase { index },
        11 => Request::SetVringKick(vring(file)),
        12 => Request::SetVringCall(vring(file)),
        13 => Request::SetVringErr(vring(file)),
        14 => Request::SetVringEnable {
            index,
            enable: a.is_multiple_of(2),
        },
        15 => Request::SetProtocolFeatures(a),
        16 => Request::GetInflightFd(area),
        17 => Request::SetInflightFd(area, file),
        18 => Request::SetStatus(a & 0x1ff),
        19 => Request::ResetDevice,
        20 => Request::ResetOwner,
        21 => Request::GetConfig(range),
        22 => Request::SetConfig {
            range,
            bytes: vec![0; 2],
        },
        23 => Request::NetSetMtu(a),
        24 => Request::SetBackendReqFd(file),
        _ => Request::Unsupported(Code(c)),
    }
}

/// Takes what the session says, and holds it to its promises.
fn follow(bench: &mut Bench, served: &mut BTreeMap<u16, QueueHandover>) {
    while let Some(event) = bench.session.next_event() {
        match event {
            Event::QueueStarted(handover) => {
                let index = handover.index;
                let twice = served.insert(index, *handover);
                assert!(twice.is_none(), "ring {index} served twice");
            }
            Event::QueueStop(index) => assert!(served.contains_key(&index)),
            Event::QueueEnabled(index, _)
            | Event::KickChanged(index, _)
            | Event::CallChanged(index, _) => {
                assert!(
                    served.contains_key(&index),
                    "told of ring {index}, not served"
                );
            }
            _ => {}
        }
    }
    assert_eq!(bench.session.is_drained(), served.is_empty());
    while bench.session.next_reply().is_some() {}
}

proptest! {
    #[test]
    fn no_ring_is_served_twice(steps in prop::collection::vec(step(), 1..60)) {
        let mut bench = Bench::negotiated(SPLIT);
        let mut served = BTreeMap::new();
        for request in [0, 1].iter().flat_map(|ring| bench.set_up(*ring)).collect::<Vec<_>>() {
            bench.session.handle(request, true).unwrap();
            follow(&mut bench, &mut served);
            if bench.session.is_waiting() {
                bench.session.give_back(served.remove(&0).unwrap()).unwrap();
                follow(&mut bench, &mut served);
            }
        }
        prop_assert_eq!(served.len(), 2);
        for step in steps {
            let done = match step {
                Step::SetUp { ring, part } => {
                    let mut requests = bench.set_up(ring).into_iter().enumerate();
                    requests.try_for_each(|(number, request)| {
                        let said = part == 7 || part == number;
                        let busy = bench.session.is_waiting() || !said;
                        if busy { Ok(()) } else { bench.session.handle(request, true) }
                    })
                }
                Step::Any(number, a, b, c) => {
                    bench.session.handle(any_request(number, a, b, c), !c.is_multiple_of(8))
                }
                Step::GiveBack(index) => match served.remove(&index) {
                    Some(handover) => bench.session.give_back(handover),
                    None => Ok(()),
                },
            };
            follow(&mut bench, &mut served);
            if let Err(SessionError::Refused(_)) = done {
                break;
            }
        }
        bench.session.end();
        follow(&mut bench, &mut served);
        while let Some((_, handover)) = served.pop_first() {
            bench.session.give_back(handover).unwrap();
        }
        prop_assert!(bench.session.is_drained());
    }
}
