//! `explain` says what would happen and names who decided. That it agrees with what does happen is
//! part of the property in `against_naive`.

use std::time::Duration;

use flow::{DropReason, FlowKey, PortId};
use policy::input::{Access, Layer, NextHop, RouteSource, VnetId};
use vswitch::{Explanation, Probe};
use wire::TcpFlags;

use crate::model::afar::Afar;
use crate::model::bench::{Bench, Talk, to};
use crate::model::rules::{Narrow, allow, deny, nic_group, rule, set};
use crate::model::world::{World, mac, net, provider, remote, route, v4, vni};

fn explain(bench: &Bench, key: FlowKey) -> Explanation {
    let probe = Probe { key, opens: true };
    bench
        .switch
        .explain(&probe, bench.now)
        .expect("a NIC of the world")
}

#[test]
fn an_allowed_connection_names_every_rule_and_its_route() {
    let mut world = World::of(&[0, 0]);
    let subnet = set(
        "subnet-out",
        Layer::SubnetGroup,
        vec![allow("AllowVnetOutBound", 65_000)],
    );
    world.set_outbound(
        1,
        vec![
            nic_group(vec![allow("web-out", 110).proto(6).port(443)]),
            subnet,
        ],
    );
    let admin = vec![rule("always", 90, Access::AlwaysAllow)];
    world.set_inbound(
        2,
        vec![
            set("admin", Layer::SecurityAdmin, admin),
            nic_group(Vec::new()),
        ],
    );
    let own = NextHop::Vnet(VnetId(0));
    world.change_routes(1, |routes| {
        routes.push(route(net("10.0.0.0/24"), RouteSource::User, own));
    });
    let bench = Bench::new(world);
    let explanation = explain(&bench, Talk::new(&bench, 1, 2).key(1, 6));
    assert!(explanation.allowed);
    assert_eq!(explanation.nic, "nic1");
    assert_eq!(explanation.packet, "tcp 10.0.0.1:40000 -> 10.0.0.2:443");
    assert_eq!((explanation.drop_reason, explanation.flow), (None, None));
    let layers: Vec<_> = explanation
        .layers
        .iter()
        .map(|step| {
            let rule = step.rule.as_deref().expect("a rule decided");
            (
                &*step.direction,
                &*step.layer,
                &*step.set,
                rule,
                step.priority,
                &*step.access,
            )
        })
        .collect();
    let nic = "network security group of the NIC";
    let subnet = "network security group of the subnet";
    assert_eq!(
        layers,
        [
            ("outbound", nic, "nic-group", "web-out", Some(110), "Allow"),
            (
                "outbound",
                subnet,
                "subnet-out",
                "AllowVnetOutBound",
                Some(65_000),
                "Allow"
            ),
            (
                "inbound",
                "security admin rules",
                "admin",
                "always",
                Some(90),
                "AlwaysAllow"
            ),
        ],
        "the receiver's group is not asked after that"
    );
    let path = explanation.path.expect("a route");
    assert_eq!(
        (&*path.table, &*path.prefix, &*path.source),
        ("routes1", "10.0.0.0/24", "User")
    );
    assert_eq!(
        (&*path.next_hop_type, path.next_hop_ip_address),
        ("VnetLocal", None)
    );
    assert_eq!(path.destination.as_deref(), Some("nic2"));
    assert!(
        path.why.contains("10.0.0.0/16") && path.why.contains("0.0.0.0/0"),
        "{}",
        path.why
    );
    assert_eq!(
        explanation.transposition,
        [
            "Ethernet destination 02:00:00:00:00:02",
            "Ethernet source 02:63:77:00:00:01",
            "deliver to nic2, MTU 1500",
        ]
    );
}

#[test]
fn a_refusal_names_the_rule_that_refused() {
    let mut world = World::of(&[0, 0]);
    world.set_inbound(
        2,
        vec![nic_group(vec![
            deny("no-tcp", 120).proto(6),
            allow("rest", 130),
        ])],
    );
    let bench = Bench::new(world);
    let explanation = explain(&bench, Talk::new(&bench, 1, 2).key(1, 6));
    assert!(!explanation.allowed);
    assert_eq!(explanation.drop_reason.as_deref(), Some("nsg-deny-inbound"));
    let [step] = &explanation.layers[..] else {
        panic!("{:?}", explanation.layers)
    };
    assert_eq!(
        (step.rule.as_deref(), step.priority),
        (Some("no-tcp"), Some(120))
    );
    assert_eq!((&*step.direction, &*step.access), ("inbound", "Deny"));
    assert_eq!(explanation.transposition, ["drop: nsg-deny-inbound"]);
    assert_eq!(
        explanation
            .path
            .expect("found before")
            .destination
            .as_deref(),
        Some("nic2")
    );
}

#[test]
fn a_refusal_on_the_way_out_asks_for_no_route() {
    let mut world = World::of(&[0, 0]);
    world.set_outbound(1, vec![nic_group(vec![deny("nothing", 100)])]);
    let bench = Bench::new(world);
    let explanation = explain(&bench, Talk::new(&bench, 1, 2).key(1, 17));
    assert_eq!(
        explanation.drop_reason.as_deref(),
        Some("nsg-deny-outbound")
    );
    assert_eq!(explanation.path, None);
}

#[test]
fn no_match_and_exemption_are_said() {
    let platform = "168.63.129.16".parse().expect("an address");
    let mut world = World::of(&[0, 0]);
    world.map(0, platform, Some(remote(9, 0)));
    world.change_routes(1, |routes| {
        let hop = NextHop::Vnet(VnetId(0));
        routes.push(route(net("168.63.129.16/32"), RouteSource::System, hop));
    });
    let admin = set("admin", Layer::SecurityAdmin, Vec::new());
    world.set_outbound(1, vec![admin, nic_group(vec![deny("all", 100)])]);
    let bench = Bench::new(world);
    let key = FlowKey::new(PortId(1), v4(0, 0, 1), platform, 17, 40_000, 53);
    let explanation = explain(&bench, key);
    assert!(explanation.allowed);
    let notes: Vec<_> = explanation
        .layers
        .iter()
        .map(|step| step.note.as_deref())
        .collect();
    let exempt = "platform addresses are exempt from network security groups";
    assert_eq!(notes, [Some("no rule matched"), Some(exempt)]);
    let path = explanation.path.expect("a route");
    assert_eq!(
        path.destination.as_deref(),
        Some("host 192.0.2.9 by VXLAN 5000")
    );
    assert_eq!(
        explanation.transposition.last().map(String::as_str),
        Some("VXLAN 5000 from 192.0.2.1 to 192.0.2.9 port 4789, MTU 1450")
    );
}

#[test]
fn ways_that_lead_nowhere_are_named() {
    let cases = [
        (NextHop::None, "None", "no-route"),
        (NextHop::Internet, "Internet", "no-gateway"),
        (NextHop::Gateway, "VirtualNetworkGateway", "no-gateway"),
        (
            NextHop::Appliance(v4(0, 0, 200)),
            "VirtualAppliance",
            "appliance-unreachable",
        ),
        (
            NextHop::Appliance(v4(0, 0, 3)),
            "VirtualAppliance",
            "forwarding-disabled",
        ),
    ];
    for (hop, name, reason) in cases {
        let mut world = World::of(&[0, 0, 0]);
        world.add_route(1, "10.0.0.2/32", hop);
        let bench = Bench::new(world);
        let explanation = explain(&bench, Talk::new(&bench, 1, 2).key(1, 6));
        assert_eq!(explanation.drop_reason.as_deref(), Some(reason));
        let path = explanation.path.expect("a route");
        assert_eq!(path.next_hop_type, name);
        let address = match hop {
            NextHop::Appliance(address) => Some(address.to_string()),
            _ => None,
        };
        assert_eq!(path.next_hop_ip_address, address);
    }
}

#[test]
fn a_packet_of_a_connection_is_told_apart_from_one_that_opens() {
    let mut bench = Bench::new(World::of(&[0, 0]));
    let talk = Talk::new(&bench, 1, 2);
    let key = talk.key(1, 6);
    let stray = Probe { key, opens: false };
    let answer = bench
        .switch
        .explain(&stray, bench.now)
        .expect("a NIC of the world");
    assert_eq!(answer.drop_reason.as_deref(), Some("tcp-no-connection"));
    bench.send(1, &talk.syn());
    bench.send(2, &talk.answer(TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0)));
    bench.send(1, &talk.ask(TcpFlags::ACK));
    bench.edit(|world| world.set_inbound(2, vec![nic_group(vec![deny("nobody", 100)])]));
    bench.pass(Duration::from_secs(3));

    let before = format!("{:?}", bench.counters(1));
    let flows: Vec<_> = bench
        .switch
        .flows()
        .iter()
        .map(|flow| flow.half())
        .collect();
    let explanation = bench
        .switch
        .explain(&stray, bench.now)
        .expect("a NIC of the world");
    assert!(explanation.allowed);
    assert_eq!(explanation.layers, [], "rules are not asked");
    let flow = explanation.flow.expect("it belongs to the connection");
    assert_eq!(
        (flow.idle_seconds, flow.tcp_state.as_deref()),
        (3, Some("established"))
    );
    let opening = explain(&bench, key);
    assert_eq!(opening.drop_reason.as_deref(), Some("nsg-deny-inbound"));
    assert_eq!(opening.flow, None);

    assert_eq!(
        format!("{:?}", bench.counters(1)),
        before,
        "asking changes nothing"
    );
    let after: Vec<_> = bench
        .switch
        .flows()
        .iter()
        .map(|flow| flow.half())
        .collect();
    assert_eq!(after, flows);
    assert_eq!(bench.outcome(1, &talk.ask(TcpFlags::ACK)), to(2));
}

#[test]
fn a_connection_that_is_to_be_judged_again_is_explained_so() {
    let mut bench = Bench::new(World::of(&[0, 0]));
    let talk = Talk::new(&bench, 1, 2);
    bench.send(1, &talk.ask_udp(b"?"));
    bench.edit(|world| {
        world.set_inbound(2, vec![nic_group(vec![deny("nobody", 100)])]);
        world.reevaluate();
    });
    let explanation = explain(&bench, talk.key(1, 17));
    assert!(explanation.flow.is_some());
    assert_eq!(explanation.drop_reason.as_deref(), Some("nsg-deny-inbound"));
}

#[test]
fn a_spoofed_source_is_explained_before_anything_else() {
    let bench = Bench::new(World::of(&[0, 0]));
    let key = FlowKey::new(PortId(1), v4(0, 0, 9), v4(0, 0, 2), 17, 1, 2);
    let explanation = explain(&bench, key);
    assert_eq!(explanation.drop_reason.as_deref(), Some("spoofed-ip"));
    assert_eq!((explanation.layers.len(), explanation.path), (0, None));
}

#[test]
fn a_port_without_policy_cannot_be_asked_about() {
    let bench = Bench::new(World::of(&[0]));
    let key = FlowKey::new(PortId(9), v4(0, 0, 9), v4(0, 0, 1), 17, 1, 2);
    assert_eq!(
        bench.switch.explain(&Probe { key, opens: true }, bench.now),
        None
    );
}

#[test]
fn an_explanation_is_what_it_is_in_json() {
    let bench = Bench::new(World::of(&[0, 0]));
    let explanation = explain(&bench, Talk::new(&bench, 1, 2).key(1, 6));
    let json = serde_json::to_value(&explanation).expect("it serializes");
    assert_eq!(json["path"]["nextHopType"], "VnetLocal");
    assert_eq!(json.get("dropReason"), None, "what is absent is left out");
    assert_eq!(
        serde_json::from_value::<Explanation>(json).expect("it parses"),
        explanation
    );
}

#[test]
fn a_packet_off_the_uplink_is_explained_by_the_rules_of_its_receiver() {
    let mut world = World::of(&[0]);
    world.map(0, v4(0, 1, 1), Some(remote(9, 0)));
    let rules = vec![allow("https", 100).port(443), deny("rest", 200)];
    world.set_inbound(1, vec![nic_group(rules)]);
    let mut bench = Bench::new(world);
    let from = Afar::new(9, 0, v4(0, 1, 1), 40_000);
    let key = |port| {
        let to = bench.end(1, port);
        let here = PortId(1).from_uplink();
        FlowKey::new(here, from.end.ip, to.ip, 6, from.end.port, to.port)
    };
    let (allowed, denied) = (explain(&bench, key(443)), explain(&bench, key(23)));
    assert!(allowed.allowed && allowed.off_uplink && allowed.path.is_none());
    assert_eq!(allowed.nic, "nic1");
    assert_eq!(
        allowed.transposition.last().map(String::as_str),
        Some("deliver to nic1, MTU 1500")
    );
    assert_eq!(denied.drop_reason.as_deref(), Some("nsg-deny-inbound"));
    let rules: Vec<_> = [&allowed, &denied]
        .into_iter()
        .flat_map(|explanation| &explanation.layers)
        .map(|step| (step.direction.as_str(), step.rule.as_deref()))
        .collect();
    assert_eq!(
        rules,
        [("inbound", Some("https")), ("inbound", Some("rest"))]
    );
    // Of an established connection no rule has a say.
    let (key, to_guest) = (key(443), bench.end(1, 443));
    assert_eq!(bench.arrival(&from.tcp(&to_guest, TcpFlags::SYN)), to(1));
    let probe = Probe { key, opens: false };
    let known = bench.switch.explain(&probe, bench.now).expect("a NIC");
    assert!(known.allowed && known.flow.is_some() && known.layers.is_empty());
}

#[test]
fn who_is_meant_by_a_tunnel_is_told_or_why_nobody_is() {
    let mut world = World::of(&[0]);
    world.map(0, v4(0, 1, 1), Some(remote(9, 0)));
    let bench = Bench::new(world);
    let ask = |vnet, host, to| {
        bench
            .switch
            .receiver_off_uplink(vni(vnet), provider(host), to)
    };
    assert_eq!(ask(0, 9, mac(1)), Ok(PortId(1)));
    assert_eq!(ask(3, 9, mac(1)), Err(DropReason::UnknownVni));
    assert_eq!(ask(0, 8, mac(1)), Err(DropReason::UnknownProvider));
    assert_eq!(ask(0, 9, mac(2)), Err(DropReason::UnknownDestinationMac));
}
