//! Reading a trace that is wholly in memory.

use std::time::Duration;

use super::{
    FILE_HEADER_LEN, LINKTYPE_ETHERNET, MAGIC_MICROS, MAGIC_NANOS, RECORD_HEADER_LEN, SNAPLEN_MAX,
    VERSION_MAJOR,
};

/// Why bytes are not a trace of Ethernet frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PcapError {
    /// The file header is incomplete.
    #[error("pcap file header truncated: needs {need} bytes, has {have}")]
    TruncatedFile {
        /// Bytes the header has.
        need: usize,
        /// Bytes that are there.
        have: usize,
    },
    /// The file does not begin as a pcap file does.
    #[error("pcap magic number {found:#010x} unknown")]
    BadMagic {
        /// The first four bytes, as a little-endian number.
        found: u32,
    },
    /// A version of the format that does not exist.
    #[error("pcap version {found} unsupported")]
    BadVersion {
        /// The major version found.
        found: u16,
    },
    /// The trace is not of Ethernet frames.
    #[error("pcap link type {found} is not Ethernet")]
    BadLinkType {
        /// The link type found.
        found: u32,
    },
    /// The file ends inside a record.
    #[error("pcap record {index} truncated: needs {need} bytes, has {have}")]
    TruncatedRecord {
        /// Which record, from zero.
        index: usize,
        /// Bytes it needs.
        need: usize,
        /// Bytes that are there.
        have: usize,
    },
    /// A record that claims more bytes than any capture could have.
    #[error("pcap record {index} of {len} bytes exceeds {max}")]
    RecordTooLong {
        /// Which record, from zero.
        index: usize,
        /// The length it claims.
        len: u32,
        /// The limit.
        max: u32,
    },
    /// A record whose fraction of a second is a whole second or more.
    #[error("pcap record {index} has a fraction of {found} of a second")]
    BadTimestamp {
        /// Which record, from zero.
        index: usize,
        /// The fraction found, in the file's unit.
        found: u32,
    },
}

/// One captured frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// When it was seen, since 1970 (UTC).
    pub since_epoch: Duration,
    /// Bytes it had on the wire; more than `frame` holds if the capture cut it.
    pub original_len: u32,
    /// The bytes captured.
    pub frame: &'a [u8],
}

/// Iterates over the records of a trace. After an error it ends.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    order: Order,
    /// Nanoseconds in the file's fraction of a second.
    unit_nanos: u32,
    index: usize,
}

#[derive(Clone, Copy, Debug)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }
}

impl<'a> Reader<'a> {
    /// Reads the file header.
    pub fn new(bytes: &'a [u8]) -> Result<Self, PcapError> {
        let (header, rest): (&[u8; FILE_HEADER_LEN], _) =
            bytes.split_first_chunk().ok_or(PcapError::TruncatedFile {
                need: FILE_HEADER_LEN,
                have: bytes.len(),
            })?;
        let words: [[u8; 4]; 6] = words_of(header);
        let (order, unit_nanos) = match u32::from_le_bytes(words[0]) {
            MAGIC_NANOS => (Order::Little, 1),
            MAGIC_MICROS => (Order::Little, 1000),
            found if found.swap_bytes() == MAGIC_NANOS => (Order::Big, 1),
            found if found.swap_bytes() == MAGIC_MICROS => (Order::Big, 1000),
            found => return Err(PcapError::BadMagic { found }),
        };
        let [major_0, major_1, ..] = words[1];
        let found = order.u16([major_0, major_1]);
        if found != VERSION_MAJOR {
            return Err(PcapError::BadVersion { found });
        }
        // The upper bits say how long the frame check sequence is, if frames have one.
        let found = order.u32(words[5]) & 0x0fff_ffff;
        if found != LINKTYPE_ETHERNET {
            return Err(PcapError::BadLinkType { found });
        }
        Ok(Self {
            rest,
            order,
            unit_nanos,
            index: 0,
        })
    }

    fn record(&mut self) -> Result<Record<'a>, PcapError> {
        let index = self.index;
        let have = self.rest.len();
        let truncated = |need| PcapError::TruncatedRecord { index, need, have };
        let (header, rest): (&[u8; RECORD_HEADER_LEN], _) = self
            .rest
            .split_first_chunk()
            .ok_or(truncated(RECORD_HEADER_LEN))?;
        let [seconds, fraction, len, original_len] =
            words_of::<RECORD_HEADER_LEN, 4>(header).map(|word| self.order.u32(word));
        if len > SNAPLEN_MAX {
            return Err(PcapError::RecordTooLong {
                index,
                len,
                max: SNAPLEN_MAX,
            });
        }
        if fraction >= 1_000_000_000 / self.unit_nanos {
            return Err(PcapError::BadTimestamp {
                index,
                found: fraction,
            });
        }
        let len = len as usize;
        let (frame, rest) = rest
            .split_at_checked(len)
            .ok_or(truncated(RECORD_HEADER_LEN + len))?;
        self.rest = rest;
        self.index += 1;
        let since_epoch = Duration::new(u64::from(seconds), fraction * self.unit_nanos);
        Ok(Record {
            since_epoch,
            original_len,
            frame,
        })
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Record<'a>, PcapError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = self.record();
        if record.is_err() {
            self.rest = &[];
        }
        Some(record)
    }
}

impl core::iter::FusedIterator for Reader<'_> {}

fn words_of<const LEN: usize, const WORDS: usize>(bytes: &[u8; LEN]) -> [[u8; 4]; WORDS] {
    const { assert!(LEN == WORDS * 4) };
    core::array::from_fn(|index| crate::octets::array_at(bytes, index * 4))
}
