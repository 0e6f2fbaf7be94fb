//! Random policies over a universe so small that prefixes nest, touch and repeat, and that packets
//! meet their edges.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::IpNet;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::Tuple;
use crate::input::{
    Access, AddressSet, Layer, NextHop, RouteInput, RouteSource, RouteTableInput, RuleInput,
    RuleSetInput, VnetId,
};

pub(super) fn addresses() -> impl Strategy<Value = IpAddr> {
    let v4 = prop_oneof![
        4 => (0..16_u32).prop_map(|low| 0x0a00_0000 | low),
        2 => select(vec![0, 1, 0x0a00_00ff, 0x0a00_0100, 0x0aff_ffff, 0x0b00_0000, 0x7fff_ffff]),
        2 => select(vec![0x8000_0000, u32::MAX - 1, u32::MAX]),
        1 => select(vec![0xa83f_8110, 0xa9fe_a9fe, 0xa83f_8111]),
    ];
    let v6 = prop_oneof![
        2 => (0..8_u128).prop_map(|low| 0xfd00 << 112 | low),
        1 => select(vec![0, 1, 0x0a00_0001, 0xffff_0a00_0001]),
        1 => select(vec![0xfd00 << 112 | 0xffff, 0xfd01 << 112]),
        1 => select(vec![u128::MAX >> 1, 1 << 127, u128::MAX - 1, u128::MAX]),
    ];
    prop_oneof![
        3 => v4.prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        1 => v6.prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
    ]
}

/// Prefixes, some with bits below their length, as they may come.
pub(super) fn prefixes() -> impl Strategy<Value = IpNet> {
    let lengths = prop_oneof![3 => 0..=4_u8, 2 => Just(24), 1 => 0..=128_u8, 1 => Just(u8::MAX)];
    (addresses(), lengths).prop_map(|(address, bits)| {
        let width = if address.is_ipv4() { 32 } else { 128 };
        // Small numbers are a few bits short of a host; the largest is no bit at all.
        let length = if bits == u8::MAX {
            0
        } else {
            width - bits.min(width)
        };
        IpNet::new(address, length).expect("a length within the width")
    })
}

fn address_sets() -> impl Strategy<Value = AddressSet> {
    prop_oneof![
        1 => Just(AddressSet::Any),
        2 => vec(prefixes(), 0..6).prop_map(AddressSet::Prefixes),
    ]
}

const PORTS: [u16; 9] = [0, 1, 22, 79, 80, 81, 443, 65_534, 65_535];

fn port_ranges() -> impl Strategy<Value = Vec<RangeInclusive<u16>>> {
    let range = (select(&PORTS[..]), select(&PORTS[..])).prop_map(|(from, to)| from..=to);
    prop_oneof![2 => Just(Vec::new()), 2 => vec(range, 1..4)]
}

const PROTOCOLS: [u8; 6] = [0, 1, 6, 17, 58, 255];

fn rules(accesses: &'static [Access]) -> impl Strategy<Value = RuleInput> {
    let addresses = (address_sets(), address_sets());
    let ports = (port_ranges(), port_ranges());
    let protocols = vec(select(&PROTOCOLS[..]), 0..3);
    let whole = (addresses, ports, protocols, select(accesses));
    whole.prop_map(
        |((source, destination), ports, protocols, access)| RuleInput {
            name: String::new(),
            priority: 0,
            access,
            protocols,
            source,
            destination,
            source_ports: ports.0,
            destination_ports: ports.1,
        },
    )
}

/// Rule sets of a layer: mostly of a few rules, sometimes of several words of them.
pub(crate) fn rule_sets(layer: Layer) -> impl Strategy<Value = RuleSetInput> {
    let accesses: &[Access] = match layer {
        Layer::SecurityAdmin => &[Access::Allow, Access::Deny, Access::AlwaysAllow],
        Layer::NicGroup | Layer::SubnetGroup => &[Access::Allow, Access::Deny],
    };
    let count = prop_oneof![6 => 0..12_usize, 1 => 60..220_usize];
    let rules = count.prop_flat_map(move |count| vec(rules(accesses), count));
    (rules, any::<bool>()).prop_map(move |(mut rules, covers_platform)| {
        for (number, rule) in (0..).zip(&mut rules) {
            (rule.priority, rule.name) = (100 + number, format!("rule-{number}"));
        }
        RuleSetInput {
            name: format!("{layer:?}"),
            layer,
            covers_platform,
            rules,
        }
    })
}

pub(crate) fn tuples() -> impl Strategy<Value = Tuple> {
    let ports = || prop_oneof![4 => select(&PORTS[..]), 1 => any::<u16>()];
    let protocols = prop_oneof![4 => select(&PROTOCOLS[..]), 1 => any::<u8>()];
    let whole = (addresses(), addresses(), protocols, ports(), ports());
    whole.prop_map(
        |(src, dst, protocol, source_port, destination_port)| Tuple {
            src,
            dst,
            protocol,
            source_port,
            destination_port,
        },
    )
}

pub(super) fn route_tables(max: usize) -> impl Strategy<Value = RouteTableInput> {
    let sources = select(vec![
        RouteSource::User,
        RouteSource::Bgp,
        RouteSource::System,
    ]);
    let next_hops = prop_oneof![
        3 => (0..3_u32).prop_map(|vnet| NextHop::Vnet(VnetId(vnet))),
        1 => addresses().prop_map(NextHop::Appliance),
        1 => select(vec![NextHop::Internet, NextHop::Gateway, NextHop::None]),
    ];
    let route =
        (prefixes(), sources, next_hops).prop_map(|(prefix, source, next_hop)| RouteInput {
            name: String::new(),
            prefix,
            source,
            next_hop,
        });
    vec(route, 0..max).prop_map(|mut routes| {
        for (number, route) in routes.iter_mut().enumerate() {
            route.name = format!("route-{number}");
        }
        RouteTableInput {
            name: "table".to_owned(),
            routes,
        }
    })
}
