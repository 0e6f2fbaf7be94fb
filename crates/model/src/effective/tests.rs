use super::*;
use crate::tests::{example, good};

fn name(text: &str) -> NicName {
    text.parse().expect("a NIC's name")
}

/// The rows as `source state prefixes -> hop address name`.
fn rows(topology: &Topology, nic: &str) -> Vec<String> {
    let routes = effective_routes(topology, &name(nic)).expect("the NIC");
    let row = |route: &EffectiveRoute| {
        let list = |items: Vec<String>| items.join(",");
        let prefixes = list(
            route
                .address_prefix
                .iter()
                .map(ToString::to_string)
                .collect(),
        );
        let hop = list(
            route
                .next_hop_ip_address
                .iter()
                .map(ToString::to_string)
                .collect(),
        );
        let name = route.name.as_deref().unwrap_or_default();
        let text = format!(
            "{:?} {:?} {prefixes} -> {:?} {hop} {name}",
            route.source, route.state, route.next_hop_type
        );
        text.trim_end().to_owned()
    };
    routes.value.iter().map(row).collect()
}

/// The example of the cloud's article on routing: one subnet whose traffic all goes through an
/// appliance, except within the subnet and to storage, and none to the peer.
#[test]
fn the_routing_article_s_subnet1_has_its_twelve_routes() {
    let topology = good(
        "serviceTags: { Storage: 20.60.0.0/16 }
vnets:
  Virtual-network-1:
    addressSpace: 10.0.0.0/16
    subnets:
      Subnet1: { prefix: 10.0.0.0/24, routeTable: Subnet1, serviceEndpoints: Storage }
      Subnet2: { prefix: 10.0.1.0/24 }
      NVA: { prefix: 10.0.100.0/24 }
    peerings: [Virtual-network-2]
    gatewayRoutes: 10.10.0.0/16
  Virtual-network-2:
    addressSpace: [10.1.0.0/16, 10.2.0.0/16]
    peerings: [Virtual-network-1]
routeTables:
  Subnet1:
    routes:
      - { name: Within-VNet1, prefix: 10.0.0.0/16, nextHopType: VirtualAppliance, nextHopIpAddress: 10.0.100.4 }
      - { name: Within-Subnet1, prefix: 10.0.0.0/24, nextHopType: VnetLocal }
      - { name: ToVNet2-1-Drop, prefix: 10.1.0.0/16, nextHopType: None }
      - { name: ToVNet2-2-Drop, prefix: 10.2.0.0/16, nextHopType: None }
      - { name: To-On-Prem, prefix: 10.10.0.0/16, nextHopType: VirtualAppliance, nextHopIpAddress: 10.0.100.4 }
      - { name: Default-NVA, prefix: 0.0.0.0/0, nextHopType: VirtualAppliance, nextHopIpAddress: 10.0.100.4 }
guests:
  one: { subnet: Virtual-network-1/Subnet1 }
  two: { subnet: Virtual-network-1/Subnet2 }
  nva: { subnet: Virtual-network-1/NVA, ipForwarding: true }
",
    );
    assert_eq!(
        rows(&topology, "one/nic0"),
        [
            "Default Invalid 10.0.0.0/16 -> VnetLocal",
            "Default Invalid 10.1.0.0/16 -> VNetPeering",
            "Default Invalid 10.2.0.0/16 -> VNetPeering",
            "Default Invalid 0.0.0.0/0 -> Internet",
            "Default Active 20.60.0.0/16 -> VirtualNetworkServiceEndpoint",
            "VirtualNetworkGateway Invalid 10.10.0.0/16 -> VirtualNetworkGateway",
            "User Active 10.0.0.0/16 -> VirtualAppliance 10.0.100.4 Within-VNet1",
            "User Active 10.0.0.0/24 -> VnetLocal  Within-Subnet1",
            "User Active 10.1.0.0/16 -> None  ToVNet2-1-Drop",
            "User Active 10.2.0.0/16 -> None  ToVNet2-2-Drop",
            "User Active 10.10.0.0/16 -> VirtualAppliance 10.0.100.4 To-On-Prem",
            "User Active 0.0.0.0/0 -> VirtualAppliance 10.0.100.4 Default-NVA",
        ]
    );
    // The article's other subnet keeps the system's routes and what the gateway has learnt.
    assert_eq!(
        rows(&topology, "two/nic0"),
        [
            "Default Active 10.0.0.0/16 -> VnetLocal",
            "Default Active 10.1.0.0/16 -> VNetPeering",
            "Default Active 10.2.0.0/16 -> VNetPeering",
            "Default Active 0.0.0.0/0 -> Internet",
            "Default Active 10.0.0.0/8 -> None",
            "Default Active 172.16.0.0/12 -> None",
            "Default Active 192.168.0.0/16 -> None",
            "Default Active 100.64.0.0/10 -> None",
            "VirtualNetworkGateway Active 10.10.0.0/16 -> VirtualNetworkGateway",
        ]
    );
}

/// Which of the reserved prefixes still lead nowhere in a network with this space.
fn reserved(space: &str) -> Vec<String> {
    let topology = good(&format!(
        "vnets: {{ v: {{ addressSpace: [{space}], subnets: {{ s: {{ prefix: 172.20.2.0/24 }} }} }} }}\n\
         guests: {{ g: {{ subnet: v/s }} }}\n"
    ));
    let rows = rows(&topology, "g/nic0");
    let none = rows.iter().filter_map(|row| row.strip_suffix(" -> None"));
    none.filter_map(|row| row.strip_prefix("Default Active "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn reserved_prefixes_give_way_to_ranges_that_hold_them() {
    let all = [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
    ];
    // Within, as the specification's example has it: it stays.
    assert_eq!(reserved("172.20.2.0/24"), all);
    // Equal: it is the virtual network's now.
    assert_eq!(
        reserved("172.16.0.0/12"),
        ["10.0.0.0/8", "192.168.0.0/16", "100.64.0.0/10"]
    );
    // Containing it.
    assert_eq!(
        reserved("172.0.0.0/8, 100.0.0.0/8"),
        ["10.0.0.0/8", "192.168.0.0/16"]
    );
}

#[test]
fn ipv6_has_its_own_system_routes() {
    let topology = good(&example("dual-stack.yaml"));
    let rows = rows(&topology, "client-1/nic0");
    assert!(
        rows.contains(&"Default Active fd00:c1ea::/48 -> VnetLocal".to_owned()),
        "{rows:?}"
    );
    assert!(
        rows.contains(&"Default Active ::/0 -> Internet".to_owned()),
        "{rows:?}"
    );
}

#[test]
fn what_a_gateway_learnt_never_beats_the_network_and_can_be_kept_out() {
    let source = |table: &str| {
        format!(
            "vnets:\n  v:\n    addressSpace: 10.0.0.0/16\n    gatewayRoutes: [10.0.7.0/24, 10.0.0.0/16, 192.0.2.0/24]\n    \
             subnets: {{ s: {{ prefix: 10.0.0.0/24{table} }} }}\n\
             routeTables: {{ t: {{ disableBgpRoutePropagation: true }} }}\nguests: {{ g: {{ subnet: v/s }} }}\n"
        )
    };
    let learnt = |table: &str| {
        let mut rows = rows(&good(&source(table)), "g/nic0");
        rows.retain(|row| row.starts_with("VirtualNetworkGateway"));
        rows
    };
    assert_eq!(
        learnt(""),
        [
            "VirtualNetworkGateway Active 192.0.2.0/24 -> VirtualNetworkGateway",
            "VirtualNetworkGateway Invalid 10.0.0.0/16,10.0.7.0/24 -> VirtualNetworkGateway",
        ]
    );
    assert!(learnt(", routeTable: t").is_empty());
}

#[test]
fn tags_in_routes_yield_to_prefixes_and_to_narrower_tags() {
    let topology = good(
        "serviceTags:
  AzureCloud: [20.0.0.0/8, 20.60.0.0/16, 20.60.1.0/24]
  Storage: [20.60.0.0/16, 20.60.1.0/24]
  Storage.WestEurope: 20.60.1.0/24
vnets: { v: { addressSpace: 10.0.0.0/16, subnets: { s: { prefix: 10.0.0.0/24, routeTable: t } } } }
routeTables:
  t:
    routes:
      - { name: cloud, prefix: azurecloud, nextHopType: Internet }
      - { name: storage, prefix: Storage, nextHopType: VirtualNetworkGateway }
      - { name: region, prefix: Storage.WestEurope, nextHopType: None }
      - { name: written, prefix: 20.60.0.0/16, nextHopType: VnetLocal }
guests: { g: { subnet: v/s } }
",
    );
    let mut rows = rows(&topology, "g/nic0");
    rows.retain(|row| row.starts_with("User"));
    assert_eq!(
        rows,
        [
            "User Active 20.0.0.0/8 -> Internet  cloud",
            "User Invalid 20.60.0.0/16,20.60.1.0/24 -> Internet  cloud",
            "User Invalid 20.60.0.0/16,20.60.1.0/24 -> VirtualNetworkGateway  storage",
            "User Active 20.60.1.0/24 -> None  region",
            "User Active 20.60.0.0/16 -> VnetLocal  written",
        ]
    );
}

/// What the tag in an outbound rule stands for, for the guest `g`.
fn expanded(tag: &str, network: &str) -> Vec<String> {
    let topology = good(&format!(
        "{network}guests: {{ g: {{ subnet: v/s, nsg: n }} }}\nnsgs:\n  n:\n    rules:\n      \
         - {{ name: r, priority: 100, direction: Outbound, access: Allow, destination: {tag} }}\n"
    ));
    let rules = effective_rules(&topology, &name("g/nic0")).expect("the NIC");
    rules.value[0].effective_security_rules[0]
        .expanded_destination_address_prefix
        .clone()
}

const PEERED: &str = "vnets:
  v:
    addressSpace: 10.0.0.0/16
    subnets: { s: { prefix: 10.0.0.0/24 } }
    peerings: [near, { vnet: closed, allowVirtualNetworkAccess: false }, one-sided]
  near: { addressSpace: 10.1.0.0/16, peerings: [v, far] }
  far: { addressSpace: 10.2.0.0/16, peerings: [near] }
  closed: { addressSpace: 10.3.0.0/16, peerings: [v] }
  one-sided: { addressSpace: 10.4.0.0/16 }
";

#[test]
fn virtual_network_is_the_network_and_its_connected_peers() {
    // Neither a peer's peer, nor one without access, nor one that does not peer back.
    assert_eq!(
        expanded("VirtualNetwork", PEERED),
        ["10.0.0.0/15", "168.63.129.16/32"]
    );
}

#[test]
fn routes_widen_virtual_network_and_leave_the_internet_alone() {
    let network = "vnets: { v: { addressSpace: 10.0.0.0/16, subnets: { s: { prefix: 10.0.0.0/24, routeTable: t } } } }
routeTables: { t: { routes: [ { name: d, prefix: 0.0.0.0/0, nextHopType: None } ] } }
";
    assert_eq!(expanded("VirtualNetwork", network), ["0.0.0.0/0"]);
    assert!(expanded("Internet", network).contains(&"8.0.0.0/7".to_owned()));
}

#[test]
fn the_internet_is_public_space_outside_of_the_network() {
    let network = "vnets: { v: { addressSpace: [10.0.0.0/16, 20.0.0.0/16, '2a00::/48'], \
                   subnets: { s: { prefix: 10.0.0.0/24 } } } }\n";
    let internet: Vec<ipnet::IpNet> = expanded("internet", network)
        .iter()
        .map(|text| text.parse().expect("a prefix"))
        .collect();
    let has = |text: &str| {
        let address: std::net::IpAddr = text.parse().expect("an address");
        internet
            .iter()
            .filter(|prefix| prefix.contains(&address))
            .count()
    };
    // The prefixes the cloud is seen to print.
    for seen in [
        "1.0.0.0/8",
        "2.0.0.0/7",
        "4.0.0.0/6",
        "8.0.0.0/7",
        "11.0.0.0/8",
        "12.0.0.0/6",
        "32.0.0.0/3",
    ] {
        assert!(
            internet.contains(&seen.parse().expect("a prefix")),
            "{seen}"
        );
    }
    for inside in [
        "1.1.1.1",
        "20.1.0.0",
        "172.32.0.0",
        "2a00:0:1::",
        "2606:4700::1",
    ] {
        assert_eq!(has(inside), 1, "{inside}");
    }
    for outside in [
        "10.9.9.9",
        "20.0.1.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "224.0.0.1",
        "2a00::1",
        "fd00::1",
        "fe80::1",
    ] {
        assert_eq!(has(outside), 0, "{outside}");
    }
}

#[test]
fn groups_are_shown_as_the_api_prints_them() {
    let topology = good(&example("quickstart.yaml"));
    let rules = effective_rules(&topology, &name("db-1/nic0")).expect("the NIC");
    let json = serde_json::to_value(&rules).expect("JSON");
    assert_eq!(json["value"].as_array().map(Vec::len), Some(1));
    let group = &json["value"][0];
    assert_eq!(group["networkSecurityGroup"]["id"], "nsgs/db");
    assert_eq!(
        group["association"],
        serde_json::json!({"subnet": {"id": "vnets/data/subnets/db"}})
    );
    let rules = group["effectiveSecurityRules"].as_array().expect("rules");
    let names: Vec<&str> = rules
        .iter()
        .filter_map(|rule| rule["name"].as_str())
        .collect();
    assert_eq!(
        names,
        [
            "securityRules/allow-web-servers",
            "securityRules/deny-rest",
            "defaultSecurityRules/AllowVnetInBound",
            "defaultSecurityRules/AllowAzureLoadBalancerInBound",
            "defaultSecurityRules/DenyAllInBound",
            "defaultSecurityRules/AllowVnetOutBound",
            "defaultSecurityRules/AllowInternetOutBound",
            "defaultSecurityRules/DenyAllOutBound",
        ]
    );
    let allow = &rules[0];
    assert_eq!(allow["protocol"], "Tcp");
    assert_eq!(allow["destinationPortRange"], "5432-5432");
    assert_eq!(allow["sourcePortRange"], "0-65535");
    assert_eq!(
        allow["expandedSourceAddressPrefix"],
        serde_json::json!(["10.0.1.4/32"])
    );
    assert_eq!(allow["direction"], "Inbound");
    assert_eq!(rules[1]["protocol"], "All");
    assert_eq!(rules[1]["sourceAddressPrefix"], "VirtualNetwork");
}

#[test]
fn a_nic_that_is_not_there_has_nothing() {
    let topology = good(&example("two-guests.yaml"));
    assert_eq!(effective_routes(&topology, &name("carol/nic0")), None);
    assert_eq!(effective_rules(&topology, &name("alice/nic1")), None);
}
