//! What rule sets and route tables were expanded to for the topology before, so that a change costs
//! what it concerns: what is the same keeps its place in memory, by which the policy's compiler knows
//! it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use flow::PortId;
use policy::input::{PolicyInput, RouteTableInput, RuleSetInput};

use super::rule_sets::{Key, OwnedKey};
use super::{Generations, compile_after};
use crate::topology::{NicName, Topology};

/// The expansions for one topology. By default there are none.
#[derive(Clone, Debug, Default)]
pub struct Expansions {
    pub(super) topology: Arc<Topology>,
    pub(super) rule_sets: Vec<(OwnedKey, Arc<RuleSetInput>)>,
    /// By virtual network and subnet.
    pub(super) route_tables: Vec<((String, String), Arc<RouteTableInput>)>,
}

impl Expansions {
    /// As [`compile()`](super::compile), after the topology this was called with last.
    pub fn compile(
        &mut self,
        topology: &Arc<Topology>,
        ports: &BTreeMap<NicName, PortId>,
        generations: &Generations,
        underlay_mtu: Option<u16>,
    ) -> PolicyInput {
        let (input, rule_sets, route_tables) =
            compile_after(self, topology, ports, generations, underlay_mtu);
        *self = Expansions {
            topology: Arc::clone(topology),
            rule_sets,
            route_tables,
        };
        input
    }

    /// What of this is true of `topology` as well.
    pub(super) fn still_true(&self, topology: &Topology) -> StillTrue<'_> {
        let before = &*self.topology;
        // What names stand for, seen from a subnet, and where its routes lead.
        let same = before.vnets == topology.vnets
            && before.route_tables == topology.route_tables
            && before.service_tags == topology.service_tags
            && before.guests == topology.guests;
        let rule_sets = self.rule_sets.iter().filter(|_| same);
        let route_tables = self.route_tables.iter().filter(|_| same);
        StillTrue {
            topology: before,
            same_admin_rules: before.security_admin_rules == topology.security_admin_rules,
            rule_sets: rule_sets.map(|(key, set)| (key.borrowed(), set)).collect(),
            route_tables: route_tables
                .map(|((vnet, subnet), table)| ((vnet.as_str(), subnet.as_str()), table))
                .collect(),
        }
    }
}

/// Expansions that hold unless their own rules have changed.
pub(super) struct StillTrue<'p> {
    topology: &'p Topology,
    same_admin_rules: bool,
    rule_sets: HashMap<Key<'p>, &'p Arc<RuleSetInput>>,
    route_tables: HashMap<(&'p str, &'p str), &'p Arc<RouteTableInput>>,
}

impl StillTrue<'_> {
    /// The expansion of a group, if it has these rules still.
    pub(super) fn group(&self, key: &Key<'_>, topology: &Topology) -> Option<Arc<RuleSetInput>> {
        let set = self.rule_sets.get(key)?;
        let same = self.topology.nsgs.get(key.group) == topology.nsgs.get(key.group);
        same.then(|| Arc::clone(set))
    }

    /// That of the security admin rules.
    pub(super) fn admin(&self, key: &Key<'_>) -> Option<Arc<RuleSetInput>> {
        let set = self.rule_sets.get(key).filter(|_| self.same_admin_rules)?;
        Some(Arc::clone(set))
    }

    /// The routes of a subnet.
    pub(super) fn routes(&self, vnet: &str, subnet: &str) -> Option<Arc<RouteTableInput>> {
        Some(Arc::clone(self.route_tables.get(&(vnet, subnet))?))
    }
}

#[cfg(test)]
mod tests;
