//! The API's JSON shapes.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::groups::DEFAULT_RULES;
use super::routes::{Hop, Origin, PathRoute};
use super::{Scope, listed, rule_input};
use crate::topology::{
    Direction, Endpoint, NicName, Nsg, PortRange, Protocol, RuleAccess, SecurityRule,
};

/// The answer to "effective route table".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectiveRoutes {
    /// System routes first, then learnt ones, then the user's.
    pub value: Vec<EffectiveRoute>,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveRoute {
    /// The user's name for it.
    pub name: Option<String>,
    /// Where it comes from.
    pub source: EffectiveRouteSource,
    /// Whether it holds.
    pub state: EffectiveRouteState,
    /// Destinations.
    pub address_prefix: Vec<IpNet>,
    /// Where it leads.
    pub next_hop_type: EffectiveNextHopType,
    /// The appliance's address.
    pub next_hop_ip_address: Vec<IpAddr>,
}

/// Where a route comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EffectiveRouteSource {
    /// The platform.
    Default,
    /// Learnt by the gateway.
    VirtualNetworkGateway,
    /// A route table.
    User,
}

/// Whether a route holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EffectiveRouteState {
    /// It does.
    Active,
    /// Another route has the same prefix and goes before it.
    Invalid,
}

/// Where a route leads, as the API prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EffectiveNextHopType {
    /// The virtual network itself.
    VnetLocal,
    /// A peered virtual network.
    VNetPeering,
    /// The gateway.
    VirtualNetworkGateway,
    /// A service, directly.
    VirtualNetworkServiceEndpoint,
    /// The Internet.
    Internet,
    /// A guest that forwards.
    VirtualAppliance,
    /// Nowhere.
    None,
}

/// The answer to "effective security rules".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectiveRules {
    /// The groups that decide about a NIC: its subnet's, its own.
    pub value: Vec<EffectiveNetworkSecurityGroup>,
}

/// One group as a NIC sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveNetworkSecurityGroup {
    /// The group.
    pub network_security_group: Reference,
    /// By what it applies.
    pub association: Association,
    /// Its rules and the default ones.
    pub effective_security_rules: Vec<EffectiveSecurityRule>,
}

/// A resource, by its path in the topology.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Like `nsgs/web`.
    pub id: String,
}

/// What a group is associated with: one of the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Association {
    /// A subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<Reference>,
    /// A NIC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_interface: Option<Reference>,
}

impl Association {
    pub(super) fn subnet(vnet: &str, subnet: &str) -> Association {
        let id = format!("vnets/{vnet}/subnets/{subnet}");
        Association {
            subnet: Some(Reference { id }),
            network_interface: None,
        }
    }

    pub(super) fn nic(name: &NicName) -> Association {
        let id = format!("guests/{}/nics/{}", name.guest(), name.nic());
        Association {
            subnet: None,
            network_interface: Some(Reference { id }),
        }
    }
}

/// One rule, as written and expanded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveSecurityRule {
    /// `securityRules/x` or `defaultSecurityRules/X`.
    pub name: String,
    /// `Tcp`, `Udp`, `Icmp`, `Esp`, `Ah` or `All`.
    pub protocol: String,
    /// The first of the ranges, `0-65535` for all.
    pub source_port_range: String,
    /// The first of the ranges.
    pub destination_port_range: String,
    /// All ranges.
    pub source_port_ranges: Vec<String>,
    /// All ranges.
    pub destination_port_ranges: Vec<String>,
    /// The first as written: a prefix, a tag, `*`; absent when the side is application groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_address_prefix: Option<String>,
    /// Likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_address_prefix: Option<String>,
    /// All as written.
    pub source_address_prefixes: Vec<String>,
    /// Likewise.
    pub destination_address_prefixes: Vec<String>,
    /// What tags and groups stand for here.
    pub expanded_source_address_prefix: Vec<String>,
    /// Likewise.
    pub expanded_destination_address_prefix: Vec<String>,
    /// What a match means.
    pub access: RuleAccess,
    /// The priority.
    pub priority: u16,
    /// The direction.
    pub direction: Direction,
}

/// A row for each state of a route that it has prefixes in.
pub(super) fn route_rows(routes: &[PathRoute]) -> Vec<EffectiveRoute> {
    let row = |route: &PathRoute, state, prefixes: &[IpNet]| EffectiveRoute {
        name: (route.origin == Origin::User).then(|| route.name.clone()),
        source: match route.origin {
            Origin::User => EffectiveRouteSource::User,
            Origin::Gateway => EffectiveRouteSource::VirtualNetworkGateway,
            Origin::System => EffectiveRouteSource::Default,
        },
        state,
        address_prefix: prefixes.to_vec(),
        next_hop_type: next_hop_type(&route.hop),
        next_hop_ip_address: match route.hop {
            Hop::Appliance(address) => vec![address],
            _ => Vec::new(),
        },
    };
    let mut rows = Vec::new();
    for route in routes {
        if !route.active.is_empty() {
            rows.push(row(route, EffectiveRouteState::Active, &route.active));
        }
        if !route.invalid.is_empty() {
            rows.push(row(route, EffectiveRouteState::Invalid, &route.invalid));
        }
    }
    rows
}

fn next_hop_type(hop: &Hop) -> EffectiveNextHopType {
    match hop {
        Hop::Local => EffectiveNextHopType::VnetLocal,
        Hop::Peer(_) => EffectiveNextHopType::VNetPeering,
        Hop::Gateway => EffectiveNextHopType::VirtualNetworkGateway,
        Hop::ServiceEndpoint => EffectiveNextHopType::VirtualNetworkServiceEndpoint,
        Hop::Internet => EffectiveNextHopType::Internet,
        Hop::Appliance(_) => EffectiveNextHopType::VirtualAppliance,
        Hop::None => EffectiveNextHopType::None,
    }
}

pub(super) fn group(
    (name, nsg): (&String, &Nsg),
    association: Association,
    scope: &Scope<'_>,
) -> EffectiveNetworkSecurityGroup {
    let own = nsg
        .rules
        .iter()
        .map(|rule| effective_rule("securityRules", rule, scope));
    let defaults = DEFAULT_RULES
        .iter()
        .map(|default| effective_rule("defaultSecurityRules", &default.rule(), scope));
    EffectiveNetworkSecurityGroup {
        network_security_group: Reference {
            id: format!("nsgs/{name}"),
        },
        association,
        effective_security_rules: own.chain(defaults).collect(),
    }
}

fn effective_rule(kind: &str, rule: &SecurityRule, scope: &Scope<'_>) -> EffectiveSecurityRule {
    let input = rule_input(rule, scope);
    let (source_ports, destination_ports) =
        (ports(&rule.source_ports), ports(&rule.destination_ports));
    let (sources, destinations) = (written(&rule.source), written(&rule.destination));
    EffectiveSecurityRule {
        name: format!("{kind}/{}", rule.name),
        protocol: match rule.protocol {
            Protocol::Any => "All".to_owned(),
            other => other.to_string(),
        },
        source_port_range: source_ports[0].clone(),
        destination_port_range: destination_ports[0].clone(),
        source_port_ranges: source_ports,
        destination_port_ranges: destination_ports,
        source_address_prefix: sources.first().cloned(),
        destination_address_prefix: destinations.first().cloned(),
        source_address_prefixes: sources,
        destination_address_prefixes: destinations,
        expanded_source_address_prefix: listed(&input.source),
        expanded_destination_address_prefix: listed(&input.destination),
        access: rule.access,
        priority: rule.priority,
        direction: rule.direction,
    }
}

/// At least one range.
fn ports(ranges: &[PortRange]) -> Vec<String> {
    if ranges.is_empty() {
        return vec!["0-65535".to_owned()];
    }
    ranges.iter().map(ToString::to_string).collect()
}

fn written(side: &Endpoint) -> Vec<String> {
    match side {
        Endpoint::Any => vec!["*".to_owned()],
        Endpoint::Prefixes(prefixes) => prefixes.iter().map(ToString::to_string).collect(),
        Endpoint::Tag(tag) => vec![tag.clone()],
        Endpoint::Asgs(_) => Vec::new(),
    }
}
