use super::*;
use crate::{
    Kind, L4,
    checksum::{L4Check, verify_l4},
    dissect,
};

const SRC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const DST: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

fn ends<A>(src: A, dst: A) -> Ends<A> {
    Ends {
        src_mac: SRC,
        dst_mac: DST,
        src,
        dst,
    }
}

fn check(frame: &[u8]) -> crate::IpPacket {
    let dissection = dissect(frame).expect("well formed");
    assert_eq!((dissection.src, dissection.dst), (SRC, DST));
    let Kind::Ip(ip) = dissection.kind else {
        panic!("{dissection:?}")
    };
    assert_eq!(verify_l4(frame, &ip), Ok(L4Check::Valid));
    ip
}

#[test]
fn datagrams_are_whole() {
    for payload in [&b""[..], b"odd", &[0xff; 600]] {
        let mut out = [0; 1_000];
        out[UDP_V4_PAYLOAD_AT..][..payload.len()].copy_from_slice(payload);
        let both = ends(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::BROADCAST);
        let len = udp_v4(&mut out, &both, (67, 68), payload.len()).unwrap();
        let ip = check(&out[..len]);
        assert_eq!((ip.src, ip.dst), (both.src.into(), both.dst.into()));
        let (sport, dport) = (67, 68);
        assert_eq!(ip.l4, L4::Udp { sport, dport });
        assert_eq!(&out[UDP_V4_PAYLOAD_AT..len], payload);

        out[UDP_V6_PAYLOAD_AT..][..payload.len()].copy_from_slice(payload);
        let both = ends(Ipv6Addr::LOCALHOST, "fe80::2".parse().unwrap());
        let len = udp_v6(&mut out, &both, (547, 546), payload.len()).unwrap();
        let ip = check(&out[..len]);
        assert_eq!((ip.src, ip.dst), (both.src.into(), both.dst.into()));
        assert_eq!(&out[UDP_V6_PAYLOAD_AT..len], payload);
    }
}

#[test]
fn messages_are_whole_whatever_their_checksum_was() {
    let mut out = [0; 200];
    out[ICMPV6_AT..][..8].copy_from_slice(&[133, 0, 0xde, 0xad, 0, 0, 0, 0]);
    let both = ends(Ipv6Addr::LOCALHOST, "ff02::2".parse().unwrap());
    let len = icmpv6(&mut out, &both, 255, 8).unwrap();
    let ip = check(&out[..len]);
    assert_eq!((ip.l4, ip.ttl), (L4::RouterSolicit, 255));
}

#[test]
fn no_room_is_an_error() {
    let v4 = ends(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST);
    assert!(udp_v4(&mut [0; 42], &v4, (1, 2), 1).is_err());
    assert!(udp_v4(&mut [0; 42], &v4, (1, 2), 65_535).is_err());
    assert!(udp_v4(&mut [0; 42], &v4, (1, 2), usize::MAX).is_err());
    let v6 = ends(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
    assert!(udp_v6(&mut [0; 62], &v6, (1, 2), 1).is_err());
    assert!(icmpv6(&mut [0; 60], &v6, 255, 8).is_err());
}
