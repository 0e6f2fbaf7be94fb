//! The world that is measured in: one NIC with four rule sets, a NIC on this host with 256 addresses,
//! and another 256 addresses on another host.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use flow::{Encap, PortId};
use ipnet::{IpNet, Ipv4Net};
use policy::input::{
    Access, AddressSet, Layer, MappingInput, MappingTarget, NextHop, NicInput, PolicyInput,
    RouteInput, RouteSource, RouteTableInput, RuleInput, RuleSetInput, SegmentInput, UplinkInput,
    VnetId,
};
use wire::Vni;

pub(crate) const SENDER: PortId = PortId(1);
pub(crate) const RECEIVER: PortId = PortId(2);
pub(crate) const SENDER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const RECEIVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const REMOTE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 3];

/// The third byte of the addresses on this host, and of those on another.
pub(crate) const HERE: u8 = 1;
pub(crate) const ELSEWHERE: u8 = 2;

/// The tunnel to the other host.
pub(crate) fn tunnel() -> Encap {
    Encap {
        outer_src: Ipv4Addr::new(192, 0, 2, 1).into(),
        outer_dst: Ipv4Addr::new(192, 0, 2, 2).into(),
        vni: Vni::MAX,
        dst_port: wire::vxlan::PORT,
    }
}

/// The same from the other end.
pub(crate) fn tunnel_back() -> Encap {
    let there = tunnel();
    Encap {
        outer_src: there.outer_dst,
        outer_dst: there.outer_src,
        ..there
    }
}

/// With so many rules in each of the four sets.
pub(crate) fn policy(rules: usize) -> PolicyInput {
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
    let addresses = |network| (0..=255).map(move |last| IpAddr::from([10, 0, network, last]));
    let mapping = |address, target| MappingInput {
        vnet: VnetId(0),
        address,
        target,
    };
    let remote = MappingTarget::Remote {
        mac: REMOTE_MAC,
        encap: tunnel(),
        vni_of_sender: false,
    };
    let here = addresses(HERE).map(|address| mapping(address, MappingTarget::Port(RECEIVER)));
    let elsewhere = addresses(ELSEWHERE).map(|address| mapping(address, remote));
    PolicyInput {
        generation: 1,
        mappings: here.chain(elsewhere).collect(),
        nics: vec![
            nic(SENDER, vec![IpAddr::from([10, 0, 0, 4])], SENDER_MAC),
            nic(RECEIVER, addresses(HERE).collect(), RECEIVER_MAC),
        ],
        uplink: Some(UplinkInput { mtu: 1_450 }),
        segments: vec![SegmentInput {
            vni: Vni::MAX,
            vnets: vec![VnetId(0)],
        }],
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
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        u32::try_from((high * u64::from(limit)) >> 32).unwrap_or(0)
    }
}
