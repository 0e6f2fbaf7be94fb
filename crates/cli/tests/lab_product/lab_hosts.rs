//! Guests on several hosts, joined by VXLAN.

mod failures;
mod interop;
mod moves;
mod refusals;

use crate::lab::{ALLOW, Fabric, Family, Lab, Machine, Transfer, connect, eventually};

/// The virtual network that both hosts are part of.
const NETWORK: &str = r#"
name: lab
vnets:
  main:
    addressSpace: [10.0.0.0/16, "fd00:1::/48"]
    vni: 5000
    subnets:
      web: { prefix: [10.0.1.0/24, "fd00:1:0:1::/64"] }
      db: { prefix: [10.0.2.0/24, "fd00:1:0:2::/64"], nsg: db }
nsgs:
  db:
    rules:
      - { name: sql, priority: 100, direction: Inbound, access: Allow, protocol: Tcp,
          destinationPorts: [5432, 5433] }
      - { name: dns, priority: 110, direction: Inbound, access: Allow, protocol: Udp,
          destinationPorts: 53 }
      - { name: ping, priority: 120, direction: Inbound, access: Allow, protocol: Icmp }
      - { name: nothing-else, priority: 4000, direction: Inbound, access: Deny }
      - { name: no-smtp, priority: 200, direction: Outbound, access: Deny, protocol: Tcp,
          destinationPorts: 25 }
"#;

const WEB_MAC: &str = "02:c1:ea:00:01:04";
const DB_MAC: &str = "02:c1:ea:00:02:04";
const WEB: &str = "10.0.1.4";
const DB: &str = "10.0.2.4";

/// A fabric for this test, or the end of the test where there can be none.
macro_rules! fabric {
    ($family:expr, $mtu:expr) => {{
        fn here() {}
        match $crate::lab::Fabric::new(std::any::type_name_of_val(&here), $family, $mtu) {
            Some(fabric) => fabric,
            None => return,
        }
    }};
}
use fabric;

/// Where a customer address is.
fn mapping(last: &str, provider: impl std::fmt::Display, mac: &str) -> String {
    let (subnet, host) = last.split_once('.').expect("subnet.host");
    format!(
        "  - {{ vnet: main, address: 10.0.{subnet}.{host}, provider: \"{provider}\", mac: \"{mac}\" }}
  - {{ vnet: main, address: \"fd00:1:0:{subnet}::{host}\", provider: \"{provider}\", mac: \"{mac}\" }}\n"
    )
}

/// The host of the web server; `db` says where the database is.
fn web_side(machine: &Machine, port: u16, db: impl std::fmt::Display) -> String {
    let guest = format!(
        "guests:\n  web-1: {{ subnet: main/web, address: [{WEB}, \"fd00:1:0:1::4\"], mac: \"{WEB_MAC}\" }}\n"
    );
    let mappings = mapping("2.4", db, DB_MAC);
    format!(
        "{NETWORK}{}{guest}mappings:\n{mappings}",
        machine.uplink(port)
    )
}

/// The host of the database.
fn db_side(machine: &Machine, port: u16, web: impl std::fmt::Display) -> String {
    let guest = format!(
        "guests:\n  db-1: {{ subnet: main/db, address: [{DB}, \"fd00:1:0:2::4\"], mac: \"{DB_MAC}\" }}\n"
    );
    let mappings = mapping("1.4", web, WEB_MAC);
    format!(
        "{NETWORK}{}{guest}mappings:\n{mappings}",
        machine.uplink(port)
    )
}

/// A web server on one host and its database on another. Agents end before their hosts do.
struct Pair {
    web: Lab,
    db: Lab,
    web_host: Machine,
    db_host: Machine,
}

impl Pair {
    fn on(fabric: &Fabric, port: u16) -> Pair {
        let (web_host, db_host) = (fabric.host(1), fabric.host(2));
        let web = web_host.agent(&web_side(&web_host, port, db_host.provider));
        let db = db_host.agent(&db_side(&db_host, port, web_host.provider));
        for lab in [&web, &db] {
            let uplink = lab.uplink();
            assert_eq!((uplink.state.as_str(), uplink.reason), ("up", None));
        }
        Pair {
            web,
            db,
            web_host,
            db_host,
        }
    }

    /// Everything that is to get through does, both ways and in both families.
    fn assert_reachable(&self) {
        for (web, db) in [(WEB, DB), ("fd00:1:0:1::4", "fd00:1:0:2::4")] {
            assert_eq!(self.web.ping("web-1", db), ALLOW, "{db}");
            assert_eq!(self.db.ping("db-1", web), ALLOW, "{web}");
            self.assert_open(db);
            let to = |host: &str, port| match host.contains(':') {
                true => format!("[{host}]:{port}"),
                false => format!("{host}:{port}"),
            };
            let udp = |from: (&Lab, &str), at: (&Lab, &str), address: String| {
                crate::lab::exchange(&from.0.guest(from.1), &at.0.guest(at.1), &address);
            };
            udp((&self.web, "web-1"), (&self.db, "db-1"), to(db, 53));
            udp((&self.db, "db-1"), (&self.web, "web-1"), to(web, 5353));
            connect((&self.db, "db-1"), (&self.web, "web-1"), &to(web, 80)).assert_alive();
        }
    }

    fn assert_open(&self, db: &str) {
        let address = match db.contains(':') {
            true => format!("[{db}]:5432"),
            false => format!("{db}:5432"),
        };
        connect((&self.web, "web-1"), (&self.db, "db-1"), &address).assert_alive();
    }

    fn down(self) {
        self.web.down();
        self.db.down();
    }
}

#[test]
fn guests_of_two_hosts_reach_each_other_on_both_paths() {
    let fabric = fabric!(Family::V4, 1_500);
    let pair = Pair::on(&fabric, 4_789);
    pair.assert_reachable();
    // Established connections take the engine both ways.
    let mut connection = connect((&pair.web, "web-1"), (&pair.db, "db-1"), "10.0.2.4:5432");
    connection.assert_alive();
    let flows = pair.web.flows("web-1", &[]);
    let of_it =
        |row: &&host::api::FlowRow| row.flow.starts_with("tcp") && row.flow.contains(":5432");
    let of_it: Vec<_> = flows.flows.iter().filter(of_it).collect();
    assert!(!of_it.is_empty(), "{flows:?}");
    assert!(of_it.iter().all(|row| row.offloaded), "{of_it:?}");
    let via = format!("via {} vni 5000", pair.db_host.provider);
    assert!(
        of_it
            .iter()
            .any(|row| row.from == "guest" && row.to.as_deref() == Some(&via)),
        "{of_it:?}"
    );
    assert!(of_it.iter().any(|row| row.from == "uplink"), "{of_it:?}");

    for (lab, guest) in [(&pair.web, "web-1"), (&pair.db, "db-1")] {
        lab.vf("revoke", &[guest]);
        connection.assert_alive();
        pair.assert_reachable();
    }
    for (lab, guest) in [(&pair.web, "web-1"), (&pair.db, "db-1")] {
        lab.vf("restore", &[guest]);
        connection.assert_alive();
    }
    pair.assert_reachable();
    pair.down();
}

#[test]
fn the_underlay_may_be_ipv6_and_the_port_another() {
    let fabric = fabric!(Family::V6, 1_500);
    let pair = Pair::on(&fabric, 8_472);
    pair.assert_reachable();
    assert_eq!(pair.web.uplink().mtu, Some(1_430));
    pair.web.vf("revoke", &["web-1"]);
    pair.assert_reachable();
    pair.db.vf("revoke", &["db-1"]);
    pair.assert_reachable();
    pair.down();
}

#[test]
fn much_data_crosses_in_super_segments() {
    let fabric = fabric!(Family::V4, 1_500);
    let pair = Pair::on(&fabric, 4_789);
    let connection = connect((&pair.web, "web-1"), (&pair.db, "db-1"), "10.0.2.4:5432");
    let transfer = Transfer::start(&connection);
    transfer.await_progress(64 << 20);
    let sent = pair.web.uplink().accelerated;
    let mean = sent.to_guest_bytes / sent.to_guest_packets.max(1);
    assert!(mean > 3_000, "{mean} bytes a frame: {sent:?}");
    // The same goes on in software, cut to what the underlay takes.
    for (lab, guest) in [(&pair.web, "web-1"), (&pair.db, "db-1")] {
        lab.vf("revoke", &[guest]);
        transfer.await_progress(8 << 20);
    }
    assert!(pair.web.uplink().synthetic.to_guest_bytes > 8 << 20);
    for (lab, guest) in [(&pair.web, "web-1"), (&pair.db, "db-1")] {
        lab.vf("restore", &[guest]);
        transfer.await_progress(8 << 20);
    }
    transfer.finish();
    pair.down();
}

#[test]
fn rules_are_asked_on_both_sides() {
    let fabric = fabric!(Family::V4, 1_500);
    let pair = Pair::on(&fabric, 4_789);
    // The receiver's host judges what comes in, and the sender's what goes out.
    let before = pair.db.dropped("db-1", "nsg-deny-inbound");
    let stream = pair
        .web
        .guest("web-1")
        .begin_connect("10.0.2.4:22".parse().unwrap());
    eventually("db-1 refuses it", || {
        (pair.db.dropped("db-1", "nsg-deny-inbound") > before).then_some(())
    });
    drop(stream);
    assert_eq!(pair.web.dropped("web-1", "nsg-deny-inbound"), 0);
    let stream = pair
        .db
        .guest("db-1")
        .begin_connect("10.0.1.4:25".parse().unwrap());
    eventually("db-1 may not send it", || {
        (pair.db.dropped("db-1", "nsg-deny-outbound") > 0).then_some(())
    });
    drop(stream);
    let ran = pair.web.run(vec![
        "explain",
        "web-1",
        "tcp 10.0.1.4:40000 -> 10.0.2.4:5432",
    ]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for fact in [pair.db_host.provider.to_string(), "5000".to_owned()] {
        assert!(ran.stdout.contains(&fact), "{fact}: {ran:?}");
    }
    pair.down();
}
