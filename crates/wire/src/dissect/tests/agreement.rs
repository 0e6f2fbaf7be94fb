//! Agreement with etherparse, which shares no code with this crate.

use core::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use proptest::prelude::*;

use super::*;

/// The upper layer as etherparse sees it.
fn upper_layer(transport: &TransportSlice<'_>) -> L4 {
    let echo = |request, [high, low, ..]: [u8; 4]| {
        let ident = u16::from_be_bytes([high, low]);
        L4::IcmpEcho { request, ident }
    };
    match transport {
        TransportSlice::Tcp(tcp) => {
            let bits = [tcp.fin(), tcp.syn(), tcp.rst(), tcp.psh(), tcp.ack()];
            let bits = bits
                .iter()
                .enumerate()
                .map(|(at, &set)| u8::from(set) << at)
                .sum();
            let (sport, dport) = (tcp.source_port(), tcp.destination_port());
            L4::Tcp {
                sport,
                dport,
                flags: TcpFlags(bits),
            }
        }
        TransportSlice::Udp(udp) => L4::Udp {
            sport: udp.source_port(),
            dport: udp.destination_port(),
        },
        TransportSlice::Icmpv4(icmp) => echo(icmp.type_u8() == 8, icmp.bytes5to8()),
        TransportSlice::Icmpv6(icmp) => echo(icmp.type_u8() == 128, icmp.bytes5to8()),
        TransportSlice::Igmp(_) => L4::Other,
    }
}

#[derive(Clone, Copy, Debug)]
enum Upper {
    Tcp { syn: bool, fin: bool },
    Udp,
    Echo { request: bool },
}

fn upper() -> impl Strategy<Value = Upper> {
    prop_oneof![
        any::<(bool, bool)>().prop_map(|(syn, fin)| Upper::Tcp { syn, fin }),
        Just(Upper::Udp),
        any::<bool>().prop_map(|request| Upper::Echo { request }),
    ]
}

/// A frame made by etherparse alone.
fn build(v6: bool, upper: Upper, (x, y): (u16, u16), ttl: u8, payload: &[u8]) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let ip = if v6 {
        ethernet.ipv6(
            Ipv6Addr::from(u128::from(x)).octets(),
            [y.to_be_bytes()[0]; 16],
            ttl,
        )
    } else {
        ethernet.ipv4(Ipv4Addr::from(u32::from(x)).octets(), [10, 1, 2, 3], ttl)
    };
    let mut frame = Vec::new();
    match upper {
        Upper::Tcp { syn, fin } => {
            let mut tcp = ip.tcp(x, y, 1, 2);
            tcp = if syn { tcp.syn() } else { tcp };
            tcp = if fin { tcp.fin() } else { tcp };
            tcp.options_raw(&[1, 1, 1, 0])
                .unwrap()
                .write(&mut frame, payload)
        }
        Upper::Udp => ip.udp(x, y).write(&mut frame, payload),
        Upper::Echo { request: true } if v6 => {
            ip.icmpv6_echo_request(x, y).write(&mut frame, payload)
        }
        Upper::Echo { request: false } if v6 => {
            ip.icmpv6_echo_reply(x, y).write(&mut frame, payload)
        }
        Upper::Echo { request: true } => ip.icmpv4_echo_request(x, y).write(&mut frame, payload),
        Upper::Echo { request: false } => ip.icmpv4_echo_reply(x, y).write(&mut frame, payload),
    }
    .unwrap();
    frame
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn both_see_the_same_packet(
        v6: bool,
        upper in upper(),
        numbers: (u16, u16),
        ttl: u8,
        padding in 0usize..20,
        payload in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut frame = build(v6, upper, numbers, ttl, &payload);
        let packet_end = frame.len();
        frame.resize(packet_end + padding, 0);
        let found = packet(&frame);
        let sliced = SlicedPacket::from_ethernet(&frame).unwrap();
        prop_assert_eq!(found.l4, upper_layer(sliced.transport.as_ref().unwrap()));
        let ip_payload = sliced.ip_payload().unwrap();
        prop_assert_eq!(found.proto, ip_payload.ip_number.0);
        prop_assert_eq!(&frame[found.l4_offset..packet_end], ip_payload.payload);
        prop_assert_eq!(found.l3_offset + found.l3_len, packet_end);
        prop_assert_eq!(found.ttl, ttl);
        let check = crate::checksum::verify_l4(&frame, &found);
        prop_assert_eq!(check, Ok(crate::checksum::L4Check::Valid));
    }

    #[test]
    fn what_we_accept_lies_inside_the_frame(
        v6: bool,
        upper in upper(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        keep in any::<prop::sample::Index>(),
    ) {
        let mut frame = build(v6, upper, (1, 2), 3, &[0; 40]);
        for (at, value) in changes {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        frame.truncate(keep.index(frame.len() * 2));
        if let Ok(Dissection { kind: Kind::Ip(found), .. }) = dissect(&frame) {
            prop_assert!(found.l3_offset < found.l4_offset);
            prop_assert!(found.l4_offset <= found.l3_offset + found.l3_len);
            prop_assert!(found.l3_offset + found.l3_len <= frame.len());
        }
    }
}
