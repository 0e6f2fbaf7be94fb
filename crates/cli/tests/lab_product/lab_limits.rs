//! Being full is an ordinary outcome, with a counter.

use std::net::{SocketAddr, UdpSocket};

use host::api::DropRow;
use rustix::process::{Signal, kill_process};
use wire::compose::{self, Endpoint};

use crate::lab::{Connection, Lab, TapGuest, eventually, lab};

fn limited(host: &str) -> String {
    format!(
        r#"
name: lab
vnets:
  main:
    addressSpace: 10.0.0.0/16
    subnets: {{ all: {{ prefix: 10.0.0.0/24 }} }}
guests:
  client-1: {{ subnet: main/all, address: 10.0.0.4 }}
  server-1: {{ subnet: main/all, address: 10.0.0.5 }}
host: {host}
"#
    )
}

/// A question and its answer over a flow.
fn exchange(client: &UdpSocket, server: &UdpSocket) {
    let mut bytes = [0; 16];
    client.send(b"question").unwrap();
    let (len, peer) = server.recv_from(&mut bytes).expect("the question arrives");
    server.send_to(&bytes[..len], peer).unwrap();
    assert_eq!(client.recv(&mut bytes).expect("the answer arrives"), len);
}

#[test]
fn a_full_flow_table_refuses_new_flows_only() {
    let lab = lab!(&limited("{ flowsPerNic: 16 }"));
    let server = lab.guest("server-1").udp("0.0.0.0:9".parse().unwrap());
    let open = |_| {
        let client = lab.guest("client-1").udp("0.0.0.0:0".parse().unwrap());
        lab.guest("client-1")
            .run(|| client.connect("10.0.0.5:9").unwrap());
        exchange(&client, &server);
        client
    };
    let clients: Vec<UdpSocket> = (0..16).map(open).collect();
    assert_eq!(lab.nic("client-1").flows, 16);
    for path in ["accelerated", "synthetic"] {
        if path == "synthetic" {
            lab.vf("revoke", &["client-1"]);
        }
        assert_eq!(
            lab.tcp("client-1", "server-1", "10.0.0.5:80"),
            "flow-table-full"
        );
        assert_eq!(
            lab.udp("client-1", "server-1", "10.0.0.5:53"),
            "flow-table-full"
        );
        assert_eq!(
            lab.tcp("server-1", "client-1", "10.0.0.4:80"),
            "flow-table-full"
        );
        assert_eq!(lab.nic("client-1").flows, 16);
        clients.iter().for_each(|client| exchange(client, &server));
    }
    // There is room again when they have gone.
    lab.apply(
        &limited("{ flowsPerNic: 16, timeouts: { idle: 100ms } }"),
        &[],
    );
    eventually("they are forgotten", || {
        (lab.status().flows == 0).then_some(())
    });
    assert_eq!(lab.tcp("client-1", "server-1", "10.0.0.5:80"), "allow");
}

#[test]
fn what_was_answered_makes_no_room_for_others() {
    let lab = lab!(&limited(
        "{ flowsPerNic: 16, timeouts: { tcpClosing: 200ms } }"
    ));
    let open = |port: u16| lab.connect("client-1", "server-1", &format!("10.0.0.5:{port}"));
    let mut connections: Vec<Connection> = (1_000..1_016).map(open).collect();
    for port in 2_000..2_004 {
        let to = format!("10.0.0.5:{port}");
        assert_eq!(lab.tcp("client-1", "server-1", &to), "flow-table-full");
    }
    connections.iter_mut().for_each(Connection::assert_alive);

    connections.truncate(14);
    eventually("the closed are forgotten", || {
        (lab.nic("client-1").flows == 14).then_some(())
    });
    assert_eq!(lab.tcp("client-1", "server-1", "10.0.0.5:2004"), "allow");
    connections.iter_mut().for_each(Connection::assert_alive);
}

/// Sends first packets of so many flows at once: how many arrived, and how many were one too many.
fn flood(lab: &Lab, count: u16, server: &UdpSocket) -> (u64, u64) {
    let limited = || lab.dropped("client-1", "exception-rate-limited");
    let before = limited();
    let to = SocketAddr::from(([10, 0, 0, 5], 9));
    let sockets: Vec<UdpSocket> = (0..count)
        .map(|_| lab.guest("client-1").udp("0.0.0.0:0".parse().unwrap()))
        .collect();
    for socket in &sockets {
        socket.send_to(b"first", to).unwrap();
    }
    let mut arrived = 0;
    eventually("every datagram arrived or was counted", || {
        while server.recv(&mut [0; 16]).is_ok() {
            arrived += 1;
        }
        (arrived + limited() - before >= u64::from(count)).then_some(())
    });
    (arrived, limited() - before)
}

#[test]
fn a_flood_of_first_packets_is_cut_to_its_rate() {
    let lab = lab!(&limited("{ exceptionsPerSecond: 100 }"));
    let server = lab.guest("server-1").udp("0.0.0.0:9".parse().unwrap());
    server.set_nonblocking(true).unwrap();
    let mut connection = lab.connect("client-1", "server-1", "10.0.0.5:80");
    connection.assert_alive();
    for path in ["accelerated", "synthetic"] {
        if path == "synthetic" {
            lab.vf("revoke", &["client-1"]);
        }
        assert_eq!(lab.nic("client-1").vf.observed, path);
        let (arrived, limited) = flood(&lab, 200, &server);
        assert_eq!(arrived + limited, 200, "{path}");
        assert!(
            arrived > 0 && limited > 100,
            "{path}: {arrived} arrived, {limited} were too many"
        );
        // It does not concern who has a connection, or another guest.
        connection.assert_alive();
        assert_eq!(lab.tcp("server-1", "client-1", "10.0.0.4:80"), "allow");
    }
}

#[test]
fn idle_flows_are_forgotten_and_open_connections_are_not() {
    let timeouts = "{ idle: 300ms, icmp: 300ms, tcpClosing: 300ms, tcpHandshake: 300ms }";
    let lab = lab!(&limited(&format!("{{ timeouts: {timeouts} }}")));
    let mut connection = lab.connect("client-1", "server-1", "10.0.0.5:80");
    connection.assert_alive();
    let states = || -> Vec<(String, Option<String>)> {
        let flows = lab.flows("client-1", &[]).flows.into_iter();
        flows.map(|flow| (flow.flow, flow.state)).collect()
    };
    let ours = format!(
        "tcp {} -> 10.0.0.5:80",
        connection.client.local_addr().unwrap()
    );
    for round in 0..2 {
        assert_eq!(lab.udp("client-1", "server-1", "10.0.0.5:53"), "allow");
        assert_eq!(lab.ping("client-1", "10.0.0.5"), "allow");
        lab.connect("client-1", "server-1", "10.0.0.5:81")
            .assert_alive();
        eventually("all others are forgotten", || {
            let states = states();
            let kept = states.iter().any(|(flow, _)| *flow == ours);
            assert!(kept, "round {round}: {states:?}");
            (states.len() == 1).then_some(())
        });
    }
    let [(_, state)] = states().try_into().unwrap();
    assert_eq!(state.as_deref(), Some("established"));
    connection.assert_alive();
    assert_eq!(lab.status().flows, 2);
}

#[test]
fn the_host_has_a_limit_of_its_own() {
    let lab = lab!(&limited("{ flows: 1024, flowsPerNic: 4000 }"));
    let client = lab.guest("client-1").udp("0.0.0.0:0".parse().unwrap());
    for port in 1_000..2_000 {
        client.send_to(b"anyone?", ("10.0.0.5", port)).unwrap();
    }
    eventually("the table is full", || {
        let flows = lab.status().flows;
        assert!(flows <= 1_024, "{flows}");
        (flows > 1_000).then_some(())
    });
    // It is what tables were made with.
    let file = lab.write(&limited("{ flows: 2048, flowsPerNic: 4000 }"));
    let ran = lab.run(vec!["apply", &file, "--yes"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("host.flows is 2048"), "{ran:?}");
}

/// Frames that did not reach the agent, for a reason.
fn lost(lab: &Lab, reason: &str) -> u64 {
    let rows: Vec<DropRow> = lab.json(vec!["drops"]);
    let mut ours = rows.into_iter().filter(|row| row.nic == "host");
    ours.find(|row| row.reason == reason)
        .map_or(0, |row| row.packets)
}

#[test]
fn frames_that_overrun_the_queue_before_the_agent_are_counted() {
    const FRAMES: u64 = 60_000;
    let lab = lab!(&limited("{ exceptionsPerSecond: 10000000 }"));
    let client = lab.guest("client-1").udp("0.0.0.0:0".parse().unwrap());
    assert_eq!(lab.udp("client-1", "server-1", "10.0.0.5:53"), "allow");
    // What guests handed up, and what of it was seen.
    let sums = || {
        let all = ["client-1", "server-1"].map(|nic| lab.stats(nic));
        let handed: u64 = all.iter().map(|nic| nic.exceptions).sum();
        let seen: u64 = all.iter().map(|nic| nic.synthetic.from_guest_packets).sum();
        (handed, seen)
    };
    let balanced = |what: &str| {
        eventually(what, || {
            let lost = lost(&lab, "exception-queue-full");
            let (handed, seen) = sums();
            (handed == seen + lost).then_some((handed, lost))
        })
    };
    let (before, none) = balanced("all is seen");
    assert_eq!(none, 0);

    kill_process(lab.agent(), Signal::STOP).unwrap();
    // One flow, and none that the engine knows.
    for _ in 0..FRAMES {
        client.send_to(&[7; 1_400], "10.0.0.5:9").unwrap();
    }
    kill_process(lab.agent(), Signal::CONT).unwrap();
    let (after, lost) = balanced("what was not seen is counted");
    assert!(after >= before + FRAMES, "{before}, {after}");
    assert!(lost > 1_000, "{lost}");
    assert_eq!(lab.status().exceptions_lost, lost);
    // It is over, and nothing else has suffered.
    assert_eq!(lab.tcp("client-1", "server-1", "10.0.0.5:80"), "allow");
}

#[test]
fn super_frames_that_nobody_can_hand_on_are_counted() {
    // UDP fragmentation offload (virtio 1.2, 5.1.6), which Linux has given up.
    const UFO: u8 = 3;
    const HEADERS: u16 = 14 + 20 + 8;
    let lab = lab!(
        "
name: lab
vnets: { main: { addressSpace: 10.0.0.0/16, subnets: { all: { prefix: 10.0.0.0/24 } } } }
guests:
  vm-1: { kind: tap, subnet: main/all, address: 10.0.0.4 }
  box-1: { subnet: main/all, address: 10.0.0.5 }
"
    );
    let vm = TapGuest::open(&lab, "vm-1");
    let router = vm.resolve([10, 0, 0, 5].into());
    let to = Endpoint::new(router, "10.0.0.5", 9);
    let mut header = [0; 10];
    header[1] = UFO;
    header[2..4].copy_from_slice(&HEADERS.to_ne_bytes());
    header[4..6].copy_from_slice(&1_000_u16.to_ne_bytes());
    for count in 1..4 {
        vm.send(&header, &compose::udp(&vm.source(9), &to, &[7; 3_000]));
        eventually("it is counted", || {
            (lost(&lab, "unsupported-offload") == count).then_some(())
        });
    }
    assert_eq!(lab.ping("box-1", "10.0.0.99"), "no-mapping");
}
