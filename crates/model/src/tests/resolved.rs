//! What is given when it is not written.

use std::net::IpAddr;

use super::{checked, good};
use crate::{GuestKind, NicName, PeeringState};

fn addresses(source: &str, guest: &str) -> Vec<String> {
    let topology = good(source);
    let nic = &topology.guests[guest].nics[0];
    nic.addresses
        .iter()
        .map(|own| format!("{}/{}", own.address, own.prefix_length))
        .collect()
}

const NETWORK: &str = "vnets:
  v:
    addressSpace: [10.0.0.0/16, 'fd00:1::/48']
    subnets:
      four: { prefix: 10.0.0.0/29 }
      both: { prefix: [10.0.1.0/24, 'fd00:1::/64'] }
";

#[test]
fn written_addresses_are_taken_before_others_are_given() {
    let source = format!(
        "{NETWORK}guests:\n  a: {{ subnet: v/both }}\n  b: {{ subnet: v/both }}\n  \
         c: {{ subnet: v/both, address: 10.0.1.4 }}\n"
    );
    assert_eq!(addresses(&source, "a"), ["10.0.1.5/24", "fd00:1::4/64"]);
    assert_eq!(addresses(&source, "b"), ["10.0.1.6/24", "fd00:1::5/64"]);
    // What is written is all there is.
    assert_eq!(addresses(&source, "c"), ["10.0.1.4/24"]);
}

#[test]
fn a_subnet_gives_all_but_five_of_its_addresses() {
    let guests = |count: usize| {
        let guest = |n| format!("  g{n}: {{ subnet: v/four }}\n");
        format!(
            "{NETWORK}guests:\n{}",
            (0..count).map(guest).collect::<String>()
        )
    };
    assert_eq!(addresses(&guests(3), "g2"), ["10.0.0.6/29"]);
    let found = super::bad(&guests(4));
    assert_eq!(found.diagnostics.len(), 1, "{found}");
    assert!(
        found.diagnostics[0]
            .message
            .contains("no free IPv4 address"),
        "{found}"
    );
}

#[test]
fn the_gateway_is_the_first_address() {
    let topology = good(&format!("{NETWORK}guests: {{ a: {{ subnet: v/both }} }}\n"));
    let gateways: Vec<IpAddr> = topology.guests["a"].nics[0]
        .addresses
        .iter()
        .map(|own| own.gateway)
        .collect();
    let expected: [IpAddr; 2] = ["10.0.1.1", "fd00:1::1"].map(|text| text.parse().expect("one"));
    assert_eq!(gateways, expected);
}

#[test]
fn an_ethernet_address_depends_on_the_name_alone() {
    let one = good(&format!("{NETWORK}guests: {{ a: {{ subnet: v/both }} }}\n"));
    let other = good(&format!(
        "{NETWORK}guests: {{ z: {{ subnet: v/four }}, a: {{ subnet: v/four, mtu: 9000 }} }}\n"
    ));
    let name: NicName = "a/nic0".parse().expect("a name");
    let mac = |topology: &crate::Topology| topology.nic(&name).expect("the NIC").mac;
    assert_eq!(mac(&one), mac(&other));
    // Locally administered, unicast; and the same in every version from now on.
    assert_eq!(mac(&one).to_string(), "02:e0:55:82:7f:63");
}

#[test]
fn network_identifiers_go_around_those_that_are_written() {
    let source = "vnets:
  a: { addressSpace: 10.0.0.0/16 }
  b: { addressSpace: 10.1.0.0/16, vni: 4097 }
  c: { addressSpace: 10.2.0.0/16 }
";
    let vnets = good(source).vnets;
    assert_eq!(
        ["a", "b", "c"].map(|name| vnets[name].vni),
        [4096, 4097, 4098]
    );
}

#[test]
fn a_peering_with_one_side_is_initiated() {
    let source = "vnets:
  a: { addressSpace: 10.0.0.0/16, peerings: [b] }
  b: { addressSpace: 10.1.0.0/16 }
";
    let checked = checked(source);
    assert_eq!(
        checked.topology.vnets["a"].peerings["b"].state,
        PeeringState::Initiated
    );
    assert_eq!(checked.warnings.diagnostics[0].code.as_str(), "NW005");
}

#[test]
fn a_guest_sets_the_default_of_its_nics() {
    let topology = good(&format!(
        "{NETWORK}guests:\n  a:\n    kind: TAP\n    acceleratedNetworking: false\n    nics:\n      \
         - {{ subnet: v/both }}\n      - {{ subnet: v/both, enableAcceleratedNetworking: true }}\n"
    ));
    let guest = &topology.guests["a"];
    assert_eq!(guest.kind, GuestKind::Tap);
    let accelerated: Vec<bool> = guest
        .nics
        .iter()
        .map(|nic| nic.accelerated_networking)
        .collect();
    assert_eq!(accelerated, [false, true]);
    assert_eq!(guest.nics[1].name, "nic1");
}

#[test]
fn the_clouds_long_spellings_mean_the_same() {
    let short = "nsgs: { g: { rules: [ { name: r, priority: 100, direction: inbound, access: ALLOW, \
                 protocol: tcp, source: [10.0.0.0/8, 11.0.0.1], sourcePorts: 1-2, \
                 destination: internet, destinationPorts: [80, 90-91] } ] } }";
    let long = "nsgs: { g: { securityRules: [ { name: r, priority: '100', direction: Inbound, \
                access: Allow, protocol: Tcp, sourceAddressPrefixes: [10.0.0.0/8, 11.0.0.1/32], \
                sourcePortRange: '1-2', destinationAddressPrefix: Internet, \
                destinationPortRanges: ['80', '90-91'] } ] } }";
    assert_eq!(good(short), good(long));
}

#[test]
fn a_nic_name_has_one_slash() {
    for text in ["", "a", "/a", "a/", "a/b/c"] {
        assert!(text.parse::<NicName>().is_err(), "{text}");
    }
    let name: NicName = "web-1/nic0".parse().expect("a name");
    assert_eq!((name.guest(), name.nic()), ("web-1", "nic0"));
}
