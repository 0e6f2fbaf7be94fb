use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use wire::Vni;
use wire::vxlan::pop_vxlan;

use super::*;
use crate::{PortId, Verdict};

const ROUTER: MacAddr = MacAddr([0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc]);
const RECEIVER: MacAddr = MacAddr([0x00, 0x0d, 0x3a, 0x1a, 0xf4, 0xda]);
const L3: usize = 14;

fn deliver(decrement_ttl: bool) -> Transposition {
    Transposition {
        verdict: Verdict::Deliver(PortId(2)),
        eth_dst: RECEIVER,
        eth_src: ROUTER,
        decrement_ttl,
        mtu: 1500,
        encap: None,
    }
}

/// The sum over a header with a right checksum is all ones (RFC 791, 3.1).
fn sum_v4(header: &[u8]) -> u16 {
    let words = header
        .chunks(2)
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum = words.sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    u16::try_from((sum & 0xffff) + (sum >> 16)).expect("folded twice")
}

fn frame_v4(ttl: u8, filler: &[u8; 34]) -> Vec<u8> {
    let mut frame = filler.to_vec();
    frame[L3 + 8] = ttl;
    frame[L3 + 10..L3 + 12].fill(0);
    let checksum = !sum_v4(&frame[L3..]);
    frame[L3 + 10..L3 + 12].copy_from_slice(&checksum.to_be_bytes());
    frame
}

proptest! {
    #[test]
    fn a_hop_less_keeps_the_header_checksum_right(ttl in 2u8.., filler: [u8; 34]) {
        let before = frame_v4(ttl, &filler);
        let mut frame = before.clone();
        prop_assert_eq!(apply(&deliver(true), &mut frame, L3, Family::V4), Ok(()));
        prop_assert_eq!(sum_v4(&frame[L3..]), 0xffff);
        prop_assert_eq!(frame[L3 + 8], ttl - 1);
        prop_assert_eq!(&frame[..6], &RECEIVER.0);
        prop_assert_eq!(&frame[6..12], &ROUTER.0);
        let (ttl_at, sum_at) = (L3 + 8, L3 + 10..L3 + 12);
        for at in (12..frame.len()).filter(|at| *at != ttl_at && !sum_at.contains(at)) {
            prop_assert_eq!(frame[at], before[at]);
        }
    }

    #[test]
    fn any_frame_and_offset_end_in_a_rewrite_or_an_untouched_frame(
        frame in prop::collection::vec(any::<u8>(), 0..80),
        l3_offset in prop_oneof![0usize..100, Just(usize::MAX)],
        v4: bool,
    ) {
        let family = if v4 { Family::V4 } else { Family::V6 };
        let mut after = frame.clone();
        if apply(&deliver(true), &mut after, l3_offset, family).is_err() {
            prop_assert_eq!(after, frame);
        }
    }

    #[test]
    fn a_source_port_is_a_dynamic_port_and_the_same_wherever_the_flow_came_in(
        src: u32, dst: u32, ports: (u16, u16), at in 1u16..=PortId::MAX.0,
    ) {
        let (src, dst) = (Ipv4Addr::from(src).into(), Ipv4Addr::from(dst).into());
        let key = FlowKey::new(PortId(1), src, dst, 6, ports.0, ports.1);
        prop_assert!(outer_source_port(&key) >= 49_152);
        let elsewhere = key.at(PortId(at).from_uplink());
        prop_assert_eq!(outer_source_port(&elsewhere), outer_source_port(&key));
    }
}

#[test]
fn without_a_hop_only_the_addresses_change() {
    let before: Vec<u8> = (0..60).collect();
    for family in [Family::V4, Family::V6] {
        let mut frame = before.clone();
        assert_eq!(apply(&deliver(false), &mut frame, L3, family), Ok(()));
        assert_eq!(frame[12..], before[12..]);
        assert_eq!(
            (&frame[..6], &frame[6..12]),
            (&RECEIVER.0[..], &ROUTER.0[..])
        );
    }
}

#[test]
fn ipv6_loses_a_hop() {
    let mut frame = vec![0; L3 + 40];
    frame[L3 + 7] = 64;
    assert_eq!(apply(&deliver(true), &mut frame, L3, Family::V6), Ok(()));
    assert_eq!(frame[L3 + 7], 63);
}

#[test]
fn the_last_hop_is_not_taken() {
    for ttl in [0, 1] {
        let before = frame_v4(ttl, &[0; 34]);
        let mut frame = before.clone();
        assert_eq!(
            apply(&deliver(true), &mut frame, L3, Family::V4),
            Err(ApplyError::TtlExpired)
        );
        assert_eq!(frame, before);
        let mut frame = vec![0; L3 + 40];
        frame[L3 + 7] = ttl;
        let before = frame.clone();
        assert_eq!(
            apply(&deliver(true), &mut frame, L3, Family::V6),
            Err(ApplyError::TtlExpired)
        );
        assert_eq!(frame, before);
    }
}

#[test]
fn a_drop_rewrites_nothing_and_says_why() {
    let mut frame = [7; 60];
    let dropped = apply(
        &Transposition::drop(DropReason::NoRoute),
        &mut frame,
        L3,
        Family::V4,
    );
    assert_eq!(dropped, Err(ApplyError::Dropped(DropReason::NoRoute)));
    assert_eq!(dropped.map_err(DropReason::from), Err(DropReason::NoRoute));
    assert_eq!(frame, [7; 60]);
}

#[test]
fn the_tunnel_says_what_the_flow_says() {
    let link = UnderlayLink {
        src: MacAddr([2, 0, 0, 0, 0, 1]),
        dst: MacAddr([2, 0, 0, 0, 0, 2]),
    };
    let mut inner = frame_v4(64, &[9; 34]);
    inner[12..16].copy_from_slice(&[0x08, 0x00, 0x45, 0x2f]);
    let ends = [
        (
            IpAddr::from(Ipv4Addr::new(192, 0, 2, 1)),
            IpAddr::from(Ipv4Addr::new(192, 0, 2, 2)),
            50,
        ),
        (
            IpAddr::from(Ipv6Addr::LOCALHOST),
            IpAddr::from(Ipv6Addr::from(2)),
            70,
        ),
    ];
    for (outer_src, outer_dst, overhead) in ends {
        let vni = Vni::new(0x00_12_34_56).expect("24 bits");
        let encap = Encap {
            outer_src,
            outer_dst,
            vni,
            dst_port: 4789,
        };
        let mut out = [0; 200];
        let len = encapsulate(&encap, link, 50_001, &inner, &mut out).expect("room for both");
        assert_eq!(len, inner.len() + overhead);
        let (outer, range) = pop_vxlan(&out[..len]).expect("what was pushed");
        assert_eq!(out[range], inner);
        assert_eq!(
            (outer.outer_src_mac, outer.outer_dst_mac),
            (link.src, link.dst)
        );
        assert_eq!((outer.outer_src, outer.outer_dst), (outer_src, outer_dst));
        assert_eq!(
            (outer.vni, outer.dst_port, outer.src_port),
            (vni, 4789, 50_001)
        );
        // Of the inner traffic class 0x2f the ECN field shows, and no DSCP.
        assert_eq!((outer.ttl, outer.dscp_ecn), (64, 3));
        if outer_src.is_ipv4() {
            // Flags and fragment offset: "don't fragment" and nothing else.
            assert_eq!(out[L3 + 6..L3 + 8], [0x40, 0]);
        }
        assert!(encapsulate(&encap, link, 0, &inner, &mut out[..len - 1]).is_err());
    }
}

#[test]
fn neighbouring_flows_spread_over_the_source_ports() {
    let address = |last| IpAddr::from(Ipv4Addr::new(10, 0, 0, last));
    let flow = |port| FlowKey::new(PortId(1), address(4), address(5), 6, port, 443);
    let of = |port| outer_source_port(&flow(port));
    let ports: std::collections::HashSet<u16> = (0..16_384).map(of).collect();
    // So many throws leave 1/e of as many places empty.
    assert!(ports.len() > 10_000, "{} ports in use", ports.len());
}

#[test]
fn the_ecn_field_of_ipv6_lies_across_two_bytes() {
    let mut frame = vec![0; 60];
    frame[12..16].copy_from_slice(&[0x86, 0xdd, 0x6b, 0xe5]);
    assert_eq!(ecn_of(&frame), 2);
    assert_eq!(ecn_of(&frame[..15]), 0);
    frame[12] = 0x08;
    frame[13] = 0x06;
    assert_eq!(ecn_of(&frame), 0);
}
