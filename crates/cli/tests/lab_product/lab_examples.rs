//! Every example is brought up, does what its comments promise, and goes without a trace.

use std::path::{Path, PathBuf};

use netdev::NamespaceName;
use netdev::netns::Namespace;

use crate::lab::{Lab, TapGuest, lab};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

fn example(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap()
}

/// All NICs are real, but those of guests that somebody still has to attach.
fn assert_real(lab: &Lab) {
    for nic in lab.nics() {
        if nic.kind == "attached" {
            assert_eq!(nic.vf.observed, "down", "{nic:?}");
            assert!(
                nic.vf
                    .reason
                    .is_some_and(|reason| reason.contains("clearway attach"))
            );
            continue;
        }
        let expected = if nic.vf.desired {
            "accelerated"
        } else {
            "synthetic"
        };
        assert_eq!(nic.vf.observed, expected, "{nic:?}");
        let device = nic.device.expect("a device");
        assert!(
            Path::new("/sys/class/net").join(&device).exists(),
            "{device}"
        );
    }
}

#[test]
fn each_example_has_a_test_here() {
    let entries = std::fs::read_dir(folder()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".yaml")).collect();
    names.sort();
    let known = [
        "dual-stack.yaml",
        "hub-spoke-nva.yaml",
        "quickstart.yaml",
        "tap-vm-and-container.yaml",
        "three-tier-asg.yaml",
        "two-guests.yaml",
    ];
    assert_eq!(names, known);
}

#[test]
fn two_guests_reach_each_other() {
    let lab = lab!(&example("two-guests.yaml"));
    assert_real(&lab);
    let nics = lab.nics();
    let addresses: Vec<_> = nics
        .iter()
        .map(|nic| nic.addresses[0].to_string())
        .collect();
    assert_eq!(addresses, ["10.0.0.4", "10.0.0.5"]);
    let ran = lab.exec("alice", "ping -n -c 3 -i 0.01 10.0.0.5");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(lab.tcp("bob", "alice", "10.0.0.4:7"), "allow");
    assert_eq!(lab.udp("alice", "bob", "10.0.0.5:7"), "allow");
    assert_eq!(lab.ping("alice", "10.0.0.6"), "no-mapping");
    lab.down();
}

#[test]
fn quickstart_does_what_its_picture_shows() {
    let lab = lab!(&example("quickstart.yaml"));
    assert_real(&lab);
    assert_eq!(lab.tcp("client-1", "web-1", "10.0.1.4:80"), "allow");
    assert_eq!(lab.tcp("client-1", "web-1", "10.0.1.4:5201"), "allow");
    assert_eq!(lab.udp("client-1", "web-1", "10.0.1.4:5201"), "allow");
    assert_eq!(lab.ping("client-1", "10.0.1.4"), "allow");
    assert_eq!(
        lab.tcp("client-1", "web-1", "10.0.1.4:22"),
        "nsg-deny-inbound"
    );
    assert_eq!(
        lab.tcp("client-1", "db-1", "10.1.1.4:5432"),
        "nsg-deny-inbound"
    );

    let before = lab.stats("nva-1").accelerated.from_guest_packets;
    let mut connection = lab.connect("web-1", "db-1", "10.1.1.4:5432");
    for _ in 0..10 {
        connection.assert_alive();
    }
    let passed = lab.stats("nva-1").accelerated.from_guest_packets - before;
    assert!(
        passed >= 20,
        "the appliance passed on {passed} frames of 20 at least"
    );
    lab.down();
}

#[test]
fn three_tiers_are_kept_apart_by_group() {
    let lab = lab!(&example("three-tier-asg.yaml"));
    assert_real(&lab);
    let db = lab.nic("db-1").addresses[0].to_string();
    let web = lab.nic("web-2").addresses[0].to_string();
    assert_eq!(lab.tcp("logic-1", "db-1", &format!("{db}:1433")), "allow");
    assert_eq!(
        lab.tcp("web-1", "db-1", &format!("{db}:1433")),
        "nsg-deny-inbound"
    );
    assert_eq!(
        lab.udp("web-2", "db-1", &format!("{db}:1433")),
        "nsg-deny-inbound"
    );
    // What no rule names falls to the default rules.
    assert_eq!(lab.tcp("web-1", "db-1", &format!("{db}:22")), "allow");
    assert_eq!(lab.tcp("web-1", "web-2", &format!("{web}:80")), "allow");
    lab.down();
}

#[test]
fn spokes_meet_through_the_appliance_only() {
    let lab = lab!(&example("hub-spoke-nva.yaml"));
    assert_real(&lab);
    let (east, west) = ("10.1.0.4", "10.2.0.4");
    assert_eq!(lab.ping("east-1", west), "allow");
    assert_eq!(lab.ping_ttl("west-1", east), 63, "one router is in between");
    assert_eq!(
        lab.tcp("east-1", "west-1", &format!("{west}:8080")),
        "allow"
    );
    assert_eq!(
        lab.tcp("east-1", "west-1", &format!("{west}:23")),
        "admin-deny"
    );
    assert_eq!(lab.tcp("nva-1", "east-1", &format!("{east}:9100")), "allow");
    assert_eq!(
        lab.tcp("nva-1", "east-1", &format!("{east}:9101")),
        "nsg-deny-inbound"
    );
    // The gateway's routes are not for the spokes, and lead off this host in the hub.
    assert_eq!(lab.ping("nva-1", "192.168.10.1"), "no-gateway");
    lab.down();
}

#[test]
fn dual_stack_guests_speak_both() {
    let lab = lab!(&example("dual-stack.yaml"));
    assert_real(&lab);
    let addresses = |nic| -> Vec<String> {
        lab.nic(nic)
            .addresses
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    assert_eq!(addresses("server-1"), ["10.0.0.4", "fd00:c1ea:0:1::4"]);
    assert_eq!(addresses("client-1"), ["fd00:c1ea:0:6::4"]);
    assert_eq!(lab.ping("server-1", "10.0.0.10"), "allow");
    assert_eq!(lab.ping("server-1", "fd00:c1ea:0:1::10"), "allow");
    assert_eq!(lab.ping("client-1", "fd00:c1ea:0:1::4"), "allow");
    for port in [80, 443, 8080] {
        let to = format!("[fd00:c1ea:0:1::4]:{port}");
        assert_eq!(lab.tcp("client-1", "server-1", &to), "allow", "{port}");
    }
    assert_eq!(
        lab.tcp("client-1", "server-1", "[fd00:c1ea:0:1::4]:22"),
        "nsg-deny-inbound"
    );
    assert_eq!(
        lab.tcp("server-2", "server-1", "10.0.0.4:80"),
        "nsg-deny-inbound"
    );
    lab.down();
}

#[test]
fn a_machine_a_container_and_a_namespace_share_a_network() {
    let lab = lab!(&example("tap-vm-and-container.yaml"));
    assert_real(&lab);
    let front = lab.nic("vm-1/front");
    assert_eq!(front.mac, "02:c1:ea:00:00:04");
    let store = lab.nic("vm-1/store");
    assert_eq!(
        store.vf.reason.as_deref(),
        Some("acceleratedNetworking is off")
    );
    let mtu =
        |device: &str| std::fs::read_to_string(format!("/sys/class/net/{device}/mtu")).unwrap();
    assert_eq!(mtu(&store.device.unwrap()).trim(), "9000");

    let router = TapGuest::open(&lab, "vm-1/front").resolve([10, 0, 0, 5].into());
    assert_eq!(router.to_string(), "02:63:77:00:00:01");

    // Someone else's container.
    let name = NamespaceName::new(&format!("{}-container", lab.paths().instance)).unwrap();
    let container = Namespace::create(&name).unwrap();
    let path = format!("/run/netns/{name}");
    let _: serde_json::Value = lab.json(vec!["attach", "box", "--netns", &path]);
    assert_eq!(lab.nic("box").vf.observed, "accelerated");
    assert_eq!(lab.ping_ttl("tools", "10.0.0.5"), 63, "routerHop");
    assert_eq!(lab.ping("tools", "10.0.0.20"), "uplink-unavailable");
    drop(container);
    assert!(Namespace::delete(&name).unwrap());
    lab.down();
}
