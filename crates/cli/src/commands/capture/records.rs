use anyhow::{Result, bail};
use wire::pcap::SNAPLEN_MAX;

const FILE_HEADER_LEN: usize = 24;
const RECORD_HEADER_LEN: usize = 16;
/// Where a record's header has the number of bytes that follow it.
const CAPTURED_LEN_AT: usize = 8;

/// Cuts a pcap stream (draft-ietf-opsawg-pcap) into whole records, and counts them.
#[derive(Debug, Default)]
pub(super) struct Records {
    order: Option<ByteOrder>,
    /// Of a record that is not complete.
    pending: Vec<u8>,
    frames: usize,
    bytes: u64,
}

#[derive(Clone, Copy, Debug)]
enum ByteOrder {
    Little,
    Big,
}

impl Records {
    /// Adds a piece of the stream; gives what is complete by now.
    pub(super) fn take_whole(&mut self, piece: &[u8]) -> Result<Vec<u8>> {
        self.pending.extend_from_slice(piece);
        let mut whole = 0;
        loop {
            let rest = &self.pending[whole..];
            let Some(order) = self.order else {
                let Some(header) = rest.first_chunk::<FILE_HEADER_LEN>() else {
                    break;
                };
                self.order = Some(byte_order(header)?);
                whole += FILE_HEADER_LEN;
                continue;
            };
            let Some(captured) = captured_len(rest, order) else {
                break;
            };
            if captured > SNAPLEN_MAX {
                bail!("the agent sent a record of {captured} bytes; {SNAPLEN_MAX} are allowed");
            }
            let length = RECORD_HEADER_LEN + captured as usize;
            if rest.len() < length {
                break;
            }
            whole += length;
            self.frames += 1;
            self.bytes += u64::from(captured);
        }
        let rest = self.pending.split_off(whole);
        Ok(std::mem::replace(&mut self.pending, rest))
    }

    /// The stream has ended: nothing may be left over.
    pub(super) fn end(&self) -> Result<()> {
        match self.pending.len() {
            0 => Ok(()),
            left => {
                bail!("the agent broke off within a record; its first {left} bytes are left out")
            }
        }
    }

    /// Whole records so far.
    pub(super) fn frames(&self) -> usize {
        self.frames
    }

    /// Their captured bytes, without headers.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn byte_order(header: &[u8; FILE_HEADER_LEN]) -> Result<ByteOrder> {
    match header {
        [0xd4, 0xc3, 0xb2, 0xa1, ..] | [0x4d, 0x3c, 0xb2, 0xa1, ..] => Ok(ByteOrder::Little),
        [0xa1, 0xb2, 0xc3, 0xd4, ..] | [0xa1, 0xb2, 0x3c, 0x4d, ..] => Ok(ByteOrder::Big),
        [a, b, c, d, ..] => {
            bail!("the agent sent no pcap file: it begins with {a:02x}{b:02x}{c:02x}{d:02x}")
        }
    }
}

/// None when the header is not complete.
fn captured_len(record: &[u8], order: ByteOrder) -> Option<u32> {
    let header = record.get(..RECORD_HEADER_LEN)?;
    let field = *header.get(CAPTURED_LEN_AT..)?.first_chunk::<4>()?;
    Some(match order {
        ByteOrder::Little => u32::from_le_bytes(field),
        ByteOrder::Big => u32::from_be_bytes(field),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wire::pcap::Writer;

    use super::*;

    fn file(frames: &[&[u8]]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), SNAPLEN_MAX).expect("a header");
        for frame in frames {
            writer
                .write(Duration::from_secs(1), frame)
                .expect("a record");
        }
        writer.into_inner()
    }

    #[test]
    fn however_the_stream_is_cut_the_file_is_the_same() {
        let file = file(&[&[1; 60], &[], &[2; 1500]]);
        for size in 1..=file.len() {
            let mut records = Records::default();
            let mut copy = Vec::new();
            for piece in file.chunks(size) {
                copy.extend(records.take_whole(piece).expect("pcap"));
            }
            records.end().expect("nothing is left over");
            assert_eq!(copy, file, "pieces of {size}");
            assert_eq!((records.frames(), records.bytes()), (3, 1560));
        }
    }

    #[test]
    fn a_record_that_is_cut_off_is_left_out() {
        let (whole, longer) = (file(&[&[1; 60]]), file(&[&[1; 60], &[2; 60]]));
        let mut records = Records::default();
        let copied = records
            .take_whole(&longer[..longer.len() - 1])
            .expect("pcap");
        assert_eq!(copied, whole);
        assert!(records.end().is_err());
    }

    #[test]
    fn what_is_no_pcap_is_refused() {
        assert!(
            Records::default()
                .take_whole(&[b'x'; FILE_HEADER_LEN])
                .is_err()
        );
        let mut huge = file(&[&[1; 60]]);
        huge[FILE_HEADER_LEN + CAPTURED_LEN_AT..][..4].copy_from_slice(&[0xff; 4]);
        assert!(Records::default().take_whole(&huge).is_err());
    }

    #[test]
    fn the_other_byte_order_is_read_too() {
        let mut bytes = vec![0; FILE_HEADER_LEN + RECORD_HEADER_LEN + 4];
        bytes[..4].copy_from_slice(&0xa1b2_3c4d_u32.to_be_bytes());
        bytes[FILE_HEADER_LEN + CAPTURED_LEN_AT..][..4].copy_from_slice(&4_u32.to_be_bytes());
        let mut records = Records::default();
        assert_eq!(records.take_whole(&bytes).expect("pcap"), bytes);
        assert_eq!(records.frames(), 1);
    }
}
