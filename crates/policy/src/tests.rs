//! The compiled form against the oracle, and the cloud's own tables and examples.

mod agree;
mod cache;
mod limits;
mod mappings;
mod segments;
mod semantics;
pub(crate) mod strategies;

use std::net::IpAddr;
use std::sync::Arc;

use flow::PortId;
use ipnet::IpNet;
use wire::Vni;

use crate::input::{
    Access, AddressSet, Layer, NicInput, PolicyInput, RouteTableInput, RuleInput, RuleSetInput,
    VnetId,
};
use crate::{Compiler, LayerView, Limits, Observer, Snapshot};

/// A NIC behind `port` that nothing restricts and that has no routes.
pub(crate) fn nic(port: u16) -> NicInput {
    NicInput {
        subnets: Vec::new(),
        primary: true,
        dns_servers: Vec::new(),
        vni: Vni::MAX,
        port: PortId(port),
        name: format!("nic-{port}"),
        addresses: vec![address("10.0.1.4")],
        mac: [2, 0, 0, 0, 0, 1],
        vnet: VnetId(0),
        gateways: Vec::new(),
        ip_forwarding: false,
        decrement_ttl: false,
        mtu: 1_500,
        path_generation: 1,
        reevaluate_generation: 0,
        outbound: Vec::new(),
        inbound: Vec::new(),
        routes: Arc::new(RouteTableInput::default()),
    }
}

fn policy_of(nics: Vec<NicInput>) -> PolicyInput {
    PolicyInput {
        generation: 1,
        nics,
        mappings: Vec::new(),
        ..PolicyInput::default()
    }
}

fn compiled(input: &PolicyInput) -> Snapshot {
    Compiler::new(Limits::default())
        .compile(input)
        .expect("the policy is legal")
}

pub(crate) fn set(layer: Layer, rules: Vec<RuleInput>) -> RuleSetInput {
    let name = format!("{layer:?}");
    RuleSetInput {
        name,
        layer,
        covers_platform: false,
        rules,
    }
}

/// A rule for everything.
pub(crate) fn rule(name: &str, priority: u16, access: Access) -> RuleInput {
    RuleInput {
        name: name.to_owned(),
        priority,
        access,
        protocols: Vec::new(),
        source: AddressSet::Any,
        destination: AddressSet::Any,
        source_ports: Vec::new(),
        destination_ports: Vec::new(),
    }
}

pub(crate) fn prefixes(list: &[&str]) -> AddressSet {
    AddressSet::Prefixes(list.iter().map(|prefix| net(prefix)).collect())
}

fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Keeps what the layers said.
#[derive(Default)]
struct Recorder {
    layers: Vec<Said>,
}

#[derive(Debug, PartialEq, Eq)]
struct Said {
    layer: Layer,
    rule: Option<(usize, String)>,
    exempt: bool,
}

impl Observer for Recorder {
    fn layer(&mut self, view: &LayerView<'_>) {
        let rule = view.rule.map(|rule| (rule.index, rule.name.to_owned()));
        self.layers.push(Said {
            layer: view.layer,
            rule,
            exempt: view.exempt,
        });
    }
}
