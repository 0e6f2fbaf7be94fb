//! What deciding a new connection costs, by the size of the policy.
//!
//! One evaluation is all a first packet needs: outbound at the sender, the route, the mapping,
//! inbound at the receiver; each NIC with a group of its own and one of its subnet. Half of the
//! connections are within the source and destination prefixes of some rule, half anywhere.
//!
//! Run with `cargo run --release -p policy --example policy_cost`.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use flow::PortId;
use ipnet::{IpNet, Ipv4Net};
use policy::input::{
    Access, AddressSet, Layer, MappingInput, MappingTarget, NextHop, NicInput, PolicyInput,
    RouteInput, RouteSource, RouteTableInput, RuleInput, RuleSetInput, VnetId,
};
use policy::{Compiler, Judgement, Limits, Snapshot, Tuple};
use wire::Vni;

const ROUTES: usize = 10_000;
const MAPPINGS: u32 = 1_000_000;
/// From one mapped address to the next: together they take up a /8.
const STRIDE: u32 = 16;
const CONNECTIONS: usize = 200_000;
/// Connections that are timed together.
const PART: usize = 2_000;
const ROUNDS: usize = 15;
const NET: u32 = 0x0a00_0000;
const VNET: VnetId = VnetId(0);
const SENDER: PortId = PortId(1);
const RECEIVER: PortId = PortId(2);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("{ROUTES} routes, {MAPPINGS} mappings; sets of a group and a subnet at both NICs");
    println!(
        "{:>7} {:>9} {:>8} {:>10} {:>11} {:>11} {:>12} {:>9}",
        "rules", "prefixes", "ns/eval", "evals/s", "compile ms", "again ms", "set bytes", "allowed"
    );
    for (rules, prefixes) in [(100, 10), (1_000, 10), (10_000, 10), (1_000, 1_000)] {
        measure(rules, prefixes)?;
    }
    Ok(())
}

fn measure(rules: usize, prefixes: usize) -> Result<(), Box<dyn std::error::Error>> {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let input = policy(&mut random, rules, prefixes);
    let connections = connections(&mut random, &input);

    let mut compiler = Compiler::new(Limits::default());
    let without_mappings = PolicyInput {
        mappings: Vec::new(),
        ..input.clone()
    };
    let start = Instant::now();
    let bare = compiler.compile(&without_mappings)?;
    let compile = start.elapsed();
    let snapshot = compiler.compile(&input)?;
    let start = Instant::now();
    let again = compiler.compile(&input)?;
    let again_took = start.elapsed();
    drop(again);

    let (each, allowed) = cost(&snapshot, &connections);
    println!(
        "{rules:>7} {prefixes:>9} {:>8.0} {:>10.0} {:>11.1} {:>11.1} {:>12} {:>8.1}%",
        each * 1e9,
        1.0 / each,
        compile.as_secs_f64() * 1e3,
        again_took.as_secs_f64() * 1e3,
        bare.memory_bytes(),
        allowed as f64 * 100.0 / CONNECTIONS as f64,
    );
    if (rules, prefixes) == (100, 10) {
        mapping_changes(&snapshot)?;
    }
    Ok(())
}

/// Seconds an evaluation takes, and how many connections are allowed. Every part of the connections
/// counts as fast as it ever was, so that others on the machine count little.
fn cost(snapshot: &Snapshot, connections: &[Tuple]) -> (f64, usize) {
    let parts: Vec<&[Tuple]> = connections.chunks(PART).collect();
    let mut best = vec![f64::MAX; parts.len()];
    let mut allowed = 0;
    for _ in 0..ROUNDS {
        allowed = 0;
        for (part, best) in parts.iter().zip(&mut best) {
            let start = Instant::now();
            allowed += evaluate(snapshot, part);
            *best = best.min(start.elapsed().as_secs_f64());
        }
    }
    (best.iter().sum::<f64>() / connections.len() as f64, allowed)
}

/// What one changed mapping costs among all the others.
fn mapping_changes(snapshot: &Snapshot) -> Result<(), Box<dyn std::error::Error>> {
    let rounds: u16 = 1_000;
    let mut current = snapshot.clone();
    let start = Instant::now();
    for round in 0..rounds {
        let address = address(NET + u32::from(round) * 997 * STRIDE);
        let target = Some(MappingTarget::Port(PortId(round % 4_000 + 3)));
        current = current.with_mapping_changes(&[(VNET, address, target)])?;
    }
    let each = start.elapsed().as_secs_f64() / f64::from(rounds);
    let mapped = snapshot.memory_bytes() / MAPPINGS as usize;
    println!(
        "        one mapping change: {:.1} us; {mapped} bytes a mapping",
        each * 1e6
    );
    black_box(current);
    Ok(())
}

fn evaluate(snapshot: &Snapshot, connections: &[Tuple]) -> usize {
    let sender = snapshot.nic(SENDER).expect("the sender is in the policy");
    let receiver = snapshot
        .nic(RECEIVER)
        .expect("the receiver is in the policy");
    let mut allowed = 0;
    for tuple in connections {
        let outbound = sender.outbound(tuple, &mut ());
        let route = sender.route(tuple.dst, &mut ());
        let mapping = match route.map(|route| route.next_hop) {
            Some(NextHop::Vnet(vnet)) => snapshot.mapping(vnet, tuple.dst).2,
            _ => None,
        };
        black_box(mapping);
        let inbound = receiver.inbound(tuple, &mut ());
        allowed += usize::from(outbound == Judgement::Allow && inbound == Judgement::Allow);
    }
    allowed
}

fn policy(random: &mut Random, rules: usize, prefixes: usize) -> PolicyInput {
    let mut nic = |port: PortId, address: IpAddr| {
        let mut set = |layer| Arc::new(rule_set(random, layer, rules, prefixes));
        let outbound = vec![set(Layer::NicGroup), set(Layer::SubnetGroup)];
        let inbound = vec![set(Layer::SubnetGroup), set(Layer::NicGroup)];
        let (mac, name) = ([2, 0, 0, 0, 0, 1], "nic".to_owned());
        NicInput {
            subnets: Vec::new(),
            primary: true,
            dns_servers: Vec::new(),
            vni: Vni::MAX,
            port,
            name,
            addresses: vec![address],
            mac,
            vnet: VNET,
            gateways: Vec::new(),
            ip_forwarding: false,
            decrement_ttl: false,
            mtu: 1_500,
            path_generation: 1,
            reevaluate_generation: 0,
            outbound,
            inbound,
            routes: Arc::new(RouteTableInput::default()),
        }
    };
    let mut nics = vec![
        nic(SENDER, address(NET + 4)),
        nic(RECEIVER, address(NET + 5)),
    ];
    let routes = Arc::new(routes(random));
    nics.iter_mut()
        .for_each(|nic| nic.routes = Arc::clone(&routes));
    let mapping = |index: u32| {
        let port = PortId(u16::try_from(index % 4_000).unwrap_or(0) + 1);
        let target = MappingTarget::Port(port);
        MappingInput {
            vnet: VNET,
            address: address(NET + index * STRIDE),
            target,
        }
    };
    PolicyInput {
        generation: 1,
        nics,
        mappings: (0..MAPPINGS).map(mapping).collect(),
        ..PolicyInput::default()
    }
}

/// Rules of distinct prefixes and ports, the default rules behind them.
fn rule_set(random: &mut Random, layer: Layer, rules: usize, prefixes: usize) -> RuleSetInput {
    let everything = || AddressSet::Prefixes(vec![net(NET, 8)]);
    let mut list: Vec<RuleInput> = (0..rules)
        .map(|index| RuleInput {
            name: format!("rule-{index}"),
            priority: u16::try_from(100 + index).unwrap_or(u16::MAX),
            access: if index % 4 == 0 {
                Access::Deny
            } else {
                Access::Allow
            },
            protocols: [vec![6], vec![17], vec![]][index % 3].clone(),
            source: prefix_list(random, prefixes),
            destination: prefix_list(random, prefixes),
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
    let prefix = |_| {
        net(
            NET + random.below(1 << 24),
            24 + u8::try_from(random.below(9)).unwrap_or(0),
        )
    };
    AddressSet::Prefixes((0..count).map(prefix).collect())
}

fn routes(random: &mut Random) -> RouteTableInput {
    let mut routes = vec![RouteInput {
        name: "vnet".to_owned(),
        prefix: net(NET, 8),
        source: RouteSource::System,
        next_hop: NextHop::Vnet(VNET),
    }];
    routes.extend((1..ROUTES).map(|index| RouteInput {
        name: format!("route-{index}"),
        prefix: net(
            NET + random.below(1 << 24),
            22 + u8::try_from(random.below(11)).unwrap_or(0),
        ),
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

fn connections(random: &mut Random, input: &PolicyInput) -> Vec<Tuple> {
    let sets = input
        .nics
        .iter()
        .flat_map(|nic| nic.outbound.iter().chain(&nic.inbound));
    let rules: Vec<&RuleInput> = sets.flat_map(|set| &set.rules).collect();
    let connection = |index| {
        let rule = rules[random.below(u32::try_from(rules.len()).unwrap_or(1)) as usize];
        let mut side = |set: &AddressSet| match set {
            AddressSet::Prefixes(list) if index % 2 == 0 => {
                let pick = random.below(u32::try_from(list.len()).unwrap_or(1)) as usize;
                list[pick].addr()
            }
            _ => address(NET + random.below(MAPPINGS) * STRIDE),
        };
        let (src, dst) = (side(&rule.source), side(&rule.destination));
        let destination_port = [443, 8_080, 22][random.below(3) as usize];
        let protocol = [6, 17][random.below(2) as usize];
        Tuple {
            src,
            dst,
            protocol,
            source_port: 40_000,
            destination_port,
        }
    };
    (0..CONNECTIONS).map(connection).collect()
}

fn net(address: u32, length: u8) -> IpNet {
    IpNet::V4(
        Ipv4Net::new(Ipv4Addr::from_bits(address), length)
            .expect("a length up to 32")
            .trunc(),
    )
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
}
