//! Bytes as QEMU 7.2 sends and expects them, against what they mean.

use super::{halves, words};
use crate::protocol::{
    BackendRequest, Code, ConfigRange, InflightArea, LogArea, Message, MessageError, NotifierArea,
    Reply, ReplyBody, Request, RingAddresses, SharedRegion, VringFd,
};

/// Header and payload, of a request that wants no reply.
fn wire(code: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = halves(&[code, 1, u32::try_from(payload.len()).unwrap()]);
    bytes.extend(payload);
    bytes
}

fn check(request: Request<u32>, payload: &[u8], files: &[u32]) {
    let code = request.code();
    let message = request.encode(false);
    assert_eq!(message.bytes(), wire(code.0, payload), "{code}");
    assert_eq!(message.files, files, "{code}");
}

#[test]
fn requests_with_a_word_or_nothing() {
    check(Request::GetFeatures, &[], &[]);
    check(
        Request::SetFeatures(0x1_4000_0000),
        &[0, 0, 0, 0x40, 1, 0, 0, 0],
        &[],
    );
    check(Request::NetSetMtu(1500), &[0xdc, 5, 0, 0, 0, 0, 0, 0], &[]);
    check(Request::SetStatus(15), &[15, 0, 0, 0, 0, 0, 0, 0], &[]);
    check(
        Request::SendRarp([0x52, 0x54, 0, 0x12, 0x34, 0x56]),
        &[0x52, 0x54, 0, 0x12, 0x34, 0x56, 0, 0],
        &[],
    );
}

#[test]
fn requests_about_rings() {
    check(
        Request::SetVringNum { index: 1, num: 256 },
        &halves(&[1, 256]),
        &[],
    );
    check(
        Request::SetVringBase {
            index: 3,
            base: 0x8000_8000,
        },
        &halves(&[3, 0x8000_8000]),
        &[],
    );
    check(Request::GetVringBase { index: 2 }, &halves(&[2, 0]), &[]);
    let enable = Request::SetVringEnable {
        index: 2,
        enable: true,
    };
    check(enable, &halves(&[2, 1]), &[]);
    let mut payload = halves(&[1, 1]);
    payload.extend(words(&[
        0x7f00_0000_1000,
        0x7f00_0000_3000,
        0x7f00_0000_2000,
        0x1000,
    ]));
    let addresses = RingAddresses {
        index: 1,
        logged: true,
        descriptor: 0x7f00_0000_1000,
        used: 0x7f00_0000_3000,
        available: 0x7f00_0000_2000,
        log: 0x1000,
    };
    check(Request::SetVringAddr(addresses), &payload, &[]);
    let kick = VringFd {
        index: 5,
        file: Some(42),
    };
    check(Request::SetVringKick(kick), &words(&[5]), &[42]);
    let call = VringFd {
        index: 5,
        file: None,
    };
    check(Request::SetVringCall(call), &words(&[0x105]), &[]);
}

#[test]
fn requests_about_memory() {
    let region = |guest_address, file| SharedRegion {
        guest_address,
        size: 0xa_0000,
        user_address: 0x7f00_0000_0000,
        mmap_offset: 0x20_0000,
        file,
    };
    let mut payload = halves(&[2, 0]);
    payload.extend(words(&[0, 0xa_0000, 0x7f00_0000_0000, 0x20_0000]));
    payload.extend(words(&[
        0x1_0000_0000,
        0xa_0000,
        0x7f00_0000_0000,
        0x20_0000,
    ]));
    let table = vec![region(0, 3), region(0x1_0000_0000, 4)];
    check(Request::SetMemTable(table), &payload, &[3, 4]);
    let payload = words(&[0, 0x1000, 0xa_0000, 0x7f00_0000_0000, 0x20_0000]);
    check(Request::AddMemReg(region(0x1000, 9)), &payload, &[9]);
    let unmapped = SharedRegion {
        guest_address: 0x1000,
        size: 0xa_0000,
        user_address: 0x7f00_0000_0000,
        mmap_offset: 0x20_0000,
        file: (),
    };
    check(Request::RemMemReg(unmapped), &payload, &[]);
    let log = LogArea {
        size: 0x800,
        offset: 0x40,
    };
    check(Request::SetLogBase(log, 6), &words(&[0x800, 0x40]), &[6]);
}

#[test]
fn requests_about_space_and_flight() {
    let range = ConfigRange {
        offset: 6,
        size: 2,
        flags: 1,
    };
    let mut payload = halves(&[6, 2, 1]);
    payload.extend([0xab, 0xcd]);
    let write = Request::SetConfig {
        range,
        bytes: vec![0xab, 0xcd],
    };
    check(write, &payload, &[]);
    let area = InflightArea {
        mmap_size: 0x2100,
        mmap_offset: 0,
        num_queues: 2,
        queue_size: 256,
    };
    let mut payload = words(&[0x2100, 0]);
    payload.extend([2, 0, 0, 1, 0, 0, 0, 0]);
    check(Request::SetInflightFd(area, 8), &payload, &[8]);
    let unpadded = super::decode(Code::GET_INFLIGHT_FD, &payload[..20], &[]);
    assert_eq!(unpadded, Ok(Request::GetInflightFd(area)));
}

#[test]
fn replies_carry_their_flag() {
    let reply = Reply::<u32> {
        code: Code::GET_VRING_BASE,
        body: ReplyBody::Base { index: 1, base: 77 },
    };
    let mut bytes = halves(&[11, 5, 8]);
    bytes.extend(halves(&[1, 77]));
    assert_eq!(reply.encode().bytes(), bytes);
    let ack = Reply::<u32> {
        code: Code::SET_VRING_ENABLE,
        body: ReplyBody::Word(0),
    };
    let mut bytes = halves(&[18, 5, 8]);
    bytes.extend(words(&[0]));
    assert_eq!(ack.encode().bytes(), bytes);
    let none = Reply::<u32> {
        code: Code::GET_CONFIG,
        body: ReplyBody::NoConfig,
    };
    assert_eq!(none.encode().bytes(), halves(&[24, 5, 0]));
}

#[test]
fn replies_to_something_else_are_refused() {
    let reply = |code| Reply::<u32> {
        code,
        body: ReplyBody::Word(1),
    };
    let other = Reply::decode(Code::GET_FEATURES, reply(Code::GET_STATUS).encode());
    assert_eq!(other, Err(MessageError::Misplaced(Code::GET_STATUS)));
    let request = Request::<u32>::GetFeatures.encode(false);
    let misplaced = MessageError::Misplaced(Code::GET_FEATURES);
    assert_eq!(Reply::decode(Code::GET_FEATURES, request), Err(misplaced));
    let mut gift = reply(Code::GET_FEATURES).encode();
    gift.files.push(3);
    let files = MessageError::Files {
        code: Code::GET_FEATURES,
        found: 1,
    };
    assert_eq!(Reply::decode(Code::GET_FEATURES, gift), Err(files));
}

#[test]
fn back_channel_has_numbers_of_its_own() {
    let change = BackendRequest::<u32>::ConfigChange.encode(false);
    assert_eq!(change.bytes(), halves(&[2, 1, 0]));
    let area = NotifierArea {
        index: 3,
        size: 4096,
        offset: 8192,
    };
    let notifier = BackendRequest::HostNotifier(area, Some(5)).encode(true);
    let mut bytes = halves(&[3, 9, 24]);
    bytes.extend(words(&[3, 4096, 8192]));
    assert_eq!((notifier.bytes(), &notifier.files), (bytes, &vec![5]));
    let back = BackendRequest::decode(notifier);
    assert_eq!(back, Ok(BackendRequest::HostNotifier(area, Some(5))));
    for request in [BackendRequest::VringCall(1), BackendRequest::VringErr(2)] {
        let message: Message<u32> = request.clone().encode(false);
        assert_eq!(BackendRequest::decode(message), Ok(request));
    }
    let mut long = BackendRequest::<u32>::ConfigChange.encode(false);
    long.payload.push(0);
    assert!(matches!(
        BackendRequest::decode(long),
        Err(MessageError::Size { .. })
    ));
}
