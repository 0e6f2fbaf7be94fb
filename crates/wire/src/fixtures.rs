//! What the tests of several modules need.

use crate::{Dissection, IpPacket, Kind, MacAddr, compose::Endpoint, dissect};

pub(crate) const A_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xa]);
pub(crate) const B_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xb]);
pub(crate) const ROUTER_MAC: MacAddr = MacAddr([0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc]);

/// Two endpoints that speak IPv4.
pub(crate) fn v4() -> (Endpoint, Endpoint) {
    (
        Endpoint::new(A_MAC, "10.0.0.4", 40000),
        Endpoint::new(B_MAC, "10.0.1.5", 443),
    )
}

/// Two endpoints that speak IPv6.
pub(crate) fn v6() -> (Endpoint, Endpoint) {
    (
        Endpoint::new(A_MAC, "fd00::4", 40000),
        Endpoint::new(B_MAC, "fd00:1::5", 443),
    )
}

/// Both pairs, for tests that must hold in either family.
pub(crate) fn both() -> [(Endpoint, Endpoint); 2] {
    [v4(), v6()]
}

/// The IP packet in a frame that must hold one.
pub(crate) fn packet(frame: &[u8]) -> IpPacket {
    match dissect(frame) {
        Ok(Dissection {
            kind: Kind::Ip(packet),
            ..
        }) => packet,
        other => panic!("no IP packet: {other:?}"),
    }
}

/// Whether etherparse, which shares no code with this crate, finds every checksum in `frame` right.
pub(crate) fn checksums_hold(frame: &[u8]) -> bool {
    use etherparse::{NetSlice, SlicedPacket, TransportSlice as T};
    let sliced = SlicedPacket::from_ethernet(frame).expect("etherparse reads the frame");
    match (
        sliced.net.expect("an IP packet"),
        sliced.transport.expect("an upper layer"),
    ) {
        (NetSlice::Ipv4(ip), transport) => {
            let ip = ip.header();
            let (src, dst) = (ip.source(), ip.destination());
            let l4_holds = match transport {
                T::Tcp(tcp) => Ok(tcp.checksum()) == tcp.calc_checksum_ipv4(src, dst),
                T::Udp(udp) => {
                    let header = udp.to_header();
                    let expected = header.calc_checksum_ipv4_raw(src, dst, udp.payload());
                    Ok(udp.checksum()) == expected
                }
                T::Icmpv4(icmp) => {
                    icmp.checksum() == icmp.icmp_type().calc_checksum(icmp.payload())
                }
                _ => false,
            };
            l4_holds && ip.header_checksum() == ip.to_header().calc_header_checksum()
        }
        (NetSlice::Ipv6(ip), transport) => {
            let ip = ip.header();
            let (src, dst) = (ip.source(), ip.destination());
            match transport {
                T::Tcp(tcp) => Ok(tcp.checksum()) == tcp.calc_checksum_ipv6(src, dst),
                T::Udp(udp) => {
                    let header = udp.to_header();
                    let expected = header.calc_checksum_ipv6_raw(src, dst, udp.payload());
                    Ok(udp.checksum()) == expected
                }
                T::Icmpv6(icmp) => icmp.is_checksum_valid(src, dst),
                _ => false,
            }
        }
        _ => false,
    }
}
