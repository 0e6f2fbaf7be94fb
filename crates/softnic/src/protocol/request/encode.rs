//! From a request to a message: the front end's side.

use zerocopy::{Immutable, IntoBytes};

use super::{ConfigRange, InflightArea, LogArea, Request, RingAddresses, SharedRegion, VringFd};
use crate::protocol::layout::{
    ConfigHead, Inflight, Log, Region, RegionsHead, SingleRegion, VringAddress, VringState,
};
use crate::protocol::{Code, Header, Message};

impl<F> Request<F> {
    /// Writes the request. Its limits are the caller's to keep: [`Request::decode`] refuses what
    /// passes them.
    #[must_use]
    pub fn encode(self, need_reply: bool) -> Message<F> {
        let code = self.code();
        let (payload, files) = self.payload();
        Message::new(code, false, need_reply, payload, files)
    }

    fn payload(self) -> (Vec<u8>, Vec<F>) {
        let bytes = match self {
            Self::SetMemTable(regions) => return table(regions),
            Self::AddMemReg(region) => {
                let (region, file) = region.split();
                return (single(region), vec![file]);
            }
            Self::SetLogBase(area, file) => return (area.payload(), vec![file]),
            Self::SetInflightFd(area, file) => return (area.payload(), vec![file]),
            Self::SetLogFd(file) | Self::SetBackendReqFd(file) => return (Vec::new(), vec![file]),
            Self::SetVringKick(fd) | Self::SetVringCall(fd) | Self::SetVringErr(fd) => {
                return vring_fd(fd);
            }
            Self::RemMemReg(region) => single(region.split().0),
            Self::SetFeatures(word)
            | Self::SetProtocolFeatures(word)
            | Self::NetSetMtu(word)
            | Self::SetStatus(word)
            | Self::SetLogAddress(word) => bytes_of(&word),
            Self::SendRarp([a, b, c, d, e, f]) => [a, b, c, d, e, f, 0, 0].to_vec(),
            Self::SetVringNum { index, num } => state(index, num),
            Self::SetVringBase { index, base } => state(index, base),
            Self::GetVringBase { index } => state(index, 0),
            Self::SetVringEnable { index, enable } => state(index, u32::from(enable)),
            Self::SetVringAddr(addresses) => addresses.payload(),
            Self::GetConfig(range) => range.payload(&vec![0; range.size as usize]),
            Self::SetConfig { range, bytes } => range.payload(&bytes),
            Self::GetInflightFd(area) => area.payload(),
            Self::GetFeatures
            | Self::GetProtocolFeatures
            | Self::SetOwner
            | Self::ResetOwner
            | Self::ResetDevice
            | Self::GetQueueNum
            | Self::GetMaxMemSlots
            | Self::GetStatus
            | Self::Unsupported(_) => Vec::new(),
        };
        (bytes, Vec::new())
    }
}

impl<F> Message<F> {
    pub(in crate::protocol) fn new(
        code: Code,
        reply: bool,
        need_reply: bool,
        payload: Vec<u8>,
        files: Vec<F>,
    ) -> Self {
        let size = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let header = Header {
            code: code.0,
            reply,
            need_reply,
            size,
        };
        Self {
            header,
            payload,
            files,
        }
    }
}

impl ConfigRange {
    pub(in crate::protocol) fn payload(self, bytes: &[u8]) -> Vec<u8> {
        let head = ConfigHead {
            offset: self.offset,
            size: self.size,
            flags: self.flags,
        };
        let mut payload = bytes_of(&head);
        payload.extend_from_slice(bytes);
        payload
    }
}

impl LogArea {
    pub(in crate::protocol) fn payload(self) -> Vec<u8> {
        bytes_of(&Log {
            size: self.size,
            offset: self.offset,
        })
    }
}

impl InflightArea {
    pub(in crate::protocol) fn payload(self) -> Vec<u8> {
        bytes_of(&Inflight {
            mmap_size: self.mmap_size,
            mmap_offset: self.mmap_offset,
            num_queues: self.num_queues,
            queue_size: self.queue_size,
            padding: 0,
        })
    }
}

impl RingAddresses {
    fn payload(self) -> Vec<u8> {
        bytes_of(&VringAddress {
            index: self.index,
            flags: u32::from(self.logged),
            descriptor: self.descriptor,
            used: self.used,
            available: self.available,
            log: self.log,
        })
    }
}

impl<F> SharedRegion<F> {
    fn split(self) -> (Region, F) {
        let region = Region {
            guest_address: self.guest_address,
            size: self.size,
            user_address: self.user_address,
            mmap_offset: self.mmap_offset,
        };
        (region, self.file)
    }
}

pub(in crate::protocol) fn state(index: u32, num: u32) -> Vec<u8> {
    bytes_of(&VringState { index, num })
}

pub(in crate::protocol) fn bytes_of<T: IntoBytes + Immutable>(value: &T) -> Vec<u8> {
    value.as_bytes().to_vec()
}

fn table<F>(regions: Vec<SharedRegion<F>>) -> (Vec<u8>, Vec<F>) {
    let count = u32::try_from(regions.len()).unwrap_or(u32::MAX);
    let mut payload = bytes_of(&RegionsHead { count, padding: 0 });
    let mut files = Vec::with_capacity(regions.len());
    for region in regions {
        let (region, file) = region.split();
        payload.extend_from_slice(region.as_bytes());
        files.push(file);
    }
    (payload, files)
}

fn single(region: Region) -> Vec<u8> {
    bytes_of(&SingleRegion { padding: 0, region })
}

fn vring_fd<F>(fd: VringFd<F>) -> (Vec<u8>, Vec<F>) {
    let none = u64::from(fd.file.is_none()) << 8;
    let payload = bytes_of(&(u64::from(fd.index) | none));
    (payload, fd.file.into_iter().collect())
}
