use core::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::{EmitError, MacAddr, TcpFlags, compose, fixtures::*};

fn encap(v6: bool) -> VxlanEncap {
    let ends = if v6 {
        ["2001:db8::1", "2001:db8::2"]
    } else {
        ["192.0.2.1", "192.0.2.2"]
    };
    let [outer_src, outer_dst] = ends.map(|end| end.parse::<IpAddr>().unwrap());
    VxlanEncap {
        outer_src_mac: ROUTER_MAC,
        outer_dst_mac: MacAddr([2, 9, 9, 9, 9, 9]),
        outer_src,
        outer_dst,
        vni: Vni::new(0x00ab_cdef).unwrap(),
        src_port: 50000,
        dst_port: PORT,
        dscp_ecn: 0x2e,
        ttl: 64,
        ip_id: 0x1234,
        dont_fragment: true,
    }
}

fn pushed(encap: &VxlanEncap, inner: &[u8]) -> Vec<u8> {
    let mut out = vec![0xaa; inner.len() + 100];
    let len = push_vxlan(inner, encap, &mut out).unwrap();
    assert!(
        out[len..].iter().all(|&byte| byte == 0xaa),
        "wrote past the end"
    );
    out.truncate(len);
    out
}

fn inner() -> Vec<u8> {
    let (a, b) = v4();
    compose::tcp(&a, &b, TcpFlags::ACK, b"inside")
}

#[test]
fn a_vni_has_24_bits() {
    assert_eq!(Vni::new(0x00ff_ffff), Some(Vni::MAX));
    assert_eq!(Vni::new(0x0100_0000), None);
}

#[test]
fn the_outer_headers_are_those_asked_for() {
    for (v6, overhead) in [(false, 50), (true, 70)] {
        let encap = encap(v6);
        assert_eq!(encap.overhead(), overhead);
        let frame = pushed(&encap, &inner());
        let outer = packet(&frame);
        assert_eq!((outer.src, outer.dst), (encap.outer_src, encap.outer_dst));
        assert_eq!((outer.ttl, outer.dscp_ecn), (64, 0x2e));
        assert!(outer.dont_fragment);
        if !v6 {
            assert_eq!(frame[18..20], [0x12, 0x34]);
        }
        // etherparse agrees that this is UDP to the VXLAN port, without a checksum, over all of it.
        let sliced = etherparse::SlicedPacket::from_ethernet(&frame).unwrap();
        let Some(etherparse::TransportSlice::Udp(udp)) = sliced.transport else {
            panic!("not UDP");
        };
        assert_eq!((udp.destination_port(), udp.checksum()), (4789, 0));
        assert_eq!(udp.payload()[..8], [8, 0, 0, 0, 0xab, 0xcd, 0xef, 0]);
        assert_eq!(udp.payload()[8..], inner());
    }
}

#[test]
fn without_ethernet_the_rest_is_the_same() {
    for v6 in [false, true] {
        let encap = encap(v6);
        let whole = pushed(&encap, &inner());
        let mut out = vec![0xaa; whole.len()];
        let len = push_vxlan_ip(&inner(), &encap, &mut out).unwrap();
        assert_eq!(out[..len], whole[14..]);
        assert_eq!(out[len..], [0xaa; 14], "wrote past the end");
        let error = push_vxlan_ip(&inner(), &encap, &mut out[..len - 1]).unwrap_err();
        assert!(matches!(error, PushError::Emit(_)));
    }
}

#[test]
fn an_outer_checksum_is_not_looked_at() {
    for v6 in [false, true] {
        let encap = encap(v6);
        let mut frame = pushed(&encap, &inner());
        let at = encap.overhead() - 8 - 2;
        assert_eq!(frame[at..at + 2], [0, 0], "there is none");
        frame[at..at + 2].copy_from_slice(&[0xde, 0xad]);
        let (info, range) = pop_vxlan(&frame).unwrap();
        assert_eq!((info.udp_checksum, &frame[range]), (0xdead, &inner()[..]));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let inner = inner();
    for v6 in [false, true] {
        let encap = encap(v6);
        let need = encap.overhead() + inner.len();
        let mut out = vec![0; need - 1];
        let error = EmitError::BufferTooSmall {
            need,
            have: need - 1,
        };
        assert_eq!(push_vxlan(&inner, &encap, &mut out), Err(error.into()));

        let max = if v6 { 65535 - 16 } else { 65535 - 36 };
        let mut out = vec![0; 70_000];
        assert!(push_vxlan(&vec![0; max], &encap, &mut out).is_ok());
        let too_long = EmitError::PayloadTooLong {
            header: Header::Vxlan,
            len: max + 1,
            max,
        };
        assert_eq!(
            push_vxlan(&vec![0; max + 1], &encap, &mut out),
            Err(too_long.into())
        );
    }
    let mixed = VxlanEncap {
        outer_src: encap(true).outer_src,
        ..encap(false)
    };
    let error = push_vxlan(&inner, &mixed, &mut [0; 200]).unwrap_err();
    assert!(matches!(error, PushError::MixedFamilies { .. }));
}

#[test]
fn what_is_no_tunnel_is_refused() {
    let field = |frame: &[u8]| match pop_vxlan(frame) {
        Err(ParseError::BadField { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    let (a, b) = v4();
    assert_eq!(field(&compose::arp_reply(&a, &b)), "ethertype");
    assert_eq!(field(&inner()), "IP protocol");
    let frame = pushed(&encap(false), &inner());
    assert_eq!(field(&compose::fragments(&frame, 1, 64)[0]), "fragment");
    let mut unflagged = frame.clone();
    unflagged[42] = 0xf7;
    assert_eq!(field(&unflagged), "flags");
    let mut reserved = frame;
    reserved[42..46].fill(0xff);
    reserved[49] = 0xff;
    assert!(pop_vxlan(&reserved).is_ok(), "reserved bits are ignored");
    let short = pushed(&encap(false), &[0; 13]);
    let truncated = ParseError::Truncated {
        header: Header::Ethernet,
        need: 14,
        have: 13,
    };
    assert_eq!(pop_vxlan(&short), Err(truncated));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn pop_gives_back_what_push_took(
        v6: bool,
        vni in 0u32..1 << 24,
        ports: (u16, u16),
        padding in 0usize..30,
        inner in prop::collection::vec(any::<u8>(), 14..200),
    ) {
        let vni = Vni::new(vni).unwrap();
        let encap = VxlanEncap { vni, src_port: ports.0, dst_port: ports.1, ..encap(v6) };
        let mut frame = pushed(&encap, &inner);
        frame.resize(frame.len() + padding, 0);
        let (info, range) = pop_vxlan(&frame).unwrap();
        prop_assert_eq!(&frame[range], &inner);
        let expected = VxlanHeaderInfo {
            outer_src_mac: encap.outer_src_mac,
            outer_dst_mac: encap.outer_dst_mac,
            outer_src: encap.outer_src,
            outer_dst: encap.outer_dst,
            vni,
            src_port: ports.0,
            dst_port: ports.1,
            dscp_ecn: encap.dscp_ecn,
            ttl: encap.ttl,
            udp_checksum: 0,
        };
        prop_assert_eq!(info, expected);
    }
}
