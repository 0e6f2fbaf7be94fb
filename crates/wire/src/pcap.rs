//! Packet traces in the classic pcap format (draft-ietf-opsawg-pcap): a writer with nanoseconds,
//! and a reader of both resolutions and both byte orders.

mod reader;

use std::{
    io::{self, Write},
    time::Duration,
};

pub use reader::{PcapError, Reader, Record};

/// Nanosecond timestamps, in the byte order of the file.
const MAGIC_NANOS: u32 = 0xa1b2_3c4d;
/// Microsecond timestamps, in the byte order of the file.
const MAGIC_MICROS: u32 = 0xa1b2_c3d4;
const VERSION_MAJOR: u16 = 2;
const VERSION_MINOR: u16 = 4;
/// `LINKTYPE_ETHERNET`.
const LINKTYPE_ETHERNET: u32 = 1;
const FILE_HEADER_LEN: usize = 24;
const RECORD_HEADER_LEN: usize = 16;

/// The longest record written or read: the largest snapshot length libpcap accepts.
pub const SNAPLEN_MAX: u32 = 262_144;

/// Writes Ethernet frames with nanosecond timestamps, in little-endian order.
///
/// Each record is one `write_all` of its header and one of its bytes: give it a buffered writer.
/// Dropping a `Writer` does not flush; [`Self::into_inner`] gives the writer back for that.
#[derive(Debug)]
pub struct Writer<W> {
    inner: W,
    snaplen: u32,
}

impl<W: Write> Writer<W> {
    /// Writes the file header. Frames will be cut to `snaplen` bytes, at most [`SNAPLEN_MAX`].
    pub fn new(mut inner: W, snaplen: u32) -> io::Result<Self> {
        let snaplen = snaplen.min(SNAPLEN_MAX);
        let mut header = [0; FILE_HEADER_LEN];
        header[..4].copy_from_slice(&MAGIC_NANOS.to_le_bytes());
        header[4..6].copy_from_slice(&VERSION_MAJOR.to_le_bytes());
        header[6..8].copy_from_slice(&VERSION_MINOR.to_le_bytes());
        header[16..20].copy_from_slice(&snaplen.to_le_bytes());
        header[20..].copy_from_slice(&LINKTYPE_ETHERNET.to_le_bytes());
        inner.write_all(&header)?;
        Ok(Self { inner, snaplen })
    }

    /// Appends a frame seen at `since_epoch` (1970, UTC). `InvalidInput` for a time past the year
    /// 2106 or a frame past 4 GiB, which the format cannot express.
    pub fn write(&mut self, since_epoch: Duration, frame: &[u8]) -> io::Result<()> {
        self.write_cut(since_epoch, frame, frame.len())
    }

    /// Appends the beginning of a frame that was `original_len` bytes long.
    pub fn write_cut(
        &mut self,
        since_epoch: Duration,
        frame: &[u8],
        original_len: usize,
    ) -> io::Result<()> {
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
        let seconds = u32::try_from(since_epoch.as_secs())
            .map_err(|_| invalid("pcap timestamp past the year 2106"))?;
        let original_len = original_len.max(frame.len());
        let original_len =
            u32::try_from(original_len).map_err(|_| invalid("pcap frame past 4 GiB"))?;
        let captured = frame.get(..self.snaplen as usize).unwrap_or(frame);
        let captured_len =
            u32::try_from(captured.len()).map_err(|_| invalid("pcap frame past 4 GiB"))?;
        let mut header = [0; RECORD_HEADER_LEN];
        let fields = [
            seconds,
            since_epoch.subsec_nanos(),
            captured_len,
            original_len,
        ];
        for (bytes, field) in header.chunks_exact_mut(4).zip(fields) {
            bytes.copy_from_slice(&field.to_le_bytes());
        }
        self.inner.write_all(&header)?;
        self.inner.write_all(captured)
    }

    /// Flushes the writer underneath.
    pub fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }

    /// The writer underneath, to take out what has been written so far.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.inner
    }

    /// The writer underneath.
    pub fn into_inner(self) -> W {
        self.inner
    }
}

#[cfg(test)]
mod tests;
