//! What the switch does in a second on one core: frames of established flows, by the number of
//! flows, and new connections.
//!
//! Frames are 64 bytes long (60 without the check sequence), UDP, and rewritten in place; before
//! each the header is put back to what the guest sent, which is part of the measurement. Flows are
//! visited at random, so that a million of them miss every cache. New connections are of a NIC
//! whose packets pass four rule sets of 1,000 rules.
//!
//! Run with `cargo run --release -p vswitch --example fast_path`. For instructions instead of time:
//! `valgrind --tool=callgrind target/release/examples/fast_path hits 1000 200000`, or `new` in place
//! of `hits`.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flow::{PortId, PortMode, Tick, Timeouts};
use ipnet::{IpNet, Ipv4Net};
use policy::Compiler;
use policy::input::{
    Access, AddressSet, Layer, MappingInput, MappingTarget, NextHop, NicInput, PolicyInput,
    RouteInput, RouteSource, RouteTableInput, RuleInput, RuleSetInput, VnetId,
};
use vswitch::{EngineWork, Limits, Outcome, Switch, router_mac};
use wire::{MacAddr, Vni};
use wire::compose::{Endpoint, Packet};

const SENDER: PortId = PortId(1);
const RECEIVER: PortId = PortId(2);
const RULES: usize = 1_000;
/// Payload that makes a frame of 60 bytes.
const PAYLOAD: [u8; 18] = [0x5a; 18];
const BATCH: usize = 64;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => report(),
        [what, flows, packets] if what == "hits" => {
            let mut bench = Bench::new(flows.parse()?, 0)?;
            bench.open_all();
            bench.hits(packets.parse()?);
            Ok(())
        }
        [what, flows] if what == "new" => {
            let mut bench = Bench::new(flows.parse()?, RULES)?;
            bench.open_all();
            Ok(())
        }
        _ => Err("usage: fast_path [hits <flows> <packets> | new <flows>]".into()),
    }
}

fn report() -> Result<(), Box<dyn std::error::Error>> {
    println!("{:>10} {:>10} {:>10}", "flows", "Mpps", "ns/frame");
    for flows in [1_000, 1_000_000] {
        let mut bench = Bench::new(flows, 0)?;
        bench.open_all();
        let packets = 4_000_000;
        let best = (0..5)
            .map(|_| bench.hits(packets))
            .min()
            .unwrap_or_default();
        let each = best.as_secs_f64() / f64::from(packets);
        println!("{flows:>10} {:>10.2} {:>10.1}", 1e-6 / each, each * 1e9);
    }
    let connections = 200_000;
    println!("\n{:>10} {:>10} {:>10}", "rules/set", "new/s", "ns each");
    for rules in [0, RULES] {
        let mut best = Duration::MAX;
        for _ in 0..3 {
            best = best.min(Bench::new(connections, rules)?.open_all());
        }
        let each = best.as_secs_f64() / f64::from(connections);
        println!("{rules:>10} {:>10.0} {:>10.0}", 1.0 / each, each * 1e9);
    }
    Ok(())
}

struct Bench {
    switch: Switch,
    /// The header of each flow's frames: all that differs between them.
    headers: Vec<[u8; 42]>,
    work: EngineWork,
    random: Random,
    now: Tick,
}

impl Bench {
    fn new(flows: u32, rules: usize) -> Result<Bench, Box<dyn std::error::Error>> {
        let snapshot = Compiler::new(policy::Limits::default()).compile(&policy(rules))?;
        let limit = |count: u32| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        let limits = Limits {
            flows_max: limit(2 * flows),
            flows_per_port_max: limit(2 * flows),
            fragments_max: limit(1_024),
            fragments_per_port_max: limit(1_024),
            first_packets_per_second: u32::MAX,
            resimulations_per_second: u32::MAX,
        };
        let mut switch = Switch::new(limits, Timeouts::default(), Arc::new(snapshot), 7);
        for port in [SENDER, RECEIVER] {
            switch.add_port(port, PortMode::Synthetic);
        }
        Ok(Bench {
            switch,
            headers: (0..flows).map(header).collect(),
            work: EngineWork::default(),
            random: Random(0x2545_f491_4f6c_dd1d),
            now: Tick(1 << 40),
        })
    }

    /// The first packet of every flow; the time that took.
    fn open_all(&mut self) -> Duration {
        let mut frame = frame();
        let start = Instant::now();
        for (number, header) in self.headers.iter().enumerate() {
            frame[..header.len()].copy_from_slice(header);
            let outcome = self.switch.process(SENDER, &mut frame, None, self.now);
            assert_eq!(
                outcome,
                Outcome::Deliver(RECEIVER),
                "the rules allow every flow here"
            );
            if number % BATCH == 0 {
                self.switch.take_work(&mut self.work);
            }
        }
        start.elapsed()
    }

    /// Packets of flows chosen at random; the time they took.
    fn hits(&mut self, packets: u32) -> Duration {
        let flows = u32::try_from(self.headers.len()).unwrap_or(u32::MAX);
        let mut frame = frame();
        let before = self
            .switch
            .port(SENDER)
            .map_or(0, |port| port.counters.first_packets);
        let start = Instant::now();
        for _ in 0..packets {
            let header = &self.headers[self.random.below(flows) as usize];
            frame[..header.len()].copy_from_slice(header);
            black_box(self.switch.process(SENDER, &mut frame, None, self.now));
        }
        let took = start.elapsed();
        let after = self
            .switch
            .port(SENDER)
            .map_or(0, |port| port.counters.first_packets);
        assert_eq!(before, after, "every packet was a hit");
        took
    }
}

fn frame() -> [u8; 60] {
    let mut frame = [0x5a; 60];
    frame[..42].copy_from_slice(&header(0));
    frame
}

/// Of flow `number`: its source address and ports.
fn header(number: u32) -> [u8; 42] {
    let [_, high, middle, low] = number.to_be_bytes();
    let end = |mac, last: [u8; 4], port| Endpoint {
        mac,
        ip: IpAddr::from(last),
        port,
    };
    let src = end(
        MacAddr([2, 0, 0, 0, 0, 1]),
        [10, 0, 0, 4],
        u16::from_be_bytes([middle, low]),
    );
    let dst = end(router_mac(), [10, 0, 1, high], 8_000);
    let frame = Packet::new(&src, &dst, &PAYLOAD).udp();
    frame.first_chunk().copied().unwrap_or([0; 42])
}

fn policy(rules: usize) -> PolicyInput {
    let routes = Arc::new(RouteTableInput {
        name: "routes".to_owned(),
        routes: vec![RouteInput {
            name: "vnet".to_owned(),
            prefix: net([10, 0, 0, 0], 8),
            source: RouteSource::System,
            next_hop: NextHop::Vnet(VnetId(0)),
        }],
    });
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut sets = |layers: [Layer; 2]| -> Vec<Arc<RuleSetInput>> {
        let layers = layers.into_iter().filter(|_| rules > 0);
        layers
            .map(|layer| Arc::new(rule_set(&mut random, layer, rules)))
            .collect()
    };
    let (out, into) = (
        [Layer::NicGroup, Layer::SubnetGroup],
        [Layer::SubnetGroup, Layer::NicGroup],
    );
    let mut nic = |port: PortId, addresses: Vec<IpAddr>, mac| NicInput {
        subnets: Vec::new(),
        primary: true,
        dns_servers: Vec::new(),
        vni: Vni::MAX,
        port,
        name: port.to_string(),
        addresses,
        gateways: Vec::new(),
        mac,
        vnet: VnetId(0),
        ip_forwarding: false,
        decrement_ttl: false,
        mtu: 1_500,
        path_generation: 1,
        reevaluate_generation: 0,
        outbound: sets(out),
        inbound: sets(into),
        routes: Arc::clone(&routes),
    };
    let receiving: Vec<IpAddr> = (0..=255)
        .map(|last| IpAddr::from([10, 0, 1, last]))
        .collect();
    let mapping = |&address| MappingInput {
        vnet: VnetId(0),
        address,
        target: MappingTarget::Port(RECEIVER),
    };
    PolicyInput {
        generation: 1,
        mappings: receiving.iter().map(mapping).collect(),
        nics: vec![
            nic(
                SENDER,
                vec![IpAddr::from([10, 0, 0, 4])],
                [2, 0, 0, 0, 0, 1],
            ),
            nic(RECEIVER, receiving, [2, 0, 0, 0, 0, 2]),
        ],
        ..PolicyInput::default()
    }
}

/// Rules of distinct prefixes and ports that miss the flows here, and one that allows them.
fn rule_set(random: &mut Random, layer: Layer, rules: usize) -> RuleSetInput {
    let rule = |name: String, priority, access, destination, ports| RuleInput {
        name,
        priority,
        access,
        protocols: vec![17],
        source: AddressSet::Any,
        destination,
        source_ports: Vec::new(),
        destination_ports: ports,
    };
    let mut list: Vec<RuleInput> = (0..rules)
        .map(|index| {
            let prefix = net(
                Ipv4Addr::from_bits((10 << 24) + random.below(1 << 17)).octets(),
                28,
            );
            let priority = u16::try_from(100 + index).unwrap_or(u16::MAX);
            let ports = vec![443..=443, 9_000..=9_999];
            let destination = AddressSet::Prefixes(vec![prefix]);
            rule(
                format!("rule-{index}"),
                priority,
                Access::Deny,
                destination,
                ports,
            )
        })
        .collect();
    list.push(rule(
        "AllowVnet".to_owned(),
        65_000,
        Access::Allow,
        AddressSet::Any,
        Vec::new(),
    ));
    RuleSetInput {
        name: "group".to_owned(),
        layer,
        covers_platform: false,
        rules: list,
    }
}

fn net(address: [u8; 4], length: u8) -> IpNet {
    IpNet::V4(
        Ipv4Net::new(address.into(), length)
            .expect("a length up to 32")
            .trunc(),
    )
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
