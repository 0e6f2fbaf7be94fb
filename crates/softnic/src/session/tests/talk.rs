//! Requests that need no ring: negotiation, configuration, refusals.

use super::bench::{Bench, SPLIT, config, duplicate};
use crate::features::{NetFeatures, ProtocolFeatures};
use crate::net_config::NetConfig;
use crate::protocol::{Code, ConfigRange, LogArea, ReplyBody, Request, VringFd};
use crate::session::{ConfigError, DeviceConfig, Event, QueueRole, Refusal, SessionError};

#[test]
fn offers_are_told() {
    let mut bench = Bench::new(SPLIT);
    let ReplyBody::Word(features) = bench.ask(Request::GetFeatures) else {
        panic!("no word");
    };
    let offered = NetFeatures(features);
    let base = NetFeatures::BASE | NetFeatures::OFFLOADS | NetFeatures::MQ | NetFeatures::MTU;
    assert_eq!(offered, base);
    assert!(!offered.has(NetFeatures::CTRL_VQ));
    let supported = ReplyBody::Word(ProtocolFeatures::SUPPORTED.0);
    assert_eq!(bench.ask(Request::GetProtocolFeatures), supported);
    bench.negotiate(SPLIT);
    assert_eq!(bench.ask(Request::GetQueueNum), ReplyBody::Word(2));
    assert_eq!(bench.ask(Request::GetMaxMemSlots), ReplyBody::Word(509));
}

#[test]
fn impossible_devices_are_refused() {
    let net = config().net();
    let pairs = |queue_pairs| NetConfig { queue_pairs, ..net };
    let make = |net, features| DeviceConfig::new(net, features).map(|_| ());
    let none = NetFeatures::default();
    assert_eq!(make(pairs(0), none), Err(ConfigError::QueuePairs(0)));
    assert_eq!(make(pairs(65), none), Err(ConfigError::QueuePairs(65)));
    assert_eq!(
        make(NetConfig { mtu: 67, ..net }, none),
        Err(ConfigError::Mtu(67))
    );
    let ufo = NetFeatures(1 << 14);
    assert_eq!(make(net, ufo), Err(ConfigError::Features(ufo)));
    assert!(make(pairs(64), NetFeatures::CTRL_VQ | NetFeatures::STANDBY).is_ok());
}

#[test]
fn rings_have_roles() {
    let roles = [0, 1, 3, 4].map(|index| QueueRole::of(index, 2));
    let expected = [
        QueueRole::ToGuest(0),
        QueueRole::FromGuest(0),
        QueueRole::FromGuest(1),
        QueueRole::Control,
    ];
    assert_eq!(roles, expected);
}

#[test]
fn only_what_is_offered_can_be_negotiated() {
    let mut bench = Bench::new(SPLIT);
    bench.ok(Request::SetProtocolFeatures(ProtocolFeatures::SUPPORTED.0));
    let unknown = NetFeatures(1 << 33);
    let refusal = bench.refused(Request::SetFeatures((SPLIT | unknown).0));
    assert_eq!(refusal, Refusal::Features(unknown));
    assert_eq!(bench.session.features(), None);
    let refusal = bench.refused(Request::SetProtocolFeatures(1 << 8));
    assert_eq!(refusal, Refusal::ProtocolFeatures(ProtocolFeatures(1 << 8)));
    assert_eq!(
        bench.session.protocol_features(),
        ProtocolFeatures::SUPPORTED
    );
}

#[test]
fn features_need_their_own_feature_first() {
    let area = || LogArea {
        size: 4096,
        offset: 0,
    };
    let file = || duplicate(tempfile::tempfile().unwrap());
    let range = ConfigRange {
        offset: 0,
        size: 0,
        flags: 0,
    };
    let inflight = crate::protocol::InflightArea {
        mmap_size: 0,
        mmap_offset: 0,
        num_queues: 1,
        queue_size: 8,
    };
    let requests = vec![
        (Request::GetQueueNum, ProtocolFeatures::MQ),
        (
            Request::SetLogBase(area(), file()),
            ProtocolFeatures::LOG_SHMFD,
        ),
        (Request::SendRarp([2; 6]), ProtocolFeatures::RARP),
        (Request::NetSetMtu(1500), ProtocolFeatures::MTU),
        (
            Request::SetBackendReqFd(file()),
            ProtocolFeatures::BACKEND_REQ,
        ),
        (Request::GetConfig(range), ProtocolFeatures::CONFIG),
        (
            Request::GetInflightFd(inflight),
            ProtocolFeatures::INFLIGHT_SHMFD,
        ),
        (Request::ResetDevice, ProtocolFeatures::RESET_DEVICE),
        (
            Request::GetMaxMemSlots,
            ProtocolFeatures::CONFIGURE_MEM_SLOTS,
        ),
        (Request::GetStatus, ProtocolFeatures::STATUS),
    ];
    for (request, feature) in requests {
        let code = request.code();
        let mut bench = Bench::new(SPLIT);
        let others = ProtocolFeatures::SUPPORTED.without(feature);
        bench.ok(Request::SetProtocolFeatures(others.0));
        let refusal = Refusal::NotNegotiated { code, feature };
        assert_eq!(bench.refused(request), refusal);
    }
}

#[test]
fn refusals_close_where_no_reply_can_tell() {
    let unknown = || Request::Unsupported(Code(22));
    let closes = Err(SessionError::Refused(Refusal::Unsupported(Code(22))));
    let mut bench = Bench::new(SPLIT);
    assert_eq!(bench.session.handle(unknown(), false), closes);
    // Without the feature the flag means nothing.
    assert_eq!(bench.session.handle(unknown(), true), closes);
    bench.negotiate(SPLIT);
    assert_eq!(bench.session.handle(unknown(), false), closes);
    assert_eq!(bench.refused(unknown()), Refusal::Unsupported(Code(22)));
    // A request with a reply of its own has no other.
    let base = Request::GetVringBase { index: 99 };
    let closes = Err(SessionError::Refused(Refusal::RingUnknown(99)));
    assert_eq!(bench.session.handle(base, true), closes);
}

#[test]
fn acknowledgement_is_given_if_asked_for_only() {
    let mut bench = Bench::negotiated(SPLIT);
    bench.session.handle(Request::SetOwner, false).unwrap();
    assert!(bench.is_quiet());
    bench.ok(Request::SetOwner);
}

#[test]
fn rings_are_numbered() {
    let mut bench = Bench::negotiated(SPLIT);
    let num = |index| Request::SetVringNum { index, num: 8 };
    bench.ok(num(3));
    for index in [4, 0x1_0000, u32::MAX] {
        assert_eq!(bench.refused(num(index)), Refusal::RingUnknown(index));
    }
    let kick = VringFd {
        index: 4,
        file: None,
    };
    assert_eq!(
        bench.refused(Request::SetVringKick(kick)),
        Refusal::RingUnknown(4)
    );
    let enable = Request::SetVringEnable {
        index: 4,
        enable: true,
    };
    assert_eq!(bench.refused(enable), Refusal::RingUnknown(4));
}

#[test]
fn ring_sizes_are_limited() {
    let mut bench = Bench::negotiated(SPLIT);
    for num in [0, 32_769, 0x1_0008] {
        let refusal = bench.refused(Request::SetVringNum { index: 0, num });
        assert_eq!(refusal, Refusal::RingSize { index: 0, num });
    }
    bench.ok(Request::SetVringNum {
        index: 0,
        num: 32_768,
    });
}

#[test]
fn configuration_is_read_and_kept() {
    let mut bench = Bench::negotiated(SPLIT);
    let range = |offset, size| ConfigRange {
        offset,
        size,
        flags: 0,
    };
    let mac = vec![2, 0, 0, 0, 0, 1];
    let read = bench.ask(Request::GetConfig(range(0, 6)));
    assert_eq!(read, ReplyBody::Config(range(0, 6), mac.clone()));
    for beyond in [
        range(0, 257),
        range(250, 7),
        range(u32::MAX, 1),
        range(3, 0),
    ] {
        assert_eq!(bench.ask(Request::GetConfig(beyond)), ReplyBody::NoConfig);
    }
    bench.ok(Request::SetConfig {
        range: range(0, 6),
        bytes: mac,
    });
    let refusal = bench.refused(Request::SetConfig {
        range: range(0, 6),
        bytes: vec![2, 0, 0, 0, 0, 2],
    });
    assert_eq!(refusal, Refusal::ConfigWrite { offset: 0 });
}

#[test]
fn link_state_is_in_the_space_and_told_if_wanted() {
    let mut bench = Bench::new(SPLIT);
    assert!(!bench.session.set_link(false), "nobody to tell");
    bench.negotiate(SPLIT);
    assert!(!bench.session.set_link(false), "no change");
    assert!(bench.session.set_link(true));
    let range = ConfigRange {
        offset: 6,
        size: 1,
        flags: 0,
    };
    assert_eq!(
        bench.ask(Request::GetConfig(range)),
        ReplyBody::Config(range, vec![1])
    );
}

#[test]
fn mtu_is_between_the_least_and_the_devices() {
    let mut bench = Bench::negotiated(SPLIT);
    for mtu in [0, 67, 1501, 0x1_0000_05dc] {
        let refusal = bench.refused(Request::NetSetMtu(mtu));
        assert_eq!(refusal, Refusal::Mtu { mtu, max: 1500 });
    }
    bench.ok(Request::NetSetMtu(1400));
    assert!(matches!(
        bench.session.next_event(),
        Some(Event::MtuSet(1400))
    ));
}

#[test]
fn migrated_guest_is_announced() {
    let mut bench = Bench::negotiated(SPLIT);
    bench.ok(Request::SendRarp([2, 0, 0, 0, 0, 1]));
    let event = bench.session.next_event();
    assert!(matches!(event, Some(Event::Announce([2, 0, 0, 0, 0, 1]))));
}

#[test]
fn status_is_kept_and_features_are_ok_once_negotiated() {
    let mut bench = Bench::new(SPLIT);
    bench.ok(Request::SetProtocolFeatures(ProtocolFeatures::SUPPORTED.0));
    bench.ok(Request::SetStatus(11));
    assert_eq!(bench.ask(Request::GetStatus), ReplyBody::Word(3));
    assert!(matches!(
        bench.session.next_event(),
        Some(Event::DriverStatus(3))
    ));
    bench.ok(Request::SetFeatures(SPLIT.0));
    bench.ok(Request::SetStatus(15));
    assert_eq!(bench.ask(Request::GetStatus), ReplyBody::Word(15));
    assert_eq!(bench.refused(Request::SetStatus(256)), Refusal::Status(256));
    assert_eq!(bench.session.status(), 15);
}

#[test]
fn log_without_shared_memory_is_refused() {
    let mut bench = Bench::negotiated(SPLIT);
    let refusal = bench.refused(Request::SetLogAddress(0x7f00_0000_0000));
    assert_eq!(refusal, Refusal::LogNotShared);
    let area = LogArea {
        size: 4096,
        offset: 0,
    };
    let disk = std::fs::File::open("/proc/self/status").unwrap();
    let refusal = bench.refused(Request::SetLogBase(area, duplicate(disk)));
    assert!(matches!(refusal, Refusal::Log(_)), "{refusal}");
}
