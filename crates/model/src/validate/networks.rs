//! Virtual networks and subnets: ranges, identifiers, associations.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

use super::names::Names;
use super::{limit, limits};
use crate::diagnostics::{Code, Sink};
use crate::document::{self, Document};
use crate::place::{At, Place};
use crate::prefixes::overlap;
use crate::topology::{Subnet, Vnet};

/// The networks without their peerings, which need all of them.
pub(super) fn resolve(
    document: &Document,
    names: &Names<'_>,
    sink: &mut Sink,
) -> BTreeMap<String, Vnet> {
    let vnis = identifiers(document, sink);
    let mut vnets = BTreeMap::new();
    for ((name, vnet), vni) in document.vnets.iter().zip(vnis) {
        limit(
            vnet.address_space.len(),
            limits::RANGES_MAX,
            "address ranges",
            &name.place,
            sink,
        );
        limit(
            vnet.subnets.len(),
            limits::SUBNETS_PER_VNET_MAX,
            "subnets",
            &name.place,
            sink,
        );
        let gateway = &vnet.gateway_routes;
        limit(
            gateway.len(),
            limits::GATEWAY_ROUTES_MAX,
            "gateway routes",
            &name.place,
            sink,
        );
        for range in &vnet.address_space {
            refuse_special(range, sink);
        }
        report_overlaps(&vnet.address_space, sink);
        let ranges: Vec<&At<IpNet>> = vnet
            .subnets
            .iter()
            .flat_map(|(_, subnet)| &subnet.prefixes)
            .collect();
        report_overlaps(ranges, sink);
        let subnets = vnet
            .subnets
            .iter()
            .map(|(name, body)| (name.value.clone(), subnet(body, vnet, names, sink)))
            .collect();
        let mut gateway_routes: Vec<IpNet> = gateway.iter().map(|route| route.value).collect();
        gateway_routes.sort_unstable();
        gateway_routes.dedup();
        let resolved = Vnet {
            address_space: vnet.address_space.iter().map(|range| range.value).collect(),
            vni,
            subnets,
            peerings: BTreeMap::new(),
            gateway_routes,
            dns_servers: dns_servers(&vnet.dns_servers, &name.place, sink),
            router_hop: vnet.router_hop,
        };
        vnets.insert(name.value.clone(), resolved);
    }
    vnets
}

/// Name servers, all of them single hosts.
fn dns_servers(written: &[At<IpAddr>], network: &Place, sink: &mut Sink) -> Vec<IpAddr> {
    let max = limits::DNS_SERVERS_MAX;
    limit(written.len(), max, "name servers", network, sink);
    let mut servers = Vec::with_capacity(written.len().min(max));
    for At { value, place } in written {
        let nobody = match value {
            IpAddr::V4(v4) => v4.is_broadcast(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        if nobody || value.is_multicast() || value.is_unspecified() || value.is_loopback() {
            let message = format!("{value} is no address of a name server");
            sink.error(place, Code::Address, message);
        } else if servers.contains(value) {
            let message = format!("name server {value} is there twice");
            sink.error(place, Code::Duplicate, message);
        } else if servers.len() < max {
            servers.push(*value);
        }
    }
    servers
}

/// The network identifiers in the order of the document: the written ones, and for the others the
/// first that are free.
fn identifiers(document: &Document, sink: &mut Sink) -> Vec<u32> {
    let mut taken: HashMap<u32, &str> = HashMap::new();
    for (name, vnet) in &document.vnets {
        let Some(vni) = &vnet.vni else { continue };
        if let Some(other) = taken.insert(vni.value, &name.value) {
            let message = format!("VNI {} is that of virtual network `{other}`", vni.value);
            sink.error(&vni.place, Code::Duplicate, message);
        }
    }
    let mut next = limits::VNI_FIRST;
    let mut given = Vec::with_capacity(document.vnets.len());
    for (_, vnet) in &document.vnets {
        given.push(match &vnet.vni {
            Some(vni) => vni.value,
            None => {
                while taken.contains_key(&next) && next < limits::VNI_MAX {
                    next += 1;
                }
                next += 1;
                next - 1
            }
        });
    }
    given
}

fn subnet(
    subnet: &document::Subnet,
    vnet: &document::Vnet,
    names: &Names<'_>,
    sink: &mut Sink,
) -> Subnet {
    if let Some(first) = subnet.prefixes.first() {
        limit(
            subnet.prefixes.len(),
            limits::RANGES_MAX,
            "prefixes",
            &first.place,
            sink,
        );
    }
    for prefix in &subnet.prefixes {
        check_subnet_size(prefix, sink);
        let inside = vnet
            .address_space
            .iter()
            .any(|range| range.value.contains(&prefix.value));
        if !inside && !vnet.address_space.is_empty() {
            let space: Vec<String> = vnet
                .address_space
                .iter()
                .take(4)
                .map(|range| range.value.to_string())
                .collect();
            let message = format!(
                "{} is outside of the virtual network's address space {}",
                prefix.value,
                space.join(", ")
            );
            sink.error(&prefix.place, Code::AddressRange, message);
        }
    }
    let mut service_endpoints: Vec<String> = subnet
        .service_endpoints
        .iter()
        .filter_map(|tag| names.declared_tag(tag, sink))
        .collect();
    service_endpoints.sort_unstable();
    service_endpoints.dedup();
    Subnet {
        prefixes: subnet.prefixes.iter().map(|prefix| prefix.value).collect(),
        nsg: names.nsg(subnet.nsg.as_ref(), sink),
        route_table: names.route_table(subnet.route_table.as_ref(), sink),
        service_endpoints,
    }
}

/// Five addresses of a subnet are the platform's, so an IPv4 subnet has at least eight. IPv6
/// subnets are /64, which SLAAC and the cloud both want.
fn check_subnet_size(prefix: &At<IpNet>, sink: &mut Sink) {
    let length = prefix.value.prefix_len();
    let message = match prefix.value {
        IpNet::V4(_) if length > 29 => {
            format!(
                "{} has no room: an IPv4 subnet is /29 or larger",
                prefix.value
            )
        }
        IpNet::V6(_) if length != 64 => {
            format!("{} is no /64: an IPv6 subnet is exactly that", prefix.value)
        }
        IpNet::V4(_) | IpNet::V6(_) => return,
    };
    sink.error(&prefix.place, Code::AddressRange, message);
}

/// Ranges no virtual network can have, as their addresses mean something else.
fn refuse_special(range: &At<IpNet>, sink: &mut Sink) {
    const SPECIAL: [(&str, &str); 9] = [
        ("0.0.0.0/8", "this network"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("168.63.129.16/32", "the platform's own address"),
        ("224.0.0.0/4", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("::/8", "unspecified and loopback"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
    ];
    for (special, what) in SPECIAL {
        let Ok(special) = special.parse::<IpNet>() else {
            continue;
        };
        if overlap(&special, &range.value) {
            let message = format!("{} overlaps {special} ({what})", range.value);
            sink.error(&range.place, Code::AddressRange, message);
            return;
        }
    }
}

/// Reports every range that shares addresses with an earlier or wider one.
pub(super) fn report_overlaps<'a>(
    ranges: impl IntoIterator<Item = &'a At<IpNet>>,
    sink: &mut Sink,
) {
    let mut sorted: Vec<&At<IpNet>> = ranges.into_iter().collect();
    sorted.sort_by_key(|range| key(&range.value));
    let mut widest: Option<&At<IpNet>> = None;
    for range in sorted {
        match widest {
            Some(wide) if wide.value.contains(&range.value) => {
                let message = format!(
                    "{} overlaps {} on line {}",
                    range.value, wide.value, wide.place.span.line
                );
                sink.error(&range.place, Code::AddressRange, message);
            }
            _ => widest = Some(range),
        }
    }
}

/// Sorts a prefix right after those that contain it.
pub(super) fn key(prefix: &IpNet) -> (bool, IpAddr, u8) {
    (
        prefix.addr().is_ipv6(),
        prefix.network(),
        prefix.prefix_len(),
    )
}
