//! The rule layers of NICs, equal ones made and kept once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ipnet::IpNet;
use policy::input::{Access, AddressSet, Layer, RuleInput, RuleSetInput};

use super::expansions::StillTrue;
use super::keep;
use crate::effective::{AdminRules, Members, Scope, names_platform, rule_input, rule_set};
use crate::topology::{Direction, Nic, Topology, Vnet};

type Layers = Vec<Arc<RuleSetInput>>;

/// The name of the layer made from security admin rules.
const ADMIN: &str = "securityAdminRules";
/// The name of the layer that keeps forwarded packets out of networks that do not take them.
const FORWARDED: &str = "allowForwardedTraffic";

pub(super) struct RuleSets<'t> {
    topology: &'t Topology,
    before: &'t StillTrue<'t>,
    members: Members<'t>,
    /// What was expanded: a group, in a direction, as a layer, seen from a subnet.
    made: HashMap<Key<'t>, Arc<RuleSetInput>>,
    kept: HashSet<Arc<RuleSetInput>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key<'t> {
    pub(super) group: &'t str,
    direction: Direction,
    layer: Layer,
    vnet: &'t str,
    subnet: &'t str,
}

/// A key that outlives its topology.
#[derive(Clone, Debug)]
pub(super) struct OwnedKey {
    group: String,
    direction: Direction,
    layer: Layer,
    vnet: String,
    subnet: String,
}

impl OwnedKey {
    pub(super) fn borrowed(&self) -> Key<'_> {
        Key {
            group: &self.group,
            direction: self.direction,
            layer: self.layer,
            vnet: &self.vnet,
            subnet: &self.subnet,
        }
    }
}

impl From<Key<'_>> for OwnedKey {
    fn from(key: Key<'_>) -> OwnedKey {
        OwnedKey {
            group: key.group.to_owned(),
            direction: key.direction,
            layer: key.layer,
            vnet: key.vnet.to_owned(),
            subnet: key.subnet.to_owned(),
        }
    }
}

impl<'t> RuleSets<'t> {
    /// Of this topology, with what is true of it from the one before.
    pub(super) fn of(topology: &'t Topology, before: &'t StillTrue<'t>) -> RuleSets<'t> {
        let members = Members::of(topology);
        RuleSets {
            topology,
            before,
            members,
            made: HashMap::new(),
            kept: HashSet::new(),
        }
    }

    /// What was expanded.
    pub(super) fn into_made(self) -> Vec<(OwnedKey, Arc<RuleSetInput>)> {
        let made = self.made.into_iter();
        made.map(|(key, set)| (key.into(), set)).collect()
    }

    /// What packets from this NIC pass, and what packets to it pass.
    pub(super) fn of_nic(&mut self, nic: &'t Nic) -> (Layers, Layers) {
        let subnet_group = self
            .topology
            .subnet_of(nic)
            .and_then(|(_, subnet)| subnet.nsg.as_ref());
        let own = nic.nsg.as_deref().map(|group| (group, Layer::NicGroup));
        let subnet = subnet_group.map(|group| (group.as_str(), Layer::SubnetGroup));
        let mut outbound: Layers = self.forwarded(nic).into_iter().collect();
        outbound.extend(self.admin(nic, Direction::Outbound));
        for (group, layer) in own.into_iter().chain(subnet) {
            outbound.extend(self.group(nic, group, Direction::Outbound, layer));
        }
        let mut inbound: Layers = self.admin(nic, Direction::Inbound).into_iter().collect();
        for (group, layer) in subnet.into_iter().chain(own) {
            inbound.extend(self.group(nic, group, Direction::Inbound, layer));
        }
        (outbound, inbound)
    }

    fn group(
        &mut self,
        nic: &'t Nic,
        group: &'t str,
        direction: Direction,
        layer: Layer,
    ) -> Option<Arc<RuleSetInput>> {
        let key = Key {
            group,
            direction,
            layer,
            vnet: &nic.vnet,
            subnet: &nic.subnet,
        };
        if let Some(made) = self.made.get(&key) {
            return Some(Arc::clone(made));
        }
        if let Some(same) = self.before.group(&key, self.topology) {
            self.made.insert(key, Arc::clone(&same));
            return Some(same);
        }
        let scope = Scope::of(self.topology, &nic.vnet, &nic.subnet, &self.members)?;
        let rules = &self.topology.nsgs.get(group)?.rules;
        let set = keep(
            &mut self.kept,
            rule_set(group, rules, direction, layer, &scope),
        );
        self.made.insert(key, Arc::clone(&set));
        Some(set)
    }

    fn admin(&mut self, nic: &'t Nic, direction: Direction) -> Option<Arc<RuleSetInput>> {
        let layer = Layer::SecurityAdmin;
        let key = Key {
            group: ADMIN,
            direction,
            layer,
            vnet: &nic.vnet,
            subnet: &nic.subnet,
        };
        if let Some(made) = self.made.get(&key) {
            return Some(Arc::clone(made));
        }
        if let Some(same) = self.before.admin(&key) {
            self.made.insert(key, Arc::clone(&same));
            return Some(same);
        }
        let AdminRules(rules) =
            AdminRules::of(&self.topology.security_admin_rules, &nic.vnet, direction);
        if rules.is_empty() {
            return None;
        }
        let scope = Scope::of(self.topology, &nic.vnet, &nic.subnet, &self.members)?;
        let set = RuleSetInput {
            name: ADMIN.to_owned(),
            layer,
            covers_platform: rules.iter().any(|rule| names_platform(rule)),
            rules: rules
                .into_iter()
                .map(|rule| rule_input(rule, &scope))
                .collect(),
        };
        let set = keep(&mut self.kept, set);
        self.made.insert(key, Arc::clone(&set));
        Some(set)
    }

    /// A network takes from a peer only what started there, unless its side of the peering says
    /// otherwise. Only a NIC that forwards can send anything else, so the check is on its way out.
    fn forwarded(&mut self, nic: &Nic) -> Option<Arc<RuleSetInput>> {
        if !nic.ip_forwarding {
            return None;
        }
        let network = self.topology.vnets.get(&nic.vnet)?;
        let mut rules = Vec::new();
        for (name, _, remote) in self.topology.connected(network) {
            let their_side = remote.peerings.get(&nic.vnet);
            if !their_side.is_some_and(|peering| peering.allow_forwarded_traffic) {
                rules.extend(own_only(name, network, remote, rules.len()));
            }
        }
        if rules.is_empty() {
            return None;
        }
        let set = RuleSetInput {
            name: FORWARDED.to_owned(),
            layer: Layer::SecurityAdmin,
            covers_platform: false,
            rules,
        };
        Some(keep(&mut self.kept, set))
    }
}

/// To the peer's addresses: from our own ones, yes; from others, no.
fn own_only(peer: &str, own: &Vnet, remote: &Vnet, position: usize) -> [RuleInput; 2] {
    let rule = |access, source: Option<&[IpNet]>, offset: usize| RuleInput {
        name: peer.to_owned(),
        // At most 500 peers, so far below the largest number.
        priority: u16::try_from(position + offset).unwrap_or(u16::MAX),
        access,
        protocols: Vec::new(),
        source: source.map_or(AddressSet::Any, |own| AddressSet::Prefixes(own.to_vec())),
        destination: AddressSet::Prefixes(remote.address_space.clone()),
        source_ports: Vec::new(),
        destination_ports: Vec::new(),
    };
    [
        rule(Access::Allow, Some(&own.address_space), 0),
        rule(Access::Deny, None, 1),
    ]
}
