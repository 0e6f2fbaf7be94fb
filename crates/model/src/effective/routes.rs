//! The routes of a subnet: the system's, the gateway's and the user's, and which of them hold.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::scope::declared;
use crate::topology::{NextHopType, Route, RouteTable, RouteTarget, Subnet, Topology, Vnet};

/// Private space without a route of its own leads nowhere.
const RESERVED: [Ipv4Net; 4] = {
    use std::net::Ipv4Addr;
    [
        Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
        Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
        Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
        Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
    ]
};

/// Where a route comes from; earlier wins between equal prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    User,
    Gateway,
    System,
}

/// Where a route leads, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hop {
    /// This subnet's own virtual network.
    Local,
    Peer(String),
    Gateway,
    ServiceEndpoint,
    Internet,
    Appliance(IpAddr),
    None,
}

/// A route and its prefixes, those that hold and those that lost to another route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathRoute {
    pub(crate) name: String,
    pub(crate) origin: Origin,
    pub(crate) hop: Hop,
    pub(crate) active: Vec<IpNet>,
    pub(crate) invalid: Vec<IpNet>,
}

struct Candidate {
    name: String,
    origin: Origin,
    hop: Hop,
    prefixes: Vec<IpNet>,
    /// Between routes of one origin: an explicit prefix beats a tag, a narrow tag a wide one.
    rank: u8,
}

/// All routes of a subnet; `None` when there is no such subnet.
pub(crate) fn routes_of(topology: &Topology, vnet: &str, subnet: &str) -> Option<Vec<PathRoute>> {
    let network = topology.vnets.get(vnet)?;
    let subnet = network.subnets.get(subnet)?;
    let table = subnet
        .route_table
        .as_ref()
        .and_then(|name| topology.route_tables.get(name));
    let mut candidates = system(topology, network, table);
    candidates.extend(endpoints(topology, subnet));
    candidates.extend(gateway(network, table));
    let routes = table
        .map(|table| table.routes.as_slice())
        .unwrap_or_default();
    candidates.extend(routes.iter().map(|route| user(topology, route)));
    Some(decide(candidates))
}

fn system(topology: &Topology, network: &Vnet, table: Option<&RouteTable>) -> Vec<Candidate> {
    let one = |name: &str, hop: Hop, prefix: IpNet| Candidate {
        name: name.to_owned(),
        origin: Origin::System,
        hop,
        prefixes: vec![prefix],
        rank: 0,
    };
    let mut routes: Vec<Candidate> = network
        .address_space
        .iter()
        .map(|range| one("vnet-local", Hop::Local, *range))
        .collect();
    for (name, _, remote) in topology.connected(network) {
        let peer = |range: &IpNet| one("vnet-peering", Hop::Peer(name.to_owned()), *range);
        routes.extend(remote.address_space.iter().map(peer));
    }
    let spaces: Vec<IpNet> = routes
        .iter()
        .flat_map(|route| route.prefixes.clone())
        .collect();
    if network
        .address_space
        .iter()
        .any(|range| range.addr().is_ipv4())
    {
        let everything = IpNet::V4(Ipv4Net::default());
        routes.push(one("internet", Hop::Internet, everything));
        // A default route of the user's means that he decides about private space as well.
        if !table.is_some_and(has_default) {
            for reserved in RESERVED.map(IpNet::V4) {
                if !spaces.iter().any(|space| space.contains(&reserved)) {
                    routes.push(one("reserved", Hop::None, reserved));
                }
            }
        }
    }
    if network
        .address_space
        .iter()
        .any(|range| range.addr().is_ipv6())
    {
        routes.push(one(
            "internet",
            Hop::Internet,
            IpNet::V6(Ipv6Net::default()),
        ));
    }
    routes
}

fn has_default(table: &RouteTable) -> bool {
    let default = RouteTarget::Prefix(IpNet::V4(Ipv4Net::default()));
    table.routes.iter().any(|route| route.target == default)
}

fn endpoints<'t>(
    topology: &'t Topology,
    subnet: &'t Subnet,
) -> impl Iterator<Item = Candidate> + 't {
    subnet.service_endpoints.iter().map(|tag| Candidate {
        name: format!("service-endpoint-{tag}"),
        origin: Origin::System,
        hop: Hop::ServiceEndpoint,
        prefixes: declared(topology, tag),
        rank: 0,
    })
}

fn gateway(network: &Vnet, table: Option<&RouteTable>) -> Option<Candidate> {
    let disabled = table.is_some_and(|table| table.disable_bgp_route_propagation);
    if disabled || network.gateway_routes.is_empty() {
        return None;
    }
    Some(Candidate {
        name: "gateway".to_owned(),
        origin: Origin::Gateway,
        hop: Hop::Gateway,
        prefixes: network.gateway_routes.clone(),
        rank: 0,
    })
}

fn user(topology: &Topology, route: &Route) -> Candidate {
    let hop = match (route.next_hop_type, route.next_hop_ip_address) {
        (NextHopType::VirtualAppliance, Some(address)) => Hop::Appliance(address),
        // Refused when the document is checked; without an address there is nowhere to go.
        (NextHopType::VirtualAppliance, None) | (NextHopType::None, _) => Hop::None,
        (NextHopType::VnetLocal, _) => Hop::Local,
        (NextHopType::Internet, _) => Hop::Internet,
        (NextHopType::VirtualNetworkGateway, _) => Hop::Gateway,
    };
    let (mut prefixes, rank) = match &route.target {
        RouteTarget::Prefix(prefix) => (vec![*prefix], 0),
        RouteTarget::Tag(tag) => (declared(topology, tag), tag_rank(tag)),
    };
    if let Hop::Appliance(address) = hop {
        prefixes.retain(|prefix| prefix.addr().is_ipv4() == address.is_ipv4());
    }
    Candidate {
        name: route.name.clone(),
        origin: Origin::User,
        hop,
        prefixes,
        rank,
    }
}

/// A service in a region, a service, the cloud in a region, the cloud.
fn tag_rank(tag: &str) -> u8 {
    let (service, region) = match tag.split_once('.') {
        Some((service, _)) => (service, true),
        None => (tag, false),
    };
    match (service.eq_ignore_ascii_case("AzureCloud"), region) {
        (false, true) => 1,
        (false, false) => 2,
        (true, true) => 3,
        (true, false) => 4,
    }
}

/// Between equal prefixes one route holds. What a gateway learnt never beats the networks' own
/// routes and service endpoints, even where it is more specific.
fn decide(candidates: Vec<Candidate>) -> Vec<PathRoute> {
    let preferred: HashSet<IpNet> = candidates
        .iter()
        .filter(|route| matches!(route.hop, Hop::Local | Hop::Peer(_) | Hop::ServiceEndpoint))
        .filter(|route| route.origin == Origin::System)
        .flat_map(|route| route.prefixes.iter().copied())
        .collect();
    let mut winners: BTreeMap<IpNet, (Origin, u8, usize)> = BTreeMap::new();
    for (index, route) in candidates.iter().enumerate() {
        for prefix in &route.prefixes {
            if route.origin == Origin::Gateway && covered(*prefix, &preferred) {
                continue;
            }
            let claim = (route.origin, route.rank, index);
            let winner = winners.entry(*prefix).or_insert(claim);
            *winner = claim.min(*winner);
        }
    }
    let holds = |index: usize, prefix: &IpNet| {
        winners
            .get(prefix)
            .is_some_and(|(_, _, winner)| *winner == index)
    };
    let resolved = |(index, route): (usize, Candidate)| {
        let (active, invalid) = route
            .prefixes
            .into_iter()
            .partition(|prefix| holds(index, prefix));
        PathRoute {
            name: route.name,
            origin: route.origin,
            hop: route.hop,
            active,
            invalid,
        }
    };
    candidates.into_iter().enumerate().map(resolved).collect()
}

/// Whether the prefix or one that contains it is in the set.
fn covered(mut prefix: IpNet, set: &HashSet<IpNet>) -> bool {
    loop {
        if set.contains(&prefix) {
            return true;
        }
        match prefix.supernet() {
            Some(wider) => prefix = wider,
            None => return false,
        }
    }
}
