use core::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::{
    Dissection, IpPacket, Kind, L4, checksum::Sum, compose, compose::Packet, dissect, fixtures::*,
};

/// What [`plain`] is to find in a frame, as [`dissect`] found it.
fn expected(frame: &[u8]) -> Option<(Dissection, IpPacket)> {
    let found = dissect(frame).ok()?;
    let Kind::Ip(packet) = found.kind else {
        return None;
    };
    let is_plain = packet.fragment.is_none()
        && !packet.options_or_extensions
        && matches!(packet.l4, L4::Tcp { .. } | L4::Udp { .. });
    is_plain.then_some((found, packet))
}

fn addresses(of: PlainAddresses<'_>) -> (IpAddr, IpAddr) {
    match of {
        PlainAddresses::V4(&[a, b, c, d, dst @ ..]) => ([a, b, c, d].into(), dst.into()),
        PlainAddresses::V6(both) => {
            let (src, dst) = both.split_at(16);
            let octets = |half: &[u8]| <[u8; 16]>::try_from(half).unwrap();
            (octets(src).into(), octets(dst).into())
        }
    }
}

fn assert_agrees(frame: &[u8]) {
    let found = plain(frame);
    let Some((ethernet, packet)) = expected(frame) else {
        assert_eq!(found, None);
        return;
    };
    let found = found.expect("nothing about it is uncommon");
    assert_eq!(guess_tuple(frame), Some(found.tuple));
    assert_eq!((found.dst, found.src), (ethernet.dst, ethernet.src));
    assert_eq!(addresses(found.tuple.addresses), (packet.src, packet.dst));
    assert_eq!((found.tuple.proto, found.ttl), (packet.proto, packet.ttl));
    assert_eq!(
        (found.dscp_ecn, found.l3_len),
        (packet.dscp_ecn, packet.l3_len)
    );
    let (ports, flags, l4_header_len) = match packet.l4 {
        L4::Tcp {
            sport,
            dport,
            flags,
        } => {
            let offset = usize::from(frame[packet.l4_offset + 12] >> 4) * 4;
            ((sport, dport), flags, offset)
        }
        L4::Udp { sport, dport } => ((sport, dport), TcpFlags::default(), 8),
        other => panic!("neither TCP nor UDP: {other:?}"),
    };
    let [a, b, c, d] = found.tuple.ports;
    let found_ports = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    assert_eq!((found_ports, found.tcp_flags), (ports, flags));
    let l3_header_len = packet.l4_offset - packet.l3_offset;
    assert_eq!(found.headers_len, l3_header_len + l4_header_len);
}

#[test]
fn of_a_long_frame_the_headers_are_enough() {
    let payload = [0x5a; 1_400];
    for (a, b) in both() {
        let shape = Packet::new(&a, &b, &payload);
        for frame in [shape.udp(), shape.tcp(TcpFlags::ACK, 5, 7)] {
            let whole = plain(&frame).unwrap();
            let headers = ethernet::HEADER_LEN + whole.headers_len;
            for at_hand in [headers, headers + 1, frame.len()] {
                assert_eq!(plain_head(&frame[..at_hand], frame.len()), Some(whole));
            }
            assert_eq!(plain_head(&frame[..headers - 1], frame.len()), None);
            assert_eq!(plain_head(&frame, frame.len() - 1), None);
        }
    }
}

#[test]
fn segments_and_datagrams_are_plain_and_all_else_is_not() {
    for (a, b) in both() {
        let shape = Packet::new(&a, &b, b"hello");
        for frame in [shape.udp(), shape.tcp(TcpFlags::ACK | TcpFlags::PSH, 5, 7)] {
            assert!(plain(&frame).is_some());
            assert_agrees(&frame);
        }
        for frame in [compose::echo_request(&a, &b, 1, b"x"), shape.ip(50, b"")] {
            assert_eq!(plain(&frame), None);
        }
    }
}

proptest! {
    /// Whatever a few changed bytes and another length make of a packet.
    #[test]
    fn it_says_what_the_full_dissection_says(
        v6: bool,
        tcp: bool,
        payload in 0_usize..40,
        // Mostly among the headers' lengths, versions, protocols and checksums.
        changes in prop::collection::vec((12_usize..75, any::<u8>()), 0..3),
        right_the_checksum: bool,
        padding in 0_usize..10,
        cut in prop_oneof![2 => Just(0_usize), 1 => 1_usize..80],
    ) {
        let (a, b) = if v6 { crate::fixtures::v6() } else { v4() };
        let payload = vec![0xa5; payload];
        let shape = Packet::new(&a, &b, &payload);
        let mut frame = if tcp { shape.tcp(TcpFlags::ACK, 1, 1) } else { shape.udp() };
        frame.resize(frame.len() + padding, 0);
        for (at, value) in changes {
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
        }
        if right_the_checksum && !v6 {
            frame[24..26].fill(0);
            let sum = Sum::of(&frame[14..34]).finish();
            frame[24..26].copy_from_slice(&sum.to_be_bytes());
        }
        frame.truncate(frame.len().saturating_sub(cut));
        assert_agrees(&frame);
    }
}
