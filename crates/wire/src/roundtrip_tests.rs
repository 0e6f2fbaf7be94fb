//! `parse(emit(repr)) == repr` for every representation, and a buffer too small is an error.

use core::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use crate::{
    EmitError, MacAddr, ParseError, TcpFlags, Vni,
    arp::{ArpOperation, ArpRepr, ArpView},
    ethernet::{EtherType, EthernetRepr, EthernetView},
    icmpv4::{self, Icmpv4Repr, Icmpv4View},
    icmpv6::{self, Icmpv6Repr, Icmpv6View},
    ip::FragmentOffset,
    ipv4::{Ipv4Repr, Ipv4View},
    ipv6::{FlowLabel, Ipv6Repr, Ipv6View},
    options::HeaderOptions,
    tcp::{TcpRepr, TcpView},
    udp::{UdpRepr, UdpView},
    vxlan::{VxlanRepr, VxlanView},
};

fn mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(MacAddr)
}

fn options() -> impl Strategy<Value = HeaderOptions> {
    prop::collection::vec(any::<[u8; 4]>(), 0..=10)
        .prop_map(|words| HeaderOptions::new(&words.concat()).unwrap())
}

fn v4_unreachable() -> impl Strategy<Value = icmpv4::Unreachable> {
    use icmpv4::Unreachable as U;
    prop_oneof![
        Just(U::Network),
        Just(U::Host),
        Just(U::Protocol),
        Just(U::Port),
        any::<u16>().prop_map(|mtu| U::FragmentationNeeded { mtu }),
        Just(U::SourceRouteFailed),
        Just(U::NetworkProhibited),
        Just(U::HostProhibited),
        Just(U::Prohibited),
    ]
}

fn icmpv4_repr() -> impl Strategy<Value = Icmpv4Repr> {
    prop_oneof![
        any::<(u16, u16)>()
            .prop_map(|(ident, sequence)| Icmpv4Repr::EchoRequest { ident, sequence }),
        any::<(u16, u16)>().prop_map(|(ident, sequence)| Icmpv4Repr::EchoReply { ident, sequence }),
        v4_unreachable().prop_map(Icmpv4Repr::Unreachable),
        Just(Icmpv4Repr::HopLimitExceeded),
        Just(Icmpv4Repr::ReassemblyTimeExceeded),
    ]
}

fn icmpv6_repr() -> impl Strategy<Value = Icmpv6Repr> {
    use icmpv6::Unreachable as U;
    let reasons = [
        U::NoRoute,
        U::Prohibited,
        U::BeyondScope,
        U::Address,
        U::Port,
        U::SourcePolicy,
        U::RejectRoute,
    ];
    let target = || any::<Ipv6Addr>();
    let flags = any::<[bool; 3]>();
    prop_oneof![
        any::<(u16, u16)>()
            .prop_map(|(ident, sequence)| Icmpv6Repr::EchoRequest { ident, sequence }),
        any::<(u16, u16)>().prop_map(|(ident, sequence)| Icmpv6Repr::EchoReply { ident, sequence }),
        prop::sample::select(reasons.to_vec()).prop_map(Icmpv6Repr::Unreachable),
        any::<u32>().prop_map(|mtu| Icmpv6Repr::PacketTooBig { mtu }),
        Just(Icmpv6Repr::HopLimitExceeded),
        Just(Icmpv6Repr::ReassemblyTimeExceeded),
        (target(), prop::option::of(mac()))
            .prop_map(|(target, source_mac)| Icmpv6Repr::NeighbourSolicit { target, source_mac }),
        (target(), flags, prop::option::of(mac())).prop_map(
            |(target, [router, solicited, overrides], target_mac)| {
                Icmpv6Repr::NeighbourAdvert {
                    target,
                    router,
                    solicited,
                    overrides,
                    target_mac,
                }
            }
        ),
    ]
}

/// Emits into a buffer of just the right length; one byte less is refused untouched.
fn emitted(
    len: usize,
    emit: impl Fn(&mut [u8]) -> Result<usize, EmitError>,
) -> Result<Vec<u8>, TestCaseError> {
    let mut small = vec![0xaa; len - 1];
    let refused = EmitError::BufferTooSmall {
        need: len,
        have: len - 1,
    };
    prop_assert_eq!(emit(&mut small), Err(refused));
    prop_assert!(small.iter().all(|&byte| byte == 0xaa));
    let mut out = vec![0xaa; len];
    prop_assert_eq!(emit(&mut out), Ok(len));
    Ok(out)
}

/// Emits `repr` and reads it back.
macro_rules! round_trip {
    ($repr:expr, $view:ident, $parse:expr) => {{
        let repr = $repr;
        let bytes = emitted(repr.buffer_len(), |out| repr.emit(out))?;
        let parsed: Result<_, ParseError> = $view::new(&bytes).and_then($parse);
        prop_assert_eq!(parsed, Ok(repr));
    }};
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn link_layer(dst in mac(), src in mac(), ethertype: u16, reply: bool, ips: [[u8; 4]; 2]) {
        let ethernet = EthernetRepr { dst, src, ethertype: EtherType(ethertype) };
        round_trip!(ethernet, EthernetView, |view| Ok(EthernetRepr::parse(view)));
        let arp = ArpRepr {
            operation: if reply { ArpOperation::Reply } else { ArpOperation::Request },
            sender_mac: src,
            sender_ip: ips[0].into(),
            target_mac: dst,
            target_ip: ips[1].into(),
        };
        round_trip!(arp, ArpView, ArpRepr::parse);
    }

    #[test]
    fn ipv4(
        bytes: [u8; 3],
        bits: (bool, bool),
        ident: u16,
        units in 0u16..0x2000,
        ends: (Ipv4Addr, Ipv4Addr),
        options in options(),
        payload_len in 0u16..2000,
    ) {
        let repr = Ipv4Repr {
            dscp_ecn: bytes[0],
            ident,
            dont_fragment: bits.0,
            more_fragments: bits.1,
            fragment_offset: FragmentOffset::from_units(units),
            ttl: bytes[1],
            protocol: bytes[2],
            src: ends.0,
            dst: ends.1,
            options,
            payload_len,
        };
        let mut packet = emitted(repr.buffer_len(), |out| repr.emit(out))?;
        packet.resize(packet.len() + usize::from(payload_len), 0);
        prop_assert_eq!(Ipv4View::new(&packet).and_then(Ipv4Repr::parse), Ok(repr));
    }

    #[test]
    fn ipv6(
        bytes: [u8; 3],
        label in 0u32..1 << 20,
        ends: (Ipv6Addr, Ipv6Addr),
        payload_len in 0u16..2000,
    ) {
        let repr = Ipv6Repr {
            traffic_class: bytes[0],
            flow_label: FlowLabel::new(label).unwrap(),
            payload_len,
            next_header: bytes[1],
            hop_limit: bytes[2],
            src: ends.0,
            dst: ends.1,
        };
        let mut packet = emitted(repr.buffer_len(), |out| repr.emit(out))?;
        packet.resize(packet.len() + usize::from(payload_len), 0);
        prop_assert_eq!(Ipv6View::new(&packet).map(Ipv6Repr::parse), Ok(repr));
    }

    #[test]
    fn tcp(
        ports: (u16, u16),
        numbers: (u32, u32),
        flags: u8,
        rest: (u16, u16),
        options in options(),
    ) {
        let repr = TcpRepr {
            src_port: ports.0,
            dst_port: ports.1,
            sequence: numbers.0,
            acknowledgement: numbers.1,
            flags: TcpFlags(flags),
            window: rest.0,
            urgent: rest.1,
            options,
        };
        round_trip!(repr, TcpView, TcpRepr::parse);
    }

    #[test]
    fn udp_and_vxlan(ports: (u16, u16), payload_len in 0u16..2000, vni in 0u32..1 << 24) {
        let repr = UdpRepr { src_port: ports.0, dst_port: ports.1, payload_len };
        let mut datagram = emitted(repr.buffer_len(), |out| repr.emit(out))?;
        datagram.resize(datagram.len() + usize::from(payload_len), 0);
        prop_assert_eq!(UdpView::new(&datagram).map(UdpRepr::parse), Ok(repr));
        let vxlan = VxlanRepr { vni: Vni::new(vni).unwrap() };
        round_trip!(vxlan, VxlanView, |view| Ok(VxlanRepr::parse(view)));
    }

    #[test]
    fn icmp(v4 in icmpv4_repr(), v6 in icmpv6_repr()) {
        round_trip!(v4, Icmpv4View, Icmpv4Repr::parse);
        round_trip!(v6, Icmpv6View, Icmpv6Repr::parse);
    }
}

#[test]
fn payloads_past_the_length_field_are_refused() {
    let udp = UdpRepr {
        src_port: 1,
        dst_port: 2,
        payload_len: 65528,
    };
    let error = EmitError::PayloadTooLong {
        header: crate::Header::Udp,
        len: 65528,
        max: 65527,
    };
    assert_eq!(udp.emit(&mut [0; 8]), Err(error));
    let ip = Ipv4Repr {
        dscp_ecn: 0,
        ident: 0,
        dont_fragment: false,
        more_fragments: false,
        fragment_offset: FragmentOffset::ZERO,
        ttl: 1,
        protocol: 17,
        src: Ipv4Addr::LOCALHOST,
        dst: Ipv4Addr::LOCALHOST,
        options: HeaderOptions::NONE,
        payload_len: 65516,
    };
    let error = EmitError::PayloadTooLong {
        header: crate::Header::Ipv4,
        len: 65516,
        max: 65515,
    };
    assert_eq!(ip.emit(&mut [0; 20]), Err(error));
}

#[test]
fn values_outside_their_field_cannot_be_made() {
    assert_eq!(HeaderOptions::new(&[0; 3]), None);
    assert_eq!(HeaderOptions::new(&[0; 44]), None);
    assert_eq!(FlowLabel::new(1 << 20), None);
    assert_eq!(FragmentOffset::from_bytes(12), None);
}

#[test]
fn unknown_fields_are_named() {
    let mut arp = vec![0, 1, 8, 0, 6, 4, 0, 3];
    arp.resize(28, 0);
    let message = ArpView::new(&arp)
        .and_then(ArpRepr::parse)
        .unwrap_err()
        .to_string();
    assert_eq!(message, "ARP operation 3 unsupported");
    arp[1] = 6;
    let message = ArpView::new(&arp).unwrap_err().to_string();
    assert_eq!(message, "ARP hardware type 6 unsupported");
    let redirect = Icmpv4View::new(&[5, 0, 0, 0, 0, 0, 0, 0]).and_then(Icmpv4Repr::parse);
    assert_eq!(
        redirect.unwrap_err().to_string(),
        "ICMPv4 type 5 unsupported"
    );
    let code = Icmpv6View::new(&[1, 9, 0, 0, 0, 0, 0, 0]).and_then(Icmpv6Repr::parse);
    assert_eq!(code.unwrap_err().to_string(), "ICMPv6 code 9 unsupported");
}
