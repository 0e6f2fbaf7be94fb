//! Security rules.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::choice::choice;

/// A network security group: its own rules; the default ones are the same for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Nsg {
    /// By direction and ascending priority.
    pub rules: Vec<SecurityRule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityRule {
    /// Its name, unique in its group.
    pub name: String,
    /// What its author says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Lower goes first; unique in its group and direction.
    pub priority: u16,
    /// Which packets it is for.
    pub direction: Direction,
    /// What a match means.
    pub access: RuleAccess,
    /// The protocol.
    pub protocol: Protocol,
    /// Where from.
    pub source: Endpoint,
    /// From which ports; empty means any.
    pub source_ports: Vec<PortRange>,
    /// Where to.
    pub destination: Endpoint,
    /// To which ports; empty means any.
    pub destination_ports: Vec<PortRange>,
}

/// A security admin rule: judged before all groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdminRule {
    /// The rule.
    #[serde(flatten)]
    pub rule: SecurityRule,
    /// The virtual networks it is for; empty means all.
    pub vnets: Vec<String>,
}

impl AdminRule {
    /// Whether it is for NICs of this virtual network.
    pub fn covers(&self, vnet: &str) -> bool {
        self.vnets.is_empty() || self.vnets.iter().any(|name| name == vnet)
    }
}

choice! {
    /// Direction as the guest sees it.
    pub enum Direction {
        /// To the guest.
        Inbound = "Inbound",
        /// From the guest.
        Outbound = "Outbound",
    }
}

choice! {
    /// What a match means.
    pub enum RuleAccess {
        /// It passes this layer.
        Allow = "Allow",
        /// It passes this and all groups of its direction; admin rules only.
        AlwaysAllow = "AlwaysAllow",
        /// It is dropped.
        Deny = "Deny",
    }
}

choice! {
    /// What a match means in a group.
    pub(crate) enum GroupAccess {
        /// As [`RuleAccess::Allow`].
        Allow = "Allow",
        /// As [`RuleAccess::Deny`].
        Deny = "Deny",
    }
}

impl From<GroupAccess> for RuleAccess {
    fn from(access: GroupAccess) -> RuleAccess {
        match access {
            GroupAccess::Allow => RuleAccess::Allow,
            GroupAccess::Deny => RuleAccess::Deny,
        }
    }
}

choice! {
    /// Protocols a rule can name.
    pub enum Protocol {
        /// TCP.
        Tcp = "Tcp",
        /// UDP.
        Udp = "Udp",
        /// ICMP, and ICMPv6.
        Icmp = "Icmp",
        /// IPsec ESP.
        Esp = "Esp",
        /// IPsec AH.
        Ah = "Ah",
        /// All of them, and every other.
        Any = "*" | "Any",
    }
}

/// One side of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Endpoint {
    /// All addresses of both families.
    Any,
    /// These.
    Prefixes(Vec<IpNet>),
    /// A service tag, of the platform or the author's own.
    Tag(String),
    /// The members of these application security groups.
    Asgs(Vec<String>),
}

/// Ports from the first to the last, both included; `443-443` in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PortRange {
    /// The first.
    pub first: u16,
    /// The last, not before the first.
    pub last: u16,
}

/// As the API prints it: `443-443`.
impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// A text that is not two ports in order, joined by a dash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("port range {0:?} is not two ports in order, joined by a dash")]
pub struct ParsePortRangeError(pub String);

impl From<PortRange> for String {
    fn from(range: PortRange) -> String {
        range.to_string()
    }
}

impl TryFrom<String> for PortRange {
    type Error = ParsePortRangeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let ports = text.split_once('-');
        let ports = ports.and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
        match ports {
            Some((first, last)) if first <= last => Ok(PortRange { first, last }),
            _ => Err(ParsePortRangeError(text)),
        }
    }
}
