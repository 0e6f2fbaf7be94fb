//! ICMP errors and the packets they quote.

use super::*;
use crate::icmp_reply::{IcmpError, Responder, icmp_error};

/// The error a router sends about `frame`.
fn error_about(frame: &[u8]) -> Vec<u8> {
    let ip = match packet(frame).family {
        Family::V4 => "10.0.0.1".parse().unwrap(),
        Family::V6 => "fd00::1".parse().unwrap(),
    };
    let mut out = vec![0; 1500];
    let responder = Responder {
        mac: ROUTER_MAC,
        ip,
    };
    let len = icmp_error(frame, IcmpError::HopLimitExceeded, responder, &mut out).unwrap();
    out.truncate(len);
    out
}

fn inner(frame: &[u8]) -> Option<InnerTuple> {
    match packet(frame).l4 {
        L4::IcmpError { inner } => inner,
        other => panic!("not an ICMP error: {other:?}"),
    }
}

/// `frame` with its IP packet ending after `l3_len` bytes.
fn cut(frame: &[u8], l3_len: usize) -> Vec<u8> {
    let mut frame = frame[..14 + l3_len].to_vec();
    if frame[12..14] == [8, 0] {
        frame[16..18].copy_from_slice(&u16::try_from(l3_len).unwrap().to_be_bytes());
        ipv4::fill_header_checksum(&mut frame[14..34]);
    } else {
        frame[18..20].copy_from_slice(&u16::try_from(l3_len - 40).unwrap().to_be_bytes());
    }
    frame
}

#[test]
fn the_quoted_tuple_and_where_it_is() {
    for ((a, b), header) in both().into_iter().zip([20, 40]) {
        let ports = InnerL4::Ports {
            sport: 40000,
            dport: 443,
        };
        let echo = |request| InnerL4::Echo { request, ident: 77 };
        for (frame, l4) in [
            (compose::tcp(&a, &b, TcpFlags::ACK, &[1; 2000]), ports),
            (compose::udp(&a, &b, &[1; 10]), ports),
            (compose::echo_request(&a, &b, 77, b""), echo(true)),
            (compose::echo_reply(&a, &b, 77, b""), echo(false)),
            (
                Packet::new(&a, &b, &[0; 20]).ip(protocol::ESP, b""),
                InnerL4::Other,
            ),
        ] {
            let (error, proto) = (error_about(&frame), packet(&frame).proto);
            let l3_offset = 14 + header + 8;
            let l4_offset = l3_offset + header;
            let expected = InnerTuple {
                src: a.ip,
                dst: b.ip,
                proto,
                l4,
                l3_offset,
                l4_offset,
            };
            assert_eq!(inner(&error), Some(expected));
            assert_eq!(error[l4_offset..][..4], frame[14 + header..][..4]);
        }
    }
}

#[test]
fn eight_quoted_bytes_are_enough_and_fewer_are_not() {
    for ((a, b), header) in both().into_iter().zip([20, 40]) {
        let error = error_about(&compose::tcp(&a, &b, TcpFlags::ACK, &[1; 100]));
        assert!(inner(&cut(&error, header + 8 + header + 8)).is_some());
        for quoted in 0..header + 8 {
            assert_eq!(inner(&cut(&error, header + 8 + quoted)), None);
        }
    }
}

#[test]
fn a_quote_that_is_no_packet_is_no_error_of_the_quoter() {
    for (a, b) in both() {
        let (proto, kind) = if a.ip.is_ipv4() {
            (protocol::ICMPV4, 3)
        } else {
            (protocol::ICMPV6, 1)
        };
        let header = [kind, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(
            inner(&Packet::new(&a, &b, &[0xff; 60]).ip(proto, &header)),
            None
        );
        let parts = compose::fragments(&compose::udp(&a, &b, &[0; 100]), 1, 32);
        let quote = &parts[1][14..];
        assert_eq!(inner(&Packet::new(&a, &b, quote).ip(proto, &header)), None);
        assert!(inner(&Packet::new(&a, &b, &parts[0][14..]).ip(proto, &header)).is_some());
    }
}

#[test]
fn only_errors_belong_to_a_flow() {
    let errors = |(a, b), proto| {
        let is_error = |&kind: &u8| {
            let frame = Packet::new(&a, &b, &[0; 40]).ip(proto, &[kind, 0, 0, 0, 0, 0, 0, 0]);
            match dissect(&frame) {
                Ok(found) => {
                    matches!(
                        found.kind,
                        Kind::Ip(IpPacket {
                            l4: L4::IcmpError { .. },
                            ..
                        })
                    )
                }
                // The one message whose body is read: here it has an option of length zero.
                Err(_) => kind != 135 && panic!("type {kind} refused"),
            }
        };
        (0..=255).filter(is_error).collect::<Vec<u8>>()
    };
    assert_eq!(errors(v4(), protocol::ICMPV4), [3, 4, 11, 12]);
    assert_eq!(errors(v6(), protocol::ICMPV6), [1, 2, 3, 4]);
}
