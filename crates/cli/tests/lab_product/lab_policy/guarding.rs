//! What a guest may put on the wire, and what the switch answers itself.

use std::net::{IpAddr, UdpSocket};

use netdev::LinkName;
use netdev::addr::Address;
use wire::arp::{ArpRepr, ArpView};
use wire::compose::{Endpoint, arp_request};
use wire::{Kind, dissect};

use crate::lab::{Lab, eventually, lab, mac_of};

const PAIR: &str = r#"
name: lab
vnets:
  main:
    addressSpace: [10.0.0.0/16, "fd00:1::/48"]
    subnets: { all: { prefix: [10.0.0.0/24, "fd00:1:0:1::/64"] } }
guests:
  a: { subnet: main/all, address: [10.0.0.4, "fd00:1:0:1::4"] }
  b: { subnet: main/all, address: [10.0.0.5, "fd00:1:0:1::5"], mtu: 1400 }
"#;

/// Sends from a guest by way of `send`, and waits until the NIC counts it as dropped for a reason.
#[track_caller]
fn assert_dropped(lab: &Lab, guest: &str, reason: &str, send: impl FnOnce()) {
    let count = || {
        let rows = lab.stats(guest).drops.into_iter();
        rows.filter(|row| row.reason == reason)
            .map(|row| row.packets)
            .sum::<u64>()
    };
    let before = count();
    send();
    eventually(reason, || (count() > before).then_some(()));
}

#[test]
fn a_guest_cannot_borrow_addresses() {
    let lab = lab!(PAIR);
    let guest = lab.guest("a");
    let eth0 = LinkName::new("eth0").unwrap();
    for (own, foreign, to) in [
        ("10.0.0.4", "10.0.0.99/24", "10.0.0.5"),
        ("fd00:1:0:1::4", "fd00:1:0:1::99/64", "fd00:1:0:1::5"),
    ] {
        let ping = |from: &dyn std::fmt::Display| {
            lab.exec("a", &format!("ping -n -c 1 -W 0.3 -I {from} {to}"))
                .code
        };
        // The way is known before, or the guest would ask for it in the foreign name.
        assert_eq!(ping(&own), Some(0));
        let foreign: ipnet::IpNet = foreign.parse().unwrap();
        guest.netlink(async |netlink| {
            let address = Address {
                no_dad: true,
                ..Address::from(foreign)
            };
            netlink.add_address(&eth0, &address).await.unwrap();
        });
        assert_dropped(&lab, "a", "spoofed-ip", || {
            assert_eq!(ping(&foreign.addr()), Some(1))
        });
        assert_eq!(ping(&own), Some(0), "with its own address it goes on well");
        guest.netlink(async |netlink| netlink.delete_address(&eth0, foreign).await.unwrap());
    }
    let mac = mac_of(&lab.nic("a").mac).0;
    guest.netlink(async |netlink| netlink.set_mac(&eth0, [2, 0, 0, 0, 0, 9]).await.unwrap());
    assert_eq!(lab.ping("a", "10.0.0.5"), "spoofed-mac");
    guest.netlink(async |netlink| netlink.set_mac(&eth0, mac).await.unwrap());
    assert_eq!(lab.ping("a", "10.0.0.5"), "allow");
}

#[test]
fn the_switch_answers_for_any_address_and_takes_no_claims() {
    let lab = lab!(PAIR);
    let wire = lab.guest("a").wire();
    let me = Endpoint::new(mac_of(&lab.nic("a").mac), "10.0.0.4", 0);
    for target in ["10.0.0.5", "10.0.0.77", "10.0.0.1", "192.0.2.1"] {
        let target = target.parse().unwrap();
        wire.send(&arp_request(&me, target));
        let reply = wire.receive(|frame| {
            let arp = dissect(frame).is_ok_and(|frame| frame.kind == Kind::Arp);
            arp && arp_of(frame).sender_ip == target
        });
        assert_eq!(arp_of(&reply).sender_mac.to_string(), "02:63:77:00:00:01");
    }
    assert_dropped(&lab, "a", "unanswered-neighbour", || {
        wire.send(&arp_request(&me, [10, 0, 0, 4].into()));
    });
    let other = Endpoint {
        ip: IpAddr::from([10, 0, 0, 99]),
        ..me
    };
    assert_dropped(&lab, "a", "spoofed-neighbour", || {
        wire.send(&arp_request(&other, [10, 0, 0, 5].into()));
    });
}

fn arp_of(frame: &[u8]) -> ArpRepr {
    let arp = &frame[wire::ethernet::HEADER_LEN..];
    ArpRepr::parse(ArpView::new(arp).unwrap()).unwrap()
}

#[test]
fn there_is_no_broadcast_domain() {
    let lab = lab!(PAIR);
    let deaf: UdpSocket = lab.guest("b").udp("0.0.0.0:7777".parse().unwrap());
    deaf.set_nonblocking(true).unwrap();
    let socket = lab.guest("a").udp("0.0.0.0:0".parse().unwrap());
    socket.set_broadcast(true).unwrap();
    for (to, reason) in [
        ("255.255.255.255:7777", "broadcast"),
        ("10.0.0.255:7777", "broadcast"),
        ("224.0.0.251:7777", "multicast"),
    ] {
        assert_dropped(&lab, "a", reason, || {
            socket.send_to(b"hello all", to).unwrap();
        });
    }
    let six = lab.guest("a").udp("[::]:0".parse().unwrap());
    assert_dropped(&lab, "a", "multicast", || {
        six.send_to(b"hello all", "[ff05::1:3]:7777").unwrap();
    });
    assert!(deaf.recv(&mut [0; 16]).is_err(), "somebody heard it");
}

#[test]
fn what_is_too_long_is_answered_and_the_path_mtu_learnt() {
    let lab = lab!(PAIR);
    for (to, overhead, said) in [
        ("10.0.0.5", 28, "Frag needed and DF set (mtu = 1400)"),
        ("fd00:1:0:1::5", 48, "Packet too big: mtu=1400"),
    ] {
        assert_eq!(lab.ping("a", to), "allow");
        let ping = |size: usize, more: &str| {
            lab.exec(
                "a",
                &format!("ping -n -c 1 -W 5 -s {} {more} {to}", size - overhead),
            )
        };
        assert_eq!(ping(1400, "-M do").code, Some(0));
        let before = lab.dropped("a", "too-big");
        let ran = ping(1401, "-M do");
        assert!(ran.stdout.contains(said), "{ran:?}");
        assert_eq!(lab.dropped("a", "too-big"), before + 1);
        // From now on the guest's kernel knows, and sends in pieces what may be sent in pieces.
        let ran = ping(1401, "-M do");
        assert!(
            ran.stderr.contains("mtu") || ran.stdout.contains("mtu=1400"),
            "{ran:?}"
        );
        assert_eq!(lab.dropped("a", "too-big"), before + 1, "{ran:?}");
        let ran = ping(4000, "-M dont");
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    // A stream does not even meet the limit: its segments are cut to what the receiver takes.
    let connection = lab.connect("a", "b", "10.0.0.5:80");
    let transfer = crate::lab::Transfer::start(&connection);
    transfer.await_progress(2 << 20);
    transfer.finish();
}

#[test]
fn a_router_hop_is_seen_by_those_who_count() {
    let hopping = PAIR.replace("subnets:", "routerHop: true\n    subnets:");
    let lab = lab!(&hopping);
    for to in ["10.0.0.5", "fd00:1:0:1::5"] {
        assert_eq!(lab.ping_ttl("a", to), 63);
        let before = lab.dropped("a", "ttl-expired");
        let ran = lab.exec("a", &format!("ping -n -c 1 -W 5 -t 1 {to}"));
        let said = ["Time to live exceeded", "Hop limit"]
            .iter()
            .any(|text| ran.stdout.contains(text));
        assert!(said, "{ran:?}");
        assert_eq!(lab.dropped("a", "ttl-expired"), before + 1);
    }
}
