//! From a message to a request: sizes, descriptors, values.

use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::{ConfigRange, InflightArea, LogArea, Request, RingAddresses, SharedRegion, VringFd};
use crate::protocol::layout::{
    ConfigHead, INFLIGHT_UNPADDED, Inflight, Log, Region, RegionsHead, SingleRegion, VringAddress,
    VringState,
};
use crate::protocol::{CONFIG_BYTES_MAX, Code, Message, MessageError, TABLE_REGIONS_MAX};

/// `VHOST_VRING_F_LOG`.
const VRING_LOGGED: u32 = 1;
/// "Bit 8 is the invalid FD flag."
const NO_FILE: u64 = 1 << 8;
/// "Bits (0-7) of the payload contain the vring index."
const INDEX_MASK: u64 = 0xff;
/// The purposes of a configuration access, in either reading of the specification.
const CONFIG_PURPOSES: u32 = 3;

impl<F> Request<F> {
    /// Reads a request; descriptors that it does not have are dropped with the message.
    ///
    /// # Errors
    /// What [`MessageError`] lists.
    pub fn decode(message: Message<F>) -> Result<Self, MessageError> {
        let code = Code(message.header.code);
        if message.header.reply {
            return Err(MessageError::Misplaced(code));
        }
        if code.name().is_none() {
            return Ok(Self::Unsupported(code));
        }
        let body = Body {
            code,
            payload: message.payload,
            files: message.files,
        };
        match code {
            Code::SET_MEM_TABLE => body.regions(),
            Code::ADD_MEM_REG | Code::REM_MEM_REG => body.region(),
            Code::SET_LOG_BASE => body.log_base(),
            Code::SET_VRING_KICK => body.vring_fd().map(Self::SetVringKick),
            Code::SET_VRING_CALL => body.vring_fd().map(Self::SetVringCall),
            Code::SET_VRING_ERR => body.vring_fd().map(Self::SetVringErr),
            Code::SET_LOG_FD => body.only_file().map(Self::SetLogFd),
            Code::SET_BACKEND_REQ_FD => body.only_file().map(Self::SetBackendReqFd),
            Code::SET_INFLIGHT_FD => {
                let area = body.inflight()?;
                Ok(Self::SetInflightFd(area, body.one_file()?))
            }
            _ => body.without_files(),
        }
    }
}

/// A message of a known request, to be taken apart.
struct Body<F> {
    code: Code,
    payload: Vec<u8>,
    files: Vec<F>,
}

impl<F> Body<F> {
    fn without_files(self) -> Result<Request<F>, MessageError> {
        if !self.files.is_empty() {
            return Err(self.wrong_files());
        }
        Ok(match self.code {
            Code::SET_FEATURES => Request::SetFeatures(self.word()?),
            Code::SET_PROTOCOL_FEATURES => Request::SetProtocolFeatures(self.word()?),
            Code::NET_SET_MTU => Request::NetSetMtu(self.word()?),
            Code::SET_STATUS => Request::SetStatus(self.word()?),
            Code::SEND_RARP => {
                let [mac @ .., _, _] = self.word()?.to_ne_bytes();
                Request::SendRarp(mac)
            }
            Code::SET_VRING_NUM => {
                let VringState { index, num } = self.exact()?;
                Request::SetVringNum { index, num }
            }
            Code::SET_VRING_BASE => {
                let VringState { index, num: base } = self.exact()?;
                Request::SetVringBase { index, base }
            }
            Code::GET_VRING_BASE => Request::GetVringBase {
                index: self.exact::<VringState>()?.index,
            },
            Code::SET_VRING_ENABLE => {
                let VringState { index, num } = self.exact()?;
                let enable = match num {
                    0 | 1 => num == 1,
                    _ => return Err(self.wrong_value("num", u64::from(num))),
                };
                Request::SetVringEnable { index, enable }
            }
            Code::SET_VRING_ADDR => Request::SetVringAddr(self.addresses()?),
            Code::GET_CONFIG => Request::GetConfig(self.config()?.0),
            Code::SET_CONFIG => {
                let (range, bytes) = self.config()?;
                let bytes = bytes.to_vec();
                Request::SetConfig { range, bytes }
            }
            Code::GET_INFLIGHT_FD => Request::GetInflightFd(self.inflight()?),
            _ => return self.empty(),
        })
    }

    /// The requests that have no payload.
    fn empty(self) -> Result<Request<F>, MessageError> {
        if !self.payload.is_empty() {
            return Err(self.wrong_size());
        }
        Ok(match self.code {
            Code::GET_FEATURES => Request::GetFeatures,
            Code::GET_PROTOCOL_FEATURES => Request::GetProtocolFeatures,
            Code::SET_OWNER => Request::SetOwner,
            Code::RESET_OWNER => Request::ResetOwner,
            Code::RESET_DEVICE => Request::ResetDevice,
            Code::GET_QUEUE_NUM => Request::GetQueueNum,
            Code::GET_MAX_MEM_SLOTS => Request::GetMaxMemSlots,
            Code::GET_STATUS => Request::GetStatus,
            other => Request::Unsupported(other),
        })
    }

    fn regions(self) -> Result<Request<F>, MessageError> {
        let Ok((head, rest)) = RegionsHead::read_from_prefix(&self.payload) else {
            return Err(self.wrong_size());
        };
        let count = head.count as usize;
        if !(1..=TABLE_REGIONS_MAX).contains(&count) {
            return Err(self.wrong_value("num regions", u64::from(head.count)));
        }
        // QEMU's own union sends no more regions than it has; others may send all eight.
        let Ok((regions, rest)) = <[Region]>::ref_from_prefix_with_elems(rest, count) else {
            return Err(self.wrong_size());
        };
        if rest.len() % size_of::<Region>() != 0 || self.payload.len() > TABLE_BYTES_MAX {
            return Err(self.wrong_size());
        }
        if self.files.len() != count {
            return Err(self.wrong_files());
        }
        let regions = regions.iter().zip(self.files);
        let regions = regions.map(|(region, file)| SharedRegion::new(*region, file));
        Ok(Request::SetMemTable(regions.collect()))
    }

    fn region(mut self) -> Result<Request<F>, MessageError> {
        let region = self.exact::<SingleRegion>()?.region;
        if self.code == Code::ADD_MEM_REG {
            let file = self.one_file()?;
            return Ok(Request::AddMemReg(SharedRegion::new(region, file)));
        }
        // "For compatibility with existing incorrect implementations, the back-end MAY accept messages
        // with one file descriptor. [It] MUST close it."
        if self.files.len() > 1 {
            return Err(self.wrong_files());
        }
        self.files.clear();
        Ok(Request::RemMemReg(SharedRegion::new(region, ())))
    }

    fn log_base(self) -> Result<Request<F>, MessageError> {
        if self.files.is_empty() && self.payload.len() == size_of::<u64>() {
            return Ok(Request::SetLogAddress(self.word()?));
        }
        let Log { size, offset } = self.exact()?;
        let file = self.one_file()?;
        Ok(Request::SetLogBase(LogArea { size, offset }, file))
    }

    fn addresses(&self) -> Result<RingAddresses, MessageError> {
        let address: VringAddress = self.exact()?;
        if address.flags & !VRING_LOGGED != 0 {
            return Err(self.wrong_value("flags", u64::from(address.flags)));
        }
        Ok(RingAddresses {
            index: address.index,
            logged: address.flags & VRING_LOGGED != 0,
            descriptor: address.descriptor,
            used: address.used,
            available: address.available,
            log: address.log,
        })
    }

    fn vring_fd(mut self) -> Result<VringFd<F>, MessageError> {
        let value = self.word()?;
        if value & !(INDEX_MASK | NO_FILE) != 0 {
            return Err(self.wrong_value("u64", value));
        }
        let expected = usize::from(value & NO_FILE == 0);
        if self.files.len() != expected {
            return Err(self.wrong_files());
        }
        let [index, ..] = (value & INDEX_MASK).to_le_bytes();
        let file = self.files.pop();
        Ok(VringFd { index, file })
    }

    fn config(&self) -> Result<(ConfigRange, &[u8]), MessageError> {
        let Ok((head, bytes)) = ConfigHead::read_from_prefix(&self.payload) else {
            return Err(self.wrong_size());
        };
        if head.size as usize != bytes.len() || bytes.len() > CONFIG_BYTES_MAX {
            return Err(self.wrong_size());
        }
        if head.flags & !CONFIG_PURPOSES != 0 {
            return Err(self.wrong_value("flags", u64::from(head.flags)));
        }
        let range = ConfigRange {
            offset: head.offset,
            size: head.size,
            flags: head.flags,
        };
        Ok((range, bytes))
    }

    fn inflight(&self) -> Result<InflightArea, MessageError> {
        let mut padded = self.payload.clone();
        if padded.len() == INFLIGHT_UNPADDED {
            padded.resize(size_of::<Inflight>(), 0);
        }
        let Ok(area) = Inflight::read_from_bytes(&padded) else {
            return Err(self.wrong_size());
        };
        Ok(InflightArea {
            mmap_size: area.mmap_size,
            mmap_offset: area.mmap_offset,
            num_queues: area.num_queues,
            queue_size: area.queue_size,
        })
    }

    fn word(&self) -> Result<u64, MessageError> {
        self.exact()
    }

    /// The payload, which is one `T` and nothing else.
    fn exact<T: FromBytes + KnownLayout + Immutable>(&self) -> Result<T, MessageError> {
        T::read_from_bytes(&self.payload).map_err(|_| self.wrong_size())
    }

    fn only_file(self) -> Result<F, MessageError> {
        // The payload is unspecified ("N/A"), and libvhost-user sends a word of nothing.
        if !matches!(self.payload.len(), 0 | 8) {
            return Err(self.wrong_size());
        }
        self.one_file()
    }

    fn one_file(mut self) -> Result<F, MessageError> {
        let wrong = self.wrong_files();
        let file = self.files.pop().ok_or(wrong)?;
        if self.files.is_empty() {
            Ok(file)
        } else {
            Err(wrong)
        }
    }

    fn wrong_size(&self) -> MessageError {
        MessageError::Size {
            code: self.code,
            found: self.payload.len(),
        }
    }

    fn wrong_files(&self) -> MessageError {
        MessageError::Files {
            code: self.code,
            found: self.files.len(),
        }
    }

    fn wrong_value(&self, field: &'static str, value: u64) -> MessageError {
        MessageError::Value {
            code: self.code,
            field,
            value,
        }
    }
}

const TABLE_BYTES_MAX: usize = size_of::<RegionsHead>() + TABLE_REGIONS_MAX * size_of::<Region>();

impl<F> SharedRegion<F> {
    fn new(region: Region, file: F) -> Self {
        Self {
            guest_address: region.guest_address,
            size: region.size,
            user_address: region.user_address,
            mmap_offset: region.mmap_offset,
            file,
        }
    }
}
