//! What must not get in, and what does not fit.

use std::net::SocketAddr;

use super::{Pair, fabric};
use crate::lab::{ALLOW, Family, eventually};

/// A VXLAN packet with this VNI that carries an Ethernet frame of no kind.
fn vxlan(vni: u32, destination: [u8; 6]) -> Vec<u8> {
    let vni = vni.to_be_bytes();
    let header = [0x08, 0, 0, 0, vni[1], vni[2], vni[3], 0];
    let source = [0x02, 0, 0, 0, 0, 9];
    [&header[..], &destination, &source, &[0x88, 0xb5], &[0; 46]].concat()
}

#[test]
fn strangers_and_unknown_networks_end_in_the_kernel() {
    let fabric = fabric!(Family::V4, 1_500);
    let pair = Pair::on(&fabric, 4_789);
    let to = SocketAddr::new(pair.web_host.provider, 4_789);
    let router = fabric.router().udp("0.0.0.0:0".parse().unwrap());
    let peer = pair.db_host.guest().udp("0.0.0.0:0".parse().unwrap());
    let handed_up = pair.web.uplink().exceptions;
    let web_mac = [0x02, 0xc1, 0xea, 0, 1, 4];
    for _ in 0..50 {
        router.send_to(&vxlan(5_000, web_mac), to).unwrap();
        peer.send_to(&vxlan(77, web_mac), to).unwrap();
        peer.send_to(&vxlan(5_000, [0x02, 0, 0, 0, 0, 1]), to)
            .unwrap();
    }
    for reason in [
        "unknown-provider-address",
        "unknown-vni",
        "unknown-destination-mac",
    ] {
        eventually(reason, || {
            (pair.web.uplink_dropped(reason) == 50).then_some(())
        });
    }
    assert_eq!(pair.web.uplink().exceptions, handed_up);
    assert_eq!(pair.web.dropped("web-1", "unknown-vni"), 0);
    let drops: Vec<host::api::DropRow> = pair.web.json(vec!["drops"]);
    assert!(
        drops
            .iter()
            .any(|row| row.nic == "uplink" && row.reason == "unknown-vni" && row.packets == 50),
        "{drops:?}"
    );
    pair.down();
}

#[test]
fn what_is_dropped_off_the_uplink_can_be_followed() {
    let fabric = fabric!(Family::V4, 1_500);
    let pair = Pair::on(&fabric, 4_789);
    let mut following = pair.web.spawn(&["drops", "--follow", "-o", "json"]);
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(following.stdout()));
    let to = SocketAddr::new(pair.web_host.provider, 4_789);
    let router = fabric.router().udp("0.0.0.0:0".parse().unwrap());
    let stop = std::sync::atomic::AtomicBool::new(false);
    let event = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                router.send_to(&vxlan(5_000, [2; 6]), to).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        });
        let mut shown = lines.by_ref().map(Result::unwrap);
        let event = shown.find_map(|line| {
            let event: host::api::DropEvent = serde_json::from_str(&line).unwrap();
            (event.nic == "uplink").then_some(event)
        });
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        event.expect("an event")
    });
    assert_eq!(event.reason, "unknown-provider-address");
    let from = pair.web_host.gateway;
    assert!(
        event.packet.starts_with(&format!("vni 5000 from {from}")),
        "{event:?}"
    );
    following.interrupt();
    pair.down();
}

#[test]
fn a_packet_too_long_for_the_underlay_is_answered_with_what_fits() {
    let fabric = fabric!(Family::V4, 1_500);
    let pair = Pair::on(&fabric, 4_789);
    for accelerated in [true, false] {
        if !accelerated {
            pair.web.vf("revoke", &["web-1"]);
            pair.db.vf("revoke", &["db-1"]);
        }
        // 1,450 bytes are 1,422 of payload behind IPv4 and ICMP.
        assert_eq!(
            pair.web
                .exec("web-1", "ping -n -c 1 -W 5 -M do -s 1422 10.0.2.4")
                .code,
            Some(0)
        );
        let device: serde_json::Value = pair.web.json(vec!["nic", "show", "web-1"]);
        assert_eq!(device["mtu"], 1_450);
    }
    // A guest that was told to use more learns the truth on its way.
    let larger = super::web_side(&pair.web_host, 4_789, pair.db_host.provider).replace(
        "web-1: { ",
        "web-1: { mtu: 1500, acceleratedNetworking: true, ",
    );
    for topology in [
        larger.clone(),
        larger.replace(
            "acceleratedNetworking: true",
            "acceleratedNetworking: false",
        ),
    ] {
        pair.web.apply(&topology, &[]);
        pair.web.vf("restore", &["web-1"]);
        // What is on the subnet itself has no route of its own that could say the MTU.
        pair.web.exec("web-1", "ip route flush cache");
        pair.web.exec(
            "web-1",
            "ip route replace default via 10.0.1.1 dev eth0 onlink",
        );
        let before = pair.web.dropped("web-1", "too-big");
        let ran = pair
            .web
            .exec("web-1", "ping -n -c 2 -i 0.2 -W 1 -M do -s 1472 10.0.2.4");
        assert_ne!(ran.code, Some(0), "{ran:?}");
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(
            said.contains("mtu = 1450") || said.contains("mtu=1450"),
            "{said}"
        );
        assert!(pair.web.dropped("web-1", "too-big") > before);
    }
    pair.down();
}

#[test]
fn a_larger_underlay_is_followed_and_a_smaller_one_too() {
    let fabric = fabric!(Family::V4, 1_500);
    let pair = Pair::on(&fabric, 4_789);
    let mut connection =
        crate::lab::connect((&pair.web, "web-1"), (&pair.db, "db-1"), "10.0.2.4:5432");
    connection.assert_alive();
    for (underlay, inner) in [(1_400, 1_350), (1_600, 1_500)] {
        for host in [&pair.web_host, &pair.db_host] {
            host.ip(&format!("link set up0 mtu {underlay}"));
        }
        for (lab, guest) in [(&pair.web, "web-1"), (&pair.db, "db-1")] {
            eventually("the guest's MTU follows", || {
                let detail: serde_json::Value = lab.json(vec!["nic", "show", guest]);
                (detail["mtu"] == inner).then_some(())
            });
            let ran = lab.exec(guest, "cat /sys/class/net/eth0/mtu");
            assert_eq!(ran.stdout.trim(), inner.to_string());
        }
        connection.assert_alive();
        if underlay < 1_500 {
            let size = inner - 28;
            let ping = format!("ping -n -c 1 -W 5 -M do -s {size} 10.0.2.4");
            assert_eq!(pair.web.exec("web-1", &ping).code, Some(0));
        }
        assert_eq!(pair.web.ping("web-1", "10.0.2.4"), ALLOW);
    }
    pair.down();
}
