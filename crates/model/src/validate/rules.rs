//! Security rules: references, limits, order.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::guests::Membership;
use super::names::Names;
use super::{limit, limits, shadows, unique};
use crate::diagnostics::{Code, Sink};
use crate::document::{self, Document, Side};
use crate::place::Place;
use crate::topology::{AdminRule, Endpoint, Nsg, Protocol, SecurityRule};

pub(super) fn resolve(
    document: &Document,
    names: &Names<'_>,
    membership: &Membership,
    sink: &mut Sink,
) -> (BTreeMap<String, Nsg>, Vec<AdminRule>) {
    let mut nsgs = BTreeMap::new();
    for (name, nsg) in &document.nsgs {
        limit(
            nsg.rules.len(),
            limits::RULES_PER_NSG_MAX,
            "rules",
            &name.place,
            sink,
        );
        check_order(nsg.rules.iter(), sink);
        check_asg_count(name.place.clone(), nsg, sink);
        let mut rules: Vec<(&document::Rule, SecurityRule)> = nsg
            .rules
            .iter()
            .filter_map(|rule| Some((rule, resolve_rule(rule, names, membership, sink)?)))
            .collect();
        rules.sort_by_key(|(_, rule)| (rule.direction, rule.priority));
        shadows::report(&rules, sink);
        let rules = rules.into_iter().map(|(_, rule)| rule).collect();
        nsgs.insert(name.value.clone(), Nsg { rules });
    }
    (nsgs, admin_rules(document, names, membership, sink))
}

fn admin_rules(
    document: &Document,
    names: &Names<'_>,
    membership: &Membership,
    sink: &mut Sink,
) -> Vec<AdminRule> {
    check_order(
        document
            .security_admin_rules
            .iter()
            .map(|admin| &admin.rule),
        sink,
    );
    let mut rules = Vec::new();
    for admin in &document.security_admin_rules {
        let mut vnets: Vec<String> = admin
            .vnets
            .iter()
            .filter_map(|vnet| Names::known(vnet, &names.vnets, "virtual network", "vnets", sink))
            .collect();
        vnets.sort_unstable();
        vnets.dedup();
        if let Some(rule) = resolve_rule(&admin.rule, names, membership, sink) {
            rules.push(AdminRule { rule, vnets });
        }
    }
    rules.sort_by_key(|admin| (admin.rule.direction, admin.rule.priority));
    rules
}

/// Names once, and priorities once in each direction.
fn check_order<'d>(rules: impl Iterator<Item = &'d document::Rule> + Clone, sink: &mut Sink) {
    unique(rules.clone().map(|rule| &rule.name), "a rule named", sink);
    let mut seen = HashMap::new();
    for rule in rules {
        let slot = (rule.direction, rule.priority.value);
        if let Some(other) = seen.insert(slot, &rule.name.value) {
            let message = format!(
                "priority {} is that of {} rule `{other}` already",
                rule.priority.value, rule.direction
            );
            sink.error(&rule.priority.place, Code::RuleOrder, message);
        }
    }
}

fn check_asg_count(place: Place, nsg: &document::Nsg, sink: &mut Sink) {
    let sides = nsg
        .rules
        .iter()
        .flat_map(|rule| [&rule.source, &rule.destination]);
    let names: HashSet<&str> = sides
        .filter_map(|side| match side {
            Side::Asgs(asgs) => Some(asgs),
            Side::Any | Side::Prefixes(_) | Side::Tag(_) => None,
        })
        .flatten()
        .map(|name| name.value.as_str())
        .collect();
    let what = "application security groups in one network security group";
    limit(names.len(), limits::ASGS_PER_NSG_MAX, what, &place, sink);
}

fn resolve_rule(
    rule: &document::Rule,
    names: &Names<'_>,
    membership: &Membership,
    sink: &mut Sink,
) -> Option<SecurityRule> {
    let ports = rule.source_ports.len().max(rule.destination_ports.len());
    let max = limits::PREFIXES_PER_SIDE_MAX;
    limit(
        ports,
        max,
        "port ranges on one side",
        &rule.name.place,
        sink,
    );
    let portless = matches!(rule.protocol, Protocol::Icmp | Protocol::Esp | Protocol::Ah);
    if portless && ports > 0 {
        let message = format!("ports in a rule for {}, which has none", rule.protocol);
        sink.error(&rule.name.place, Code::Conflict, message);
    }
    check_one_vnet(rule, membership, sink);
    let source = endpoint(&rule.source, &rule.name.place, names, sink);
    let destination = endpoint(&rule.destination, &rule.name.place, names, sink);
    Some(SecurityRule {
        name: rule.name.value.clone(),
        description: rule.description.clone(),
        priority: rule.priority.value,
        direction: rule.direction,
        access: rule.access,
        protocol: rule.protocol,
        source: source?,
        source_ports: rule.source_ports.clone(),
        destination: destination?,
        destination_ports: rule.destination_ports.clone(),
    })
}

fn endpoint(side: &Side, rule: &Place, names: &Names<'_>, sink: &mut Sink) -> Option<Endpoint> {
    match side {
        Side::Any => Some(Endpoint::Any),
        Side::Prefixes(prefixes) => {
            let max = limits::PREFIXES_PER_SIDE_MAX;
            limit(prefixes.len(), max, "prefixes on one side", rule, sink);
            Some(Endpoint::Prefixes(prefixes.clone()))
        }
        Side::Tag(tag) => names.tag(tag, sink).map(Endpoint::Tag),
        Side::Asgs(asgs) => {
            let max = limits::ASGS_PER_SIDE_MAX;
            limit(
                asgs.len(),
                max,
                "application security groups on one side",
                rule,
                sink,
            );
            unique(asgs, "application security group", sink);
            let mut known: Vec<String> =
                asgs.iter().filter_map(|asg| names.asg(asg, sink)).collect();
            known.sort_unstable();
            Some(Endpoint::Asgs(known))
        }
    }
}

/// Groups on the two sides of a rule have their members in one network.
fn check_one_vnet(rule: &document::Rule, membership: &Membership, sink: &mut Sink) {
    let mut first: Option<(&str, &str)> = None;
    for side in [&rule.source, &rule.destination] {
        let Side::Asgs(asgs) = side else { continue };
        for asg in asgs {
            let Some(vnet) = membership.get(&asg.value) else {
                continue;
            };
            let (name, home) = *first.get_or_insert((&asg.value, vnet));
            if home != vnet {
                let message = format!(
                    "`{name}` has its members in virtual network `{home}`, `{}` in `{vnet}`",
                    asg.value
                );
                let help = "groups of one rule must be in one virtual network".to_owned();
                sink.error_help(&asg.place, Code::Conflict, message, help);
            }
        }
    }
}
