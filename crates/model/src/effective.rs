//! Rules and routes as one NIC sees them, in the shapes of the cloud's API.
//!
//! The same expansion is what [`crate::compile()`](crate::compile::compile) makes the policy from.

mod groups;
mod routes;
mod scope;
mod shapes;

use policy::input::{AddressSet, Layer, RuleInput, RuleSetInput};

use crate::topology::{Direction, Nic, NicName, SecurityRule, Topology};

pub(crate) use self::groups::{AdminRules, names_platform};
use self::groups::{DEFAULT_RULES, protocol_numbers};
pub(crate) use self::routes::{Hop, Origin, routes_of};
pub(crate) use self::scope::{Members, Scope};
pub use self::shapes::{
    Association, EffectiveNetworkSecurityGroup, EffectiveNextHopType, EffectiveRoute,
    EffectiveRouteSource, EffectiveRouteState, EffectiveRoutes, EffectiveRules,
    EffectiveSecurityRule, Reference,
};

/// The effective route table of a NIC; `None` when the topology has no such NIC.
pub fn effective_routes(topology: &Topology, nic: &NicName) -> Option<EffectiveRoutes> {
    let nic = topology.nic(nic)?;
    let routes = routes_of(topology, &nic.vnet, &nic.subnet)?;
    Some(EffectiveRoutes {
        value: shapes::route_rows(&routes),
    })
}

/// The effective network security groups of a NIC, the subnet's first; `None` when the topology
/// has no such NIC.
pub fn effective_rules(topology: &Topology, name: &NicName) -> Option<EffectiveRules> {
    let nic = topology.nic(name)?;
    let (_, subnet) = topology.subnet_of(nic)?;
    let members = Members::of(topology);
    let scope = Scope::of(topology, &nic.vnet, &nic.subnet, &members)?;
    let mut value = Vec::new();
    if let Some(group) = subnet
        .nsg
        .as_ref()
        .and_then(|group| topology.nsgs.get_key_value(group))
    {
        let place = Association::subnet(&nic.vnet, &nic.subnet);
        value.push(shapes::group(group, place, &scope));
    }
    if let Some(group) = nic
        .nsg
        .as_ref()
        .and_then(|group| topology.nsgs.get_key_value(group))
    {
        value.push(shapes::group(group, Association::nic(name), &scope));
    }
    Some(EffectiveRules { value })
}

/// The rules of one group in one direction, the default ones last, as policy input.
pub(crate) fn rule_set(
    name: &str,
    rules: &[SecurityRule],
    direction: Direction,
    layer: Layer,
    scope: &Scope<'_>,
) -> RuleSetInput {
    let defaults: Vec<SecurityRule> = DEFAULT_RULES
        .iter()
        .map(groups::DefaultRule::rule)
        .collect();
    let rules: Vec<&SecurityRule> = rules
        .iter()
        .chain(&defaults)
        .filter(|rule| rule.direction == direction)
        .collect();
    RuleSetInput {
        name: name.to_owned(),
        layer,
        covers_platform: rules.iter().any(|rule| names_platform(rule)),
        rules: rules
            .into_iter()
            .map(|rule| rule_input(rule, scope))
            .collect(),
    }
}

/// One rule with its names expanded.
pub(crate) fn rule_input(rule: &SecurityRule, scope: &Scope<'_>) -> RuleInput {
    let ports = |ranges: &[crate::PortRange]| {
        ranges
            .iter()
            .map(|range| range.first..=range.last)
            .collect()
    };
    RuleInput {
        name: rule.name.clone(),
        priority: rule.priority,
        access: groups::access(rule.access),
        protocols: protocol_numbers(rule.protocol).to_vec(),
        source: scope.expand(&rule.source),
        destination: scope.expand(&rule.destination),
        source_ports: ports(&rule.source_ports),
        destination_ports: ports(&rule.destination_ports),
    }
}

/// The prefixes of a set, for people: all addresses are both families' everything.
fn listed(set: &AddressSet) -> Vec<String> {
    match set {
        AddressSet::Any => vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()],
        AddressSet::Prefixes(prefixes) => prefixes.iter().map(ToString::to_string).collect(),
    }
}

/// The NIC and everything about it that its packets' paths depend on.
pub(crate) fn own_addresses(nic: &Nic) -> Vec<std::net::IpAddr> {
    nic.addresses.iter().map(|own| own.address).collect()
}

#[cfg(test)]
mod tests;
