//! What a front end asks for.

mod decode;
mod encode;

pub(super) use encode::{bytes_of, state};

use super::Code;

/// A request, with the descriptors it brought. Its meaning is that of the specification's message of
/// the same name; the session's documentation says what is done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<F> {
    /// Which virtio features are on offer.
    GetFeatures,
    /// The virtio features to use.
    SetFeatures(u64),
    /// Which protocol features are on offer.
    GetProtocolFeatures,
    /// The protocol features to use.
    SetProtocolFeatures(u64),
    /// The front end takes the session.
    SetOwner,
    /// Deprecated: all rings are to be disabled.
    ResetOwner,
    /// The device goes back to its initial state.
    ResetDevice,
    /// How many queue pairs there are.
    GetQueueNum,
    /// The whole table of memory regions.
    SetMemTable(Vec<SharedRegion<F>>),
    /// How many memory regions there may be.
    GetMaxMemSlots,
    /// One more memory region.
    AddMemReg(SharedRegion<F>),
    /// One memory region less; a descriptor that came with it is closed.
    RemMemReg(SharedRegion<()>),
    /// Where the migration log is.
    SetLogBase(LogArea, F),
    /// Where the migration log is, in the front end's address space. Of no use without a descriptor.
    SetLogAddress(u64),
    /// What to signal when the log has changed.
    SetLogFd(F),
    /// How many descriptors a ring has.
    SetVringNum {
        /// The ring.
        index: u32,
        /// Descriptors.
        num: u32,
    },
    /// Where a ring's three areas are.
    SetVringAddr(RingAddresses),
    /// At which position a ring goes on.
    SetVringBase {
        /// The ring.
        index: u32,
        /// The position, as [`vring::queue::Position`] encodes it.
        base: u32,
    },
    /// Stop a ring and tell its position.
    GetVringBase {
        /// The ring.
        index: u32,
    },
    /// What the driver signals.
    SetVringKick(VringFd<F>),
    /// What the device signals.
    SetVringCall(VringFd<F>),
    /// What the device signals when it cannot go on.
    SetVringErr(VringFd<F>),
    /// Whether a ring may have effects.
    SetVringEnable {
        /// The ring.
        index: u32,
        /// Enabled.
        enable: bool,
    },
    /// Tell the network where this MAC address is now.
    SendRarp([u8; 6]),
    /// The MTU that the guest is told.
    NetSetMtu(u64),
    /// The socket on which the back end may make requests.
    SetBackendReqFd(F),
    /// Part of the configuration space.
    GetConfig(ConfigRange),
    /// Bytes to write to the configuration space.
    SetConfig {
        /// Where, how many, and why.
        range: ConfigRange,
        /// As many bytes as the range has.
        bytes: Vec<u8>,
    },
    /// Make an area to track descriptors in flight. Size and offset of the area are not used.
    GetInflightFd(InflightArea),
    /// The area that tracks descriptors in flight.
    SetInflightFd(InflightArea, F),
    /// The virtio device status.
    SetStatus(u64),
    /// The virtio device status, back.
    GetStatus,
    /// A request with no meaning here; payload and descriptors are dropped.
    Unsupported(Code),
}

/// A memory region and its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedRegion<F> {
    /// First address as the guest sees it.
    pub guest_address: u64,
    /// Bytes.
    pub size: u64,
    /// First address in the front end.
    pub user_address: u64,
    /// Where in the file the region begins.
    pub mmap_offset: u64,
    /// The file.
    pub file: F,
}

/// The areas of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingAddresses {
    /// The ring.
    pub index: u32,
    /// Writes to the used ring are to be marked in the migration log, from `log` on.
    pub logged: bool,
    /// Descriptor table, or packed ring.
    pub descriptor: u64,
    /// Used ring, or device event suppression.
    pub used: u64,
    /// Available ring, or driver event suppression.
    pub available: u64,
    /// Guest address that stands for the first byte of the used ring in the log.
    pub log: u64,
}

/// A ring and what to do about its signals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VringFd<F> {
    /// The ring (8 bits on the wire).
    pub index: u8,
    /// The descriptor; without one, the other side polls.
    pub file: Option<F>,
}

/// Where in its file the migration log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogArea {
    /// Bytes.
    pub size: u64,
    /// Offset of the first one.
    pub offset: u64,
}

/// Part of the configuration space: at most [`CONFIG_BYTES_MAX`](super::CONFIG_BYTES_MAX) bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigRange {
    /// First byte.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
    /// Why the access is made. What the specification calls 1 (migration), rust-vmm calls 2, and asks
    /// with 1 when it reads; so nothing here depends on it, and a reply has what the request had.
    pub flags: u32,
}

/// The area that tracks descriptors in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InflightArea {
    /// Bytes.
    pub mmap_size: u64,
    /// Offset of the first one in the file.
    pub mmap_offset: u64,
    /// Queues that it is for.
    pub num_queues: u16,
    /// Descriptors of each.
    pub queue_size: u16,
}

impl<F> Request<F> {
    /// The request's number.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::GetFeatures => Code::GET_FEATURES,
            Self::SetFeatures(_) => Code::SET_FEATURES,
            Self::GetProtocolFeatures => Code::GET_PROTOCOL_FEATURES,
            Self::SetProtocolFeatures(_) => Code::SET_PROTOCOL_FEATURES,
            Self::SetOwner => Code::SET_OWNER,
            Self::ResetOwner => Code::RESET_OWNER,
            Self::ResetDevice => Code::RESET_DEVICE,
            Self::GetQueueNum => Code::GET_QUEUE_NUM,
            Self::SetMemTable(_) => Code::SET_MEM_TABLE,
            Self::GetMaxMemSlots => Code::GET_MAX_MEM_SLOTS,
            Self::AddMemReg(_) => Code::ADD_MEM_REG,
            Self::RemMemReg(_) => Code::REM_MEM_REG,
            Self::SetLogBase(..) | Self::SetLogAddress(_) => Code::SET_LOG_BASE,
            Self::SetLogFd(_) => Code::SET_LOG_FD,
            Self::SetVringNum { .. } => Code::SET_VRING_NUM,
            Self::SetVringAddr(_) => Code::SET_VRING_ADDR,
            Self::SetVringBase { .. } => Code::SET_VRING_BASE,
            Self::GetVringBase { .. } => Code::GET_VRING_BASE,
            Self::SetVringKick(_) => Code::SET_VRING_KICK,
            Self::SetVringCall(_) => Code::SET_VRING_CALL,
            Self::SetVringErr(_) => Code::SET_VRING_ERR,
            Self::SetVringEnable { .. } => Code::SET_VRING_ENABLE,
            Self::SendRarp(_) => Code::SEND_RARP,
            Self::NetSetMtu(_) => Code::NET_SET_MTU,
            Self::SetBackendReqFd(_) => Code::SET_BACKEND_REQ_FD,
            Self::GetConfig(_) => Code::GET_CONFIG,
            Self::SetConfig { .. } => Code::SET_CONFIG,
            Self::GetInflightFd(_) => Code::GET_INFLIGHT_FD,
            Self::SetInflightFd(..) => Code::SET_INFLIGHT_FD,
            Self::SetStatus(_) => Code::SET_STATUS,
            Self::GetStatus => Code::GET_STATUS,
            Self::Unsupported(code) => *code,
        }
    }
}
