//! What the rules say is what happens.

mod guarding;
mod paths;

use crate::lab::lab;

/// A web server that a client may use and a stranger may not, in both families.
fn web(rules: &str) -> String {
    format!(
        r#"
name: lab
vnets:
  main:
    addressSpace: [10.0.0.0/16, "fd00:1::/48"]
    subnets:
      web: {{ prefix: [10.0.1.0/24, "fd00:1:0:1::/64"], nsg: web }}
      client: {{ prefix: [10.0.2.0/24, "fd00:1:0:2::/64"] }}
      stranger: {{ prefix: [10.0.3.0/24, "fd00:1:0:3::/64"], nsg: stranger }}
asgs: [admins]
nsgs:
  web:
    rules:{rules}
      - {{ name: nothing-else, priority: 4000, direction: Inbound, access: Deny }}
  stranger:
    rules:
      - {{ name: no-https, priority: 100, direction: Outbound, access: Deny, protocol: Tcp,
          destinationPorts: 443 }}
guests:
  web-1: {{ subnet: main/web, address: [10.0.1.4, "fd00:1:0:1::4"] }}
  client-1: {{ subnet: main/client, address: [10.0.2.4, "fd00:1:0:2::4"] }}
  stranger-1: {{ subnet: main/stranger, address: [10.0.3.4, "fd00:1:0:3::4"] }}
"#
    )
}

const CLIENTS: &str = r#"["10.0.2.0/24", "fd00:1:0:2::/64"]"#;

fn rule(name: &str, priority: u16, access: &str, what: &str) -> String {
    let how = format!("name: {name}, priority: {priority}, direction: Inbound, access: {access}");
    format!("\n      - {{ {how}, {what} }}")
}

#[test]
fn rules_decide_by_protocol_port_source_and_family() {
    let http = rule(
        "http",
        100,
        "Allow",
        &format!("protocol: Tcp, source: {CLIENTS}, destinationPorts: 80"),
    );
    let dns = rule(
        "dns",
        110,
        "Allow",
        &format!("protocol: Udp, source: {CLIENTS}, destinationPorts: 53"),
    );
    let icmp = rule(
        "icmp",
        120,
        "Allow",
        &format!("protocol: Icmp, source: {CLIENTS}"),
    );
    let lab = lab!(&web(&(http + &dns + &icmp)));
    for address in ["10.0.1.4", "[fd00:1:0:1::4]"] {
        let at = |port: u16| format!("{address}:{port}");
        let bare = address.trim_matches(['[', ']']);
        assert_eq!(lab.tcp("client-1", "web-1", &at(80)), "allow");
        assert_eq!(lab.tcp("client-1", "web-1", &at(53)), "nsg-deny-inbound");
        assert_eq!(lab.udp("client-1", "web-1", &at(53)), "allow");
        assert_eq!(lab.udp("client-1", "web-1", &at(80)), "nsg-deny-inbound");
        assert_eq!(lab.ping("client-1", bare), "allow");
        assert_eq!(lab.tcp("stranger-1", "web-1", &at(80)), "nsg-deny-inbound");
        assert_eq!(
            lab.tcp("stranger-1", "web-1", &at(443)),
            "nsg-deny-outbound"
        );
        assert_eq!(lab.udp("stranger-1", "web-1", &at(53)), "nsg-deny-inbound");
        assert_eq!(lab.ping("stranger-1", bare), "nsg-deny-inbound");
    }
}

#[test]
fn an_edit_is_for_new_connections_until_reevaluation_is_asked_for() {
    let allowing = web(&rule(
        "http",
        100,
        "Allow",
        "protocol: Tcp, destinationPorts: 80",
    ));
    let denying = web("");
    let lab = lab!(&allowing);
    let mut connection = lab.connect("client-1", "web-1", "10.0.1.4:80");
    let mut other = lab.connect("client-1", "web-1", "[fd00:1:0:1::4]:80");
    connection.assert_alive();
    other.assert_alive();

    let result = lab.apply(&denying, &[]);
    assert!(result.applied && result.problems.is_empty());
    assert_eq!(
        lab.tcp("client-1", "web-1", "10.0.1.4:80"),
        "nsg-deny-inbound"
    );
    connection.assert_alive();
    other.assert_alive();

    lab.apply(&denying, &["--reevaluate"]);
    connection.assert_cut(&lab, "client-1", "nsg-deny-inbound");
    other.assert_cut(&lab, "client-1", "nsg-deny-inbound");

    lab.apply(&allowing, &[]);
    assert_eq!(lab.tcp("client-1", "web-1", "10.0.1.4:80"), "allow");
}

#[test]
fn the_first_match_in_order_of_priority_decides() {
    let both = |allow, deny| {
        let what = "protocol: Tcp, destinationPorts: 80";
        web(&(rule("yes", allow, "Allow", what) + &rule("no", deny, "Deny", what)))
    };
    let lab = lab!(&both(100, 200));
    assert_eq!(lab.tcp("client-1", "web-1", "10.0.1.4:80"), "allow");
    let result = lab.apply(&both(300, 200), &[]);
    assert!(!result.changes.is_empty());
    assert_eq!(
        lab.tcp("client-1", "web-1", "10.0.1.4:80"),
        "nsg-deny-inbound"
    );
}

#[test]
fn a_rule_for_a_group_follows_its_members() {
    let what = "protocol: Tcp, source: { asg: admins }, destinationPorts: 22";
    let nobody = web(&rule("ssh", 100, "Allow", what));
    let client = nobody.replace("client-1: { ", "client-1: { asgs: [admins], ");
    let lab = lab!(&nobody);
    assert_eq!(
        lab.tcp("client-1", "web-1", "10.0.1.4:22"),
        "nsg-deny-inbound"
    );
    lab.apply(&client, &[]);
    assert_eq!(lab.tcp("client-1", "web-1", "10.0.1.4:22"), "allow");
    assert_eq!(lab.tcp("client-1", "web-1", "[fd00:1:0:1::4]:22"), "allow");
    assert_eq!(
        lab.tcp("stranger-1", "web-1", "10.0.1.4:22"),
        "nsg-deny-inbound"
    );
}
