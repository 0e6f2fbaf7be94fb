//! Random worlds and traces. Everything is drawn from few values, so that packets, rules and changes
//! meet.

mod traces;

use std::net::IpAddr;

use flow::PortId;
use policy::input::{
    Access, AddressSet, Layer, MappingTarget, NextHop, RouteInput, RouteSource, RuleInput,
    RuleSetInput, VnetId,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) use self::traces::{moving_traces, traces};
use super::rules::rule;
use super::world::{World, net, remote, route, v4, v6, vnet_prefixes};

/// At most so many networks.
const VNETS: u8 = 3;

#[derive(Clone, Debug)]
pub(crate) struct WorldPlan {
    nics: Vec<NicPlan>,
    /// Whether networks n and n + 1 are peered.
    peered: [bool; 2],
}

#[derive(Clone, Debug)]
struct NicPlan {
    vnet: u8,
    forwarding: bool,
    router_hop: bool,
    mtu: u16,
    outbound: Vec<SetPlan>,
    inbound: Vec<SetPlan>,
    routes: Vec<RoutePlan>,
}

/// A rule set.
#[derive(Clone, Debug)]
pub(crate) struct SetPlan {
    layer: Layer,
    covers_platform: bool,
    rules: Vec<RulePlan>,
    /// What happens to what no rule matches.
    otherwise: Access,
}

#[derive(Clone, Debug)]
struct RulePlan {
    access: Access,
    protocols: Vec<u8>,
    source: SetOf,
    destination: SetOf,
    destination_port: Option<u16>,
}

#[derive(Clone, Copy, Debug)]
enum SetOf {
    Any,
    Nic(usize),
    Vnet(u8),
    Nothing,
}

/// A user route.
#[derive(Clone, Debug)]
pub(crate) struct RoutePlan {
    to: SetOf,
    hop: HopPlan,
}

#[derive(Clone, Copy, Debug)]
enum HopPlan {
    None,
    Internet,
    Gateway,
    /// A NIC, by its address.
    Appliance(usize),
    /// A NIC of another host.
    ApplianceAfar(u8),
    Vnet(u8),
}

impl WorldPlan {
    pub(crate) fn build(&self) -> World {
        let mut world = World::default();
        for (port, plan) in (1..).zip(&self.nics) {
            let floating = [v4(plan.vnet, 3, 1), v6(plan.vnet, 3, 1)];
            let nic = world.add_nic(port, plan.vnet);
            nic.ip_forwarding = plan.forwarding;
            nic.decrement_ttl = plan.router_hop;
            nic.mtu = plan.mtu;
            nic.addresses.extend(floating);
            // So that what is on another host can come here.
            nic.addresses
                .extend([v4(plan.vnet, 1, 1), v6(plan.vnet, 1, 1)]);
            for address in floating {
                world.map(
                    plan.vnet,
                    address,
                    Some(MappingTarget::Port(PortId(port.into()))),
                );
            }
        }
        for vnet in 0..VNETS {
            for address in [v4(vnet, 1, 1), v6(vnet, 1, 1)] {
                world.map(vnet, address, Some(remote(9, vnet)));
            }
        }
        for (low, _) in (0..).zip(self.peered).filter(|(_, peered)| *peered) {
            for (own, other) in [(low, low + 1), (low + 1, low)] {
                let vnets = world.receive_off_uplink(own);
                vnets.push(VnetId(other.into()));
            }
        }
        let addresses = SetPlan::addresses(&world);
        for (port, plan) in (1..).zip(&self.nics) {
            world.set_outbound(port, SetPlan::build_all(&plan.outbound, true, &addresses));
            world.set_inbound(port, SetPlan::build_all(&plan.inbound, false, &addresses));
            let peers = self.peers_of(plan.vnet);
            world.change_routes(port, |routes| routes.extend(peers));
            RoutePlan::add_all(&plan.routes, &mut world, port);
        }
        world
    }

    fn peers_of(&self, vnet: u8) -> Vec<RouteInput> {
        let peered = |low: u8| self.peered.get(usize::from(low)).copied().unwrap_or(false);
        let mut peers = Vec::new();
        if peered(vnet) {
            peers.push(vnet + 1);
        }
        if vnet > 0 && peered(vnet - 1) {
            peers.push(vnet - 1);
        }
        let routes = peers.into_iter().flat_map(|peer| {
            let hop = NextHop::Vnet(VnetId(peer.into()));
            vnet_prefixes(peer).map(|prefix| route(prefix, RouteSource::System, hop))
        });
        routes.collect()
    }
}

impl SetPlan {
    /// The addresses of all NICs, which rules name by index.
    pub(crate) fn addresses(world: &World) -> Vec<Vec<IpAddr>> {
        world
            .input
            .nics
            .iter()
            .map(|nic| nic.addresses[..2].to_vec())
            .collect()
    }

    /// The sets of one direction, each layer once, in the order of that direction.
    pub(crate) fn build_all(
        plans: &[SetPlan],
        outbound: bool,
        addresses: &[Vec<IpAddr>],
    ) -> Vec<RuleSetInput> {
        let order = match outbound {
            true => [Layer::SecurityAdmin, Layer::NicGroup, Layer::SubnetGroup],
            false => [Layer::SecurityAdmin, Layer::SubnetGroup, Layer::NicGroup],
        };
        let of_layer = |layer| plans.iter().find(|plan| plan.layer == layer);
        order
            .into_iter()
            .filter_map(of_layer)
            .map(|plan| plan.build(addresses))
            .collect()
    }

    fn build(&self, addresses: &[Vec<IpAddr>]) -> RuleSetInput {
        let admin = self.layer == Layer::SecurityAdmin;
        let mut rules: Vec<RuleInput> = (100..)
            .step_by(10)
            .zip(&self.rules)
            .map(|(priority, plan)| {
                let access = match plan.access {
                    Access::AlwaysAllow if !admin => Access::Allow,
                    access => access,
                };
                RuleInput {
                    protocols: plan.protocols.clone(),
                    source: plan.source.build(addresses),
                    destination: plan.destination.build(addresses),
                    destination_ports: plan
                        .destination_port
                        .map(|port| port..=port)
                        .into_iter()
                        .collect(),
                    ..rule("random", priority, access)
                }
            })
            .collect();
        if !admin {
            rules.push(rule("default", 65_000, self.otherwise));
        }
        RuleSetInput {
            name: format!("{:?}", self.layer),
            layer: self.layer,
            covers_platform: self.covers_platform,
            rules,
        }
    }
}

impl SetOf {
    fn build(self, addresses: &[Vec<IpAddr>]) -> AddressSet {
        AddressSet::Prefixes(match self {
            SetOf::Any => return AddressSet::Any,
            SetOf::Nic(nic) => addresses[nic % addresses.len()]
                .iter()
                .map(|&address| address.into())
                .collect(),
            SetOf::Vnet(vnet) => vnet_prefixes(vnet).to_vec(),
            SetOf::Nothing => Vec::new(),
        })
    }
}

impl RoutePlan {
    pub(crate) fn add_all(plans: &[RoutePlan], world: &mut World, port: u8) {
        let addresses = SetPlan::addresses(world);
        let mut routes = Vec::new();
        for plan in plans {
            let prefixes = match plan.to.build(&addresses) {
                AddressSet::Any => ["0.0.0.0/0", "::/0"].map(net).to_vec(),
                AddressSet::Prefixes(prefixes) => prefixes,
            };
            for prefix in prefixes {
                let family = usize::from(prefix.addr().is_ipv6());
                let hop = match plan.hop {
                    HopPlan::None => NextHop::None,
                    HopPlan::Internet => NextHop::Internet,
                    HopPlan::Gateway => NextHop::Gateway,
                    HopPlan::Vnet(vnet) => NextHop::Vnet(VnetId(vnet.into())),
                    HopPlan::ApplianceAfar(vnet) if family == 0 => {
                        NextHop::Appliance(v4(vnet, 1, 1))
                    }
                    HopPlan::ApplianceAfar(vnet) => NextHop::Appliance(v6(vnet, 1, 1)),
                    HopPlan::Appliance(nic) => {
                        NextHop::Appliance(addresses[nic % addresses.len()][family])
                    }
                };
                routes.push(route(prefix, RouteSource::User, hop));
            }
        }
        world.change_routes(port, |all| all.extend(routes));
    }
}

pub(crate) fn worlds() -> impl Strategy<Value = WorldPlan> {
    (
        vec(nics(), 2..=6),
        [prop::bool::weighted(0.8), prop::bool::weighted(0.8)],
    )
        .prop_map(|(nics, peered)| WorldPlan { nics, peered })
}

/// One network.
pub(crate) fn small_worlds() -> impl Strategy<Value = WorldPlan> {
    worlds().prop_map(|mut world| {
        world.nics.truncate(3);
        world.nics.iter_mut().for_each(|nic| nic.vnet = 0);
        world
    })
}

fn nics() -> impl Strategy<Value = NicPlan> {
    let vnet = prop_oneof![8 => Just(0), 2 => Just(1), 1 => Just(2)];
    let kind = (prop::bool::weighted(0.4), prop::bool::weighted(0.2));
    let mtu = select(vec![1_500, 1_500, 1_500, 1_280, 9_000]);
    (vnet, kind, mtu, sets(), sets(), routes()).prop_map(
        |(vnet, (forwarding, router_hop), mtu, outbound, inbound, routes)| NicPlan {
            vnet,
            forwarding,
            router_hop,
            mtu,
            outbound,
            inbound,
            routes,
        },
    )
}

fn sets() -> impl Strategy<Value = Vec<SetPlan>> {
    prop_oneof![3 => Just(Vec::new()), 1 => vec(set(), 1..=3)]
}

fn set() -> impl Strategy<Value = SetPlan> {
    let layer = select(vec![
        Layer::SecurityAdmin,
        Layer::NicGroup,
        Layer::SubnetGroup,
    ]);
    let otherwise = prop_oneof![6 => Just(Access::Allow), 1 => Just(Access::Deny)];
    (
        layer,
        prop::bool::weighted(0.2),
        vec(rules(), 0..4),
        otherwise,
    )
        .prop_map(|(layer, covers_platform, rules, otherwise)| SetPlan {
            layer,
            covers_platform,
            rules,
            otherwise,
        })
}

fn rules() -> impl Strategy<Value = RulePlan> {
    let access = prop_oneof![
        2 => Just(Access::Allow),
        3 => Just(Access::Deny),
        1 => Just(Access::AlwaysAllow),
    ];
    let protocols = select(vec![vec![], vec![6], vec![17], vec![1, 58]]);
    let port = option::of(select(traces::PORTS.to_vec()));
    (access, protocols, sets_of(), sets_of(), port).prop_map(
        |(access, protocols, source, destination, destination_port)| RulePlan {
            access,
            protocols,
            source,
            destination,
            destination_port,
        },
    )
}

fn sets_of() -> impl Strategy<Value = SetOf> {
    prop_oneof![
        4 => Just(SetOf::Any),
        6 => (0usize..6).prop_map(SetOf::Nic),
        3 => (0..VNETS).prop_map(SetOf::Vnet),
        1 => Just(SetOf::Nothing),
    ]
}

fn routes() -> impl Strategy<Value = Vec<RoutePlan>> {
    let hop = prop_oneof![
        1 => Just(HopPlan::None),
        1 => Just(HopPlan::Internet),
        1 => Just(HopPlan::Gateway),
        8 => (0usize..6).prop_map(HopPlan::Appliance),
        2 => (0..VNETS).prop_map(HopPlan::ApplianceAfar),
        1 => (0..VNETS).prop_map(HopPlan::Vnet),
    ];
    let to = prop_oneof![
        1 => Just(SetOf::Any),
        6 => (0usize..6).prop_map(SetOf::Nic),
        2 => (0..VNETS).prop_map(SetOf::Vnet),
    ];
    let route = (to, hop).prop_map(|(to, hop)| RoutePlan { to, hop });
    prop_oneof![2 => Just(Vec::new()), 1 => vec(route, 1..=2)]
}
