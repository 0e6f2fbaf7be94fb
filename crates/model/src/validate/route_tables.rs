//! Route tables.

use std::collections::{BTreeMap, HashMap};

use super::names::Names;
use super::{limit, limits, unique};
use crate::diagnostics::{Code, Sink};
use crate::document::{self, Document};
use crate::place::Place;
use crate::topology::{NextHopType, Route, RouteTable, RouteTarget};

pub(super) fn resolve(
    document: &Document,
    names: &Names<'_>,
    sink: &mut Sink,
) -> BTreeMap<String, RouteTable> {
    let mut tables = BTreeMap::new();
    for (name, table) in &document.route_tables {
        limit(
            table.routes.len(),
            limits::ROUTES_PER_TABLE_MAX,
            "routes",
            &name.place,
            sink,
        );
        unique(
            table.routes.iter().map(|route| &route.name),
            "a route named",
            sink,
        );
        let mut targets = HashMap::new();
        let mut tagged = 0;
        let mut routes = Vec::with_capacity(table.routes.len());
        for route in &table.routes {
            let Some(target) = target(route, names, sink) else {
                continue;
            };
            tagged += usize::from(matches!(target, RouteTarget::Tag(_)));
            let text = match &target {
                RouteTarget::Prefix(prefix) => prefix.to_string(),
                RouteTarget::Tag(tag) => tag.clone(),
            };
            let place = route.target.place();
            if let Some(line) = targets.insert(text.clone(), place.span.line) {
                let message = format!("the table has a route for {text} on line {line} already");
                sink.error(place, Code::Duplicate, message);
                continue;
            }
            if next_hop_fits(route, place, sink) {
                routes.push(Route {
                    name: route.name.value.clone(),
                    target,
                    next_hop_type: route.next_hop_type.value,
                    next_hop_ip_address: route.next_hop.as_ref().map(|address| address.value),
                });
            }
        }
        let max = limits::TAG_ROUTES_PER_TABLE_MAX;
        limit(tagged, max, "routes with service tags", &name.place, sink);
        let disable_bgp_route_propagation = table.disable_bgp_route_propagation;
        tables.insert(
            name.value.clone(),
            RouteTable {
                routes,
                disable_bgp_route_propagation,
            },
        );
    }
    tables
}

fn target(route: &document::Route, names: &Names<'_>, sink: &mut Sink) -> Option<RouteTarget> {
    match &route.target {
        document::RouteTarget::Prefix(prefix) => Some(RouteTarget::Prefix(prefix.value)),
        document::RouteTarget::Tag(tag) => names.declared_tag(tag, sink).map(RouteTarget::Tag),
    }
}

/// An appliance has an address of the route's family; nothing else has one.
fn next_hop_fits(route: &document::Route, place: &Place, sink: &mut Sink) -> bool {
    let appliance = route.next_hop_type.value == NextHopType::VirtualAppliance;
    match &route.next_hop {
        None if appliance => {
            let message = "next hop VirtualAppliance without `nextHopIpAddress`";
            sink.error(&route.next_hop_type.place, Code::MissingKey, message);
            false
        }
        Some(address) if !appliance => {
            let hop = route.next_hop_type.value;
            let message =
                format!("`nextHopIpAddress` with next hop {hop}; only VirtualAppliance has one");
            sink.error(&address.place, Code::Conflict, message);
            false
        }
        Some(address) => {
            if let document::RouteTarget::Prefix(prefix) = &route.target
                && prefix.value.addr().is_ipv4() != address.value.is_ipv4()
            {
                let message = format!("{} as next hop for {}", address.value, prefix.value);
                let help = "both must be IPv4, or both IPv6".to_owned();
                sink.error_help(place, Code::BadValue, message, help);
                return false;
            }
            true
        }
        None => true,
    }
}
