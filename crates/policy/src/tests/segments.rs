//! What may come off the uplink.

use std::net::IpAddr;

use flow::{Encap, PortId};
use wire::Vni;

use super::{address, compiled, nic, policy_of};
use crate::Snapshot;
use crate::input::{MappingInput, MappingTarget, NicInput, PolicyInput, SegmentInput, VnetId};

const OWN: VnetId = VnetId(0);
const PEER: VnetId = VnetId(1);

fn vni(number: u32) -> Vni {
    Vni::new(number).expect("24 bits")
}

fn on_host(host: &str) -> MappingTarget {
    MappingTarget::Remote {
        mac: [2, 0, 0, 0, 9, 9],
        encap: Encap {
            outer_src: address("192.0.2.1"),
            outer_dst: address(host),
            vni: vni(5_000),
            dst_port: 4_789,
        },
        vni_of_sender: false,
    }
}

fn mapping(vnet: VnetId, customer: &str, target: MappingTarget) -> MappingInput {
    MappingInput {
        vnet,
        address: address(customer),
        target,
    }
}

/// Port 1 in the network with VNI 5000, ports 2 and 3 in its peer, 3 with the address of 1.
fn policy() -> PolicyInput {
    let with = |port, vnet, mac| NicInput {
        vnet,
        mac: [2, 0, 0, 0, 0, mac],
        ..nic(port)
    };
    PolicyInput {
        mappings: vec![
            mapping(OWN, "10.0.0.8", on_host("192.0.2.2")),
            mapping(OWN, "10.0.0.9", on_host("192.0.2.2")),
            mapping(PEER, "10.1.0.8", on_host("192.0.2.3")),
        ],
        segments: vec![
            SegmentInput {
                vni: vni(5_000),
                vnets: vec![OWN, PEER],
            },
            SegmentInput {
                vni: vni(5_001),
                vnets: vec![PEER],
            },
        ],
        ..policy_of(vec![with(3, PEER, 1), with(2, PEER, 2), with(1, OWN, 1)])
    }
}

fn trusted(snapshot: &Snapshot, number: u32) -> Vec<IpAddr> {
    let segment = snapshot.segment(vni(number)).expect("it is there");
    let mut providers: Vec<IpAddr> = segment.providers().collect();
    providers.sort_unstable();
    providers
}

#[test]
fn a_vni_reaches_its_own_network_first_and_then_the_peers() {
    let snapshot = compiled(&policy());
    let own = snapshot.segment(vni(5_000)).expect("it is there");
    assert_eq!(own.nic([2, 0, 0, 0, 0, 1]), Some(PortId(1)));
    assert_eq!(own.nic([2, 0, 0, 0, 0, 2]), Some(PortId(2)));
    assert_eq!(own.nic([2, 0, 0, 0, 0, 7]), None);
    let peer = snapshot.segment(vni(5_001)).expect("it is there");
    assert_eq!(peer.nic([2, 0, 0, 0, 0, 1]), Some(PortId(3)));
    assert!(snapshot.segment(vni(5_002)).is_none());
    assert_eq!(snapshot.segments().count(), 2);
}

#[test]
fn hosts_are_trusted_where_the_networks_have_nics_on_them() {
    let snapshot = compiled(&policy());
    assert_eq!(
        trusted(&snapshot, 5_000),
        [address("192.0.2.2"), address("192.0.2.3")]
    );
    assert_eq!(trusted(&snapshot, 5_001), [address("192.0.2.3")]);
    let peer = snapshot.segment(vni(5_001)).expect("it is there");
    assert!(peer.trusts(address("192.0.2.3")));
    assert!(!peer.trusts(address("192.0.2.2")));
    assert!(!peer.trusts(address("192.0.2.1")), "this host itself");
}

#[test]
fn a_host_is_trusted_until_its_last_mapping_is_gone() {
    let change = |snapshot: &Snapshot, customer: &str, target| {
        snapshot
            .with_mapping_changes(&[(OWN, address(customer), target)])
            .expect("within limits")
    };
    let first = compiled(&policy());
    let one_left = change(&first, "10.0.0.8", None);
    assert!(trusted(&one_left, 5_000).contains(&address("192.0.2.2")));
    let moved = change(&one_left, "10.0.0.9", Some(on_host("192.0.2.4")));
    assert_eq!(
        trusted(&moved, 5_000),
        [address("192.0.2.3"), address("192.0.2.4")]
    );
    let local = change(&moved, "10.0.0.9", Some(MappingTarget::Port(PortId(1))));
    assert_eq!(trusted(&local, 5_000), [address("192.0.2.3")]);
    assert_eq!(
        trusted(&first, 5_000).len(),
        2,
        "the older one is as it was"
    );
}
