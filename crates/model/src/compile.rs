//! From a topology to what the switch decides by.

mod expansions;
mod generations;
mod rule_sets;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use flow::{Encap, PortId};
use policy::input::{
    MappingInput, MappingTarget, NextHop, NicInput, PolicyInput, RouteInput, RouteSource,
    RouteTableInput, RuleSetInput, SegmentInput, UplinkInput, VnetId,
};
use wire::Vni;

use self::expansions::StillTrue;
use self::rule_sets::{OwnedKey, RuleSets};
use crate::effective::{Hop, Origin, own_addresses, routes_of};
use crate::topology::{Nic, NicAddress, NicName, Topology, Vnet};

pub use self::expansions::Expansions;
pub use self::generations::{Generations, NicGenerations, advance};

/// The policy of the NICs that have a port. A NIC without one is nowhere: nothing can be sent to
/// it. Equal rule sets and route tables are shared.
///
/// `underlay_mtu` is what the uplink's interface takes; None when there is no such interface, and
/// then no way to other hosts.
pub fn compile(
    topology: &Topology,
    ports: &BTreeMap<NicName, PortId>,
    generations: &Generations,
    underlay_mtu: Option<u16>,
) -> PolicyInput {
    let nothing = Expansions::default();
    let (input, ..) = compile_after(&nothing, topology, ports, generations, underlay_mtu);
    input
}

/// A policy, and what was expanded for it.
type Compiled = (
    PolicyInput,
    Vec<(OwnedKey, Arc<RuleSetInput>)>,
    Vec<((String, String), Arc<RouteTableInput>)>,
);

fn compile_after(
    expansions: &Expansions,
    topology: &Topology,
    ports: &BTreeMap<NicName, PortId>,
    generations: &Generations,
    underlay_mtu: Option<u16>,
) -> Compiled {
    let before = expansions.still_true(topology);
    let ids: HashMap<&str, VnetId> = topology
        .vnets
        .keys()
        .map(String::as_str)
        .zip((0..).map(VnetId))
        .collect();
    let mut rule_sets = RuleSets::of(topology, &before);
    let mut tables = RouteTables {
        topology,
        before: &before,
        ids: &ids,
        made: HashMap::new(),
        kept: HashSet::new(),
    };
    let uplink = topology.uplink.as_ref().zip(underlay_mtu);
    let uplink_mtu = uplink.map(|(uplink, mtu)| uplink.mtu(mtu));
    let mut input = PolicyInput {
        generation: generations.policy,
        uplink: uplink_mtu.map(|mtu| UplinkInput { mtu }),
        segments: segments(topology, &ids),
        ..PolicyInput::default()
    };
    for (name, guest, nic) in topology.nics() {
        let Some(port) = ports.get(&name) else {
            continue;
        };
        let Some(vnet) = ids.get(nic.vnet.as_str()) else {
            continue;
        };
        let Some(network) = topology.vnets.get(&nic.vnet) else {
            continue;
        };
        let Some(vni) = Vni::new(network.vni) else {
            continue;
        };
        let stamps = generations.of(&name);
        let (outbound, inbound) = rule_sets.of_nic(nic);
        input.nics.push(NicInput {
            port: *port,
            name: name.to_string(),
            addresses: own_addresses(nic),
            subnets: nic
                .addresses
                .iter()
                .filter_map(NicAddress::subnet)
                .collect(),
            primary: guest.nics.first() == Some(nic),
            dns_servers: network.dns_servers.clone(),
            vni,
            gateways: nic.addresses.iter().map(|one| one.gateway).collect(),
            mac: nic.mac.0,
            vnet: *vnet,
            ip_forwarding: nic.ip_forwarding,
            decrement_ttl: network.router_hop,
            mtu: nic.mtu_within(uplink_mtu),
            path_generation: stamps.path,
            reevaluate_generation: stamps.reevaluate,
            outbound,
            inbound,
            routes: tables.of_nic(nic),
        });
        input
            .mappings
            .extend(nic.addresses.iter().map(|own| MappingInput {
                vnet: *vnet,
                address: own.address,
                target: MappingTarget::Port(*port),
            }));
    }
    input.mappings.extend(remote(topology, &ids));
    let made = tables.made.into_iter();
    let own =
        |((vnet, subnet), table): ((&str, &str), _)| ((vnet.to_owned(), subnet.to_owned()), table);
    (input, rule_sets.into_made(), made.map(own).collect())
}

/// Addresses on other hosts.
fn remote<'t>(
    topology: &'t Topology,
    ids: &'t HashMap<&str, VnetId>,
) -> impl Iterator<Item = MappingInput> + 't {
    topology.mappings.iter().filter_map(move |mapping| {
        let uplink = topology.uplink.as_ref()?;
        let encap = Encap {
            outer_src: uplink.provider_address,
            outer_dst: mapping.provider,
            vni: Vni::new(topology.vnets.get(&mapping.vnet)?.vni)?,
            dst_port: uplink.vxlan_port,
        };
        Some(MappingInput {
            vnet: *ids.get(mapping.vnet.as_str())?,
            address: mapping.address,
            target: MappingTarget::Remote {
                mac: mapping.mac.0,
                encap,
                vni_of_sender: !mapping.use_destination_vni,
            },
        })
    })
}

/// What may come off the uplink: each network's VNI reaches its own NICs and, where a mapping asks
/// for the sender's VNI, those of its peers.
fn segments(topology: &Topology, ids: &HashMap<&str, VnetId>) -> Vec<SegmentInput> {
    let segment = |(name, vnet): (&String, &Vnet)| {
        let peers = topology.connected(vnet).map(|(name, ..)| name);
        let reached = std::iter::once(name.as_str()).chain(peers);
        Some(SegmentInput {
            vni: Vni::new(vnet.vni)?,
            vnets: reached.filter_map(|name| ids.get(name).copied()).collect(),
        })
    };
    topology.vnets.iter().filter_map(segment).collect()
}

/// Route tables, one for each subnet with NICs.
struct RouteTables<'t> {
    topology: &'t Topology,
    before: &'t StillTrue<'t>,
    ids: &'t HashMap<&'t str, VnetId>,
    made: HashMap<(&'t str, &'t str), Arc<RouteTableInput>>,
    kept: HashSet<Arc<RouteTableInput>>,
}

impl<'t> RouteTables<'t> {
    fn of_nic(&mut self, nic: &'t Nic) -> Arc<RouteTableInput> {
        let key = (nic.vnet.as_str(), nic.subnet.as_str());
        if let Some(made) = self.made.get(&key) {
            return Arc::clone(made);
        }
        let table = self
            .before
            .routes(&nic.vnet, &nic.subnet)
            .unwrap_or_else(|| {
                // Two subnets of a network with one table have the same routes.
                let table = self.make(nic);
                keep(&mut self.kept, table)
            });
        self.made.insert(key, Arc::clone(&table));
        table
    }

    fn make(&self, nic: &Nic) -> RouteTableInput {
        let subnet = self.topology.subnet_of(nic).map(|(_, subnet)| subnet);
        let table = subnet.and_then(|subnet| subnet.route_table.clone());
        let name = table.unwrap_or_else(|| format!("{}/{}", nic.vnet, nic.subnet));
        let mut routes = Vec::new();
        for route in routes_of(self.topology, &nic.vnet, &nic.subnet).unwrap_or_default() {
            let Some(next_hop) = self.next_hop(&route.hop, nic) else {
                continue;
            };
            let source = match route.origin {
                Origin::User => RouteSource::User,
                Origin::Gateway => RouteSource::Bgp,
                Origin::System => RouteSource::System,
            };
            let name = &route.name;
            let input = |prefix| RouteInput {
                name: name.clone(),
                prefix,
                source,
                next_hop,
            };
            routes.extend(route.active.into_iter().map(input));
        }
        RouteTableInput { name, routes }
    }

    fn next_hop(&self, hop: &Hop, nic: &Nic) -> Option<NextHop> {
        Some(match hop {
            Hop::Local => NextHop::Vnet(*self.ids.get(nic.vnet.as_str())?),
            Hop::Peer(name) => NextHop::Vnet(*self.ids.get(name.as_str())?),
            Hop::Appliance(address) => NextHop::Appliance(*address),
            // A service is reached the way the Internet is; only the route is more specific.
            Hop::Internet | Hop::ServiceEndpoint => NextHop::Internet,
            Hop::Gateway => NextHop::Gateway,
            Hop::None => NextHop::None,
        })
    }
}

/// The value, shared with an equal one that is already kept.
fn keep<T: Eq + Hash>(kept: &mut HashSet<Arc<T>>, value: T) -> Arc<T> {
    if let Some(same) = kept.get(&value) {
        return Arc::clone(same);
    }
    let value = Arc::new(value);
    kept.insert(Arc::clone(&value));
    value
}

#[cfg(test)]
mod tests;
