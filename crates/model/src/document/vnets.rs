//! Virtual networks and their subnets.

use super::extract::Cursor;
use super::{Named, Peering, Subnet, Vnet, keys, values};
use crate::diagnostics::Sink;

pub(super) fn read(cursor: &Cursor<'_>, sink: &mut Sink) -> Vec<Named<Vnet>> {
    let named = cursor.named("virtual networks", sink);
    named
        .into_iter()
        .map(|(name, cursor)| (name, vnet(&cursor, sink)))
        .collect()
}

fn vnet(cursor: &Cursor<'_>, sink: &mut Sink) -> Vnet {
    let fields = cursor.fields(keys::VNET, sink);
    let space = fields.required("addressSpace", sink);
    let subnets = fields
        .get("subnets")
        .map(|cursor| cursor.named("subnets", sink));
    let peerings = fields
        .get("peerings")
        .map(|cursor| cursor.items("peerings", sink));
    Vnet {
        address_space: values::some_prefixes(space, sink),
        vni: fields
            .get("vni")
            .and_then(|cursor| cursor.integer(1..=0x00ff_ffff, sink)),
        subnets: subnets
            .unwrap_or_default()
            .into_iter()
            .map(|(name, cursor)| (name, subnet(&cursor, sink)))
            .collect(),
        peerings: peerings
            .unwrap_or_default()
            .iter()
            .filter_map(|cursor| peering(cursor, sink))
            .collect(),
        gateway_routes: values::prefixes(fields.many("gatewayRoutes"), sink),
        dns_servers: fields
            .many("dnsServers")
            .iter()
            .filter_map(|cursor| values::address(cursor, sink))
            .collect(),
        router_hop: fields.boolean("routerHop", false, sink),
    }
}

fn subnet(cursor: &Cursor<'_>, sink: &mut Sink) -> Subnet {
    let fields = cursor.fields(keys::SUBNET, sink);
    let prefix = fields.required("prefix", sink);
    Subnet {
        prefixes: values::some_prefixes(prefix, sink),
        nsg: fields
            .get("nsg")
            .and_then(|cursor| cursor.text("the name of a group", sink)),
        route_table: fields
            .get("routeTable")
            .and_then(|cursor| cursor.text("the name of a route table", sink)),
        service_endpoints: values::names(
            fields.many("serviceEndpoints"),
            "the name of a service tag",
            sink,
        ),
    }
}

/// A map, or just the name of the other network.
fn peering(cursor: &Cursor<'_>, sink: &mut Sink) -> Option<Peering> {
    let what = "the name of a virtual network, or a map with the key vnet";
    if !cursor.is_map() {
        let vnet = cursor.text(what, sink)?;
        return Some(Peering {
            vnet,
            allow_virtual_network_access: true,
            allow_forwarded_traffic: false,
        });
    }
    let fields = cursor.fields(keys::PEERING, sink);
    let allow_virtual_network_access = fields.boolean("allowVirtualNetworkAccess", true, sink);
    let allow_forwarded_traffic = fields.boolean("allowForwardedTraffic", false, sink);
    let vnet = fields
        .required("vnet", sink)?
        .text("the name of a virtual network", sink)?;
    Some(Peering {
        vnet,
        allow_virtual_network_access,
        allow_forwarded_traffic,
    })
}
