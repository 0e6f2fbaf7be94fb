use std::net::IpAddr;

use ipnet::IpNet;
use policy::input::{Access, AddressSet, Layer, RuleInput, RuleSetInput};

use super::*;
use crate::tests::{example, good};

fn ports(topology: &Topology) -> BTreeMap<NicName, PortId> {
    topology
        .nics()
        .map(|(name, _, _)| name)
        .zip((1..).map(PortId))
        .collect()
}

fn compiled(topology: &Topology) -> PolicyInput {
    let mut generations = Generations::default();
    advance(&mut generations, None, topology, false);
    compile(topology, &ports(topology), &generations, Some(1_550))
}

fn nic<'p>(policy: &'p PolicyInput, name: &str) -> &'p NicInput {
    policy
        .nics
        .iter()
        .find(|nic| nic.name == name)
        .expect("the NIC")
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// What the first rule that matches says; ports are those of TCP.
fn first<'s>(
    set: &'s RuleSetInput,
    src: &str,
    dst: &str,
    protocol: u8,
    port: u16,
) -> Option<&'s RuleInput> {
    let within = |set: &AddressSet, text: &str| match set {
        AddressSet::Any => true,
        AddressSet::Prefixes(prefixes) => prefixes
            .iter()
            .any(|prefix| prefix.contains(&address(text))),
    };
    set.rules.iter().find(|rule| {
        (rule.protocols.is_empty() || rule.protocols.contains(&protocol))
            && within(&rule.source, src)
            && within(&rule.destination, dst)
            && (rule.destination_ports.is_empty()
                || rule
                    .destination_ports
                    .iter()
                    .any(|range| range.contains(&port)))
    })
}

fn next_hop(nic: &NicInput, to: &str) -> Option<NextHop> {
    let to = address(to);
    let routes = nic
        .routes
        .routes
        .iter()
        .filter(|route| route.prefix.contains(&to));
    routes
        .max_by_key(|route| route.prefix.prefix_len())
        .map(|route| route.next_hop)
}

#[test]
fn the_quickstart_says_what_its_comments_say() {
    let topology = good(&example("quickstart.yaml"));
    let policy = compiled(&topology);
    assert_eq!(
        (policy.generation, policy.nics.len(), policy.mappings.len()),
        (1, 4, 4)
    );
    let (web, db) = (nic(&policy, "web-1/nic0"), nic(&policy, "db-1/nic0"));
    let (client, nva) = (nic(&policy, "client-1/nic0"), nic(&policy, "nva-1/nic0"));

    // Through the appliance in both directions, and directly where nothing says otherwise.
    assert_eq!(
        next_hop(web, "10.1.1.4"),
        Some(NextHop::Appliance(address("10.0.100.4")))
    );
    assert_eq!(
        next_hop(db, "10.0.1.4"),
        Some(NextHop::Appliance(address("10.0.100.4")))
    );
    assert_eq!(next_hop(nva, "10.1.1.4"), Some(NextHop::Vnet(db.vnet)));
    assert_eq!(next_hop(nva, "10.0.1.4"), Some(NextHop::Vnet(web.vnet)));
    assert_eq!(next_hop(client, "10.1.1.4"), Some(NextHop::Vnet(db.vnet)));
    assert_eq!(next_hop(client, "10.9.0.1"), Some(NextHop::None));
    assert_eq!(next_hop(client, "8.8.8.8"), Some(NextHop::Internet));
    assert!(nva.ip_forwarding && !web.ip_forwarding);

    let rules = &web.inbound[0];
    assert_eq!(
        (rules.layer, rules.name.as_str()),
        (Layer::SubnetGroup, "web")
    );
    let decided = |src, protocol, port| {
        let rule = first(rules, src, "10.0.1.4", protocol, port).expect("a default rule");
        (rule.name.as_str(), rule.access)
    };
    assert_eq!(decided("10.0.2.4", 6, 80), ("allow-http", Access::Allow));
    assert_eq!(
        decided("10.0.2.4", 17, 5201),
        ("allow-iperf-udp", Access::Allow)
    );
    assert_eq!(decided("10.0.2.4", 1, 0), ("allow-ping", Access::Allow));
    assert_eq!(decided("10.0.2.4", 6, 22), ("deny-rest", Access::Deny));
    assert_eq!(decided("10.1.1.4", 6, 80), ("deny-rest", Access::Deny));
    assert_eq!(decided("8.8.8.8", 6, 80), ("DenyAllInBound", Access::Deny));

    let rules = &db.inbound[0];
    let decided = |src| first(rules, src, "10.1.1.4", 6, 5432).map(|rule| rule.access);
    assert_eq!(decided("10.0.1.4"), Some(Access::Allow));
    assert_eq!(decided("10.0.2.4"), Some(Access::Deny));

    // Without a group there is no layer, and nothing to pass.
    assert!(client.inbound.is_empty() && client.outbound.is_empty());
}

#[test]
fn the_three_tiers_decide_as_documented() {
    let policy = compiled(&good(&example("three-tier-asg.yaml")));
    let db = nic(&policy, "db-1/nic0");
    let db_address = db.addresses[0].to_string();
    let logic = nic(&policy, "logic-1/nic0").addresses[0].to_string();
    let web = nic(&policy, "web-1/nic0").addresses[0].to_string();
    let decided = |src: &str, dst: &str, port| {
        let rule = first(&db.inbound[0], src, dst, 6, port).expect("a default rule");
        rule.name.clone()
    };
    assert_eq!(
        decided(&logic, &db_address, 1433),
        "Allow-Database-BusinessLogic"
    );
    assert_eq!(decided(&web, &db_address, 1433), "Deny-Database-All");
    assert_eq!(decided("8.8.8.8", &web, 80), "Allow-HTTP-Inbound-Internet");
    assert_eq!(decided("8.8.8.8", &db_address, 80), "DenyAllInBound");
    assert_eq!(decided(&web, &logic, 80), "AllowVnetInBound");
}

#[test]
fn layers_are_in_the_order_packets_pass_them() {
    let topology = good(
        "vnets: { v: { addressSpace: 10.0.0.0/16, subnets: { s: { prefix: 10.0.0.0/24, nsg: outer } } } }
nsgs: { outer: {}, inner: {} }
securityAdminRules:
  - { name: both, priority: 1, direction: Inbound, access: AlwaysAllow, source: AzurePlatformIMDS }
  - { name: elsewhere, priority: 1, direction: Outbound, access: Deny, vnets: w }
  - { name: out, priority: 2, direction: Outbound, access: Deny, protocol: Esp, vnets: v }
guests: { g: { subnet: v/s, nsg: inner } }
".replace("vnets: { v:", "vnets: { w: { addressSpace: 10.9.0.0/16 }, v:").as_str(),
    );
    let policy = compiled(&topology);
    let nic = nic(&policy, "g/nic0");
    let layers =
        |sets: &[Arc<RuleSetInput>]| -> Vec<Layer> { sets.iter().map(|set| set.layer).collect() };
    use Layer::{NicGroup, SecurityAdmin, SubnetGroup};
    assert_eq!(
        layers(&nic.outbound),
        [SecurityAdmin, NicGroup, SubnetGroup]
    );
    assert_eq!(layers(&nic.inbound), [SecurityAdmin, SubnetGroup, NicGroup]);
    // Admin rules have no defaults: what they do not match is for the groups.
    assert_eq!(nic.outbound[0].rules.len(), 1);
    assert_eq!(
        (
            nic.outbound[0].rules[0].name.as_str(),
            &nic.outbound[0].rules[0].protocols[..]
        ),
        ("out", &[50][..])
    );
    assert_eq!(nic.inbound[0].rules[0].access, Access::AlwaysAllow);
    assert!(nic.inbound[0].covers_platform && !nic.inbound[1].covers_platform);
}

#[test]
fn icmp_is_of_both_families() {
    let policy = compiled(&good(&example("dual-stack.yaml")));
    let rules = &nic(&policy, "server-1/nic0").inbound[0].rules;
    assert_eq!(rules[0].protocols, [1, 58]);
}

#[test]
fn a_network_takes_forwarded_packets_when_its_side_says_so() {
    let source = |east: &str| {
        format!(
            "vnets:\n  hub: {{ addressSpace: 10.0.0.0/16, subnets: {{ s: {{ prefix: 10.0.0.0/24 }} }}, peerings: [east, west] }}\n  \
             east: {{ addressSpace: 10.1.0.0/16, peerings: [{{ vnet: hub, allowForwardedTraffic: {east} }}] }}\n  \
             west: {{ addressSpace: 10.2.0.0/16, peerings: [{{ vnet: hub, allowForwardedTraffic: true }}] }}\n\
             guests:\n  nva: {{ subnet: hub/s, ipForwarding: true }}\n  plain: {{ subnet: hub/s }}\n"
        )
    };
    let closed = compiled(&good(&source("false")));
    let sets = &nic(&closed, "nva/nic0").outbound;
    assert_eq!((sets.len(), sets[0].layer), (1, Layer::SecurityAdmin));
    let decided = |src, dst| first(&sets[0], src, dst, 6, 80).map(|rule| rule.access);
    // Its own packets and those of the hub, not those of the other spoke.
    assert_eq!(decided("10.0.0.4", "10.1.0.4"), Some(Access::Allow));
    assert_eq!(decided("10.2.0.4", "10.1.0.4"), Some(Access::Deny));
    assert_eq!(decided("10.1.0.4", "10.2.0.4"), None);
    // Who cannot send what is not its own needs no check.
    assert!(nic(&closed, "plain/nic0").outbound.is_empty());
    assert!(
        nic(&compiled(&good(&source("true"))), "nva/nic0")
            .outbound
            .is_empty()
    );
}

#[test]
fn remote_addresses_are_reached_through_the_uplink() {
    let topology = good(&example("tap-vm-and-container.yaml"));
    let policy = compiled(&topology);
    let remote: Vec<&MappingInput> = policy
        .mappings
        .iter()
        .filter(|mapping| matches!(mapping.target, MappingTarget::Remote { .. }))
        .collect();
    assert_eq!(remote.len(), 2);
    let encap = Encap {
        outer_src: address("192.0.2.10"),
        outer_dst: address("192.0.2.11"),
        vni: Vni::new(5001).expect("24 bits"),
        dst_port: 4789,
    };
    let mac = [0x02, 0xc1, 0xea, 0, 0, 0x20];
    assert_eq!(remote[0].address, address("10.0.0.20"));
    assert_eq!(
        remote[0].target,
        MappingTarget::Remote {
            mac,
            encap,
            vni_of_sender: false
        }
    );
    let vm = nic(&policy, "vm-1/store");
    assert!(vm.decrement_ttl);
    assert_eq!(
        (vm.mtu, vm.mac),
        (9000, topology.guests["vm-1"].nics[1].mac.0)
    );
}

#[test]
fn a_nic_without_a_port_is_nowhere() {
    let topology = good(&example("two-guests.yaml"));
    let mut ports = ports(&topology);
    ports.remove(&"bob/nic0".parse().expect("a name"));
    let policy = compile(&topology, &ports, &Generations::default(), None);
    assert_eq!((policy.nics.len(), policy.mappings.len()), (1, 1));
}

#[test]
fn equal_rule_sets_and_route_tables_are_one() {
    let topology = good(
        "vnets:
  v: { addressSpace: 10.0.0.0/16, subnets: { s: { prefix: 10.0.0.0/24, nsg: n, routeTable: t }, u: { prefix: 10.0.1.0/24, nsg: n, routeTable: t } } }
nsgs: { n: {} }
routeTables: { t: {} }
guests: { a: { subnet: v/s }, b: { subnet: v/s }, c: { subnet: v/u } }
",
    );
    let policy = compiled(&topology);
    let [a, b, c] = ["a/nic0", "b/nic0", "c/nic0"].map(|name| nic(&policy, name));
    for other in [b, c] {
        assert!(Arc::ptr_eq(&a.inbound[0], &other.inbound[0]));
        assert!(Arc::ptr_eq(&a.routes, &other.routes));
    }
    let defaults: Vec<u16> = a.outbound[0]
        .rules
        .iter()
        .map(|rule| rule.priority)
        .collect();
    assert_eq!(defaults, [65000, 65001, 65500]);
}

/// The generations after going from one document to the other.
fn generations(old: &str, new: &str, reevaluate: bool) -> (Generations, NicGenerations) {
    let (old, new) = (good(old), good(new));
    let mut generations = Generations::default();
    advance(&mut generations, None, &old, false);
    advance(&mut generations, Some(&old), &new, reevaluate);
    let name = "web-1/nic0".parse().expect("a name");
    let of_nic = generations.nics[&name];
    (generations, of_nic)
}

#[test]
fn established_flows_follow_paths_and_not_rules() {
    let before = example("quickstart.yaml");
    let path_after = |from: &str, to: &str| {
        let after = before.replace(from, to);
        assert_ne!(before, after, "{from}");
        let (generations, nic) = generations(&before, &after, false);
        assert_eq!((generations.policy, nic.reevaluate), (2, 0));
        nic.path
    };
    // The same, rules, and memberships.
    assert_eq!(path_after("name: quickstart", "name: other"), 1);
    assert_eq!(
        path_after("destinationPorts: 80", "destinationPorts: 81"),
        1
    );
    assert_eq!(path_after("asgs: [web-servers] }", "asgs: [] }"), 1);
    assert_eq!(path_after("nsg: web, ", ""), 1);
    // Routes, peerings, spaces, and the NIC itself.
    assert_eq!(
        path_after("prefix: 10.1.1.0/24\n", "prefix: 10.1.1.0/25\n"),
        2
    );
    assert_eq!(path_after("peerings: [data]", "peerings: []"), 2);
    assert_eq!(
        path_after(
            "addressSpace: 10.1.0.0/16",
            "addressSpace: [10.1.0.0/16, 10.2.0.0/16]"
        ),
        2
    );
    assert_eq!(path_after("10.0.1.4, asgs", "10.0.1.5, asgs"), 2);
    assert_eq!(
        path_after("subnet: app/web,", "subnet: app/web, mtu: 1400,"),
        2
    );
    // What it can reach takes packets otherwise, or does not forward any more.
    assert_eq!(
        path_after(
            "address: 10.1.1.4",
            "address: 10.1.1.4, mac: '02:00:00:00:00:01'"
        ),
        2
    );
    assert_eq!(path_after("ipForwarding: true", "ipForwarding: false"), 2);
    assert_eq!(
        path_after(
            "  client-1:",
            "  new-1: { subnet: app/client }\n  client-1:"
        ),
        1,
        "a new address is told by its mapping's version"
    );
}

#[test]
fn a_network_out_of_reach_changes_no_path() {
    let lonely =
        "  lonely: { addressSpace: 10.7.0.0/16, subnets: { s: { prefix: 10.7.0.0/24 } } }\n";
    let before = example("quickstart.yaml").replace("vnets:\n", &format!("vnets:\n{lonely}"));
    let after = before.replace("guests:\n", "guests:\n  hermit: { subnet: lonely/s }\n");
    let (generations, web) = generations(&before, &after, false);
    assert_eq!(web.path, 1);
    let hermit = generations.nics[&"hermit/nic0".parse().expect("a name")];
    assert_eq!(
        hermit,
        NicGenerations {
            path: 2,
            reevaluate: 0
        }
    );
}

#[test]
fn reevaluation_is_for_all_and_is_remembered() {
    let source = example("quickstart.yaml");
    let (mut after, web) = generations(&source, &source, true);
    assert_eq!(
        web,
        NicGenerations {
            path: 2,
            reevaluate: 2
        }
    );
    let topology = good(&source);
    advance(&mut after, Some(&topology), &topology, false);
    let policy = compile(&topology, &ports(&topology), &after, None);
    let web = nic(&policy, "web-1/nic0");
    assert_eq!(
        (
            policy.generation,
            web.path_generation,
            web.reevaluate_generation
        ),
        (3, 2, 2)
    );
}

#[test]
fn a_nic_that_comes_again_does_not_keep_its_old_stamps() {
    let source = example("two-guests.yaml");
    let (with, without) = (
        good(&source),
        good(&source.replace("  bob: { subnet: main/default }\n", "")),
    );
    let mut generations = Generations::default();
    advance(&mut generations, None, &with, false);
    advance(&mut generations, Some(&with), &without, false);
    assert_eq!(generations.nics.len(), 1);
    advance(&mut generations, Some(&without), &with, false);
    assert_eq!(
        generations.nics[&"bob/nic0".parse().expect("a name")].path,
        3
    );
    let stored = serde_json::to_string(&generations).expect("JSON");
    assert_eq!(
        serde_json::from_str::<Generations>(&stored).expect("what was written"),
        generations
    );
}

#[test]
fn all_examples_compile_to_prefixes_without_stray_bits() {
    for name in crate::tests::examples() {
        let policy = compiled(&good(&example(&name)));
        let sides = policy
            .nics
            .iter()
            .flat_map(|nic| nic.inbound.iter().chain(&nic.outbound));
        let rules = sides.flat_map(|set| &set.rules);
        let prefixes = rules
            .flat_map(|rule| [&rule.source, &rule.destination])
            .filter_map(|set| match set {
                AddressSet::Any => None,
                AddressSet::Prefixes(prefixes) => Some(prefixes),
            });
        let stray = |prefix: &&IpNet| prefix.trunc() != **prefix;
        assert_eq!(prefixes.flatten().find(stray), None, "{name}");
        for nic in &policy.nics {
            assert!(!nic.addresses.is_empty(), "{name}: {}", nic.name);
        }
    }
}

#[test]
fn a_vni_may_come_for_the_peers_of_its_network_too() {
    let vnets = "\
vnets:
  hub: {addressSpace: [10.0.0.0/16], vni: 5000, subnets: {a: {prefix: 10.0.1.0/24}}, \
             peerings: [spoke]}
  spoke: {addressSpace: [10.1.0.0/16], vni: 5001, subnets: {a: {prefix: 10.1.1.0/24}}, \
             peerings: [hub]}
  lone: {addressSpace: [10.2.0.0/16], vni: 5002, subnets: {a: {prefix: 10.2.1.0/24}}}
";
    let policy = compiled(&good(vnets));
    let reached: Vec<(u32, usize)> = policy
        .segments
        .iter()
        .map(|segment| (segment.vni.get(), segment.vnets.len()))
        .collect();
    assert_eq!(reached, [(5000, 2), (5002, 1), (5001, 2)]);
    let own: Vec<VnetId> = policy.segments.iter().map(|one| one.vnets[0]).collect();
    assert_eq!(
        own,
        [VnetId(0), VnetId(1), VnetId(2)],
        "each network's own first"
    );
}

#[test]
fn a_nic_that_says_nothing_of_its_mtu_fits_the_way_to_other_hosts() {
    let topology = good(&example("tap-vm-and-container.yaml"));
    let mtu = |underlay, name| {
        let generations = Generations::default();
        let policy = compile(&topology, &ports(&topology), &generations, underlay);
        (
            policy.uplink.map(|uplink| uplink.mtu),
            nic(&policy, name).mtu,
        )
    };
    assert_eq!(mtu(None, "vm-1/front"), (None, 1_500));
    assert_eq!(mtu(Some(1_500), "vm-1/front"), (Some(1_450), 1_450));
    assert_eq!(mtu(Some(9_000), "vm-1/front"), (Some(8_950), 1_500));
    assert_eq!(
        mtu(Some(1_500), "vm-1/store"),
        (Some(1_450), 9_000),
        "as the topology says"
    );
}

#[test]
fn a_nic_knows_its_subnets_its_name_servers_and_whether_it_is_the_first() {
    let source = "vnets:
  v:
    addressSpace: [10.0.0.0/16, 'fd00:1::/48']
    dnsServers: [10.0.0.53, 'fd00:1::53', 10.0.0.54]
    subnets:
      s: { prefix: [10.0.1.0/24, 'fd00:1::/64'] }
  w: { addressSpace: 10.1.0.0/16, subnets: { t: { prefix: 10.1.0.0/24 } } }
guests:
  g: { nics: [{ subnet: v/s }, { subnet: w/t }] }
";
    let policy = compiled(&good(source));
    let (first, second) = (nic(&policy, "g/nic0"), nic(&policy, "g/nic1"));
    let subnets: Vec<String> = first.subnets.iter().map(ToString::to_string).collect();
    assert_eq!(subnets, ["10.0.1.0/24", "fd00:1::/64"]);
    assert_eq!(first.subnets.len(), first.addresses.len());
    let servers = ["10.0.0.53", "fd00:1::53", "10.0.0.54"].map(address);
    assert_eq!(first.dns_servers, servers, "in the order written");
    assert!(first.primary && !second.primary);
    assert!(second.dns_servers.is_empty());
}

#[test]
fn other_name_servers_move_no_flow() {
    let network = |servers: &str| {
        good(&format!(
            "vnets:\n  v: {{ addressSpace: 10.0.0.0/16, dnsServers: [{servers}], \
             subnets: {{ s: {{ prefix: 10.0.1.0/24 }} }} }}\nguests: {{ g: {{ subnet: v/s }} }}\n"
        ))
    };
    let (old, new) = (network("10.0.0.53"), network("10.0.0.54"));
    let mut generations = Generations::default();
    advance(&mut generations, None, &old, false);
    let before = generations.nics.clone();
    advance(&mut generations, Some(&old), &new, false);
    assert_eq!((generations.policy, &generations.nics), (2, &before));
    let plan = crate::diff::difference(&old, &new).to_string();
    let line = "~ vnets.v.dnsServers: [\"10.0.0.53\"] -> [\"10.0.0.54\"]";
    assert!(plan.contains(line), "{plan}");
}
