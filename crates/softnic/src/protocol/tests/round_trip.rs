//! What is written is read back as it was; what is not a message never does harm.

use proptest::prelude::*;

use super::message;
use crate::protocol::{
    CONFIG_BYTES_MAX, Code, ConfigRange, HEADER_BYTES, Header, InflightArea, LogArea, Message,
    Reply, ReplyBody, Request, RingAddresses, SharedRegion, TABLE_REGIONS_MAX, VringFd,
};

fn region() -> impl Strategy<Value = SharedRegion<u32>> {
    any::<(u64, u64, u64, u64, u32)>().prop_map(|(guest, size, user, offset, file)| SharedRegion {
        guest_address: guest,
        size,
        user_address: user,
        mmap_offset: offset,
        file,
    })
}

fn addresses() -> impl Strategy<Value = RingAddresses> {
    any::<(u32, bool, u64, u64, u64, u64)>().prop_map(
        |(index, logged, descriptor, used, available, log)| RingAddresses {
            index,
            logged,
            descriptor,
            used,
            available,
            log,
        },
    )
}

fn range() -> impl Strategy<Value = (ConfigRange, Vec<u8>)> {
    let bytes = prop::collection::vec(any::<u8>(), 0..=CONFIG_BYTES_MAX);
    (any::<u32>(), 0u32..4, bytes).prop_map(|(offset, flags, bytes)| {
        let size = u32::try_from(bytes.len()).unwrap();
        let range = ConfigRange {
            offset,
            size,
            flags,
        };
        (range, bytes)
    })
}

fn inflight() -> impl Strategy<Value = InflightArea> {
    any::<(u64, u64, u16, u16)>().prop_map(|(size, offset, num_queues, queue_size)| InflightArea {
        mmap_size: size,
        mmap_offset: offset,
        num_queues,
        queue_size,
    })
}

fn vring_fd() -> impl Strategy<Value = VringFd<u32>> {
    any::<(u8, Option<u32>)>().prop_map(|(index, file)| VringFd { index, file })
}

fn request() -> impl Strategy<Value = Request<u32>> {
    let log = |(size, offset)| LogArea { size, offset };
    prop_oneof![
        prop::sample::select(vec![Code(22), Code(99)]).prop_map(Request::Unsupported),
        Just(Request::GetFeatures),
        Just(Request::GetStatus),
        Just(Request::ResetDevice),
        any::<u64>().prop_map(Request::SetFeatures),
        any::<u64>().prop_map(Request::SetProtocolFeatures),
        any::<u64>().prop_map(Request::SetLogAddress),
        any::<[u8; 6]>().prop_map(Request::SendRarp),
        prop::collection::vec(region(), 1..=TABLE_REGIONS_MAX).prop_map(Request::SetMemTable),
        region().prop_map(Request::AddMemReg),
        (any::<(u64, u64)>(), any::<u32>())
            .prop_map(move |(area, file)| Request::SetLogBase(log(area), file)),
        any::<(u32, u32)>().prop_map(|(index, num)| Request::SetVringNum { index, num }),
        any::<(u32, u32)>().prop_map(|(index, base)| Request::SetVringBase { index, base }),
        any::<(u32, bool)>().prop_map(|(index, enable)| Request::SetVringEnable { index, enable }),
        addresses().prop_map(Request::SetVringAddr),
        vring_fd().prop_map(Request::SetVringKick),
        vring_fd().prop_map(Request::SetVringErr),
        range().prop_map(|(range, _)| Request::GetConfig(range)),
        range().prop_map(|(range, bytes)| Request::SetConfig { range, bytes }),
        inflight().prop_map(Request::GetInflightFd),
        (inflight(), any::<u32>()).prop_map(|(area, file)| Request::SetInflightFd(area, file)),
    ]
}

fn body() -> impl Strategy<Value = (Code, ReplyBody<u32>)> {
    prop_oneof![
        any::<u64>().prop_map(|word| (Code::GET_FEATURES, ReplyBody::Word(word))),
        any::<(u32, u32)>()
            .prop_map(|(index, base)| (Code::GET_VRING_BASE, ReplyBody::Base { index, base })),
        any::<(u64, u64)>().prop_map(|(size, offset)| {
            (Code::SET_LOG_BASE, ReplyBody::Log(LogArea { size, offset }))
        }),
        range().prop_map(|(range, bytes)| (Code::GET_CONFIG, ReplyBody::Config(range, bytes))),
        Just((Code::GET_CONFIG, ReplyBody::NoConfig)),
        (inflight(), any::<Option<u32>>())
            .prop_map(|(area, file)| (Code::GET_INFLIGHT_FD, ReplyBody::Inflight(area, file))),
    ]
}

/// A message as a socket would deliver the bytes of `sent`.
fn delivered(sent: Message<u32>) -> Message<u32> {
    let bytes = sent.bytes();
    let header = Header::from_bytes(bytes[..HEADER_BYTES].try_into().unwrap()).unwrap();
    assert_eq!(header.size as usize, bytes.len() - HEADER_BYTES);
    Message {
        header,
        payload: bytes[HEADER_BYTES..].to_vec(),
        files: sent.files,
    }
}

proptest! {
    #[test]
    fn requests_come_back(request in request(), need_reply: bool) {
        let arrived = delivered(request.clone().encode(need_reply));
        prop_assert_eq!(arrived.header.need_reply, need_reply);
        prop_assert_eq!(Request::decode(arrived), Ok(request));
    }

    #[test]
    fn replies_come_back((code, body) in body()) {
        let reply = Reply { code, body };
        let arrived = delivered(reply.clone().encode());
        prop_assert_eq!(Reply::decode(code, arrived), Ok(reply));
    }

    #[test]
    fn any_payload_is_a_request_or_an_error(
        code in 0u32..48,
        payload in prop::collection::vec(any::<u8>(), 0..300),
        files in prop::collection::vec(any::<u32>(), 0..10),
    ) {
        // What is taken for a request says the same when it is written again.
        if let Ok(request) = Request::decode(message(code, &payload, &files)) {
            let again = Request::decode(request.clone().encode(false));
            prop_assert_eq!(again, Ok(request));
        }
    }
}
