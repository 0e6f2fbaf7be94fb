//! Topologies that are valid and probably not what their author wants.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use crate::diagnostics::{Code, Sink};
use crate::document::{self, Document, RouteTarget};
use crate::topology::{NextHopType, Nic, NicAddress, NicName, Topology, Vnet};

pub(super) fn check(document: &Document, topology: &Topology, sink: &mut Sink) {
    let guarded = guarded_subnets(topology);
    let index = index(topology);
    for (table_name, table) in &document.route_tables {
        for (vnet_name, vnet) in &topology.vnets {
            for (subnet_name, subnet) in &vnet.subnets {
                if subnet.route_table.as_ref() != Some(&table_name.value) {
                    continue;
                }
                let served = Served {
                    vnet_name,
                    vnet,
                    subnet_name,
                };
                for route in &table.routes {
                    appliance(route, &served, topology, &index, sink);
                    if guarded.contains(&(vnet_name.as_str(), subnet_name.as_str())) {
                        widened_tag(route, &served, sink);
                    }
                }
            }
        }
    }
}

/// A subnet that a route table is for.
struct Served<'t> {
    vnet_name: &'t str,
    vnet: &'t Vnet,
    subnet_name: &'t str,
}

/// Subnets where a group decides something: their own, or a NIC's.
fn guarded_subnets(topology: &Topology) -> HashSet<(&str, &str)> {
    let subnets = topology.vnets.iter().flat_map(|(vnet, body)| {
        let guarded = body
            .subnets
            .iter()
            .filter(|(_, subnet)| subnet.nsg.is_some());
        guarded.map(|(subnet, _)| (vnet.as_str(), subnet.as_str()))
    });
    let nics = topology.guests.values().flat_map(|guest| &guest.nics);
    let guarded = nics.filter(|nic| nic.nsg.is_some());
    subnets
        .chain(guarded.map(|nic| (nic.vnet.as_str(), nic.subnet.as_str())))
        .collect()
}

fn widened_tag(route: &document::Route, served: &Served<'_>, sink: &mut Sink) {
    let RouteTarget::Prefix(prefix) = &route.target else {
        return;
    };
    if prefix.value.prefix_len() != 0 {
        return;
    }
    let message = format!(
        "default route `{}` makes the tag VirtualNetwork mean every address in `{}/{}`",
        route.name.value, served.vnet_name, served.subnet_name
    );
    let help = "the default rule AllowVnetInBound then lets everything in: \
                add a rule of your own that denies what should not";
    sink.warning(&prefix.place, Code::WidenedTag, message, help);
}

fn appliance<'t>(
    route: &document::Route,
    served: &Served<'t>,
    topology: &'t Topology,
    index: &Index<'t>,
    sink: &mut Sink,
) {
    let (NextHopType::VirtualAppliance, Some(hop)) = (route.next_hop_type.value, &route.next_hop)
    else {
        return;
    };
    let address = hop.value;
    let subnet = format!("{}/{}", served.vnet_name, served.subnet_name);
    let Some(found) = find(address, served, topology, index) else {
        let message =
            format!("no NIC that `{subnet}` can reach has the next hop's address {address}");
        let help = "traffic of this route is dropped until there is one, \
                    in the same virtual network or in a connected peer";
        sink.warning(&hop.place, Code::Appliance, message, help);
        return;
    };
    let Hop::Nic(name, nic) = found else { return };
    if !nic.ip_forwarding {
        let message = format!("next hop {address} is `{name}`, which does not forward");
        let help = "set `ipForwarding: true` on it; until then the traffic is dropped";
        sink.warning(&hop.place, Code::Appliance, message, help);
    }
    if nic.vnet == served.vnet_name && nic.subnet == served.subnet_name {
        let message = format!("next hop {address} is in the subnet `{subnet}` that it serves");
        let help = "what it forwards is routed back to it: move it to a subnet of its own";
        sink.warning(&hop.place, Code::Appliance, message, help);
    }
}

enum Hop<'t> {
    Nic(NicName, &'t Nic),
    Remote,
}

type Index<'t> = HashMap<(&'t str, IpAddr), Hop<'t>>;

/// Who has which address of which network.
fn index(topology: &Topology) -> Index<'_> {
    let remote = topology.mappings.iter();
    let remote = remote.map(|mapping| ((mapping.vnet.as_str(), mapping.address), Hop::Remote));
    let local = topology.nics().flat_map(|(name, _, nic)| {
        let hop = move |own: &NicAddress| {
            (
                (nic.vnet.as_str(), own.address),
                Hop::Nic(name.clone(), nic),
            )
        };
        nic.addresses.iter().map(hop)
    });
    remote.chain(local).collect()
}

/// Who has this address, in the served network or a connected peer.
fn find<'i, 't>(
    address: IpAddr,
    served: &Served<'t>,
    topology: &'t Topology,
    index: &'i Index<'t>,
) -> Option<&'i Hop<'t>> {
    let peers = topology.connected(served.vnet).map(|(name, _, _)| name);
    std::iter::once(served.vnet_name)
        .chain(peers)
        .find_map(|vnet| index.get(&(vnet, address)))
}
