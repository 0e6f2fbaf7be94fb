//! Virtual networks, subnets, peerings and route tables.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::choice::choice;

/// A virtual network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Vnet {
    /// Its address ranges, in the order written.
    pub address_space: Vec<IpNet>,
    /// Its VXLAN network identifier, 24 bits.
    pub vni: u32,
    /// Its subnets.
    pub subnets: BTreeMap<String, Subnet>,
    /// Its peerings, by the other network's name.
    pub peerings: BTreeMap<String, Peering>,
    /// What its virtual network gateway has learnt.
    pub gateway_routes: Vec<IpNet>,
    /// The name servers its guests are told of, in the order written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_servers: Vec<IpAddr>,
    /// Whether it counts as a router hop: packets between its NICs lose one from TTL or hop limit.
    pub router_hop: bool,
}

impl Vnet {
    /// The name and the subnet this address is in.
    pub fn subnet_with(&self, address: IpAddr) -> Option<(&str, &Subnet)> {
        let holds = |subnet: &Subnet| subnet.prefix_of(address).is_some();
        let found = self.subnets.iter().find(|(_, subnet)| holds(subnet));
        found.map(|(name, subnet)| (name.as_str(), subnet))
    }
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Subnet {
    /// Its address ranges.
    pub prefixes: Vec<IpNet>,
    /// Its network security group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nsg: Option<String>,
    /// Its route table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route_table: Option<String>,
    /// Service tags whose addresses it reaches directly.
    pub service_endpoints: Vec<String>,
}

impl Subnet {
    /// The range of this subnet that the address is in.
    pub fn prefix_of(&self, address: IpAddr) -> Option<IpNet> {
        self.prefixes
            .iter()
            .find(|prefix| prefix.contains(&address))
            .copied()
    }

    /// The gateway guests send to: the first address after the network's own.
    pub fn gateway(prefix: IpNet) -> IpAddr {
        match prefix.network() {
            IpAddr::V4(network) => IpAddr::V4(Ipv4Addr::from_bits(network.to_bits() | 1)),
            IpAddr::V6(network) => IpAddr::V6(Ipv6Addr::from_bits(network.to_bits() | 1)),
        }
    }
}

/// One side's view of a peering.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Peering {
    /// Whether the other network belongs to the tag `VirtualNetwork` here.
    pub allow_virtual_network_access: bool,
    /// Whether packets may come from the other network that did not start there.
    pub allow_forwarded_traffic: bool,
    /// Connected when both sides have it.
    #[serde(rename = "peeringState")]
    pub state: PeeringState,
}

choice! {
    /// How far a peering is.
    pub enum PeeringState {
        /// Only this side has it: no traffic.
        Initiated = "Initiated",
        /// Both sides have it.
        Connected = "Connected",
    }
}

/// A route table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteTable {
    /// The user-defined routes, in the order written.
    pub routes: Vec<Route>,
    /// Whether its subnets do without what the gateway learnt.
    pub disable_bgp_route_propagation: bool,
}

/// A user-defined route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// Destinations.
    pub target: RouteTarget,
    /// Where they lead.
    pub next_hop_type: NextHopType,
    /// The appliance's address; there exactly for [`NextHopType::VirtualAppliance`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_hop_ip_address: Option<IpAddr>,
}

/// What a user-defined route is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RouteTarget {
    /// One prefix.
    Prefix(IpNet),
    /// The prefixes of a service tag.
    Tag(String),
}

choice! {
    /// Next hops a user can choose.
    pub enum NextHopType {
        /// A guest that forwards.
        VirtualAppliance = "VirtualAppliance",
        /// The virtual network itself.
        VnetLocal = "VnetLocal",
        /// The Internet.
        Internet = "Internet",
        /// The virtual network gateway.
        VirtualNetworkGateway = "VirtualNetworkGateway",
        /// Nowhere: packets are dropped.
        None = "None",
    }
}
