//! The resolved topology: nothing absent, nothing to look up that is not there.
//!
//! It is what the agent stores, and what two versions of are compared. Its JSON form is not the
//! document's: see [`crate::topology_schema`] for that.

mod choice;
mod guests;
mod host;
mod networks;
mod rules;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub(crate) use self::choice::Choice;
pub use self::guests::{Guest, GuestKind, Nic, NicAddress, NicName, ParseNicNameError};
pub use self::host::{HostSettings, Mapping, TimeoutSettings, Uplink};
pub use self::networks::{
    NextHopType, Peering, PeeringState, Route, RouteTable, RouteTarget, Subnet, Vnet,
};
pub(crate) use self::rules::GroupAccess;
pub use self::rules::{
    AdminRule, Direction, Endpoint, Nsg, ParsePortRangeError, PortRange, Protocol, RuleAccess,
    SecurityRule,
};

/// A whole topology, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Topology {
    /// What its author calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Virtual networks.
    pub vnets: BTreeMap<String, Vnet>,
    /// Network security groups.
    pub nsgs: BTreeMap<String, Nsg>,
    /// Security admin rules, in ascending priority.
    pub security_admin_rules: Vec<AdminRule>,
    /// Application security groups. Their members are the NICs that list them.
    pub asgs: BTreeSet<String>,
    /// Service tags of the author's own.
    pub service_tags: BTreeMap<String, Vec<IpNet>>,
    /// Route tables.
    pub route_tables: BTreeMap<String, RouteTable>,
    /// Guests.
    pub guests: BTreeMap<String, Guest>,
    /// The way to other hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uplink: Option<Uplink>,
    /// Customer addresses on other hosts, by virtual network and address.
    pub mappings: Vec<Mapping>,
    /// The host's own settings.
    pub host: HostSettings,
}

impl Topology {
    /// Every NIC, by guest name and then in the guest's order.
    pub fn nics(&self) -> impl Iterator<Item = (NicName, &Guest, &Nic)> {
        self.guests.iter().flat_map(|(name, guest)| {
            guest
                .nics
                .iter()
                .map(move |nic| (NicName::of(name, &nic.name), guest, nic))
        })
    }

    /// The NIC of this name.
    pub fn nic(&self, name: &NicName) -> Option<&Nic> {
        self.guests
            .get(name.guest())?
            .nics
            .iter()
            .find(|nic| nic.name == name.nic())
    }

    /// The virtual network and the subnet of a NIC; `None` when it is not of this topology.
    pub fn subnet_of(&self, nic: &Nic) -> Option<(&Vnet, &Subnet)> {
        let vnet = self.vnets.get(&nic.vnet)?;
        Some((vnet, vnet.subnets.get(&nic.subnet)?))
    }

    /// The connected peerings of a virtual network, with the other side.
    pub fn connected<'t>(
        &'t self,
        vnet: &'t Vnet,
    ) -> impl Iterator<Item = (&'t str, &'t Peering, &'t Vnet)> {
        vnet.peerings
            .iter()
            .filter(|(_, peering)| peering.state == PeeringState::Connected)
            .filter_map(|(name, peering)| Some((name.as_str(), peering, self.vnets.get(name)?)))
    }
}
