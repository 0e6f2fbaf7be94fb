//! The whole product on two hosts with the distribution's kernel.

use host::api::NicStats;

use crate::image::images;
use crate::two_hosts::{Side, TwoHosts};

/// What crosses in a blink here takes an emulated processor a while.
const MIB: u64 = 1 << 20;

/// The port that web servers may reach, and one that anybody may on the other host.
const DB_PORT: u16 = 5_432;
const WEB_PORT: u16 = 80;

/// Frames that guests exchange with the switch in passing, such as ARP for the router.
const IN_PASSING: u64 = 20;

#[test]
fn two_hosts_on_the_distributions_kernel() {
    let images = images!();
    let mut hosts = TwoHosts::up(&images);
    assert_ready(&mut hosts);
    assert_pings(&mut hosts);
    assert_denied(&mut hosts);
    assert_accelerated(&mut hosts);
    assert_paths_change(&mut hosts);
    assert_survives(&mut hosts);
    hosts.down();
}

/// The engine hooks in as this kernel lets it, and everything is up.
fn assert_ready(hosts: &mut TwoHosts) {
    let engine = expected_engine(hosts.vm.release());
    for side in Side::BOTH {
        let status: host::api::Status = hosts.json(side, "status");
        assert_eq!(status.engine, engine);
        let uplink = status.uplink.expect("the topology has an uplink");
        assert_eq!((uplink.state.as_str(), uplink.reason), ("up", None));
        assert_eq!(uplink.mtu, Some(1_450));
        let nic = hosts.nic(side);
        assert_eq!(nic.vf.observed, "accelerated", "{nic:?}");
    }
}

/// Links of tcx are there since Linux 6.6; before that, the filters of a queueing discipline.
fn expected_engine(release: &str) -> &'static str {
    let mut numbers = release
        .split(['.', '-'])
        .map(|word| word.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= (6, 6) {
        "bpf (tcx)"
    } else {
        "bpf (clsact)"
    }
}

fn assert_pings(hosts: &mut TwoHosts) {
    for side in Side::BOTH {
        let address = side.other().address();
        let said = hosts.exec(side, &format!("ping -c 2 -W 20 {address}"));
        assert!(said.contains(" 0% packet loss"), "{said}");
    }
}

/// What no rule allows is refused by the receiver's host, with the reason and the rule.
fn assert_denied(hosts: &mut TwoHosts) {
    let reason = "nsg-deny-inbound";
    let before = hosts.dropped(Side::B, reason);
    let connect = format!("exec web-1 -- nc -w 2 {} 22 </dev/null", Side::B.address());
    let ran = hosts.run(Side::A, &connect);
    assert_ne!(ran.status, 0, "{}", ran.said());
    assert!(hosts.dropped(Side::B, reason) > before);
    assert_eq!(hosts.dropped(Side::A, reason), 0);
    let packet = format!("{}:40000 -> {}:22", Side::A.address(), Side::B.address());
    let ran = hosts.run(
        Side::B,
        &format!("explain db-1 --off-uplink 'tcp {packet}'"),
    );
    let said = ran.said();
    assert!(
        said.contains(reason) && said.contains("nobody-else"),
        "{said}"
    );
}

/// Established connections are the engine's business and not the switch's.
fn assert_accelerated(hosts: &mut TwoHosts) {
    for (from, port) in [(Side::A, DB_PORT), (Side::B, WEB_PORT)] {
        let to = from.other();
        let transfer = hosts.transfer(from, port);
        hosts.await_growth(to, "the transfer begins", received, MIB);
        let before = Side::BOTH.map(|side| hosts.stats(side));
        hosts.await_growth(to, "the transfer goes on", received, 4 * MIB);
        for (side, before) in Side::BOTH.into_iter().zip(before) {
            let now = hosts.stats(side);
            let frames = by_switch(&now) - by_switch(&before);
            assert!(frames <= IN_PASSING, "{frames} of {before:?} to {now:?}");
            let moved = by_engine(&now) - by_engine(&before);
            assert!(moved >= 4 * MIB, "{before:?} to {now:?}");
        }
        hosts.finish(transfer);
    }
}

/// The accelerated path is taken away and given back on either side, and costs no byte.
fn assert_paths_change(hosts: &mut TwoHosts) {
    let transfers =
        [(Side::A, DB_PORT), (Side::B, WEB_PORT)].map(|(from, port)| hosts.transfer(from, port));
    for side in Side::BOTH {
        hosts.await_growth(side, "it begins accelerated", by_engine, MIB);
    }
    for sides in [&[Side::A][..], &[Side::B], &Side::BOTH] {
        for side in sides {
            assert_eq!(hosts.vf("revoke", *side), "synthetic");
        }
        for side in sides {
            hosts.await_growth(*side, "it goes on by the switch", switched, MIB / 2);
        }
        for side in sides {
            assert_eq!(hosts.vf("restore", *side), "accelerated");
        }
        for side in Side::BOTH {
            hosts.await_growth(side, "it goes on in the engine", by_engine, MIB);
        }
    }
    for transfer in transfers {
        hosts.finish(transfer);
    }
}

/// Established connections outlive the agent, and the next one takes them over.
fn assert_survives(hosts: &mut TwoHosts) {
    let transfer = hosts.transfer(Side::A, DB_PORT);
    hosts.await_growth(Side::B, "the transfer begins", received, MIB);
    let status: host::api::Status = hosts.json(Side::A, "status");
    hosts.vm.check(&format!("kill -KILL {}", status.pid));
    hosts.await_growth(Side::B, "nobody misses the agent", received, 4 * MIB);

    let taken_over = hosts.start(Side::A, "").taken_over;
    assert_eq!(taken_over.ports, 1);
    assert!(taken_over.flows >= 2, "{taken_over:?}");
    hosts.await_growth(Side::A, "the engine goes on", by_engine, MIB);
    assert_eq!(hosts.vf("revoke", Side::A), "synthetic");
    hosts.await_growth(Side::A, "the new agent has it", switched, MIB / 2);
    assert_eq!(hosts.vf("restore", Side::A), "accelerated");
    hosts.await_growth(Side::A, "and gives it back", by_engine, MIB / 2);
    hosts.finish(transfer);
    assert_pings(hosts);
    assert_denied(hosts);
}

/// Bytes that the engine brought a guest.
fn received(stats: &NicStats) -> u64 {
    stats.accelerated.to_guest_bytes
}

/// Bytes that the engine moved, both ways.
fn by_engine(stats: &NicStats) -> u64 {
    stats.accelerated.from_guest_bytes + stats.accelerated.to_guest_bytes
}

/// Bytes that the switch moved, both ways.
fn switched(stats: &NicStats) -> u64 {
    stats.synthetic.from_guest_bytes + stats.synthetic.to_guest_bytes
}

/// Frames that the switch had to do with.
fn by_switch(stats: &NicStats) -> u64 {
    let synthetic = stats.synthetic;
    stats.exceptions + synthetic.from_guest_packets + synthetic.to_guest_packets
}
