//! Here the shapes of packets; a module each for hostile packets, quoted packets and agreement with
//! etherparse.

use super::*;
use crate::{compose, compose::Packet, fixtures::*, ip::protocol, ipv4};

mod agreement;
mod errors;
mod quoted;

#[test]
fn a_segment_and_its_offsets() {
    for ((a, b), l3_header) in both().into_iter().zip([20, 40]) {
        let shape = Packet {
            ttl: 17,
            dscp_ecn: 0xb9,
            ..Packet::new(&a, &b, b"hello")
        };
        let frame = shape.tcp(TcpFlags::SYN | TcpFlags::ECE, 5, 0);
        let found = dissect(&frame).unwrap();
        assert_eq!((found.dst, found.src), (B_MAC, A_MAC));
        let expected = IpPacket {
            family: if a.ip.is_ipv4() {
                Family::V4
            } else {
                Family::V6
            },
            src: a.ip,
            dst: b.ip,
            proto: protocol::TCP,
            ttl: 17,
            dscp_ecn: 0xb9,
            l3_offset: 14,
            l4_offset: 14 + l3_header,
            l3_len: l3_header + 25,
            fragment: None,
            dont_fragment: true,
            options_or_extensions: false,
            l4: L4::Tcp {
                sport: 40000,
                dport: 443,
                flags: TcpFlags::SYN | TcpFlags::ECE,
            },
        };
        assert_eq!(found.kind, Kind::Ip(expected));
    }
}

#[test]
fn every_upper_layer() {
    let (a, b) = v6();
    for (a, b) in both() {
        let of = |frame: Vec<u8>| packet(&frame).l4;
        assert_eq!(
            of(compose::udp(&a, &b, b"")),
            L4::Udp {
                sport: 40000,
                dport: 443
            }
        );
        let echo = |request| L4::IcmpEcho {
            request,
            ident: 0x1234,
        };
        assert_eq!(of(compose::echo_request(&a, &b, 0x1234, b"x")), echo(true));
        assert_eq!(of(compose::echo_reply(&a, &b, 0x1234, b"x")), echo(false));
        for proto in [protocol::ESP, protocol::AH, 132, protocol::NO_NEXT_HEADER] {
            assert_eq!(of(Packet::new(&a, &b, b"").ip(proto, b"")), L4::Other);
        }
        // ICMP of the other family is just a protocol.
        let foreign = if a.ip.is_ipv4() {
            protocol::ICMPV6
        } else {
            protocol::ICMPV4
        };
        assert_eq!(of(Packet::new(&a, &b, b"").ip(foreign, b"")), L4::Other);
    }
    let icmpv6 = |type_, code| {
        let header = [type_, code, 0, 0, 0, 0, 0, 0];
        packet(&Packet::new(&a, &b, &[0; 16]).ip(protocol::ICMPV6, &header)).l4
    };
    assert_eq!(icmpv6(133, 0), L4::RouterSolicit);
    assert_eq!(icmpv6(136, 0), L4::NeighbourAdvert);
    assert_eq!(
        icmpv6(137, 0),
        L4::IcmpOther {
            type_: 137,
            code: 0
        }
    );
    assert_eq!(
        icmpv6(135, 1),
        L4::IcmpOther {
            type_: 135,
            code: 1
        }
    );
}

#[test]
fn address_resolution_and_others() {
    let (a, b) = v4();
    assert_eq!(
        dissect(&compose::arp_reply(&a, &b)).unwrap().kind,
        Kind::Arp
    );
    let (a, _) = v6();
    let target = "fd00::99".parse().unwrap();
    let solicit = compose::neighbour_solicit(&a, target);
    assert_eq!(packet(&solicit).l4, L4::NeighbourSolicit { target });
    assert_eq!(
        dissect(&solicit).unwrap().dst.to_string(),
        "33:33:ff:00:00:99"
    );
    for ethertype in [
        EtherType::VLAN,
        EtherType::SERVICE_VLAN,
        EtherType(0x8847),
        EtherType(46),
    ] {
        let mut frame = vec![0; 60];
        frame[12..14].copy_from_slice(&ethertype.0.to_be_bytes());
        assert_eq!(dissect(&frame).unwrap().kind, Kind::Other { ethertype });
    }
}

#[test]
fn padding_is_no_part_of_the_packet() {
    for (a, b) in both() {
        let mut frame = compose::udp(&a, &b, b"hi");
        let bare = dissect(&frame);
        frame.resize(100, 0xee);
        assert_eq!(dissect(&frame), bare);
    }
}

#[test]
fn fragments_share_an_identification() {
    for (a, b) in both() {
        let whole = compose::udp(&a, &b, &[7; 100]);
        let parts = compose::fragments(&whole, 0x4242, 48);
        let found: Vec<_> = parts.iter().map(|part| packet(part)).collect();
        let offsets: Vec<_> = found.iter().map(|part| part.fragment.unwrap()).collect();
        let at = |offset, more| Fragment {
            id: 0x4242,
            offset,
            more,
        };
        assert_eq!(offsets, [at(0, true), at(48, true), at(96, false)]);
        assert_eq!(
            found[0].l4,
            L4::Udp {
                sport: 40000,
                dport: 443
            }
        );
        assert!(
            found[1..]
                .iter()
                .all(|part| part.l4 == L4::NonFirstFragment)
        );
        assert!(found.iter().all(|part| part.proto == protocol::UDP));
    }
}

#[test]
fn a_fragmented_solicitation_is_not_one() {
    let (a, _) = v6();
    let whole = compose::neighbour_solicit(&a, "fd00::99".parse().unwrap());
    let first = &compose::fragments(&whole, 1, 24)[0];
    assert_eq!(
        packet(first).l4,
        L4::IcmpOther {
            type_: 135,
            code: 0
        }
    );
}

#[test]
fn options_and_extensions_move_the_upper_layer() {
    let (a, b) = v4();
    let mut frame = compose::udp(&a, &b, b"");
    frame.splice(34..34, [1, 1, 1, 0]);
    frame[14] = 0x46;
    frame[17] += 4;
    ipv4::fill_header_checksum(&mut frame[14..38]);
    let found = packet(&frame);
    assert!(found.options_or_extensions && found.l4_offset == 38);
    assert_eq!(
        found.l4,
        L4::Udp {
            sport: 40000,
            dport: 443
        }
    );

    let (a, b) = v6();
    let udp = [[0x9c, 0x40, 1, 0xbb], [0, 8, 0, 0]].concat();
    let options = [[protocol::UDP, 0, 1, 4].as_slice(), &[0; 4], &udp].concat();
    let frame = Packet::new(&a, &b, b"").ip(protocol::DESTINATION_OPTIONS, &options);
    let found = packet(&frame);
    assert!(found.options_or_extensions && found.l4_offset == 62);
    assert_eq!(
        (found.proto, found.l4),
        (
            protocol::UDP,
            L4::Udp {
                sport: 40000,
                dport: 443
            }
        )
    );
}
