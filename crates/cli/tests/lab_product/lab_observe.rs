//! What is shown is what happens.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::sync_channel;

use host::api::DropEvent;
use netdev::NamespaceName;
use netdev::netns::Namespace;
use serde_json::Value;
use vswitch::Explanation;
use wire::pcap::Reader;

use crate::lab::{Connection, Guest, Lab, eventually, lab, mac_of};

const TOPOLOGY: &str = r#"
name: lab
vnets:
  main:
    addressSpace: 10.0.0.0/16
    subnets:
      client: { prefix: 10.0.1.0/24, nsg: client, routeTable: client }
      server: { prefix: 10.0.2.0/24, nsg: server }
routeTables:
  client:
    routes:
      - { name: nowhere, prefix: 10.0.9.0/24, nextHopType: None }
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
      - { name: nothing-else, priority: 4000, direction: Inbound, access: Deny }
guests:
  client-1: { subnet: main/client, address: 10.0.1.4 }
  server-1: { subnet: main/server, address: 10.0.2.4 }
  box: { kind: attached, subnet: main/client, address: 10.0.1.5 }
"#;

#[test]
fn explain_says_what_happens() {
    let lab = lab!(TOPOLOGY);
    // The packet, its fate, and the rule or route that explains it.
    let probes = [
        ("tcp", "10.0.2.4:80", "allow", "http"),
        ("tcp", "10.0.2.4:443", "nsg-deny-outbound", "no-https"),
        ("tcp", "10.0.2.4:22", "nsg-deny-inbound", "nothing-else"),
        ("udp", "10.0.2.4:53", "allow", "dns"),
        ("udp", "10.0.2.4:54", "nsg-deny-inbound", "nothing-else"),
        ("icmp", "10.0.2.4", "nsg-deny-inbound", "nothing-else"),
        ("icmp", "10.0.9.1", "no-route", "nowhere"),
        ("udp", "10.0.2.99:53", "no-mapping", ""),
        ("tcp", "192.0.2.1:80", "no-gateway", ""),
    ];
    for (protocol, to, fate, decider) in probes {
        let from = if protocol == "icmp" {
            "10.0.1.4"
        } else {
            "10.0.1.4:40000"
        };
        let packet = format!("{protocol} {from} -> {to}");
        let ran = lab.run(vec!["explain", "client-1", &packet, "-o", "json"]);
        assert_eq!(
            ran.code,
            Some(if fate == "allow" { 0 } else { 3 }),
            "{ran:?}"
        );
        let explained: Explanation = ran.read();
        assert!(explained.packet.starts_with(&packet), "{explained:?}");
        assert_eq!(
            explained.drop_reason.as_deref().unwrap_or("allow"),
            fate,
            "{packet}"
        );
        assert_eq!(explained.allowed, fate == "allow");
        let mut rules = explained
            .layers
            .iter()
            .filter_map(|layer| layer.rule.as_deref());
        let route = explained.path.as_ref().map(|path| path.route.as_str());
        let last = if fate == "no-route" {
            route
        } else {
            rules.next_back()
        };
        assert!(
            decider.is_empty() || last.is_some_and(|name| name.contains(decider)),
            "{explained:?}"
        );

        let happened = match protocol {
            "tcp" => lab.tcp("client-1", "server-1", to),
            "udp" => lab.udp("client-1", "server-1", to),
            _ => lab.ping("client-1", to),
        };
        assert_eq!(happened, fate, "{packet}");
    }
}

/// Captures a NIC to a file while `busy` is called, until `enough` says so of the frames.
fn captured(
    lab: &Lab,
    args: &[&str],
    mut busy: impl FnMut(),
    enough: impl Fn(&[Vec<u8>]) -> bool,
) -> Vec<Vec<u8>> {
    let file = lab.file("capture.pcap");
    let _ = std::fs::remove_file(&file);
    let capture = lab.spawn(&[&["capture", "-w", file.to_str().unwrap()], args].concat());
    eventually("the capture begins", || {
        std::fs::metadata(&file)
            .is_ok_and(|file| file.len() >= 24)
            .then_some(())
    });
    busy();
    eventually("the frames are in the file", || {
        enough(&frames(&file)).then_some(())
    });
    assert_eq!(capture.interrupt(), Some(0));
    frames(&file)
}

fn frames(file: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(file).unwrap();
    let records = Reader::new(&bytes).unwrap();
    records
        .map(|record| record.unwrap().frame.to_vec())
        .collect()
}

#[test]
fn a_capture_has_both_directions_on_both_paths() {
    let lab = lab!(TOPOLOGY);
    let mac = mac_of(&lab.nic("client-1").mac);
    let mut connection = lab.connect("client-1", "server-1", "10.0.2.4:80");
    connection.assert_alive();
    for path in ["accelerated", "synthetic"] {
        if path == "synthetic" {
            lab.vf("revoke", &["client-1"]);
        }
        let hello = |frame: &&Vec<u8>| frame.ends_with(b"hello");
        let (from, to) = (
            |frame: &&Vec<u8>| frame[6..12] == mac.0,
            |frame: &&Vec<u8>| frame[..6] == mac.0,
        );
        let enough = |frames: &[Vec<u8>]| {
            let said = || frames.iter().filter(hello);
            said().any(|frame| from(&frame)) && said().any(|frame| to(&frame))
        };
        let frames = captured(&lab, &["client-1"], || connection.assert_alive(), enough);
        let hellos = |side: &dyn Fn(&&Vec<u8>) -> bool| {
            frames
                .iter()
                .filter(hello)
                .filter(|frame| side(frame))
                .count()
        };
        assert_eq!((hellos(&from), hellos(&to)), (1, 1), "{path}");
    }
}

#[test]
fn a_capture_of_drops_has_the_dropped_frames_and_no_other() {
    let lab = lab!(TOPOLOGY);
    let socket = lab.guest("client-1").udp("0.0.0.0:5000".parse().unwrap());
    let payload = |what: &str, number: usize| format!("{what} {number}").into_bytes();
    // The engine knows both flows before; watched, it must hand the dropped ones up all the same.
    for path in ["accelerated", "synthetic"] {
        if path == "synthetic" {
            lab.vf("revoke", &["client-1"]);
        }
        socket.send_to(b"before", "10.0.2.4:53").unwrap();
        socket.send_to(b"before", "10.0.2.4:54").unwrap();
        let busy = || {
            for number in 0..5 {
                socket
                    .send_to(&payload("allowed", number), "10.0.2.4:53")
                    .unwrap();
                socket
                    .send_to(&payload("denied", number), "10.0.2.4:54")
                    .unwrap();
            }
        };
        // A guest's kernel sends a multicast now and then, and all of those are dropped.
        let ours = |frames: &[Vec<u8>]| -> Vec<Vec<u8>> {
            frames
                .iter()
                .filter(|frame| frame[0] & 1 == 0)
                .map(|frame| frame[42..].to_vec())
                .collect()
        };
        let before = lab.dropped("client-1", "nsg-deny-inbound");
        let enough = |frames: &[Vec<u8>]| ours(frames).len() >= 5;
        let frames = captured(&lab, &["client-1", "--drops-only"], busy, enough);
        let expected: Vec<_> = (0..5).map(|number| payload("denied", number)).collect();
        assert_eq!(ours(&frames), expected, "{path}");
        let dropped = lab.dropped("client-1", "nsg-deny-inbound") - before;
        assert_eq!(dropped, 5, "{path}: watching changes no count");
    }
}

#[test]
fn drops_are_followed_with_the_rule_that_decided() {
    let lab = lab!(TOPOLOGY);
    let mut follow = lab.spawn(&["drops", "--follow", "-o", "json"]);
    let (lines, events) = sync_channel::<DropEvent>(1_024);
    let stdout = BufReader::new(follow.stdout());
    std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            if lines.send(serde_json::from_str(&line).unwrap()).is_err() {
                return;
            }
        }
    });
    let client = lab.guest("client-1").udp("0.0.0.0:5000".parse().unwrap());
    for (to, reason, decider) in [
        (
            "10.0.2.4:54",
            "nsg-deny-inbound",
            "server/nothing-else (inbound)",
        ),
        ("10.0.9.1:54", "no-route", "nowhere"),
        ("10.0.2.99:54", "no-mapping", "10.0.0.0/16"),
    ] {
        let event = eventually(reason, || {
            client.send_to(b"denied", to).unwrap();
            events.try_iter().find(|event| event.reason == reason)
        });
        assert_eq!(event.nic, "client-1/nic0");
        assert_eq!(event.packet, format!("udp 10.0.1.4:5000 -> {to}"));
        assert_eq!(event.bytes, 48);
        assert!(
            event
                .decided_by
                .as_deref()
                .is_some_and(|by| by.contains(decider)),
            "{event:?}"
        );
    }
    assert_eq!(follow.interrupt(), Some(0));
}

/// A process in a namespace that has no name any more, as a container's.
struct Container(Child);

impl Container {
    fn start(name: &str) -> Container {
        let name = NamespaceName::new(name).unwrap();
        let namespace = Namespace::create(&name).unwrap();
        let child = namespace
            .spawn_in(Command::new("sleep").arg("600"))
            .unwrap();
        assert!(Namespace::delete(&name).unwrap());
        Container(child)
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_container_is_attached_by_process_and_by_path() {
    let lab = lab!(TOPOLOGY);
    let name = format!("{}-container", lab.paths().instance);
    let server = lab.guest("server-1");
    assert_eq!(lab.nic("box").vf.observed, "down");
    assert_eq!(lab.run(vec!["exec", "box", "--", "true"]).code, Some(1));

    let first = Container::start(&name);
    let view: Value = lab.json(vec!["attach", "box", "--pid", &first.pid()]);
    assert_eq!(view["netns"], first.path());
    assert_eq!(lab.nic("box").vf.observed, "accelerated");
    let inside = Guest::open(Path::new(&first.path()));
    Connection::between(&inside, &server, "10.0.2.4:80".parse().unwrap()).assert_alive();
    assert_eq!(lab.exec("box", "ip -br addr show dev eth0").code, Some(0));

    // Started anew, it is another namespace.
    let second = Container::start(&name);
    let _: Value = lab.json(vec!["attach", "box", "--netns", &second.path()]);
    drop((first, inside));
    let inside = Guest::open(Path::new(&second.path()));
    Connection::between(&inside, &server, "10.0.2.4:80".parse().unwrap()).assert_alive();
    assert_eq!(lab.nic("box").vf.observed, "accelerated");

    for args in [
        vec!["attach", "box", "--netns", "/etc/hostname"],
        vec!["attach", "server-1", "--pid", "1"],
    ] {
        let ran = lab.run(args);
        assert_eq!(ran.code, Some(1), "{ran:?}");
    }
}

#[test]
fn bad_input_is_refused_with_its_own_code_and_without_effect() {
    let lab = lab!(TOPOLOGY);
    let generation = lab.status().generation;
    for args in [
        vec!["nic", "show", "nobody"],
        vec!["nic", "stats", "client-1/nic7"],
        vec!["nic", "flows", "nobody"],
        vec!["vf", "revoke", "nobody"],
        vec!["explain", "nobody", "tcp 10.0.1.4:1 -> 10.0.2.4:2"],
        vec!["exec", "nobody", "--", "true"],
        vec!["attach", "nobody", "--pid", "1"],
        vec!["capture", "nobody", "-w", "/dev/null"],
    ] {
        let ran = lab.run(args);
        assert_eq!(ran.code, Some(5), "{ran:?}");
        assert!(ran.stderr.contains("nic list"), "{ran:?}");
    }
    let ran = lab.run(vec!["explain", "client-1", "sctp 10.0.1.4:1 -> 10.0.2.4:2"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");

    let broken = TOPOLOGY.replace("nsg: server", "nsg: serbver");
    let (line, text) = broken
        .lines()
        .enumerate()
        .find(|(_, text)| text.contains("serbver"))
        .unwrap();
    let place = format!("{}:{}", line + 1, text.find("serbver").unwrap() + 1);
    let file = lab.write(&broken);
    for args in [
        vec!["apply", &file, "--yes"],
        vec!["apply", &file, "--dry-run"],
        vec!["validate", &file],
        vec!["up", &file],
    ] {
        let ran = lab.run(args);
        assert_eq!(ran.code, Some(3), "{ran:?}");
        assert!(
            ran.stderr.contains(&format!("{file}:{place}")),
            "{place}: {ran:?}"
        );
    }
    assert_eq!(lab.status().generation, generation);
    assert_eq!(lab.tcp("client-1", "server-1", "10.0.2.4:80"), "allow");
    assert_eq!(
        lab.tcp("client-1", "server-1", "10.0.2.4:22"),
        "nsg-deny-inbound"
    );
}
