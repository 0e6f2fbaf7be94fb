//! Policies of any size, and connections that meet them.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use flow::PortId;
use ipnet::{IpNet, Ipv4Net};
use policy::Tuple;
use policy::input::{
    Access, AddressSet, Layer, MappingInput, MappingTarget, NextHop, NicInput, PolicyInput,
    RouteInput, RouteSource, RouteTableInput, RuleInput, RuleSetInput, VnetId,
};
use wire::Vni;

pub(crate) const SENDER: PortId = PortId(1);
pub(crate) const RECEIVER: PortId = PortId(2);

/// Everything lives in this /8.
const NET: u32 = 0x0a00_0000;
const NET_LEN: u8 = 8;
const HOSTS: u32 = 1 << (32 - NET_LEN);
const VNET: VnetId = VnetId(0);

/// How much of everything there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Rules of each of the two groups that a packet passes at either NIC.
    pub(crate) rules: usize,
    /// Prefixes on either side of each rule.
    pub(crate) prefixes: usize,
    pub(crate) routes: usize,
    pub(crate) mappings: u32,
}

/// A policy, and connections of which half are within the source and destination prefixes of some
/// rule, half between any mapped addresses.
pub(crate) fn workload(size: Size, connections_count: usize) -> (PolicyInput, Vec<Tuple>) {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let input = policy(&mut random, size);
    let connections = connections(&mut random, size, &input, connections_count);
    (input, connections)
}

/// A mapping of one of the addresses, changed.
pub(crate) fn changed_mapping(size: Size, round: u16) -> (VnetId, IpAddr, Option<MappingTarget>) {
    let index = u32::from(round) * 997 % size.mappings;
    let target = MappingTarget::Port(PortId(round % 4_000 + 3));
    (VNET, mapped(size, index), Some(target))
}

fn policy(random: &mut Random, size: Size) -> PolicyInput {
    let mut nics = vec![nic(random, size, SENDER), nic(random, size, RECEIVER)];
    let routes = Arc::new(routes(random, size));
    nics.iter_mut()
        .for_each(|nic| nic.routes = Arc::clone(&routes));
    let mapping = |index: u32| MappingInput {
        vnet: VNET,
        address: mapped(size, index),
        target: MappingTarget::Port(PortId(u16::try_from(index % 4_000).unwrap_or(0) + 1)),
    };
    PolicyInput {
        generation: 1,
        nics,
        mappings: (0..size.mappings).map(mapping).collect(),
        ..PolicyInput::default()
    }
}

fn nic(random: &mut Random, size: Size, port: PortId) -> NicInput {
    let mut set = |layer| Arc::new(rule_set(random, layer, size));
    NicInput {
        subnets: Vec::new(),
        primary: true,
        dns_servers: Vec::new(),
        vni: Vni::MAX,
        port,
        name: "nic".to_owned(),
        addresses: vec![address(NET + u32::from(port.0) + 3)],
        mac: [2, 0, 0, 0, 0, 1],
        vnet: VNET,
        gateways: Vec::new(),
        ip_forwarding: false,
        decrement_ttl: false,
        mtu: 1_500,
        path_generation: 1,
        reevaluate_generation: 0,
        outbound: vec![set(Layer::NicGroup), set(Layer::SubnetGroup)],
        inbound: vec![set(Layer::SubnetGroup), set(Layer::NicGroup)],
        routes: Arc::new(RouteTableInput::default()),
    }
}

/// Rules of distinct prefixes and ports, the default rules behind them.
fn rule_set(random: &mut Random, layer: Layer, size: Size) -> RuleSetInput {
    let everything = || AddressSet::Prefixes(vec![net(NET, NET_LEN)]);
    let mut list: Vec<RuleInput> = (0..size.rules)
        .map(|index| RuleInput {
            name: format!("rule-{index}"),
            priority: u16::try_from(100 + index).unwrap_or(u16::MAX),
            access: if index % 4 == 0 {
                Access::Deny
            } else {
                Access::Allow
            },
            protocols: [vec![6], vec![17], vec![]][index % 3].clone(),
            source: prefix_list(random, size.prefixes),
            destination: prefix_list(random, size.prefixes),
            source_ports: Vec::new(),
            destination_ports: [vec![], vec![443..=443], vec![8_000..=8_999]][index / 3 % 3]
                .clone(),
        })
        .collect();
    let default = |name: &str, priority, access, addresses: AddressSet| RuleInput {
        name: name.to_owned(),
        priority,
        access,
        protocols: Vec::new(),
        source: addresses.clone(),
        destination: addresses,
        source_ports: Vec::new(),
        destination_ports: Vec::new(),
    };
    list.push(default("AllowVnet", 65_000, Access::Allow, everything()));
    list.push(default("DenyAll", 65_500, Access::Deny, AddressSet::Any));
    RuleSetInput {
        name: "group".to_owned(),
        layer,
        covers_platform: false,
        rules: list,
    }
}

fn prefix_list(random: &mut Random, count: usize) -> AddressSet {
    AddressSet::Prefixes((0..count).map(|_| prefix(random, 24)).collect())
}

fn routes(random: &mut Random, size: Size) -> RouteTableInput {
    let mut routes = vec![RouteInput {
        name: "vnet".to_owned(),
        prefix: net(NET, NET_LEN),
        source: RouteSource::System,
        next_hop: NextHop::Vnet(VNET),
    }];
    routes.extend((1..size.routes).map(|index| RouteInput {
        name: format!("route-{index}"),
        prefix: prefix(random, 22),
        source: if index % 2 == 0 {
            RouteSource::User
        } else {
            RouteSource::Bgp
        },
        next_hop: NextHop::Vnet(VNET),
    }));
    RouteTableInput {
        name: "table".to_owned(),
        routes,
    }
}

fn connections(random: &mut Random, size: Size, input: &PolicyInput, count: usize) -> Vec<Tuple> {
    let sets = input
        .nics
        .iter()
        .flat_map(|nic| nic.outbound.iter().chain(&nic.inbound));
    let rules: Vec<&RuleInput> = sets.flat_map(|set| &set.rules).collect();
    let connection = |index| {
        let rule = rules[random.index(rules.len())];
        let mut side = |set: &AddressSet| match set {
            AddressSet::Prefixes(list) if index % 2 == 0 && !list.is_empty() => {
                list[random.index(list.len())].addr()
            }
            _ => mapped(size, random.below(size.mappings)),
        };
        let (src, dst) = (side(&rule.source), side(&rule.destination));
        Tuple {
            src,
            dst,
            protocol: [6, 17][random.index(2)],
            source_port: 40_000,
            destination_port: [443, 8_080, 22][random.index(3)],
        }
    };
    (0..count).map(connection).collect()
}

/// A prefix of some length from `shortest` to that of a host.
fn prefix(random: &mut Random, shortest: u8) -> IpNet {
    let first = NET + random.below(HOSTS);
    let longer = random.below(u32::from(33 - shortest));
    net(first, shortest + u8::try_from(longer).unwrap_or(0))
}

/// A mapped address: they are spread over the whole network.
fn mapped(size: Size, index: u32) -> IpAddr {
    address(NET + index * (HOSTS / size.mappings))
}

fn net(address: u32, length: u8) -> IpNet {
    let prefix = Ipv4Net::new(Ipv4Addr::from_bits(address), length);
    IpNet::V4(prefix.expect("a length up to 32").trunc())
}

fn address(bits: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(bits))
}

/// xorshift64*, so that every run measures the same.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        u32::try_from((high * u64::from(limit)) >> 32).unwrap_or(0)
    }

    fn index(&mut self, len: usize) -> usize {
        self.below(u32::try_from(len).unwrap_or(u32::MAX)) as usize
    }
}
