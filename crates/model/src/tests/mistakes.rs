//! One document for each mistake, and what its author is told.

use std::fmt::Write as _;

use crate::parse;

/// All that is found in each document, one after the other.
fn told(cases: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, source) in cases {
        let found = match parse(source, "t.yaml") {
            Ok(checked) => checked.warnings,
            Err(found) => found,
        };
        assert!(!found.is_empty(), "nothing was found: {name}");
        let _ = writeln!(out, "=== {name}\n{found}");
    }
    out
}

/// The snapshot without the cases in its head, which the documents show anyway.
fn check(name: &str, cases: &[(&str, &str)]) {
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, told(cases));
    });
}

#[test]
fn structure() {
    check(
        "structure",
        &[
            ("no YAML", "vnets: [a\nb: }"),
            (
                "a star without quotes",
                "nsgs:\n  a:\n    rules:\n      - { protocol: * }\n",
            ),
            ("tabs", "vnets:\n\ta:\n"),
            ("a second document", "name: a\n---\nname: b\n"),
            ("a tag of YAML", "name: !secret a\n"),
            ("a list as a key", "? [a]\n: b\n"),
            ("no map", "- a\n"),
            ("a misspelt section", "vents: {}\n"),
            (
                "a merge key",
                "vnets:\n  a:\n    <<: { vni: 1 }\n    addressSpace: 10.0.0.0/16\n",
            ),
            ("a key twice", "name: a\nname: b\n"),
            (
                "two spellings of a key",
                "vnets:\n  a: { addressSpace: 10.0.0.0/16, addressPrefixes: 10.1.0.0/16 }\n",
            ),
            ("a name twice", "routeTables:\n  a: {}\n  a: {}\n"),
            ("a bad name", "routeTables:\n  -a: {}\n"),
            ("a missing key", "vnets:\n  a: {}\n"),
            ("a list for a map", "vnets:\n  - a\n"),
            ("a map for a text", "name: { a: b }\n"),
            ("a text for more than one line", "name: \"a\\nb\"\n"),
            (
                "all at once",
                "vnets:\n  a: { addressSpace: 10.0.0.0/33, vni: 0, routerHop: 'true' }\n\
             guests:\n  g: { kind: vm, subnt: a/b, mtu: 9001 }\n",
            ),
        ],
    );
}

#[test]
fn values() {
    let rule = |rest: &str| {
        format!(
            "nsgs:\n  n:\n    rules:\n      - {{ name: r, priority: 100, direction: Inbound, \
             access: Allow, {rest} }}\n"
        )
    };
    let list = rule("source: [10.0.0.0/8, Internet]");
    let unknown = rule("source: Storrage");
    let prefix = rule("source: 10.0.0.1/8");
    let empty = rule("source: []");
    let both = rule("source: 10.0.0.0/8, sourceApplicationSecurityGroups: [a]");
    let ports = rule("protocol: Tcp, ports: 90-80");
    let icmp = rule("protocol: Icmp, ports: 80");
    let asgs = rule("source: { asg: [] }");
    check(
        "values",
        &[
            (
                "a word of no set",
                "guests: { g: { kind: tpa, subnet: a/b } }\n",
            ),
            ("bits beyond the prefix", &prefix),
            ("a tag in a list", &list),
            ("a tag nobody knows", &unknown),
            ("an empty side", &empty),
            ("an empty list of groups", &asgs),
            ("a side twice", &both),
            ("ports out of order", &ports),
            ("ports of what has none", &icmp),
            (
                "priorities",
                "nsgs:\n  n:\n    rules:\n      - { name: r, priority: 99, direction: Inbound, access: Allow }\n",
            ),
            (
                "a group cannot always allow",
                "nsgs:\n  n:\n    rules:\n      - { name: r, priority: 100, direction: Inbound, access: AlwaysAllow }\n",
            ),
            ("a duration", "host: { timeouts: { idle: 5 parsecs } }\n"),
            (
                "an interface",
                "uplink: { interface: 'a/b', providerAddress: 192.0.2.1 }\n",
            ),
            (
                "a multicast MAC",
                "mappings: [{ vnet: a, address: 10.0.0.4, provider: 192.0.2.1, mac: '01:00:5e:00:00:01' }]\n",
            ),
            (
                "a platform tag declared",
                "serviceTags: { Internet: 1.0.0.0/8 }\n",
            ),
        ],
    );
}

#[test]
fn networks() {
    let vnet = |rest: &str| format!("vnets:\n  a:\n    addressSpace: 10.0.0.0/16\n{rest}");
    let outside = vnet("    subnets: { s: { prefix: 10.1.0.0/24 } }\n");
    let overlap = vnet(
        "    subnets:\n      s: { prefix: 10.0.0.0/24 }\n      t: { prefix: 10.0.0.128/25 }\n",
    );
    let small = vnet("    subnets: { s: { prefix: 10.0.0.0/30 } }\n");
    let nsg = vnet(
        "    subnets: { s: { prefix: 10.0.0.0/24, nsg: wbe, routeTable: x } }\nnsgs: { web: {} }\n",
    );
    let tag = vnet(
        "    subnets: { s: { prefix: 10.0.0.0/24, serviceEndpoints: [Storage, Internet] } }\n",
    );
    let servers = vnet(
        "    dnsServers: [10.0.0.53, 224.0.0.251, '::', 127.0.0.53, 'fe80::1', 10.0.0.53, dns.example]\n",
    );
    let many: Vec<String> = (1..=21).map(|last| format!("10.0.9.{last}")).collect();
    let many_servers = vnet(&format!("    dnsServers: [{}]\n", many.join(", ")));
    check(
        "networks",
        &[
            (
                "ranges that overlap",
                "vnets: { a: { addressSpace: [10.0.0.0/8, 10.1.0.0/16] } }\n",
            ),
            (
                "a range for other things",
                "vnets: { a: { addressSpace: [169.254.1.0/24, 'ff00::/8'] } }\n",
            ),
            ("a subnet outside", &outside),
            ("subnets that overlap", &overlap),
            ("a subnet without room", &small),
            (
                "a subnet that is no /64",
                "vnets: { a: { addressSpace: 'fd00::/48', subnets: { s: { prefix: 'fd00::/56' } } } }\n",
            ),
            ("names of nothing", &nsg),
            ("tags of nothing", &tag),
            (
                "a VNI twice",
                "vnets: { a: { addressSpace: 10.0.0.0/16, vni: 7 }, b: { addressSpace: 10.1.0.0/16, vni: 7 } }\n",
            ),
            ("name servers that are none", &servers),
            ("more name servers than allowed", &many_servers),
            (
                "a peering with nobody, itself and twice",
                "vnets:\n  ab: { addressSpace: 10.0.0.0/16, peerings: [ad, ab, c, c] }\n  c: { addressSpace: 10.1.0.0/16, peerings: [ab] }\n",
            ),
            (
                "one side",
                "vnets:\n  a: { addressSpace: 10.0.0.0/16, peerings: [b] }\n  b: { addressSpace: 10.1.0.0/16 }\n",
            ),
            (
                "peers that overlap",
                "vnets:\n  a: { addressSpace: 10.0.0.0/16, peerings: [b] }\n  b: { addressSpace: 10.0.128.0/17, peerings: [a] }\n",
            ),
        ],
    );
}

#[test]
fn routes() {
    let table = |rest: &str| format!("routeTables:\n  t:\n    routes:\n{rest}");
    let used = |hop: &str, guest: &str| {
        format!(
            "vnets:\n  a:\n    addressSpace: 10.0.0.0/16\n    subnets:\n      s: {{ prefix: 10.0.0.0/24, \
             routeTable: t, nsg: n }}\n      u: {{ prefix: 10.0.1.0/24 }}\nnsgs: {{ n: {{}} }}\nrouteTables:\n  t:\n    \
             routes:\n      - {{ name: r, prefix: 0.0.0.0/0, nextHopType: VirtualAppliance, \
             nextHopIpAddress: {hop} }}\nguests:\n  g: {{ {guest} }}\n"
        )
    };
    let no_hop = table("      - { name: r, prefix: 10.0.0.0/8, nextHopType: VirtualAppliance }\n");
    let hop = table(
        "      - { name: r, prefix: 10.0.0.0/8, nextHopType: None, nextHopIpAddress: 10.0.0.4 }\n",
    );
    let family = table(
        "      - { name: r, prefix: 'fd00::/8', nextHopType: VirtualAppliance, nextHopIpAddress: 10.0.0.4 }\n",
    );
    let twice = table(
        "      - { name: r, prefix: 10.0.0.0/8, nextHopType: None }\n      - { name: r, prefix: 10.0.0.0/8, nextHopType: Internet }\n",
    );
    let nobody = used("10.0.1.9", "subnet: a/u");
    let still = used("10.0.1.4", "subnet: a/u");
    let served = used("10.0.0.4", "subnet: a/s, ipForwarding: true");
    check(
        "routes",
        &[
            ("an appliance without address", &no_hop),
            ("an address without appliance", &hop),
            ("families", &family),
            ("a route twice", &twice),
            ("an appliance nobody is", &nobody),
            ("an appliance that does not forward", &still),
            ("an appliance in the subnet it serves", &served),
        ],
    );
}

#[test]
fn guests() {
    let base = "vnets:\n  a:\n    addressSpace: 10.0.0.0/16\n    subnets:\n      web: { prefix: 10.0.0.0/24 }\n  \
                b:\n    addressSpace: 10.1.0.0/16\n    subnets: { db: { prefix: 10.1.0.0/24 } }\nasgs: [x]\n";
    let with = |rest: &str| format!("{base}{rest}");
    let references = with(
        "guests:\n  g: { subnet: a/wbe, nsg: n, asgs: [y] }\n  h: { subnet: c/web }\n  i: { subnet: web }\n",
    );
    let addresses = with(
        "guests:\n  g: { subnet: a/web, address: 10.0.1.4 }\n  h: { subnet: a/web, address: [10.0.0.3, 10.0.0.255] }\n  \
         i: { subnet: a/web, address: 10.0.0.9 }\n  j: { subnet: a/web, address: 10.0.0.9 }\n",
    );
    let macs = with(
        "guests:\n  g: { subnet: a/web, mac: '02:00:00:00:00:01' }\n  h: { subnet: a/web, mac: '02-00-00-00-00-01' }\n",
    );
    let asgs =
        with("guests:\n  g: { subnet: a/web, asgs: [x] }\n  h: { subnet: b/db, asgs: [x] }\n");
    let forms = with(
        "guests:\n  g: { subnet: a/web, nics: [{ subnet: a/web }] }\n  h: {}\n  i: { nics: [] }\n  j: { subnet: a/web, netns: /run/netns/x }\n",
    );
    let nics =
        with("guests:\n  g: { nics: [{ name: n, subnet: a/web }, { name: n, subnet: a/web }] }\n");
    let mapping = with(
        "mappings: [{ vnet: a, address: 10.0.0.9, provider: 192.0.2.2, mac: '02:00:00:00:00:02' }]\n",
    );
    let provider = with(
        "uplink: { interface: eth0, providerAddress: 192.0.2.2 }\nmappings:\n  - { vnet: a, address: 10.0.5.9, provider: 192.0.2.2, mac: '02:00:00:00:00:02' }\n",
    );
    let mtu = "vnets: { a: { addressSpace: 'fd00::/48', subnets: { s: { prefix: 'fd00::/64' } } } }\nguests: { g: { subnet: a/s, mtu: 1000 } }\n";
    check(
        "guests",
        &[
            ("names of nothing", &references),
            ("addresses", &addresses),
            ("an Ethernet address twice", &macs),
            ("a group in two networks", &asgs),
            ("two forms", &forms),
            ("a NIC twice", &nics),
            ("mappings without uplink", &mapping),
            ("a mapping to this host", &provider),
            ("an MTU too small for IPv6", mtu),
        ],
    );
}

#[test]
fn rules() {
    let two = |one: &str, other: &str| {
        format!(
            "nsgs:\n  n:\n    rules:\n      - {{ name: one, direction: Inbound, {one} }}\n      \
             - {{ name: other, direction: Inbound, {other} }}\n"
        )
    };
    let order = two(
        "priority: 100, access: Allow",
        "priority: 100, access: Deny",
    );
    let shadow = two(
        "priority: 100, access: Deny, source: 10.0.0.0/8, destinationPorts: 80-90",
        "priority: 200, access: Allow, protocol: Tcp, source: 10.1.0.0/16, destinationPorts: 85",
    );
    let members = "vnets:\n  a: { addressSpace: 10.0.0.0/16, subnets: { s: { prefix: 10.0.0.0/24 } } }\n  \
                   b: { addressSpace: 10.1.0.0/16, subnets: { s: { prefix: 10.1.0.0/24 } } }\nasgs: [x, y]\n\
                   guests:\n  g: { subnet: a/s, asgs: [x] }\n  h: { subnet: b/s, asgs: [y] }\nnsgs:\n  n:\n    rules:\n      \
                   - { name: r, priority: 100, direction: Inbound, access: Allow, source: { asg: x }, destination: { asg: y } }\n";
    let many: Vec<String> = (0..11).map(|n| format!("a{n}")).collect();
    let many = format!(
        "asgs: [{0}]\nnsgs:\n  n:\n    rules:\n      - {{ name: r, priority: 100, direction: Inbound, \
         access: Allow, source: {{ asg: [{0}] }} }}\n",
        many.join(", ")
    );
    check(
        "rules",
        &[
            ("one priority", &order),
            ("a rule that never decides", &shadow),
            ("groups of two networks", members),
            ("too many groups", &many),
            (
                "an admin rule with groups",
                "securityAdminRules: [{ name: r, priority: 1, direction: Inbound, access: Deny, source: { asg: x }, vnets: [z] }]\n",
            ),
        ],
    );
}

#[test]
fn colours_are_only_added() {
    let found = crate::parse("vents: {}\n", "t.yaml").expect_err("a bad document");
    let coloured = found.render(true);
    assert!(coloured.contains("\x1b[1;31merror[unknown-key]\x1b[0m"));
    let mut plain = coloured;
    for code in [
        "\x1b[1;31m",
        "\x1b[1;33m",
        "\x1b[1;34m",
        "\x1b[1m",
        "\x1b[0m",
    ] {
        plain = plain.replace(code, "");
    }
    assert_eq!(plain, found.render(false));
}

#[test]
fn diagnostics_are_data() {
    let found = crate::parse("guests:\n  web-1:\n    subnt: a/b\n", "t.yaml").expect_err("bad");
    let json = serde_json::to_value(&found).expect("JSON");
    let unknown = &json["diagnostics"][0];
    assert_eq!(json["diagnostics"][1]["code"], "missing-key");
    assert_eq!(unknown["path"], "guests.web-1.subnt");
    assert_eq!(
        (&unknown["line"], &unknown["column"]),
        (&3.into(), &5.into())
    );
    assert_eq!(
        (&unknown["code"], &unknown["severity"]),
        (&"unknown-key".into(), &"error".into())
    );
    assert_eq!(
        unknown["help"].as_str().map(|help| &help[..22]),
        Some("did you mean `subnet`?")
    );
}
