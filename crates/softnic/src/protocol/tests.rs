mod golden;
mod round_trip;

use super::{Code, HEADER_BYTES, Header, Message, MessageError, PAYLOAD_BYTES_MAX, Request};

/// A message as if it had come: descriptors are numbers.
fn message(code: u32, payload: &[u8], files: &[u32]) -> Message<u32> {
    Message {
        header: Header {
            code,
            reply: false,
            need_reply: false,
            size: u32::try_from(payload.len()).unwrap(),
        },
        payload: payload.to_vec(),
        files: files.to_vec(),
    }
}

fn decode(code: Code, payload: &[u8], files: &[u32]) -> Result<Request<u32>, MessageError> {
    Request::decode(message(code.0, payload, files))
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn halves(halves: &[u32]) -> Vec<u8> {
    halves.iter().flat_map(|half| half.to_ne_bytes()).collect()
}

#[test]
fn header_is_three_words() {
    let bytes: [u8; HEADER_BYTES] = halves(&[18, 0x9, 8]).try_into().unwrap();
    let header = Header::from_bytes(bytes).unwrap();
    assert_eq!(
        header,
        Header {
            code: 18,
            reply: false,
            need_reply: true,
            size: 8
        }
    );
    assert_eq!(header.to_bytes(), bytes);
}

#[test]
fn headers_of_other_versions_and_sizes_are_refused() {
    let parse =
        |flags, size| Header::from_bytes(halves(&[1, flags, size]).try_into().unwrap()).map(|_| ());
    for flags in [0x0, 0x2, 0x3, 0x11, 0x8000_0001] {
        assert_eq!(parse(flags, 0), Err(MessageError::Flags(flags)));
    }
    let limit = u32::try_from(PAYLOAD_BYTES_MAX).unwrap();
    assert_eq!(parse(1, limit), Ok(()));
    assert_eq!(parse(1, limit + 1), Err(MessageError::TooLong(limit + 1)));
}

#[test]
fn every_request_has_its_size_only() {
    for code in Code::KNOWN {
        let accepted: Vec<usize> = (0..=600)
            .filter(|len| {
                let mut payload = vec![0; *len];
                if let (Code::SET_MEM_TABLE, Some(first)) = (*code, payload.first_mut()) {
                    *first = 1;
                }
                if let (Code::GET_CONFIG | Code::SET_CONFIG, 12..) = (*code, *len) {
                    let size = u32::try_from(*len - 12).unwrap();
                    payload[4..8].copy_from_slice(&size.to_ne_bytes());
                }
                (0..=2).any(|files| decode(*code, &payload, &vec![7; files]).is_ok())
            })
            .collect();
        let expected: Vec<usize> = match *code {
            Code::GET_FEATURES
            | Code::SET_OWNER
            | Code::RESET_OWNER
            | Code::GET_PROTOCOL_FEATURES
            | Code::GET_QUEUE_NUM
            | Code::RESET_DEVICE
            | Code::GET_MAX_MEM_SLOTS
            | Code::GET_STATUS => vec![0],
            Code::SET_LOG_FD | Code::SET_BACKEND_REQ_FD => vec![0, 8],
            Code::SET_MEM_TABLE => (1..=8).map(|count| 8 + 32 * count).collect(),
            Code::SET_LOG_BASE => vec![8, 16],
            Code::SET_VRING_ADDR | Code::ADD_MEM_REG | Code::REM_MEM_REG => vec![40],
            Code::GET_CONFIG | Code::SET_CONFIG => (12..=268).collect(),
            Code::GET_INFLIGHT_FD | Code::SET_INFLIGHT_FD => vec![20, 24],
            _ => vec![8],
        };
        assert_eq!(accepted, expected, "{code}");
    }
}

#[test]
fn every_request_has_its_descriptors_only() {
    for code in Code::KNOWN {
        let sizes = (0..=268).filter(|len| {
            let mut bytes = vec![0; *len];
            if let (Code::SET_MEM_TABLE, Some(first)) = (*code, bytes.first_mut()) {
                *first = 2;
            }
            (0..=3).any(|files| decode(*code, &bytes, &vec![7; files]).is_ok())
        });
        let size = sizes.max().unwrap();
        let mut bytes = vec![0; size];
        if *code == Code::SET_MEM_TABLE {
            bytes[0] = 2;
        }
        let accepted: Vec<usize> = (0..=9)
            .filter(|files| decode(*code, &bytes, &vec![7; *files]).is_ok())
            .collect();
        let expected: &[usize] = match *code {
            Code::SET_MEM_TABLE => &[2],
            Code::REM_MEM_REG => &[0, 1],
            Code::ADD_MEM_REG
            | Code::SET_LOG_BASE
            | Code::SET_LOG_FD
            | Code::SET_BACKEND_REQ_FD
            | Code::SET_INFLIGHT_FD
            | Code::SET_VRING_KICK
            | Code::SET_VRING_CALL
            | Code::SET_VRING_ERR => &[1],
            _ => &[0],
        };
        assert_eq!(accepted, expected, "{code}");
    }
}

#[test]
fn memory_tables_hold_one_to_eight_regions() {
    let table = |count: u32, regions: usize, files: usize| {
        let mut payload = halves(&[count, 0]);
        payload.resize(8 + 32 * regions, 0);
        decode(Code::SET_MEM_TABLE, &payload, &vec![7; files])
    };
    let value = |value| {
        Err(MessageError::Value {
            code: Code::SET_MEM_TABLE,
            field: "num regions",
            value,
        })
    };
    assert_eq!(table(0, 0, 0), value(0));
    assert_eq!(table(9, 9, 9), value(9));
    assert_eq!(table(u32::MAX, 1, 1), value(u64::from(u32::MAX)));
    assert!(matches!(table(3, 2, 3), Err(MessageError::Size { .. })));
    assert!(matches!(table(2, 2, 1), Err(MessageError::Files { .. })));
    assert!(table(2, 8, 2).is_ok());
}

#[test]
fn values_without_meaning_are_refused() {
    let refused = |code, payload: &[u8]| {
        assert!(
            matches!(decode(code, payload, &[]), Err(MessageError::Value { .. })),
            "{code} {payload:x?}"
        );
    };
    refused(Code::SET_VRING_ENABLE, &halves(&[0, 2]));
    refused(Code::SET_VRING_KICK, &words(&[1 << 9 | 1 << 8]));
    let mut address = words(&[0; 5]);
    address[4] = 2;
    refused(Code::SET_VRING_ADDR, &address);
    refused(Code::GET_CONFIG, &halves(&[0, 0, 4]));
}

#[test]
fn replies_and_unknown_requests_are_told_apart() {
    let mut reply = message(Code::GET_FEATURES.0, &[], &[]);
    reply.header.reply = true;
    let misplaced = MessageError::Misplaced(Code::GET_FEATURES);
    assert_eq!(Request::decode(reply), Err(misplaced));
    for code in [0, 22, 23, 26, 33, 35, 41, u32::MAX] {
        let unknown = Request::decode(message(code, &[1, 2, 3], &[9]));
        assert_eq!(unknown, Ok(Request::Unsupported(Code(code))));
    }
}
