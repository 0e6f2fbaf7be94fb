use super::*;
use crate::{TcpFlags, compose, compose::Packet, dissect, fixtures::*};

#[test]
fn addresses_are_set() {
    let (a, b) = v4();
    let mut frame = compose::tcp(&a, &b, TcpFlags::ACK, b"x");
    set_eth_dst(&mut frame, ROUTER_MAC).unwrap();
    set_eth_src(&mut frame, B_MAC).unwrap();
    let found = dissect(&frame).unwrap();
    assert_eq!((found.dst, found.src), (ROUTER_MAC, B_MAC));
    let too_small = Err(EmitError::BufferTooSmall { need: 14, have: 13 });
    assert_eq!(set_eth_dst(&mut frame[..13], A_MAC), too_small);
    assert_eq!(set_eth_src(&mut frame[..13], A_MAC), too_small);
}

#[test]
fn every_hop_count_is_decremented_with_a_right_checksum() {
    for (a, b) in both() {
        for ttl in 2..=255 {
            for ident in [0, 0x00ff, 0xfeff, 0xffff] {
                let shape = Packet {
                    ttl,
                    ident,
                    ..Packet::new(&a, &b, b"")
                };
                let mut frame = shape.tcp(TcpFlags::ACK, 1, 1);
                let before = packet(&frame);
                assert_eq!(decrement_ttl(&mut frame, &before), Some(ttl - 1));
                assert_eq!(
                    packet(&frame),
                    crate::IpPacket {
                        ttl: ttl - 1,
                        ..before
                    }
                );
            }
        }
    }
}

#[test]
fn the_last_hop_is_not_taken() {
    for (a, b) in both() {
        for ttl in [0, 1] {
            let mut frame = Packet {
                ttl,
                ..Packet::new(&a, &b, b"")
            }
            .udp();
            let (before, found) = (frame.clone(), packet(&frame));
            assert_eq!(decrement_ttl(&mut frame, &found), None);
            assert_eq!(frame, before);
        }
        let mut frame = compose::udp(&a, &b, b"");
        let found = packet(&frame);
        assert_eq!(decrement_ttl(&mut frame[..30], &found), None);
        assert_eq!(decrement_ttl(&mut [], &found), None);
    }
}

#[test]
fn an_error_in_the_header_stays_visible() {
    let (a, b) = v4();
    let mut frame = compose::udp(&a, &b, b"");
    let found = packet(&frame);
    frame[18] ^= 0x40;
    assert_eq!(decrement_ttl(&mut frame, &found), Some(63));
    let header = crate::Header::Ipv4;
    assert_eq!(
        dissect(&frame),
        Err(crate::ParseError::BadChecksum { header })
    );
}
