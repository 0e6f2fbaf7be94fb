//! Feature bits: virtio-net's (virtio 1.2, 5.1.3), and vhost-user's own.

use std::fmt;
use std::ops::BitOr;

use vring::features::Features as RingFeatures;

macro_rules! bits {
    ($name:ident: $($(#[$doc:meta])+ $flag:ident = $bit:literal,)*) => {
        impl $name {
            $($(#[$doc])+ pub const $flag: Self = Self(1 << $bit);)*

            const NAMES: &[(Self, &str)] = &[$((Self::$flag, stringify!($flag)),)*];

            /// Whether every bit of `other` is in the set.
            #[must_use]
            pub const fn has(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// The set without the bits of `other`.
            #[must_use]
            pub const fn without(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }

            /// The bits that are in both sets.
            #[must_use]
            pub const fn both(self, other: Self) -> Self {
                Self(self.0 & other.0)
            }

            /// Both sets together.
            #[must_use]
            pub const fn with(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// The names of the bits, in their order; bits without a name by number.
            pub fn names(self) -> impl Iterator<Item = String> {
                (0..u64::BITS).filter(move |bit| self.0 >> bit & 1 == 1).map(|bit| {
                    let known = Self::NAMES.iter().find(|(flag, _)| flag.0 == 1 << bit);
                    known.map_or_else(|| format!("BIT_{bit}"), |(_, name)| (*name).to_owned())
                })
            }
        }

        impl BitOr for $name {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                self.with(other)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.names().collect::<Vec<_>>().join(" "))
            }
        }
    };
}

/// Virtio features of a network device and of its rings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NetFeatures(pub u64);

/// vhost-user's protocol features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProtocolFeatures(pub u64);

bits! { NetFeatures:
    /// The device takes frames whose checksum is not computed yet.
    CSUM = 0,
    /// The driver takes frames whose checksum is not computed yet.
    GUEST_CSUM = 1,
    /// The device tells the greatest MTU.
    MTU = 3,
    /// The device has a MAC address.
    MAC = 5,
    /// The driver takes TCP segments over IPv4 that are yet to be cut.
    GUEST_TSO4 = 7,
    /// The driver takes TCP segments over IPv6 that are yet to be cut.
    GUEST_TSO6 = 8,
    /// The driver takes such segments with congestion marks.
    GUEST_ECN = 9,
    /// The device takes TCP segments over IPv4 that are yet to be cut.
    HOST_TSO4 = 11,
    /// The device takes TCP segments over IPv6 that are yet to be cut.
    HOST_TSO6 = 12,
    /// The device takes such segments with congestion marks.
    HOST_ECN = 13,
    /// A frame to the driver may fill several buffers.
    MRG_RXBUF = 15,
    /// The configuration space has a link status.
    STATUS = 16,
    /// There is a control queue.
    CTRL_VQ = 17,
    /// The control queue takes receive modes.
    CTRL_RX = 18,
    /// The control queue takes VLAN filters.
    CTRL_VLAN = 19,
    /// The driver can announce itself when asked to.
    GUEST_ANNOUNCE = 21,
    /// There are several queue pairs.
    MQ = 22,
    /// The control queue takes a MAC address.
    CTRL_MAC_ADDR = 23,
    /// Writes are to be marked in the migration log (vhost).
    LOG_ALL = 26,
    /// Descriptors may be laid out at the driver's will.
    ANY_LAYOUT = 27,
    /// A descriptor may refer to a table of descriptors.
    INDIRECT_DESC = 28,
    /// Each side says from which index on it wants to be notified.
    EVENT_IDX = 29,
    /// There are protocol features (vhost-user; an unused bit of virtio).
    PROTOCOL_FEATURES = 30,
    /// The device follows virtio 1.0 or later.
    VERSION_1 = 32,
    /// Rings are packed.
    RING_PACKED = 34,
    /// Buffers are used in the order in which they were made available.
    IN_ORDER = 35,
    /// The driver takes UDP datagrams over IPv4 that are yet to be cut.
    GUEST_USO4 = 54,
    /// The driver takes UDP datagrams over IPv6 that are yet to be cut.
    GUEST_USO6 = 55,
    /// The device takes UDP datagrams that are yet to be cut.
    HOST_USO = 56,
    /// The device is the standby of another one with the same MAC address.
    STANDBY = 62,
}

bits! { ProtocolFeatures:
    /// More than one queue pair.
    MQ = 0,
    /// The migration log is shared memory.
    LOG_SHMFD = 1,
    /// The back end announces a migrated guest.
    RARP = 2,
    /// A request can ask for a reply.
    REPLY_ACK = 3,
    /// The front end sets the MTU.
    MTU = 4,
    /// The back end can make requests.
    BACKEND_REQ = 5,
    /// The back end has the configuration space.
    CONFIG = 9,
    /// Descriptors in flight are tracked in shared memory.
    INFLIGHT_SHMFD = 12,
    /// The device can be reset.
    RESET_DEVICE = 13,
    /// Memory regions are added and removed one by one.
    CONFIGURE_MEM_SLOTS = 15,
    /// The device status is passed on.
    STATUS = 16,
}

impl NetFeatures {
    /// What the guest's driver and the data path can do for each other's checksums and segments,
    /// UDP's aside.
    pub const OFFLOADS: Self = Self(
        Self::CSUM.0
            | Self::GUEST_CSUM.0
            | Self::GUEST_TSO4.0
            | Self::GUEST_TSO6.0
            | Self::GUEST_ECN.0
            | Self::HOST_TSO4.0
            | Self::HOST_TSO6.0
            | Self::HOST_ECN.0,
    );

    /// UDP segments, which kernels before 6.2 know nothing of.
    pub const UDP_OFFLOADS: Self = Self(Self::GUEST_USO4.0 | Self::GUEST_USO6.0 | Self::HOST_USO.0);

    /// What every device of ours can do: rings, mergeable buffers, several queue pairs, logging.
    pub const BASE: Self = Self(
        RingFeatures::SUPPORTED.0
            | Self::ANY_LAYOUT.0
            | Self::MRG_RXBUF.0
            | Self::MAC.0
            | Self::STATUS.0
            | Self::GUEST_ANNOUNCE.0
            | Self::PROTOCOL_FEATURES.0,
    );

    /// The bits that concern rings.
    #[must_use]
    pub const fn rings(self) -> RingFeatures {
        RingFeatures(self.0 & RingFeatures::SUPPORTED.0)
    }
}

impl ProtocolFeatures {
    /// All that is implemented. Not among them: `CROSS_ENDIAN` (this and the guest's machine are
    /// little endian), `PAGEFAULT` (post-copy), `INBAND_NOTIFICATIONS`, and `BACKEND_SEND_FD` (nothing
    /// that is asked of a front end here has a descriptor).
    pub const SUPPORTED: Self = Self(
        Self::MQ.0
            | Self::LOG_SHMFD.0
            | Self::RARP.0
            | Self::REPLY_ACK.0
            | Self::MTU.0
            | Self::BACKEND_REQ.0
            | Self::CONFIG.0
            | Self::INFLIGHT_SHMFD.0
            | Self::RESET_DEVICE.0
            | Self::CONFIGURE_MEM_SLOTS.0
            | Self::STATUS.0,
    );
}

#[cfg(test)]
mod tests;
