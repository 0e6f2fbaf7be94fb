//! Routes, appliances, peerings, and addresses that move: new connections and established ones.

use std::io::{ErrorKind, Read as _, Write as _};

use crate::lab::{Lab, lab};

fn peered(peerings: [&str; 2]) -> String {
    let [left, right] = peerings;
    format!(
        r#"
name: lab
vnets:
  left:
    addressSpace: 10.0.0.0/16
    subnets: {{ all: {{ prefix: 10.0.0.0/24 }} }}
    peerings: {left}
  right:
    addressSpace: 10.1.0.0/16
    subnets: {{ all: {{ prefix: 10.1.0.0/24 }} }}
    peerings: {right}
guests:
  a: {{ subnet: left/all, address: 10.0.0.4 }}
  b: {{ subnet: right/all, address: 10.1.0.4 }}
"#
    )
}

#[test]
fn a_peering_needs_both_sides() {
    let (both, one, none) = (
        peered(["[right]", "[left]"]),
        peered(["[right]", "[]"]),
        peered(["[]", "[]"]),
    );
    let lab = lab!(&both);
    let mut connection = lab.connect("a", "b", "10.1.0.4:80");
    connection.assert_alive();

    for (topology, name) in [(one, "one side"), (none, "none")] {
        lab.apply(&topology, &[]);
        assert_eq!(lab.ping("a", "10.1.0.4"), "no-route", "{name}");
        assert_eq!(lab.tcp("b", "a", "10.0.0.4:80"), "no-route", "{name}");
    }
    connection.assert_cut(&lab, "a", "no-route");
    lab.apply(&both, &[]);
    assert_eq!(lab.tcp("b", "a", "10.0.0.4:80"), "allow");
    connection.assert_resumed(b"anyone?");
}

/// `out` and `back` are the route tables of client and server: `direct`, `hop`, `nowhere`.
fn routed(out: &str, back: &str, forwards: bool) -> String {
    format!(
        r#"
name: lab
vnets:
  main:
    addressSpace: 10.0.0.0/16
    subnets:
      client: {{ prefix: 10.0.1.0/24, routeTable: out-{out} }}
      server: {{ prefix: 10.0.2.0/24, routeTable: back-{back} }}
      nva: {{ prefix: 10.0.100.0/24 }}
routeTables:
  out-direct: {{ routes: [] }}
  out-hop: {{ routes: [{{ name: hop, prefix: 10.0.2.0/24, nextHopType: VirtualAppliance,
      nextHopIpAddress: 10.0.100.4 }}] }}
  out-nowhere: {{ routes: [{{ name: nowhere, prefix: 10.0.2.0/24, nextHopType: None }}] }}
  back-direct: {{ routes: [] }}
  back-hop: {{ routes: [{{ name: hop, prefix: 10.0.1.0/24, nextHopType: VirtualAppliance,
      nextHopIpAddress: 10.0.100.4 }}] }}
guests:
  client-1: {{ subnet: main/client, address: 10.0.1.4 }}
  server-1: {{ subnet: main/server, address: 10.0.2.4 }}
  nva-1: {{ subnet: main/nva, address: 10.0.100.4, ipForwarding: {forwards} }}
"#
    )
}

#[test]
fn routes_lead_through_an_appliance_one_way_or_both() {
    let lab = lab!(&routed("hop", "hop", true));
    assert_eq!(
        lab.ping_ttl("client-1", "10.0.2.4"),
        63,
        "the answer comes by the appliance"
    );
    assert_eq!(lab.tcp("client-1", "server-1", "10.0.2.4:80"), "allow");

    lab.apply(&routed("hop", "direct", true), &[]);
    assert_eq!(
        lab.ping_ttl("client-1", "10.0.2.4"),
        64,
        "the answer comes directly"
    );
    let before = passed(&lab);
    let mut connection = lab.connect("client-1", "server-1", "10.0.2.4:80");
    for _ in 0..10 {
        connection.assert_alive();
    }
    let half = passed(&lab) - before;
    assert!(
        (10..20).contains(&half),
        "{half}: it sees what the client sends and no answers"
    );

    lab.apply(&routed("direct", "hop", true), &[]);
    assert_eq!(
        lab.ping_ttl("client-1", "10.0.2.4"),
        63,
        "the answer comes by the appliance"
    );

    lab.apply(&routed("hop", "hop", false), &[]);
    assert_eq!(
        lab.tcp("client-1", "server-1", "10.0.2.4:80"),
        "forwarding-disabled"
    );
}

/// Frames that the appliance sent on, but for the first of each flow.
fn passed(lab: &Lab) -> u64 {
    lab.stats("nva-1").accelerated.from_guest_packets
}

#[test]
fn what_is_established_follows_its_route() {
    let lab = lab!(&routed("hop", "hop", true));
    let mut connection = lab.connect("client-1", "server-1", "10.0.2.4:80");
    connection.assert_alive();
    assert!(passed(&lab) >= 3);

    lab.apply(&routed("direct", "direct", true), &[]);
    let before = passed(&lab);
    for _ in 0..10 {
        connection.assert_alive();
    }
    assert_eq!(passed(&lab), before, "the appliance is out of the way");

    lab.apply(&routed("nowhere", "direct", true), &[]);
    connection.assert_cut(&lab, "client-1", "no-route");
    assert_eq!(lab.tcp("client-1", "server-1", "10.0.2.4:80"), "no-route");

    // Where there is a way again it goes on, and delivers what it had to keep.
    lab.apply(&routed("direct", "direct", true), &[]);
    connection.assert_resumed(b"anyone?");
}

#[test]
fn datagrams_follow_a_new_route_through_an_appliance() {
    let lab = lab!(&routed("direct", "direct", true));
    let server = lab.guest("server-1").udp("10.0.2.4:53".parse().unwrap());
    let client = lab.guest("client-1").udp("10.0.1.4:5353".parse().unwrap());
    let exchange = || {
        let mut bytes = [0; 16];
        client.send_to(b"question", "10.0.2.4:53").unwrap();
        let (len, peer) = server.recv_from(&mut bytes).expect("the question arrives");
        server.send_to(&bytes[..len], peer).unwrap();
        client.recv(&mut bytes).expect("the answer arrives");
    };
    exchange();
    assert_eq!(passed(&lab), 0);
    lab.apply(&routed("hop", "hop", true), &[]);
    let before = passed(&lab);
    for _ in 0..10 {
        exchange();
    }
    assert!(passed(&lab) >= before + 18);
    lab.apply(&routed("direct", "direct", true), &[]);
    let before = passed(&lab);
    exchange();
    assert_eq!(passed(&lab), before);
}

/// `one` and `two` are the addresses of two servers.
fn servers(one: &str, two: &str) -> String {
    format!(
        r#"
name: lab
vnets:
  main:
    addressSpace: 10.0.0.0/16
    subnets: {{ all: {{ prefix: 10.0.0.0/24 }} }}
guests:
  client-1: {{ subnet: main/all, address: 10.0.0.4 }}
  one: {{ subnet: main/all, address: {one} }}
  two: {{ subnet: main/all, address: {two} }}
"#
    )
}

#[test]
fn an_address_that_moves_takes_its_traffic_along() {
    let lab = lab!(&servers("10.0.0.5", "10.0.0.6"));
    let mut connection = lab.connect("client-1", "one", "10.0.0.5:80");
    connection.assert_alive();
    let delivered = |nic| {
        let stats = lab.stats(nic);
        stats.accelerated.to_guest_packets + stats.synthetic.to_guest_packets
    };

    let result = lab.apply(&servers("10.0.0.6", "10.0.0.5"), &[]);
    assert_eq!(result.problems, [""; 0]);
    let before = delivered("two");
    // The other guest knows nothing of the connection, and says so.
    connection.client.write_all(b"hello").unwrap();
    let error = connection.client.read(&mut [0; 16]).expect_err("no data");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    assert!(delivered("two") > before);

    assert_eq!(lab.tcp("client-1", "two", "10.0.0.5:80"), "allow");
    assert_eq!(lab.tcp("client-1", "one", "10.0.0.6:80"), "allow");
}

#[test]
fn an_open_connection_follows_a_new_route_through_an_appliance() {
    let lab = lab!(&routed("direct", "direct", true));
    let mut connection = lab.connect("client-1", "server-1", "10.0.2.4:80");
    connection.assert_alive();
    lab.apply(&routed("hop", "hop", true), &[]);
    for _ in 0..10 {
        connection.assert_alive();
    }
    assert!(passed(&lab) >= 18);
    // Also away from the appliance and back to it.
    lab.apply(&routed("direct", "direct", true), &[]);
    connection.assert_alive();
    lab.apply(&routed("hop", "hop", true), &[]);
    connection.assert_alive();
}
