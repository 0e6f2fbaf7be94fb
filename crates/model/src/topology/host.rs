//! The host: its limits, its uplink, and what lives elsewhere.

use std::net::IpAddr;
use std::time::Duration;

use flow::Timeouts;
use serde::{Deserialize, Serialize};
use wire::MacAddr;

use super::text;

/// Settings of the host; what is absent is the agent's to choose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HostSettings {
    /// The most flow directions of all NICs together, two for each connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flows: Option<u32>,
    /// The most flows one NIC may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flows_per_nic: Option<u32>,
    /// The most first packets one NIC may have judged in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exceptions_per_second: Option<u32>,
    /// The most stale flows of one NIC judged anew in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resimulations_per_second: Option<u32>,
    /// How long idle flows are kept.
    pub timeouts: TimeoutSettings,
}

/// Idle times in milliseconds; what is absent keeps its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TimeoutSettings {
    /// For a connection not yet open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_handshake_ms: Option<u64>,
    /// For an open connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_established_ms: Option<u64>,
    /// After a FIN or a reset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_closing_ms: Option<u64>,
    /// For UDP, and protocols without state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<u64>,
    /// For ICMP echo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp_ms: Option<u64>,
    /// For a remembered drop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop_ms: Option<u64>,
    /// For fragments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fragment_ms: Option<u64>,
}

impl TimeoutSettings {
    /// `defaults` with what is set here.
    pub fn over(&self, defaults: Timeouts) -> Timeouts {
        let set = |ms: Option<u64>, default| ms.map_or(default, Duration::from_millis);
        Timeouts {
            tcp_handshake: set(self.tcp_handshake_ms, defaults.tcp_handshake),
            tcp_established: set(self.tcp_established_ms, defaults.tcp_established),
            tcp_closing: set(self.tcp_closing_ms, defaults.tcp_closing),
            idle: set(self.idle_ms, defaults.idle),
            icmp: set(self.icmp_ms, defaults.icmp),
            drop: set(self.drop_ms, defaults.drop),
            fragment: set(self.fragment_ms, defaults.fragment),
        }
    }
}

/// The way to other hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Uplink {
    /// The interface.
    pub interface: String,
    /// Our provider address on it.
    pub provider_address: IpAddr,
    /// The UDP port VXLAN is sent to and received on.
    pub vxlan_port: u16,
}

impl Uplink {
    /// The largest inner IP packet that fits the underlay, whose own MTU is `underlay_mtu`: the
    /// outer IP, UDP and VXLAN headers and the inner Ethernet header are in the way (RFC 7348, 5).
    pub fn mtu(&self, underlay_mtu: u16) -> u16 {
        const UDP_VXLAN_ETHERNET: u16 = 8 + 8 + 14;
        let ip = if self.provider_address.is_ipv4() {
            20
        } else {
            40
        };
        underlay_mtu.saturating_sub(ip + UDP_VXLAN_ETHERNET)
    }
}

/// A customer address on another host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mapping {
    /// The virtual network it belongs to.
    pub vnet: String,
    /// The customer address.
    pub address: IpAddr,
    /// The provider address of its host.
    pub provider: IpAddr,
    /// The NIC's Ethernet address there.
    #[serde(with = "text::mac")]
    pub mac: MacAddr,
    /// Whether frames to it carry the VNI of its own network, or else that of the sender's.
    #[serde(default = "yes")]
    pub use_destination_vni: bool,
}

fn yes() -> bool {
    true
}
