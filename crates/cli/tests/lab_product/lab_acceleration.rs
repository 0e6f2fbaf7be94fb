//! Two paths, one policy: who does the work changes, what happens does not.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use wire::TcpFlags;
use wire::compose::{self, Endpoint};
use wire::dissect::L4;

use crate::lab::{Lab, TapGuest, Transfer, eventually, lab};

const NICS: [&str; 2] = ["client-1", "server-1"];

const TOPOLOGY: &str = r#"
name: lab
vnets:
  main:
    addressSpace: [10.0.0.0/16, "fd00:1::/48"]
    subnets:
      client: { prefix: [10.0.1.0/24, "fd00:1:0:1::/64"], nsg: client }
      server: { prefix: [10.0.2.0/24, "fd00:1:0:2::/64"], nsg: server }
nsgs:
  client:
    rules:
      - { name: no-https, priority: 100, direction: Outbound, access: Deny, protocol: Tcp,
          destinationPorts: 443 }
  server:
    rules:
      - { name: http, priority: 100, direction: Inbound, access: Allow, protocol: Tcp,
          destinationPorts: [80, 443] }
      - { name: dns, priority: 110, direction: Inbound, access: Allow, protocol: Udp,
          destinationPorts: 53 }
      - { name: ping-four, priority: 120, direction: Inbound, access: Allow, protocol: Icmp,
          source: 10.0.1.0/24 }
      - { name: nothing-else, priority: 4000, direction: Inbound, access: Deny }
guests:
  client-1: { subnet: main/client, address: [10.0.1.4, "fd00:1:0:1::4"] }
  server-1: { subnet: main/server, address: [10.0.2.4, "fd00:1:0:2::4"] }
  plain-1: { subnet: main/client, address: [10.0.1.5, "fd00:1:0:1::5"],
    acceleratedNetworking: false }
uplink: { interface: eth0, providerAddress: 192.0.2.10 }
mappings:
  - { vnet: main, address: 10.0.2.20, provider: 192.0.2.11, mac: "02:00:00:00:00:20" }
"#;

/// The work the agent has had with a NIC's frames.
fn by_agent(lab: &Lab, nic: &str) -> [u64; 4] {
    let stats = lab.stats(nic);
    let synthetic = stats.synthetic;
    [
        stats.first_packets,
        stats.exceptions,
        synthetic.from_guest_packets,
        synthetic.to_guest_packets,
    ]
}

#[test]
fn established_connections_do_not_meet_the_agent() {
    // Without IPv6, of which a guest's kernel would send a multicast now and then.
    let four = TOPOLOGY.replace(r#", "fd00:1::/48""#, "");
    let four = ["1::4", "1::5", "2::4"].iter().fold(four, |text, end| {
        text.replace(&format!(r#", "fd00:1:0:{end}""#), "")
    });
    let four = four
        .replace(r#", "fd00:1:0:1::/64""#, "")
        .replace(r#", "fd00:1:0:2::/64""#, "");
    let lab = lab!(&four);
    for nic in NICS {
        lab.guest(nic).run(|| {
            std::fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "1").unwrap();
        });
    }
    let connection = lab.connect("client-1", "server-1", "10.0.2.4:80");
    let transfer = Transfer::start(&connection);
    transfer.await_progress(1 << 20);
    let before = NICS.map(|nic| (by_agent(&lab, nic), lab.stats(nic).accelerated));
    let first_packets = lab.status().first_packets;

    transfer.await_progress(64 << 20);
    for (nic, (agent, engine)) in NICS.into_iter().zip(before) {
        assert_eq!(by_agent(&lab, nic), agent, "{nic}");
        let moved = lab.stats(nic).accelerated;
        assert!(
            moved.from_guest_bytes >= engine.from_guest_bytes + (64 << 20),
            "{nic}"
        );
        assert!(
            moved.to_guest_bytes >= engine.to_guest_bytes + (64 << 20),
            "{nic}"
        );
    }
    assert_eq!(lab.status().first_packets, first_packets);
    transfer.finish();
}

#[test]
fn a_path_taken_away_and_given_back_costs_no_byte() {
    let lab = lab!(TOPOLOGY);
    let connection = lab.connect("client-1", "server-1", "10.0.2.4:80");
    let transfer = Transfer::start(&connection);
    transfer.await_progress(1 << 20);
    for nics in [&["client-1"][..], &["server-1"], &NICS] {
        let synthetic = lab.stats("client-1").synthetic;
        lab.vf("revoke", nics);
        assert_eq!(lab.nic(nics[0]).vf.observed, "synthetic");
        transfer.await_progress(4 << 20);
        // Whichever end lost it, both directions go by the switch.
        let now = lab.stats("client-1").synthetic;
        assert!(
            now.from_guest_bytes > synthetic.from_guest_bytes + (2 << 20),
            "{nics:?}"
        );
        assert!(
            now.to_guest_bytes > synthetic.to_guest_bytes + (2 << 20),
            "{nics:?}"
        );

        lab.vf("restore", nics);
        assert_eq!(lab.nic(nics[0]).vf.observed, "accelerated");
        let engine = lab.stats("client-1").accelerated;
        transfer.await_progress(4 << 20);
        let now = lab.stats("client-1").accelerated;
        assert!(
            now.from_guest_bytes > engine.from_guest_bytes + (2 << 20),
            "{nics:?}"
        );
        assert!(
            now.to_guest_bytes > engine.to_guest_bytes + (2 << 20),
            "{nics:?}"
        );
    }
    transfer.finish();
}

/// What becomes of a packet of each kind.
fn matrix(lab: &Lab) -> Vec<String> {
    let mut outcomes = Vec::new();
    for address in ["10.0.2.4", "[fd00:1:0:2::4]"] {
        for port in [80, 443, 22] {
            outcomes.push(lab.tcp("client-1", "server-1", &format!("{address}:{port}")));
        }
        for port in [53, 54] {
            outcomes.push(lab.udp("client-1", "server-1", &format!("{address}:{port}")));
        }
        outcomes.push(lab.ping("client-1", address.trim_matches(['[', ']'])));
    }
    outcomes.push(lab.ping("client-1", "10.0.2.99"));
    outcomes.push(lab.ping("client-1", "10.0.2.20"));
    outcomes.push(lab.ping("client-1", "192.0.2.1"));
    outcomes
}

#[test]
fn both_paths_allow_and_deny_the_same() {
    let lab = lab!(TOPOLOGY);
    let expected = [
        "allow",
        "nsg-deny-outbound",
        "nsg-deny-inbound",
        "allow",
        "nsg-deny-inbound",
        "allow",
        "allow",
        "nsg-deny-outbound",
        "nsg-deny-inbound",
        "allow",
        "nsg-deny-inbound",
        "nsg-deny-inbound",
        "no-mapping",
        "uplink-unavailable",
        "no-gateway",
    ];
    assert_eq!(matrix(&lab), expected, "both accelerated");
    lab.vf("revoke", &NICS);
    assert_eq!(matrix(&lab), expected, "both synthetic");
    lab.vf("restore", &["client-1"]);
    assert_eq!(matrix(&lab), expected, "the receiver synthetic");
    lab.vf("restore", &["server-1"]);
    lab.vf("revoke", &["client-1"]);
    assert_eq!(matrix(&lab), expected, "the sender synthetic");
}

#[test]
fn what_is_not_offloaded_says_why() {
    let lab = lab!(TOPOLOGY);
    let mut connection = lab.connect("client-1", "server-1", "10.0.2.4:80");
    connection.assert_alive();
    assert_eq!(lab.flows("client-1", &["--not-offloaded"]).flows.len(), 0);
    let all = lab.flows("client-1", &[]).flows;
    assert!(
        all.iter()
            .any(|flow| flow.offloaded && flow.state.as_deref() == Some("established")),
        "{all:?}"
    );

    lab.vf("revoke", &["client-1"]);
    let nic = lab.nic("client-1");
    assert!(
        nic.vf
            .reason
            .is_some_and(|reason| reason.contains("revoked"))
    );
    let flows = lab.flows("client-1", &["--not-offloaded"]).flows;
    assert_eq!(flows.len(), all.len());
    for flow in flows {
        assert_eq!(
            flow.reason.as_deref(),
            Some("the NIC is on the synthetic path")
        );
    }
    lab.vf("restore", &["client-1"]);

    assert_eq!(lab.tcp("plain-1", "server-1", "10.0.2.4:80"), "allow");
    assert_eq!(
        lab.nic("plain-1").vf.reason.as_deref(),
        Some("acceleratedNetworking is off")
    );
    let flows = lab.flows("plain-1", &["--not-offloaded"]).flows;
    assert_eq!(
        flows[0].reason.as_deref(),
        Some("the NIC is on the synthetic path"),
        "{flows:?}"
    );

    assert_eq!(lab.ping("client-1", "10.0.2.20"), "uplink-unavailable");
    let reason = lab.uplink().reason.expect("no such address here");
    assert!(reason.contains("`eth0`"), "{reason}");
}

#[test]
fn of_many_flows_at_once_those_that_go_on_are_offloaded() {
    const FLOWS: u16 = 500;
    /// As many as the server's socket holds, should it not get to run meanwhile.
    const AT_ONCE: usize = 200;
    let lab = lab!(TOPOLOGY);
    let (client, server) = (lab.guest("client-1"), lab.guest("server-1"));
    let sink = server.udp("0.0.0.0:53".parse().unwrap());
    let arrived = AtomicU64::new(0);
    let sockets: Vec<_> = (0..FLOWS)
        .map(|_| client.udp("0.0.0.0:0".parse().unwrap()))
        .collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut bytes = [0; 16];
            sink.set_read_timeout(Some(Duration::from_millis(50)))
                .unwrap();
            // Also when the other side has panicked.
            let until = Instant::now() + Duration::from_secs(30);
            while !stop.load(Ordering::Relaxed) && Instant::now() < until {
                if sink.recv_from(&mut bytes).is_ok() {
                    arrived.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let mut sent = 0;
        for some in sockets.chunks(AT_ONCE).chain(sockets.chunks(AT_ONCE)) {
            for socket in some {
                socket.send_to(b"flow", "10.0.2.4:53").unwrap();
            }
            sent += some.len() as u64;
            eventually("every packet arrives", || {
                (arrived.load(Ordering::Relaxed) == sent).then_some(())
            });
        }
        stop.store(true, Ordering::Relaxed);
    });
    let open = lab.flows("client-1", &["--not-offloaded"]);
    assert_eq!(open.total, 0, "{:?}", open.flows.first());
    let stats = lab.stats("client-1");
    assert!(stats.first_packets >= u64::from(FLOWS), "{stats:?}");
}

#[test]
fn drops_are_counted_once_on_either_path() {
    let lab = lab!(TOPOLOGY);
    let socket = lab.guest("client-1").udp("0.0.0.0:5000".parse().unwrap());
    let dropped = || lab.dropped("client-1", "nsg-deny-inbound");
    let send = |count: u64| {
        let before = dropped();
        for _ in 0..count {
            socket.send_to(b"denied", "10.0.2.4:9").unwrap();
        }
        eventually("all are counted", || {
            (dropped() >= before + count).then_some(())
        });
        assert_eq!(dropped(), before + count);
    };
    send(1);
    let before = lab.stats("client-1");
    send(100);
    let now = lab.stats("client-1");
    assert_eq!(
        now.accelerated.from_guest_packets - before.accelerated.from_guest_packets,
        100,
        "the engine remembers the refusal"
    );
    assert_eq!(now.first_packets, before.first_packets);

    lab.vf("revoke", &["client-1"]);
    send(100);
    let after = lab.stats("client-1");
    let engine = |stats: &host::api::NicStats| stats.accelerated.from_guest_packets;
    assert_eq!(engine(&after), engine(&now), "the switch does it");
    assert_eq!(dropped(), 201);
    lab.vf("restore", &["client-1"]);
    send(100);
    assert_eq!(dropped(), 301);
}

const MACHINE: &str = r#"
name: lab
vnets:
  main:
    addressSpace: 10.0.0.0/16
    subnets: { all: { prefix: 10.0.0.0/24, nsg: all } }
nsgs:
  all:
    rules:
      - { name: no-https, priority: 100, direction: Inbound, access: Deny, protocol: Tcp,
          destinationPorts: 443 }
guests:
  vm-1: { kind: tap, subnet: main/all, address: 10.0.0.4 }
  box-1: { subnet: main/all, address: 10.0.0.5 }
"#;

/// Virtio-net headers (virtio 1.2, 5.1.6): nothing to do, and a TCP checksum to be filled in.
const PLAIN: [u8; 10] = [0; 10];
const TCP_SUM: [u8; 10] = {
    let (start, offset) = (34_u16.to_ne_bytes(), 16_u16.to_ne_bytes());
    [1, 0, 0, 0, 0, 0, start[0], start[1], offset[0], offset[1]]
};

#[test]
fn a_machine_behind_a_tap_is_a_guest_like_others() {
    let lab = lab!(MACHINE);
    let vm = TapGuest::open(&lab, "vm-1");
    let listener = lab.guest("box-1").listen("10.0.0.5:80".parse().unwrap());
    listener.set_nonblocking(true).unwrap();
    for round in [0, 1] {
        if round == 1 {
            lab.vf("revoke", &["vm-1"]);
        }
        let router = vm.resolve(Ipv4Addr::new(10, 0, 0, 5));
        let to = |port| Endpoint::new(router, "10.0.0.5", port);

        for sequence in 0..3 {
            let payload = [round, sequence, 1, 2, 3];
            vm.send(
                &PLAIN,
                &compose::echo_request(&vm.source(0), &to(0), 7, &payload),
            );
            vm.receive_ip(|ip, frame| match ip.l4 {
                L4::IcmpEcho {
                    request: false,
                    ident: 7,
                } => frame.ends_with(&payload).then_some(()),
                _ => None,
            });
        }

        let port = 40_000 + u16::from(round);
        open_with_header(&vm, port, &to(80), &listener);

        vm.send(
            &TCP_SUM,
            &unsummed(compose::tcp(&vm.source(port), &to(443), TcpFlags::SYN, b"")),
        );
        eventually("the refusal is counted", || {
            (lab.dropped("vm-1", "nsg-deny-inbound") == u64::from(round) + 1).then_some(())
        });
        assert_eq!(lab.ping("box-1", "10.0.0.99"), "no-mapping");
    }
    let stats = lab.stats("vm-1");
    assert!(stats.accelerated.from_guest_packets >= 2 && stats.synthetic.from_guest_packets >= 8);
}

/// A handshake whose segments have their checksums left to the device.
fn open_with_header(vm: &TapGuest, port: u16, to: &Endpoint, listener: &TcpListener) {
    vm.send(
        &TCP_SUM,
        &unsummed(compose::tcp(&vm.source(port), to, TcpFlags::SYN, b"")),
    );
    let theirs = vm.receive_ip(|ip, frame| match ip.l4 {
        L4::Tcp {
            sport: 80,
            dport,
            flags,
        } if dport == port => {
            assert!(flags.contains(TcpFlags::SYN) && flags.contains(TcpFlags::ACK));
            let sequence = &frame[ip.l4_offset + 4..ip.l4_offset + 8];
            Some(u32::from_be_bytes(sequence.try_into().unwrap()))
        }
        _ => None,
    });
    let packet = compose::Packet::new(&vm.source(port), to, b"");
    vm.send(
        &TCP_SUM,
        &unsummed(packet.tcp(TcpFlags::ACK, 2, theirs.wrapping_add(1))),
    );
    let (_stream, peer) = eventually("the connection is open", || listener.accept().ok());
    assert_eq!(peer, SocketAddr::from(([10, 0, 0, 4], port)));
}

/// Leaves the sum of the pseudo header only where the TCP checksum is (RFC 9293, 3.1), as a driver
/// does that lets the device sum up.
fn unsummed(mut frame: Vec<u8>) -> Vec<u8> {
    let address = |at: usize| <[u8; 4]>::try_from(&frame[at..at + 4]).unwrap();
    let len = u16::try_from(frame.len() - 34).unwrap();
    let sum = wire::checksum::Sum::pseudo_v4(address(26).into(), address(30).into(), 6, len);
    frame[50..52].copy_from_slice(&sum.folded().to_be_bytes());
    frame
}
