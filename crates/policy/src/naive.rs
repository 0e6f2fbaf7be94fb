//! The oracle: the same decisions as the compiled form's, by linear scans over the input itself.
//!
//! It shares no code with the compiled form, checks nothing and takes as long as it takes. Tests
//! compare the two; nothing else should use it.

use std::net::IpAddr;

use crate::input::{
    Access, AddressSet, Layer, MappingTarget, NextHop, NicInput, PolicyInput, RouteInput,
    RouteTableInput, RuleInput, RuleSetInput, VnetId,
};
use crate::{Judgement, Tuple};

/// What the layers of one direction say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The outcome.
    pub judgement: Judgement,
    /// Every layer that was asked, in order, with the index of the rule that decided it.
    pub layers: Vec<(Layer, Option<usize>)>,
}

/// Judges a packet from the guest.
pub fn outbound(nic: &NicInput, tuple: &Tuple) -> Decision {
    decide(nic.outbound.iter().map(|set| &**set), tuple)
}

/// Judges a packet to the guest.
pub fn inbound(nic: &NicInput, tuple: &Tuple) -> Decision {
    decide(nic.inbound.iter().map(|set| &**set), tuple)
}

/// All routes that match, best first: the first is taken.
pub fn routes(table: &RouteTableInput, destination: IpAddr) -> Vec<&RouteInput> {
    let mut matching: Vec<&RouteInput> = table
        .routes
        .iter()
        .filter(|route| route.prefix.contains(&destination))
        .collect();
    // Stable: of routes equal in both, the first in the input stays first.
    matching.sort_by(|a, b| {
        let longer = b.prefix.prefix_len().cmp(&a.prefix.prefix_len());
        longer.then(a.source.cmp(&b.source))
    });
    matching
}

/// Where an address of a network is.
pub fn mapping(policy: &PolicyInput, vnet: VnetId, address: IpAddr) -> Option<MappingTarget> {
    let mut mappings = policy.mappings.iter();
    let found = mappings.find(|mapping| mapping.vnet == vnet && mapping.address == address);
    found.map(|mapping| mapping.target)
}

/// Where the virtual appliance with this address is, as `nic` sees it.
pub fn appliance(policy: &PolicyInput, nic: &NicInput, address: IpAddr) -> Option<MappingTarget> {
    mapping(policy, nic.vnet, address).or_else(|| {
        match routes(&nic.routes, address).first()?.next_hop {
            NextHop::Vnet(peer) => mapping(policy, peer, address),
            _ => None,
        }
    })
}

fn decide<'a>(sets: impl Iterator<Item = &'a RuleSetInput>, tuple: &Tuple) -> Decision {
    let mut layers = Vec::new();
    for set in sets {
        let admin = set.layer == Layer::SecurityAdmin;
        if !admin && !set.covers_platform && (platform(tuple.src) || platform(tuple.dst)) {
            layers.push((set.layer, None));
            continue;
        }
        let index = set.rules.iter().position(|rule| matches(rule, tuple));
        layers.push((set.layer, index));
        let judgement = match index.map(|index| set.rules[index].access) {
            Some(Access::Allow) => continue,
            None if admin => continue,
            Some(Access::AlwaysAllow) => Judgement::Allow,
            Some(Access::Deny) | None => Judgement::Deny(set.layer),
        };
        return Decision { judgement, layers };
    }
    Decision {
        judgement: Judgement::Allow,
        layers,
    }
}

fn platform(address: IpAddr) -> bool {
    address == IpAddr::from([168, 63, 129, 16]) || address == IpAddr::from([169, 254, 169, 254])
}

fn matches(rule: &RuleInput, tuple: &Tuple) -> bool {
    let protocol = rule.protocols.is_empty() || rule.protocols.contains(&tuple.protocol);
    let address = |set: &AddressSet, address: IpAddr| match set {
        AddressSet::Any => true,
        AddressSet::Prefixes(prefixes) => prefixes.iter().any(|prefix| prefix.contains(&address)),
    };
    let ports = tuple.protocol != 6 && tuple.protocol != 17
        || (rule.source_ports.is_empty()
            || rule
                .source_ports
                .iter()
                .any(|range| range.contains(&tuple.source_port)))
            && (rule.destination_ports.is_empty()
                || rule
                    .destination_ports
                    .iter()
                    .any(|r| r.contains(&tuple.destination_port)));
    protocol && address(&rule.source, tuple.src) && address(&rule.destination, tuple.dst) && ports
}
