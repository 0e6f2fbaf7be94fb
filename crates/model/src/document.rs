//! The document as written: typed, every value with its place, no name looked up yet.

pub(crate) mod extract;
mod groups;
mod guests;
mod host;
mod json;
pub(crate) mod keys;
mod load;
pub(crate) mod node;
mod routes;
mod values;
mod vnets;

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use wire::MacAddr;

use self::extract::Cursor;
use crate::diagnostics::Sink;
use crate::place::{At, Place};
use crate::topology::{
    Direction, GuestKind, HostSettings, NextHopType, PortRange, Protocol, RuleAccess,
};

/// A thing and its name.
pub(crate) type Named<T> = (At<String>, T);

#[derive(Default)]
pub(crate) struct Document {
    pub(crate) name: Option<String>,
    pub(crate) vnets: Vec<Named<Vnet>>,
    pub(crate) nsgs: Vec<Named<Nsg>>,
    pub(crate) security_admin_rules: Vec<AdminRule>,
    pub(crate) asgs: Vec<At<String>>,
    pub(crate) service_tags: Vec<Named<Vec<At<IpNet>>>>,
    pub(crate) route_tables: Vec<Named<RouteTable>>,
    pub(crate) guests: Vec<Named<Guest>>,
    pub(crate) uplink: Option<Uplink>,
    pub(crate) mappings: Vec<Mapping>,
    pub(crate) host: HostSettings,
}

pub(crate) struct Vnet {
    pub(crate) address_space: Vec<At<IpNet>>,
    pub(crate) vni: Option<At<u32>>,
    pub(crate) subnets: Vec<Named<Subnet>>,
    pub(crate) peerings: Vec<Peering>,
    pub(crate) gateway_routes: Vec<At<IpNet>>,
    pub(crate) dns_servers: Vec<At<IpAddr>>,
    pub(crate) router_hop: bool,
}

pub(crate) struct Subnet {
    pub(crate) prefixes: Vec<At<IpNet>>,
    pub(crate) nsg: Option<At<String>>,
    pub(crate) route_table: Option<At<String>>,
    pub(crate) service_endpoints: Vec<At<String>>,
}

pub(crate) struct Peering {
    pub(crate) vnet: At<String>,
    pub(crate) allow_virtual_network_access: bool,
    pub(crate) allow_forwarded_traffic: bool,
}

pub(crate) struct Nsg {
    pub(crate) rules: Vec<Rule>,
}

pub(crate) struct Rule {
    pub(crate) name: At<String>,
    pub(crate) description: Option<String>,
    pub(crate) priority: At<u16>,
    pub(crate) direction: Direction,
    pub(crate) access: RuleAccess,
    pub(crate) protocol: Protocol,
    pub(crate) source: Side,
    pub(crate) source_ports: Vec<PortRange>,
    pub(crate) destination: Side,
    pub(crate) destination_ports: Vec<PortRange>,
}

pub(crate) struct AdminRule {
    pub(crate) rule: Rule,
    pub(crate) vnets: Vec<At<String>>,
}

/// One side of a rule.
pub(crate) enum Side {
    Any,
    Prefixes(Vec<IpNet>),
    Tag(At<String>),
    Asgs(Vec<At<String>>),
}

pub(crate) struct RouteTable {
    pub(crate) routes: Vec<Route>,
    pub(crate) disable_bgp_route_propagation: bool,
}

pub(crate) struct Route {
    pub(crate) name: At<String>,
    pub(crate) target: RouteTarget,
    pub(crate) next_hop_type: At<NextHopType>,
    pub(crate) next_hop: Option<At<IpAddr>>,
}

pub(crate) enum RouteTarget {
    Prefix(At<IpNet>),
    Tag(At<String>),
}

impl RouteTarget {
    pub(crate) fn place(&self) -> &Place {
        match self {
            RouteTarget::Prefix(prefix) => &prefix.place,
            RouteTarget::Tag(tag) => &tag.place,
        }
    }
}

pub(crate) struct Guest {
    pub(crate) kind: GuestKind,
    pub(crate) netns: Option<PathBuf>,
    pub(crate) nics: Vec<Nic>,
}

pub(crate) struct Nic {
    pub(crate) name: At<String>,
    pub(crate) subnet: At<(String, String)>,
    pub(crate) addresses: Vec<At<IpAddr>>,
    pub(crate) mac: Option<At<MacAddr>>,
    pub(crate) nsg: Option<At<String>>,
    pub(crate) asgs: Vec<At<String>>,
    pub(crate) accelerated_networking: bool,
    pub(crate) ip_forwarding: bool,
    pub(crate) mtu: Option<u16>,
}

pub(crate) struct Uplink {
    pub(crate) interface: String,
    pub(crate) provider_address: At<IpAddr>,
    pub(crate) vxlan_port: u16,
}

pub(crate) struct Mapping {
    pub(crate) vnet: At<String>,
    pub(crate) address: At<IpAddr>,
    pub(crate) provider: At<IpAddr>,
    pub(crate) mac: At<MacAddr>,
    pub(crate) use_destination_vni: bool,
}

/// Reads a document; `None` when it has no tree at all. What does not fit is reported and left out,
/// so that the rest is checked too.
pub(crate) fn parse(source: &str, sink: &mut Sink) -> Option<Document> {
    let tree = load::load(source, sink)?;
    let fields = Cursor::root(&tree).fields(keys::DOCUMENT, sink);
    let mut document = Document::default();
    if let Some(cursor) = fields.get("name") {
        document.name = cursor.prose(sink);
    }
    if let Some(cursor) = fields.get("vnets") {
        document.vnets = vnets::read(&cursor, sink);
    }
    if let Some(cursor) = fields.get("nsgs") {
        document.nsgs = groups::read(&cursor, sink);
    }
    if let Some(cursor) = fields.get("securityAdminRules") {
        document.security_admin_rules = groups::read_admin(&cursor, sink);
    }
    if let Some(cursor) = fields.get("asgs") {
        document.asgs = groups::read_asgs(&cursor, sink);
    }
    if let Some(cursor) = fields.get("serviceTags") {
        document.service_tags = groups::read_tags(&cursor, sink);
    }
    if let Some(cursor) = fields.get("routeTables") {
        document.route_tables = routes::read(&cursor, sink);
    }
    if let Some(cursor) = fields.get("guests") {
        document.guests = guests::read(&cursor, sink);
    }
    if let Some(cursor) = fields.get("uplink") {
        document.uplink = host::read_uplink(&cursor, sink);
    }
    if let Some(cursor) = fields.get("mappings") {
        document.mappings = host::read_mappings(&cursor, sink);
    }
    if let Some(cursor) = fields.get("host") {
        document.host = host::read(&cursor, sink);
    }
    Some(document)
}

/// The tree of a document as a generic reader of YAML would hand it to a JSON schema.
#[cfg(test)]
pub(crate) fn tree_as_json(source: &str) -> Option<serde_json::Value> {
    Some(load::load(source, &mut Sink::default())?.as_json())
}
