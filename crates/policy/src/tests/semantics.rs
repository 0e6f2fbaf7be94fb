use std::net::IpAddr;
use std::sync::Arc;

use flow::{FlowKey, PortId};

use super::{Recorder, Said, address, compiled, net, nic, policy_of, prefixes, rule, set};
use crate::input::{
    Access, Layer, MappingInput, MappingTarget, NextHop, PolicyInput, RouteInput, RouteSource,
    RouteTableInput, RuleInput, RuleSetInput, VnetId,
};
use crate::{Direction, Judgement, LayerView, NicPolicy, Observer, Snapshot, Tuple};

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;

fn tuple(src: &str, dst: &str, protocol: u8, destination_port: u16) -> Tuple {
    let (src, dst) = (address(src), address(dst));
    Tuple {
        src,
        dst,
        protocol,
        source_port: 40_000,
        destination_port,
    }
}

fn between(mut rule: RuleInput, source: &[&str], destination: &[&str]) -> RuleInput {
    if !source.is_empty() {
        rule.source = prefixes(source);
    }
    if !destination.is_empty() {
        rule.destination = prefixes(destination);
    }
    rule
}

fn tcp(mut rule: RuleInput, port: u16) -> RuleInput {
    (rule.protocols, rule.destination_ports) = (vec![TCP], vec![port..=port]);
    rule
}

const VNET: &[&str] = &["10.0.0.0/16", "10.1.0.0/16", "fd00::/48"];
const BALANCER: &[&str] = &["168.63.129.16/32"];
const INTERNET: &[&str] = &["1.0.0.0/8", "2.0.0.0/7", "8.0.0.0/7", "2000::/3"];

/// The default rules of the cloud's table.
fn default_inbound() -> Vec<RuleInput> {
    vec![
        between(rule("AllowVnetInBound", 65_000, Access::Allow), VNET, VNET),
        between(
            rule("AllowAzureLoadBalancerInBound", 65_001, Access::Allow),
            BALANCER,
            &[],
        ),
        rule("DenyAllInBound", 65_500, Access::Deny),
    ]
}

fn default_outbound() -> Vec<RuleInput> {
    vec![
        between(rule("AllowVnetOutBound", 65_000, Access::Allow), VNET, VNET),
        between(
            rule("AllowInternetOutBound", 65_001, Access::Allow),
            &[],
            INTERNET,
        ),
        rule("DenyAllOutBound", 65_500, Access::Deny),
    ]
}

/// A NIC with these layers, the same both ways.
fn with_layers(layers: Vec<RuleSetInput>) -> Snapshot {
    let mut nic = nic(1);
    nic.outbound = layers.into_iter().map(Arc::new).collect();
    nic.inbound = nic.outbound.iter().rev().cloned().collect();
    compiled(&policy_of(vec![nic]))
}

fn only(snapshot: &Snapshot) -> &NicPolicy {
    snapshot.nic(PortId(1)).expect("the NIC is there")
}

/// The rule that decided last, and the judgement.
fn outbound(snapshot: &Snapshot, tuple: &Tuple) -> (Option<String>, Judgement) {
    let mut recorder = Recorder::default();
    let judgement = only(snapshot).outbound(tuple, &mut recorder);
    let last = recorder.layers.pop().and_then(|said| said.rule);
    (last.map(|rule| rule.1), judgement)
}

#[test]
fn default_rules() {
    let denied = Judgement::Deny(Layer::NicGroup);
    let inbound = with_layers(vec![set(Layer::NicGroup, default_inbound())]);
    let outbound_rules = with_layers(vec![set(Layer::NicGroup, default_outbound())]);
    let balancer = RuleSetInput {
        covers_platform: true,
        ..set(Layer::NicGroup, default_inbound())
    };
    let covering = with_layers(vec![balancer]);
    let cases = [
        (
            &inbound,
            "10.0.0.4",
            "10.1.0.4",
            "AllowVnetInBound",
            Judgement::Allow,
        ),
        (
            &inbound,
            "fd00::4",
            "fd00::5",
            "AllowVnetInBound",
            Judgement::Allow,
        ),
        (&inbound, "8.8.8.8", "10.0.0.4", "DenyAllInBound", denied),
        (&inbound, "2001:db8::1", "fd00::5", "DenyAllInBound", denied),
        (
            &covering,
            "168.63.129.16",
            "10.0.0.4",
            "AllowAzureLoadBalancerInBound",
            Judgement::Allow,
        ),
        (
            &covering,
            "168.63.129.17",
            "10.0.0.4",
            "DenyAllInBound",
            denied,
        ),
        (
            &outbound_rules,
            "10.0.0.4",
            "10.1.0.4",
            "AllowVnetOutBound",
            Judgement::Allow,
        ),
        (
            &outbound_rules,
            "10.0.0.4",
            "8.8.8.8",
            "AllowInternetOutBound",
            Judgement::Allow,
        ),
        (
            &outbound_rules,
            "10.0.0.4",
            "192.168.0.1",
            "DenyAllOutBound",
            denied,
        ),
    ];
    for (snapshot, src, dst, name, judgement) in cases {
        for (protocol, port) in [(TCP, 443), (UDP, 0), (ICMP, 0x0800), (50, 0)] {
            let got = outbound(snapshot, &tuple(src, dst, protocol, port));
            assert_eq!(
                got,
                (Some(name.to_owned()), judgement),
                "{src} to {dst}, {protocol}"
            );
        }
    }
}

/// The application security groups of the cloud's example, expanded: web, logic, database.
#[test]
fn application_security_groups() {
    let (web, logic, database) = (
        &["10.0.1.4/32"],
        &["10.0.2.4/32", "10.0.2.5/32"],
        &["10.0.3.4/32"],
    );
    let allow = |name, priority| rule(name, priority, Access::Allow);
    let mut rules = vec![
        tcp(
            between(allow("Allow-HTTP-Inbound-Internet", 100), INTERNET, web),
            80,
        ),
        tcp(
            between(allow("Allow-Database-BusinessLogic", 110), logic, database),
            1_433,
        ),
        tcp(
            between(rule("Deny-Database-All", 120, Access::Deny), &[], database),
            1_433,
        ),
    ];
    rules.extend(default_inbound());
    let snapshot = with_layers(vec![set(Layer::NicGroup, rules)]);
    let cases = [
        (
            "8.8.8.8",
            "10.0.1.4",
            80,
            "Allow-HTTP-Inbound-Internet",
            true,
        ),
        ("8.8.8.8", "10.0.1.4", 81, "DenyAllInBound", false),
        ("8.8.8.8", "10.0.2.4", 80, "DenyAllInBound", false),
        (
            "10.0.2.5",
            "10.0.3.4",
            1_433,
            "Allow-Database-BusinessLogic",
            true,
        ),
        ("10.0.1.4", "10.0.3.4", 1_433, "Deny-Database-All", false),
        ("10.0.1.4", "10.0.3.4", 1_434, "AllowVnetInBound", true),
        ("8.8.8.8", "10.0.3.4", 1_433, "Deny-Database-All", false),
    ];
    for (src, dst, port, name, allowed) in cases {
        let judgement = if allowed {
            Judgement::Allow
        } else {
            Judgement::Deny(Layer::NicGroup)
        };
        let got = outbound(&snapshot, &tuple(src, dst, TCP, port));
        assert_eq!(
            got,
            (Some(name.to_owned()), judgement),
            "{src} to {dst}:{port}"
        );
    }
}

#[test]
fn every_group_must_allow_and_the_first_denial_ends_it() {
    let all = |layer, access| set(layer, vec![rule("all", 100, access)]);
    let packet = tuple("10.0.0.4", "10.0.0.5", TCP, 80);
    let layers = |recorder: Recorder| -> Vec<Layer> {
        recorder.layers.into_iter().map(|said| said.layer).collect()
    };
    let snapshot = with_layers(vec![
        all(Layer::NicGroup, Access::Allow),
        all(Layer::SubnetGroup, Access::Deny),
    ]);
    let mut recorder = Recorder::default();
    let judgement = only(&snapshot).outbound(&packet, &mut recorder);
    assert_eq!(judgement, Judgement::Deny(Layer::SubnetGroup));
    assert_eq!(layers(recorder), [Layer::NicGroup, Layer::SubnetGroup]);
    let mut recorder = Recorder::default();
    let judgement = only(&snapshot).inbound(&packet, &mut recorder);
    assert_eq!(judgement, Judgement::Deny(Layer::SubnetGroup));
    assert_eq!(layers(recorder), [Layer::SubnetGroup]);
    let none = with_layers(Vec::new());
    assert_eq!(only(&none).outbound(&packet, &mut ()), Judgement::Allow);
    let empty = with_layers(vec![set(Layer::NicGroup, Vec::new())]);
    assert_eq!(
        only(&empty).inbound(&packet, &mut ()),
        Judgement::Deny(Layer::NicGroup)
    );
}

#[test]
fn admin_rules_come_first() {
    let deny_all = || set(Layer::NicGroup, vec![rule("deny", 100, Access::Deny)]);
    let allow_all = || set(Layer::NicGroup, vec![rule("allow", 100, Access::Allow)]);
    let admin = |access| {
        let ssh = tcp(rule("ssh", 1, access), 22);
        set(Layer::SecurityAdmin, vec![ssh])
    };
    let ssh = tuple("10.0.0.4", "10.0.0.5", TCP, 22);
    let other = tuple("10.0.0.4", "10.0.0.5", TCP, 23);
    let group = Judgement::Deny(Layer::NicGroup);
    let cases = [
        (admin(Access::Allow), deny_all(), group, group),
        (
            admin(Access::AlwaysAllow),
            deny_all(),
            Judgement::Allow,
            group,
        ),
        (
            admin(Access::Deny),
            allow_all(),
            Judgement::Deny(Layer::SecurityAdmin),
            Judgement::Allow,
        ),
    ];
    for (admin, group, on_ssh, on_other) in cases {
        let snapshot = with_layers(vec![admin, group]);
        assert_eq!(only(&snapshot).outbound(&ssh, &mut ()), on_ssh);
        assert_eq!(only(&snapshot).outbound(&other, &mut ()), on_other);
    }
}

#[test]
fn the_platform_is_exempt_from_groups_only() {
    let deny = |layer| set(layer, vec![rule("deny", 100, Access::Deny)]);
    let covering = RuleSetInput {
        covers_platform: true,
        ..deny(Layer::SubnetGroup)
    };
    let to_dns = tuple("10.0.0.4", "168.63.129.16", UDP, 53);
    let from_metadata = tuple("169.254.169.254", "10.0.0.4", TCP, 80);
    for packet in [to_dns, from_metadata] {
        let snapshot = with_layers(vec![deny(Layer::NicGroup), deny(Layer::SubnetGroup)]);
        let mut recorder = Recorder::default();
        assert_eq!(
            only(&snapshot).outbound(&packet, &mut recorder),
            Judgement::Allow
        );
        let exempt = |layer| Said {
            layer,
            rule: None,
            exempt: true,
        };
        assert_eq!(
            recorder.layers,
            [exempt(Layer::NicGroup), exempt(Layer::SubnetGroup)]
        );

        let snapshot = with_layers(vec![deny(Layer::NicGroup), covering.clone()]);
        let judgement = only(&snapshot).outbound(&packet, &mut ());
        assert_eq!(judgement, Judgement::Deny(Layer::SubnetGroup));
        let snapshot = with_layers(vec![deny(Layer::SecurityAdmin)]);
        let judgement = only(&snapshot).outbound(&packet, &mut ());
        assert_eq!(judgement, Judgement::Deny(Layer::SecurityAdmin));
    }
    let snapshot = with_layers(vec![deny(Layer::NicGroup)]);
    let near = tuple("10.0.0.4", "168.63.129.17", UDP, 53);
    assert_eq!(
        only(&snapshot).outbound(&near, &mut ()),
        Judgement::Deny(Layer::NicGroup)
    );
}

#[test]
fn ports_count_for_tcp_and_udp_only() {
    let mut web = rule("web", 100, Access::Allow);
    web.destination_ports = vec![80..=80];
    let snapshot = with_layers(vec![set(Layer::NicGroup, vec![web])]);
    let judge = |protocol, port| {
        only(&snapshot).outbound(&tuple("10.0.0.4", "10.0.0.5", protocol, port), &mut ())
    };
    assert_eq!(judge(TCP, 80), Judgement::Allow);
    assert_eq!(judge(UDP, 81), Judgement::Deny(Layer::NicGroup));
    let key = FlowKey::new(
        PortId(1),
        address("10.0.0.4"),
        address("10.0.0.5"),
        ICMP,
        77,
        0x0800,
    );
    assert_eq!(
        only(&snapshot).outbound(&Tuple::from(&key), &mut ()),
        Judgement::Allow
    );
    assert_eq!(judge(50, 0), Judgement::Allow);
}

#[test]
fn an_observer_sees_priority_access_and_direction() {
    struct Seen(Vec<(Direction, String, u16, Access, Judgement)>);
    impl Observer for Seen {
        fn layer(&mut self, view: &LayerView<'_>) {
            let rule = view.rule.expect("a rule decided");
            let set = view.set.to_owned();
            self.0.push((
                view.direction,
                set,
                rule.priority,
                rule.access,
                view.judgement,
            ));
        }
    }
    let snapshot = with_layers(vec![set(Layer::NicGroup, default_outbound())]);
    let mut seen = Seen(Vec::new());
    let packet = tuple("10.0.0.4", "192.168.0.1", TCP, 1);
    only(&snapshot).outbound(&packet, &mut seen);
    only(&snapshot).inbound(&packet, &mut seen);
    let denied = Judgement::Deny(Layer::NicGroup);
    let said = |direction| {
        (
            direction,
            "NicGroup".to_owned(),
            65_500,
            Access::Deny,
            denied,
        )
    };
    assert_eq!(
        seen.0,
        [said(Direction::Outbound), said(Direction::Inbound)]
    );
}

fn route(name: &str, prefix: &str, source: RouteSource, next_hop: NextHop) -> RouteInput {
    RouteInput {
        name: name.to_owned(),
        prefix: net(prefix),
        source,
        next_hop,
    }
}

/// The routes of Subnet1 in the cloud's routing article, without those that lost for good.
fn subnet1() -> RouteTableInput {
    use RouteSource::{System, User};
    let (own, nva) = (
        NextHop::Vnet(VnetId(0)),
        NextHop::Appliance(address("10.0.100.4")),
    );
    let routes = vec![
        route("Default", "10.0.0.0/16", System, own),
        route("Within-VNet1", "10.0.0.0/16", User, nva),
        route("Within-Subnet1", "10.0.0.0/24", User, own),
        route("Peering", "10.1.0.0/16", System, NextHop::Vnet(VnetId(1))),
        route("ToVNet2-1-Drop", "10.1.0.0/16", User, NextHop::None),
        route(
            "On-premises",
            "10.10.0.0/16",
            RouteSource::Bgp,
            NextHop::Gateway,
        ),
        route("ToOnPrem", "10.10.0.0/16", User, nva),
        route("Internet", "0.0.0.0/0", System, NextHop::Internet),
        route("Default-NVA", "0.0.0.0/0", User, nva),
    ];
    RouteTableInput {
        name: "Subnet1".to_owned(),
        routes,
    }
}

#[test]
fn the_routing_articles_table() {
    let mut nic = nic(1);
    nic.routes = Arc::new(subnet1());
    let snapshot = compiled(&policy_of(vec![nic]));
    let cases = [
        ("10.0.0.9", "Within-Subnet1"),
        ("10.0.7.9", "Within-VNet1"),
        ("10.1.0.4", "ToVNet2-1-Drop"),
        ("10.10.3.3", "ToOnPrem"),
        ("8.8.8.8", "Default-NVA"),
    ];
    for (destination, name) in cases {
        let route = only(&snapshot)
            .route(address(destination), &mut ())
            .expect("a route");
        assert_eq!(
            (route.name, route.table),
            (name, "Subnet1"),
            "to {destination}"
        );
    }
    assert!(only(&snapshot).route(address("fd00::1"), &mut ()).is_none());
}

fn mapping(vnet: u32, address: IpAddr, port: u16) -> MappingInput {
    MappingInput {
        vnet: VnetId(vnet),
        address,
        target: MappingTarget::Port(PortId(port)),
    }
}

/// The same address in three networks: the sender's, a peered one, and a stranger's.
#[test]
fn an_appliance_is_the_senders_or_a_peers_but_never_a_strangers() {
    let (own, peered, strange) = (
        address("10.0.0.9"),
        address("10.1.0.9"),
        address("10.2.0.9"),
    );
    let mut nic = nic(1);
    let peering = route(
        "Peering",
        "10.1.0.0/16",
        RouteSource::System,
        NextHop::Vnet(VnetId(1)),
    );
    nic.routes = Arc::new(RouteTableInput {
        name: "table".to_owned(),
        routes: vec![peering],
    });
    let mappings = vec![
        mapping(0, own, 2),
        mapping(1, own, 3),
        mapping(1, peered, 4),
        mapping(2, strange, 5),
        mapping(1, strange, 6),
    ];
    let policy = PolicyInput {
        generation: 9,
        nics: vec![nic],
        mappings,
        ..PolicyInput::default()
    };
    let snapshot = compiled(&policy);
    assert_eq!(snapshot.generation(), 9);
    let appliance = |address| snapshot.appliance(only(&snapshot), address).2;
    assert_eq!(appliance(own), Some(MappingTarget::Port(PortId(2))));
    assert_eq!(appliance(peered), Some(MappingTarget::Port(PortId(4))));
    assert_eq!(appliance(strange), None);
    let slot = snapshot.appliance(only(&snapshot), peered).0;
    assert_eq!(
        slot,
        snapshot.mapping(VnetId(1), peered).0,
        "the slot of where it was found"
    );
}

#[test]
fn nics_by_port_and_their_addresses() {
    let mut second = nic(4_093);
    second.addresses = vec![address("10.0.0.9"), address("fd00::9"), address("10.0.0.5")];
    let snapshot = compiled(&policy_of(vec![nic(2), second]));
    let ports: Vec<PortId> = snapshot.nics().map(|nic| nic.port).collect();
    assert_eq!(ports, [PortId(2), PortId(4_093)]);
    for port in [0, 1, 3, 4_092, 4_094, u16::MAX] {
        assert!(snapshot.nic(PortId(port)).is_none(), "port {port}");
    }
    let nic = snapshot.nic(PortId(4_093)).expect("the NIC is there");
    assert!(nic.owns(address("10.0.0.5")) && nic.owns(address("fd00::9")));
    assert!(!nic.owns(address("10.0.1.4")) && !nic.owns(address("::ffff:10.0.0.5")));
    assert_eq!(nic.addresses[0], address("10.0.0.9"), "as they were given");
}
