use super::*;

fn trace(snaplen: u32, frames: &[(Duration, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), snaplen).unwrap();
    for (at, frame) in frames {
        writer.write(*at, frame).unwrap();
    }
    writer.into_inner()
}

const AT: Duration = Duration::new(1_700_000_000, 123_456_789);

#[test]
fn bytes_are_those_of_the_format() {
    let expected = [
        [0x4d, 0x3c, 0xb2, 0xa1].as_slice(),
        &[2, 0, 4, 0],
        &[0; 8],
        &[0, 0, 4, 0],
        &[1, 0, 0, 0],
        &1_700_000_000u32.to_le_bytes(),
        &123_456_789u32.to_le_bytes(),
        &[3, 0, 0, 0],
        &[3, 0, 0, 0],
        b"abc",
    ]
    .concat();
    assert_eq!(trace(u32::MAX, &[(AT, b"abc")]), expected);
}

#[test]
fn what_is_written_is_read() {
    let frames: [(Duration, &[u8]); 3] = [
        (Duration::ZERO, b""),
        (AT, &[1; 1500]),
        (Duration::new(u64::from(u32::MAX), 0), b"x"),
    ];
    let bytes = trace(1000, &frames);
    let records: Result<Vec<_>, _> = Reader::new(&bytes).unwrap().collect();
    for (record, (at, frame)) in records.unwrap().iter().zip(frames) {
        assert_eq!(
            (record.since_epoch, record.original_len as usize),
            (at, frame.len())
        );
        assert_eq!(record.frame, &frame[..frame.len().min(1000)]);
    }
}

#[test]
fn both_resolutions_and_byte_orders_are_read() {
    for big in [false, true] {
        for (magic, fraction, nanos) in [
            (MAGIC_NANOS, 999_999_999u32, 999_999_999),
            (MAGIC_MICROS, 999_999, 999_999_000),
        ] {
            let u32_bytes = |value: u32| {
                if big {
                    value.to_be_bytes()
                } else {
                    value.to_le_bytes()
                }
            };
            let version = if big { [0, 2, 0, 4] } else { [2, 0, 4, 0] };
            let header = [magic, 0, 0, 0, 65535, 1, 5, fraction, 2, 9].map(u32_bytes);
            let mut bytes = header.concat();
            bytes[4..8].copy_from_slice(&version);
            bytes.extend(b"hi");
            let records: Vec<_> = Reader::new(&bytes).unwrap().collect();
            let since_epoch = Duration::new(5, nanos);
            let expected = Record {
                since_epoch,
                original_len: 9,
                frame: b"hi",
            };
            assert_eq!(records, [Ok(expected)]);
        }
    }
}

#[test]
fn bad_files_are_refused() {
    let good = trace(u32::MAX, &[(AT, b"abc")]);
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        Reader::new(&bytes).map(drop).unwrap_err()
    };
    assert_eq!(with(0, 0x0a), PcapError::BadMagic { found: 0xa1b2_3c0a });
    assert_eq!(with(4, 3), PcapError::BadVersion { found: 3 });
    assert_eq!(with(20, 113), PcapError::BadLinkType { found: 113 });
    for len in 0..24 {
        let error = PcapError::TruncatedFile {
            need: 24,
            have: len,
        };
        assert_eq!(Reader::new(&good[..len]).map(drop), Err(error));
    }
}

#[test]
fn bad_records_end_the_trace() {
    let good = trace(u32::MAX, &[(AT, b"abc"), (AT, b"def")]);
    let second = 24 + 16 + 3;
    let last = |bytes: &[u8]| {
        let records: Vec<_> = Reader::new(bytes).unwrap().collect();
        assert_eq!(records.len(), 2);
        assert!(records[0].is_ok());
        records[1].unwrap_err()
    };
    for len in second + 1..good.len() {
        assert!(matches!(
            last(&good[..len]),
            PcapError::TruncatedRecord { index: 1, .. }
        ));
    }
    let mut long = good.clone();
    long[second + 8..second + 12].copy_from_slice(&(SNAPLEN_MAX + 1).to_le_bytes());
    let (index, max) = (1, SNAPLEN_MAX);
    assert_eq!(
        last(&long),
        PcapError::RecordTooLong {
            index,
            len: SNAPLEN_MAX + 1,
            max
        }
    );
    let mut late = good.clone();
    late[second + 4..second + 8].copy_from_slice(&1_000_000_000u32.to_le_bytes());
    assert_eq!(
        last(&late),
        PcapError::BadTimestamp {
            index,
            found: 1_000_000_000
        }
    );
}

#[test]
fn times_past_the_format_are_refused() {
    let mut writer = Writer::new(Vec::new(), 65535).unwrap();
    let error = writer
        .write(Duration::from_secs(1 << 32), b"abc")
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(
        writer.into_inner().len(),
        FILE_HEADER_LEN,
        "nothing of the record was written"
    );
}
