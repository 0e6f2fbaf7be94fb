//! Why a request is refused, and what ends a session.

use vring::inflight::InflightError;
use vring::memory::MemoryError;
use vring::queue::StartError;

use super::config::MTU_MIN;
use crate::features::{NetFeatures, ProtocolFeatures};
use crate::notifier::NotifierError;
use crate::protocol::Code;

/// What a front end asked for that cannot be had now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A request with no meaning here.
    #[error("{0} not supported")]
    Unsupported(Code),
    /// A request whose feature was not negotiated.
    #[error("{code} without {feature}")]
    NotNegotiated {
        /// The request.
        code: Code,
        /// Its feature.
        feature: ProtocolFeatures,
    },
    /// Virtio features that were not on offer.
    #[error("features {0} not on offer")]
    Features(NetFeatures),
    /// Other virtio features while rings run.
    #[error("features changed by {0} while rings run")]
    FeaturesFixed(NetFeatures),
    /// Protocol features that were not on offer.
    #[error("protocol features {0} not on offer")]
    ProtocolFeatures(ProtocolFeatures),
    /// A ring that the device does not have.
    #[error("ring {0} unknown")]
    RingUnknown(u32),
    /// A change that a running ring cannot have, or that no ring may be running for.
    #[error("ring {0} running")]
    RingRunning(u16),
    /// No such size.
    #[error("ring {index} of {num} descriptors")]
    RingSize {
        /// The ring.
        index: u16,
        /// Descriptors.
        num: u32,
    },
    /// A ring that cannot be started as it was described.
    #[error("ring {index} not started: {source}")]
    RingStart {
        /// The ring.
        index: u16,
        /// Why.
        source: StartError,
    },
    /// A descriptor that cannot be used to notify.
    #[error("ring {index}: {source}")]
    RingNotifier {
        /// The ring.
        index: u16,
        /// Why.
        source: NotifierError,
    },
    /// Memory that cannot be shared, or is not.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// More memory than one front end may share.
    #[error("{0} bytes of memory shared, above {max}", max = super::MEMORY_BYTES_MAX)]
    MemorySize(u64),
    /// A migration log that cannot be mapped.
    #[error("migration log: {0}")]
    Log(MemoryError),
    /// A migration log that no descriptor came with.
    #[error("migration log without shared memory")]
    LogNotShared,
    /// An area for descriptors in flight that cannot be used.
    #[error("in-flight area: {0}")]
    Inflight(InflightError),
    /// A change of the configuration space. What is in it comes from the topology.
    #[error("configuration space written at {offset}")]
    ConfigWrite {
        /// First byte.
        offset: u32,
    },
    /// An MTU below 68, or above the device's.
    #[error("MTU {mtu}, not {MTU_MIN} to {max}")]
    Mtu {
        /// What was asked for.
        mtu: u64,
        /// The device's.
        max: u16,
    },
    /// A device status of more than 8 bits.
    #[error("device status {0:#x}")]
    Status(u64),
}

/// What a session cannot go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// A refusal that there was no reply to tell by.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A request while another waits for queues, or after the end.
    #[error("session busy")]
    Busy,
    /// A queue that this session did not hand out.
    #[error("queue {0} of another session")]
    NotOurs(u16),
}

impl Refusal {
    /// The name of the counter of this kind of refusal.
    #[must_use]
    pub const fn counter(&self) -> &'static str {
        match self {
            Self::Unsupported(_) => "request_unsupported",
            Self::NotNegotiated { .. } => "request_not_negotiated",
            Self::Features(_) => "features_not_offered",
            Self::FeaturesFixed(_) => "features_while_running",
            Self::ProtocolFeatures(_) => "protocol_features_not_offered",
            Self::RingUnknown(_) => "ring_unknown",
            Self::RingRunning(_) => "ring_running",
            Self::RingSize { .. } => "ring_size",
            Self::RingStart { .. } => "ring_not_started",
            Self::RingNotifier { .. } => "ring_notifier",
            Self::Memory(_) => "memory_refused",
            Self::MemorySize(_) => "memory_too_large",
            Self::Log(_) => "log_refused",
            Self::LogNotShared => "log_not_shared",
            Self::Inflight(_) => "inflight_refused",
            Self::ConfigWrite { .. } => "config_write_refused",
            Self::Mtu { .. } => "mtu_refused",
            Self::Status(_) => "status_refused",
        }
    }
}

impl SessionError {
    /// The name of the counter of this kind of error.
    #[must_use]
    pub const fn counter(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.counter(),
            Self::Busy => "session_busy",
            Self::NotOurs(_) => "queue_not_ours",
        }
    }
}
