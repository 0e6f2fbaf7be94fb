//! Guests and NICs.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use wire::MacAddr;

use super::choice::choice;
use super::text;
use crate::validate::limits::MTU_DEFAULT;

/// A NIC's name: its guest's, a slash, its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct NicName {
    guest: String,
    nic: String,
}

/// A text that is not `guest/nic`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("NIC name {0:?} is not a guest and a NIC joined by one slash")]
pub struct ParseNicNameError(pub String);

impl NicName {
    /// The name of this guest's NIC. Neither part may have a slash, and none in a topology has.
    pub fn of(guest: &str, nic: &str) -> NicName {
        debug_assert!(!guest.contains('/') && !nic.contains('/'));
        NicName {
            guest: guest.to_owned(),
            nic: nic.to_owned(),
        }
    }

    /// The guest's name.
    pub fn guest(&self) -> &str {
        &self.guest
    }

    /// The NIC's own name.
    pub fn nic(&self) -> &str {
        &self.nic
    }
}

impl fmt::Display for NicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.guest, self.nic)
    }
}

impl FromStr for NicName {
    type Err = ParseNicNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((guest, nic)) if !guest.is_empty() && !nic.is_empty() && !nic.contains('/') => {
                Ok(NicName::of(guest, nic))
            }
            _ => Err(ParseNicNameError(text.chars().take(200).collect())),
        }
    }
}

impl From<NicName> for String {
    fn from(name: NicName) -> String {
        name.to_string()
    }
}

impl TryFrom<String> for NicName {
    type Error = ParseNicNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// A guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Guest {
    /// What it is, and so who makes its devices.
    pub kind: GuestKind,
    /// For an attached guest: its network namespace, when already known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<PathBuf>,
    /// Its NICs; the first is the primary one and carries the default route.
    pub nics: Vec<Nic>,
}

choice! {
    /// What a guest is.
    pub enum GuestKind {
        /// A network namespace that the agent makes.
        Netns = "netns",
        /// A TAP device for a virtual machine.
        Tap = "tap",
        /// A container: its namespace is somebody else's, and is attached.
        Attached = "attached",
    }
}

/// A NIC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Nic {
    /// Its name, unique in its guest.
    pub name: String,
    /// Its virtual network.
    pub vnet: String,
    /// Its subnet.
    pub subnet: String,
    /// Its addresses, the first of a family being the primary one.
    pub addresses: Vec<NicAddress>,
    /// Its Ethernet address.
    #[serde(with = "text::mac")]
    pub mac: MacAddr,
    /// Its network security group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nsg: Option<String>,
    /// The application security groups it is a member of.
    pub asgs: Vec<String>,
    /// Whether its flows may be executed by an engine rather than by the switch.
    pub accelerated_networking: bool,
    /// Whether it may send and receive packets that are not its own.
    pub ip_forwarding: bool,
    /// The largest IP packet it takes, in bytes; what is absent follows from the host
    /// ([`Nic::mtu_within`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
}

impl Nic {
    /// The largest IP packet the NIC takes: what the topology says; else 1500, or less where the
    /// way to other hosts takes less, so that a guest has one MTU that fits everywhere.
    pub fn mtu_within(&self, uplink_mtu: Option<u16>) -> u16 {
        let fitting = uplink_mtu.map_or(MTU_DEFAULT, |uplink| uplink.min(MTU_DEFAULT));
        self.mtu.unwrap_or(fitting)
    }
}

/// An address of a NIC, and what its guest needs to use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NicAddress {
    /// The address.
    pub address: IpAddr,
    /// The length of its subnet's prefix.
    pub prefix_length: u8,
    /// The subnet's gateway.
    pub gateway: IpAddr,
}

impl NicAddress {
    /// The range of its subnet.
    pub fn subnet(&self) -> Option<IpNet> {
        Some(IpNet::new(self.address, self.prefix_length).ok()?.trunc())
    }
}
