//! From a document to a topology: names looked up, addresses given, limits kept, doubts voiced.

mod addresses;
mod guests;
pub mod limits;
mod lint;
mod mappings;
mod names;
mod networks;
mod peerings;
mod route_tables;
mod rules;
mod shadows;

use std::collections::BTreeMap;

use ipnet::IpNet;

use self::names::Names;
use crate::diagnostics::{Code, Sink};
use crate::document::Document;
use crate::place::{At, Place};
use crate::topology::{Topology, Uplink};

/// The topology. It is whole only when nothing in the sink is an error: what could not be resolved
/// is left out.
pub(crate) fn resolve(document: &Document, sink: &mut Sink) -> Topology {
    totals(document, sink);
    let names = Names::of(document);
    let mut topology = Topology {
        name: document.name.clone(),
        service_tags: service_tags(document, sink),
        asgs: asgs(document, sink),
        vnets: networks::resolve(document, &names, sink),
        uplink: document.uplink.as_ref().map(|uplink| Uplink {
            interface: uplink.interface.clone(),
            provider_address: uplink.provider_address.value,
            vxlan_port: uplink.vxlan_port,
        }),
        host: document.host.clone(),
        ..Topology::default()
    };
    peerings::resolve(document, &names, &mut topology.vnets, sink);
    topology.route_tables = route_tables::resolve(document, &names, sink);
    let (guests, membership) = guests::resolve(document, &names, &topology.vnets, sink);
    topology.guests = guests;
    topology.mappings = mappings::resolve(document, &topology, sink);
    (topology.nsgs, topology.security_admin_rules) =
        rules::resolve(document, &names, &membership, sink);
    lint::check(document, &topology, sink);
    topology
}

/// Reports when there are more than the limit of something.
fn limit(count: usize, max: usize, what: &str, place: &Place, sink: &mut Sink) {
    if count > max {
        sink.error(
            place,
            Code::Limit,
            format!("{count} {what}; allowed are {max}"),
        );
    }
}

/// Reports a second use of a name in a list.
fn unique<'a>(names: impl IntoIterator<Item = &'a At<String>>, what: &str, sink: &mut Sink) {
    let mut seen = std::collections::HashMap::new();
    for name in names {
        if let Some(line) = seen.insert(name.value.as_str(), name.place.span.line) {
            let message = format!("{what} `{}` is already on line {line}", name.value);
            sink.error(&name.place, Code::Duplicate, message);
        }
    }
}

fn totals(document: &Document, sink: &mut Sink) {
    let mut check = |count: usize, max: usize, what: &str, place: Option<&Place>| {
        if let Some(place) = place {
            limit(count, max, what, place, sink);
        }
    };
    let last = |name: Option<&At<String>>| name.map(|name| name.place.clone());
    let vnets = last(document.vnets.last().map(|(name, _)| name));
    check(
        document.vnets.len(),
        limits::VNETS_MAX,
        "virtual networks",
        vnets.as_ref(),
    );
    let nsgs = last(document.nsgs.last().map(|(name, _)| name));
    check(
        document.nsgs.len(),
        limits::NSGS_MAX,
        "network security groups",
        nsgs.as_ref(),
    );
    let asgs = last(document.asgs.last());
    check(
        document.asgs.len(),
        limits::ASGS_MAX,
        "application security groups",
        asgs.as_ref(),
    );
    let tags = last(document.service_tags.last().map(|(name, _)| name));
    check(
        document.service_tags.len(),
        limits::SERVICE_TAGS_MAX,
        "service tags",
        tags.as_ref(),
    );
    let tables = last(document.route_tables.last().map(|(name, _)| name));
    check(
        document.route_tables.len(),
        limits::ROUTE_TABLES_MAX,
        "route tables",
        tables.as_ref(),
    );
    let guests = last(document.guests.last().map(|(name, _)| name));
    let nics = document
        .guests
        .iter()
        .map(|(_, guest)| guest.nics.len())
        .sum();
    check(nics, limits::NICS_MAX, "NICs", guests.as_ref());
    let mappings = document
        .mappings
        .last()
        .map(|mapping| mapping.vnet.place.clone());
    check(
        document.mappings.len(),
        limits::MAPPINGS_MAX,
        "mappings",
        mappings.as_ref(),
    );
    let rules = document
        .security_admin_rules
        .last()
        .map(|rule| rule.rule.name.place.clone());
    let admin = document.security_admin_rules.len();
    check(
        admin,
        limits::RULES_PER_NSG_MAX,
        "security admin rules",
        rules.as_ref(),
    );
}

fn asgs(document: &Document, sink: &mut Sink) -> std::collections::BTreeSet<String> {
    unique(&document.asgs, "application security group", sink);
    document
        .asgs
        .iter()
        .map(|name| name.value.clone())
        .collect()
}

fn service_tags(document: &Document, sink: &mut Sink) -> BTreeMap<String, Vec<IpNet>> {
    let mut tags = BTreeMap::new();
    for (name, prefixes) in &document.service_tags {
        if names::platform_tag(&name.value).is_some() {
            let message = format!("service tag `{}` is the platform's own", name.value);
            sink.error(&name.place, Code::Conflict, message);
        }
        let word = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_';
        if !name.value.starts_with(|c: char| c.is_ascii_alphabetic())
            || !name.value.chars().all(word)
        {
            let message = "a service tag is letters, digits, `.` and `_`, beginning with a letter";
            sink.error(&name.place, Code::BadValue, message);
        }
        limit(
            prefixes.len(),
            limits::PREFIXES_PER_SIDE_MAX,
            "prefixes",
            &name.place,
            sink,
        );
        // Kept as written, not aggregated: between routes, equal prefixes are compared.
        let mut prefixes: Vec<IpNet> = prefixes.iter().map(|prefix| prefix.value).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        tags.insert(name.value.clone(), prefixes);
    }
    tags
}
