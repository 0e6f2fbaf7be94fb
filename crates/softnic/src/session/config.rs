//! What a device is, before anybody connects.

use crate::features::NetFeatures;
use crate::net_config::NetConfig;

/// Most queue pairs of a device. A ring's number has 8 bits in some messages.
pub const QUEUE_PAIRS_MAX: u16 = 64;

/// The least MTU (RFC 791: every link carries 68 bytes).
pub(super) const MTU_MIN: u16 = 68;

/// What a device offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceConfig {
    pub(super) net: NetConfig,
    pub(super) offered: NetFeatures,
}

/// Why there is no such device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// None, or more than [`QUEUE_PAIRS_MAX`].
    #[error("{0} queue pairs, not 1 to {QUEUE_PAIRS_MAX}")]
    QueuePairs(u16),
    /// Below 68 bytes.
    #[error("MTU {0} below {MTU_MIN}")]
    Mtu(u16),
    /// Features that are not implemented.
    #[error("features {0} not implemented")]
    Features(NetFeatures),
}

impl DeviceConfig {
    /// A device with the features that all of ours have, and `features` besides:
    /// [`NetFeatures::OFFLOADS`] for most, [`NetFeatures::CTRL_VQ`] and its kin only for a front end
    /// that leaves its control queue to the back end.
    ///
    /// `net.mtu` is also the greatest MTU that a front end may set.
    ///
    /// # Errors
    /// What [`ConfigError`] lists.
    pub fn new(net: NetConfig, features: NetFeatures) -> Result<Self, ConfigError> {
        if !(1..=QUEUE_PAIRS_MAX).contains(&net.queue_pairs) {
            return Err(ConfigError::QueuePairs(net.queue_pairs));
        }
        if net.mtu < MTU_MIN {
            return Err(ConfigError::Mtu(net.mtu));
        }
        let unknown = features.without(Self::optional() | NetFeatures::BASE);
        if unknown != NetFeatures::default() {
            return Err(ConfigError::Features(unknown));
        }
        let mut offered = NetFeatures::BASE | NetFeatures::MTU | features;
        if net.queue_pairs > 1 {
            offered = offered | NetFeatures::MQ;
        }
        Ok(Self { net, offered })
    }

    /// The features that a front end may negotiate.
    #[must_use]
    pub fn offered(&self) -> NetFeatures {
        self.offered
    }

    /// The configuration space.
    #[must_use]
    pub fn net(&self) -> NetConfig {
        self.net
    }

    pub(crate) fn set_link(&mut self, up: bool) {
        self.net.link_up = up;
    }

    /// Rings: two for each pair, and one to control them if that is ours to serve.
    pub(super) fn rings(&self) -> u16 {
        self.net.queue_pairs * 2 + u16::from(self.offered.has(NetFeatures::CTRL_VQ))
    }

    fn optional() -> NetFeatures {
        NetFeatures::OFFLOADS
            | NetFeatures::UDP_OFFLOADS
            | NetFeatures::CTRL_VQ
            | NetFeatures::CTRL_RX
            | NetFeatures::CTRL_VLAN
            | NetFeatures::CTRL_MAC_ADDR
            | NetFeatures::STANDBY
            | NetFeatures::MQ
            | NetFeatures::MTU
    }
}
