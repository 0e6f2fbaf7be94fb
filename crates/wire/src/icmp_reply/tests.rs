use core::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::{
    Family, TcpFlags,
    compose::{self, Endpoint, Packet},
    fixtures::*,
    icmpv4::{Icmpv4Repr, Icmpv4View, Unreachable},
    icmpv6::Icmpv6View,
};

const ERRORS: [IcmpError; 5] = [
    IcmpError::HopLimitExceeded,
    IcmpError::NoRoute,
    IcmpError::HostUnreachable,
    IcmpError::Prohibited,
    IcmpError::PacketTooBig { mtu: 1400 },
];

fn responder(family: Family) -> Responder {
    let ip: IpAddr = match family {
        Family::V4 => Ipv4Addr::new(10, 0, 0, 1).into(),
        Family::V6 => "fd00::1".parse().unwrap(),
    };
    Responder {
        mac: ROUTER_MAC,
        ip,
    }
}

fn answer(frame: &[u8], error: IcmpError) -> Result<Vec<u8>, NoReply> {
    let mut out = vec![0xaa; 1500];
    let len = icmp_error(frame, error, responder(packet(frame).family), &mut out)?;
    assert!(
        out[len..].iter().all(|&byte| byte == 0xaa),
        "wrote past the end"
    );
    out.truncate(len);
    Ok(out)
}

#[test]
fn arp_is_answered_to_the_asker() {
    let (a, b) = v4();
    let IpAddr::V4(target) = b.ip else {
        unreachable!()
    };
    let mut out = [0; 60];
    let len = arp_reply(&compose::arp_request(&a, target), ROUTER_MAC, &mut out).unwrap();
    let router = Endpoint {
        mac: ROUTER_MAC,
        ..b
    };
    assert_eq!(out[..len], compose::arp_reply(&router, &a));
    // A probe has no sender address and still gets its answer (RFC 5227).
    let probe = Endpoint {
        ip: Ipv4Addr::UNSPECIFIED.into(),
        ..a
    };
    assert!(arp_reply(&compose::arp_request(&probe, target), ROUTER_MAC, &mut out).is_ok());

    let refused = |frame: &[u8], why| {
        assert_eq!(arp_reply(frame, ROUTER_MAC, &mut [0; 60]), Err(why));
    };
    refused(&compose::arp_reply(&a, &b), NoReply::NotAQuestion);
    refused(&compose::udp(&a, &b, b""), NoReply::NotAQuestion);
    let forged = Endpoint {
        mac: MacAddr::BROADCAST,
        ..a
    };
    refused(&compose::arp_request(&forged, target), NoReply::BadSource);
    let small = EmitError::BufferTooSmall { need: 42, have: 41 };
    let request = compose::arp_request(&a, target);
    assert_eq!(
        arp_reply(&request, ROUTER_MAC, &mut [0; 41]),
        Err(small.into())
    );
}

#[test]
fn a_solicitation_is_answered_to_the_asker_or_to_all() {
    let (a, b) = v6();
    let IpAddr::V6(target) = b.ip else {
        unreachable!()
    };
    let advert = |asker: &Endpoint| {
        let mut out = vec![0; 100];
        let question = compose::neighbour_solicit(asker, target);
        let len = neighbour_advert(&question, ROUTER_MAC, true, &mut out).unwrap();
        out.truncate(len);
        assert!(checksums_hold(&out));
        let found = packet(&out);
        assert_eq!(
            (found.ttl, found.src, found.l4),
            (255, b.ip, L4::NeighbourAdvert)
        );
        let message = Icmpv6View::new(&out[found.l4_offset..]).unwrap();
        (
            dissect(&out).unwrap().dst,
            found.dst,
            Icmpv6Repr::parse(message).unwrap(),
        )
    };
    let expected = |solicited| Icmpv6Repr::NeighbourAdvert {
        target,
        router: true,
        solicited,
        overrides: true,
        target_mac: Some(ROUTER_MAC),
    };
    assert_eq!(advert(&a), (a.mac, a.ip, expected(true)));
    let nobody = Endpoint {
        ip: Ipv6Addr::UNSPECIFIED.into(),
        ..a
    };
    let all: Ipv6Addr = "ff02::1".parse().unwrap();
    assert_eq!(
        advert(&nobody),
        (
            MacAddr([0x33, 0x33, 0, 0, 0, 1]),
            all.into(),
            expected(false)
        )
    );

    let refused = |frame: &[u8], why| {
        assert_eq!(
            neighbour_advert(frame, ROUTER_MAC, false, &mut [0; 100]),
            Err(why)
        );
    };
    let mut routed = compose::neighbour_solicit(&a, target);
    routed[21] = 254;
    refused(&routed, NoReply::OffLink);
    refused(&compose::udp(&a, &b, b""), NoReply::NotAQuestion);
    refused(&compose::neighbour_solicit(&a, all), NoReply::Multicast);
}

#[test]
fn errors_are_whole_bounded_and_quote_the_packet() {
    for ((a, b), (limit, header)) in both().into_iter().zip([(576, 20), (1280, 40)]) {
        for error in ERRORS {
            for payload in [0, 10, 2000] {
                let mut frame = compose::tcp(&a, &b, TcpFlags::ACK, &vec![3; payload]);
                let frame_len = frame.len();
                frame.resize(frame_len + 5, 0xee);
                let reply = answer(&frame, error).unwrap();
                assert!(checksums_hold(&reply));
                let (ethernet, found) = (dissect(&reply).unwrap(), packet(&reply));
                assert_eq!((ethernet.src, ethernet.dst), (ROUTER_MAC, a.mac));
                assert_eq!((found.src, found.dst), (responder(found.family).ip, a.ip));
                assert_eq!(found.l3_len, limit.min(header + 8 + frame_len - 14));
                let quote = &reply[found.l4_offset + 8..];
                assert_eq!(quote, &frame[14..14 + quote.len()]);
            }
        }
    }
}

#[test]
fn the_mtu_is_told() {
    let too_big = |frame: &[u8], mtu| answer(frame, IcmpError::PacketTooBig { mtu }).unwrap();
    let (a, b) = v4();
    let frame = compose::udp(&a, &b, &[0; 1000]);
    for (asked, told) in [(1400, 1400), (70_000, 65535)] {
        let reply = too_big(&frame, asked);
        let message = Icmpv4Repr::parse(Icmpv4View::new(&reply[34..]).unwrap()).unwrap();
        let expected = Unreachable::FragmentationNeeded { mtu: told };
        assert_eq!(message, Icmpv4Repr::Unreachable(expected));
    }
    let (a, b) = v6();
    let reply = too_big(&compose::udp(&a, &b, &[0; 1000]), 70_000);
    let message = Icmpv6Repr::parse(Icmpv6View::new(&reply[54..]).unwrap()).unwrap();
    assert_eq!(message, Icmpv6Repr::PacketTooBig { mtu: 70_000 });
}

#[test]
fn no_error_about_errors_fragments_and_crowds() {
    let refused = |frame: &[u8], why: NoReply| {
        assert_eq!(answer(frame, IcmpError::NoRoute), Err(why), "{why}");
    };
    for (a, b) in both() {
        let v4 = a.ip.is_ipv4();
        let udp = compose::udp(&a, &b, &[0; 100]);
        refused(
            &answer(&udp, IcmpError::NoRoute).unwrap(),
            NoReply::IcmpError,
        );
        let (proto, kinds) = if v4 {
            (1, [3, 5, 11])
        } else {
            (58, [3, 127, 137])
        };
        for kind in kinds {
            let message = [kind, 0, 0, 0, 0, 0, 0, 0];
            refused(
                &Packet::new(&a, &b, b"").ip(proto, &message),
                NoReply::IcmpError,
            );
        }
        assert!(answer(&compose::echo_request(&a, &b, 1, b""), IcmpError::NoRoute).is_ok());

        let parts = compose::fragments(&udp, 1, 64);
        assert!(answer(&parts[0], IcmpError::NoRoute).is_ok());
        refused(&parts[1], NoReply::NonFirstFragment);

        let to = |ip: &str| compose::udp(&a, &Endpoint::new(b.mac, ip, 1), b"");
        let from = |ip: &str| compose::udp(&Endpoint::new(a.mac, ip, 1), &b, b"");
        let (crowds, nobodies): (&[&str], &[&str]) = if v4 {
            (
                &["224.0.0.1", "255.255.255.255"],
                &["0.0.0.0", "224.0.0.1", "127.0.0.1"],
            )
        } else {
            (&["ff02::1"], &["::", "ff02::1", "::1"])
        };
        crowds
            .iter()
            .for_each(|ip| refused(&to(ip), NoReply::Multicast));
        nobodies
            .iter()
            .for_each(|ip| refused(&from(ip), NoReply::BadSource));
        let flooded = Endpoint {
            mac: MacAddr::BROADCAST,
            ..b
        };
        refused(&compose::udp(&a, &flooded, b""), NoReply::Multicast);
    }
}

#[test]
fn what_cannot_be_answered_says_why() {
    let (a, b) = v4();
    let mut out = [0; 100];
    let arp = compose::arp_reply(&a, &b);
    let v4 = responder(Family::V4);
    assert_eq!(
        icmp_error(&arp, IcmpError::NoRoute, v4, &mut out),
        Err(NoReply::NotIp)
    );
    let udp = compose::udp(&a, &b, b"");
    let v6 = responder(Family::V6);
    assert_eq!(
        icmp_error(&udp, IcmpError::NoRoute, v6, &mut out),
        Err(NoReply::WrongFamily)
    );
    let small = EmitError::BufferTooSmall { need: 70, have: 69 };
    let result = icmp_error(&udp, IcmpError::NoRoute, v4, &mut out[..69]);
    assert_eq!(result, Err(small.into()));
    let result = icmp_error(&udp[..20], IcmpError::NoRoute, v4, &mut out);
    assert!(matches!(result, Err(NoReply::Parse(_))));
}
