//! What names stand for, seen from one subnet.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use policy::input::AddressSet;

use crate::prefixes::{aggregate, subtract};
use crate::topology::{Endpoint, RouteTarget, Topology, Vnet};

/// The host's virtual address: DHCP, DNS, load balancer probes.
pub(super) const HOST_ADDRESS: Ipv4Net =
    Ipv4Net::new_assert(std::net::Ipv4Addr::new(168, 63, 129, 16), 32);
/// The instance metadata service.
pub(super) const METADATA_ADDRESS: Ipv4Net =
    Ipv4Net::new_assert(std::net::Ipv4Addr::new(169, 254, 169, 254), 32);

/// IPv4 space that is not the public Internet: RFC 6890 and RFC 1918.
const NOT_PUBLIC: [&str; 9] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/4",
    "240.0.0.0/4",
];
/// Global unicast (RFC 4291, section 2.4, as IANA assigns it).
const PUBLIC_IPV6: Ipv6Net =
    Ipv6Net::new_assert(std::net::Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// The addresses of application groups' members.
pub(crate) struct Members<'t>(HashMap<&'t str, Vec<IpAddr>>);

impl<'t> Members<'t> {
    pub(crate) fn of(topology: &'t Topology) -> Members<'t> {
        let mut members: HashMap<&str, Vec<IpAddr>> = HashMap::new();
        for nic in topology.guests.values().flat_map(|guest| &guest.nics) {
            for asg in &nic.asgs {
                let own = nic.addresses.iter().map(|own| own.address);
                members.entry(asg).or_default().extend(own);
            }
        }
        Members(members)
    }
}

/// The meaning of tags and groups for NICs of one subnet.
pub(crate) struct Scope<'t> {
    topology: &'t Topology,
    members: &'t Members<'t>,
    virtual_network: Vec<IpNet>,
    internet: Vec<IpNet>,
}

impl<'t> Scope<'t> {
    pub(crate) fn of(
        topology: &'t Topology,
        vnet: &str,
        subnet: &str,
        members: &'t Members<'t>,
    ) -> Option<Scope<'t>> {
        let network = topology.vnets.get(vnet)?;
        let table = network.subnets.get(subnet)?.route_table.as_ref();
        let spaces = connected_spaces(topology, network, table.map(String::as_str));
        let mut virtual_network = spaces.clone();
        if let Some(table) = table.and_then(|table| topology.route_tables.get(table)) {
            for route in &table.routes {
                match &route.target {
                    RouteTarget::Prefix(prefix) => virtual_network.push(*prefix),
                    RouteTarget::Tag(tag) => virtual_network.extend(declared(topology, tag)),
                }
            }
        }
        Some(Scope {
            topology,
            members,
            virtual_network: aggregate(&virtual_network),
            internet: internet(&spaces),
        })
    }

    /// The addresses one side of a rule stands for.
    pub(crate) fn expand(&self, side: &Endpoint) -> AddressSet {
        match side {
            Endpoint::Any => AddressSet::Any,
            Endpoint::Prefixes(prefixes) => AddressSet::Prefixes(prefixes.clone()),
            Endpoint::Tag(tag) => AddressSet::Prefixes(self.tag(tag)),
            Endpoint::Asgs(names) => {
                let members = names
                    .iter()
                    .filter_map(|name| self.members.0.get(name.as_str()));
                let addresses: Vec<IpNet> = members.flatten().copied().map(IpNet::from).collect();
                AddressSet::Prefixes(aggregate(&addresses))
            }
        }
    }

    fn tag(&self, tag: &str) -> Vec<IpNet> {
        match tag {
            "VirtualNetwork" => self.virtual_network.clone(),
            "Internet" => self.internet.clone(),
            "AzureLoadBalancer" | "AzurePlatformDNS" | "AzurePlatformLKM" => {
                vec![HOST_ADDRESS.into()]
            }
            "AzurePlatformIMDS" => vec![METADATA_ADDRESS.into()],
            declared_by_author => declared(self.topology, declared_by_author),
        }
    }
}

/// The prefixes of a tag of the author's own.
pub(super) fn declared(topology: &Topology, tag: &str) -> Vec<IpNet> {
    topology.service_tags.get(tag).cloned().unwrap_or_default()
}

/// The network's space, that of its peers, what is behind its gateway, and the host's address.
fn connected_spaces(topology: &Topology, network: &Vnet, table: Option<&str>) -> Vec<IpNet> {
    let mut spaces = network.address_space.clone();
    for (_, peering, remote) in topology.connected(network) {
        if peering.allow_virtual_network_access {
            spaces.extend(&remote.address_space);
        }
    }
    let table = table.and_then(|table| topology.route_tables.get(table));
    if !table.is_some_and(|table| table.disable_bgp_route_propagation) {
        spaces.extend(&network.gateway_routes);
    }
    spaces.push(HOST_ADDRESS.into());
    spaces
}

/// The public address space that is not the network's. Routes do not narrow it: a default route
/// widens the tag `VirtualNetwork`, and a rule that denies the Internet must still mean something.
fn internet(spaces: &[IpNet]) -> Vec<IpNet> {
    let mut holes: Vec<IpNet> = NOT_PUBLIC
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect();
    // A gateway that announces everything is no reason for the Internet to be empty either.
    holes.extend(spaces.iter().filter(|space| space.prefix_len() > 0));
    subtract(
        &[IpNet::V4(Ipv4Net::default()), IpNet::V6(PUBLIC_IPV6)],
        &holes,
    )
}
