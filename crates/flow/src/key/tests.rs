use proptest::prelude::*;
use zerocopy::IntoBytes;

use super::*;

fn v4(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 1, last))
}

fn v6(last: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last))
}

#[test]
fn the_layout_is_the_one_the_kernel_program_reads() {
    let key = FlowKey::new(PortId(0x0102), v4(4), v4(5), 6, 40_000, 443);
    let mut expected = [0; 40];
    expected[..4].copy_from_slice(&[10, 0, 1, 4]);
    expected[16..20].copy_from_slice(&[10, 0, 1, 5]);
    expected[32..38].copy_from_slice(&[0x9c, 0x40, 0x01, 0xbb, 6, 4]);
    expected[38..].copy_from_slice(&0x0102u16.to_ne_bytes());
    assert_eq!(key.as_bytes(), expected);

    let key = FlowKey::new(PortId(1), v6(4), v6(5), 17, 1, 2);
    assert_eq!(key.as_bytes()[..4], [0x20, 0x01, 0x0d, 0xb8]);
    assert_eq!((key.as_bytes()[15], key.as_bytes()[31]), (4, 5));
    assert_eq!(key.as_bytes()[32..38], [0, 1, 0, 2, 17, 6]);
}

#[test]
fn a_key_reads_as_users_know_it() {
    let key = |protocol| FlowKey::new(PortId(3), v4(4), v4(5), protocol, 40_000, 443);
    assert_eq!(key(6).to_string(), "tcp 10.0.1.4:40000 -> 10.0.1.5:443");
    assert_eq!(key(17).to_string(), "udp 10.0.1.4:40000 -> 10.0.1.5:443");
    assert_eq!(key(50).to_string(), "esp 10.0.1.4 -> 10.0.1.5");
    assert_eq!(key(51).to_string(), "ah 10.0.1.4 -> 10.0.1.5");
    assert_eq!(key(132).to_string(), "proto-132 10.0.1.4 -> 10.0.1.5");
    assert_eq!(format!("{:?}", key(50)), "port 3: esp 10.0.1.4 -> 10.0.1.5");
    let echo = FlowKey::new(PortId(3), v4(4), v4(5), 1, 7, 0x0800);
    assert_eq!(
        echo.to_string(),
        "icmp 10.0.1.4 -> 10.0.1.5 type 8 code 0 id 7"
    );
    let v6 = FlowKey::new(PortId(3), v6(4), v6(5), 6, 40_000, 443);
    assert_eq!(
        v6.to_string(),
        "tcp [2001:db8::4]:40000 -> [2001:db8::5]:443"
    );
}

#[test]
fn an_echo_is_answered_by_its_reply() {
    let cases = [
        (v4(4), v4(5), 1, 0x0800, 0x0000),
        (v6(4), v6(5), 58, 0x8000, 0x8100),
    ];
    for (src, dst, protocol, request, reply) in cases {
        let asked = FlowKey::new(PortId(1), src, dst, protocol, 7, request);
        let answered = FlowKey::new(PortId(2), dst, src, protocol, 7, reply);
        assert_eq!(asked.reversed_at(PortId(2)), answered);
    }
}

#[test]
fn icmp_of_the_other_family_is_not_icmp() {
    assert!(!FlowKey::new(PortId(1), v4(4), v4(5), 58, 0, 0).is_icmp());
    assert!(!FlowKey::new(PortId(1), v6(4), v6(5), 1, 0, 0).is_icmp());
}

proptest! {
    #[test]
    fn a_key_reversed_twice_is_itself(
        addresses in prop_oneof![
            any::<([u8; 4], [u8; 4])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
            any::<([u8; 16], [u8; 16])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
        ],
        protocol: u8,
        source_port: u16,
        destination_port: u16,
    ) {
        let (src, dst) = addresses;
        let key = FlowKey::new(PortId(1), src, dst, protocol, source_port, destination_port);
        let reversed = key.reversed_at(PortId(2));
        prop_assert_eq!(reversed.reversed_at(PortId(1)), key);
        prop_assert_eq!((reversed.src(), reversed.dst()), (dst, src));
        prop_assert_eq!((reversed.protocol(), reversed.port()), (protocol, PortId(2)));
        prop_assert_eq!((key.src(), key.dst()), (src, dst));
        prop_assert_eq!(
            (key.source_port(), key.destination_port()),
            (source_port, destination_port)
        );
        prop_assert_eq!(key.at(PortId(2)).at(PortId(1)), key);
    }
}

proptest! {
    #[test]
    fn a_key_off_the_headers_is_the_same_key(
        port: u16, v4: [u8; 8], v6: [u8; 32], protocol: u8, ports: (u16, u16),
    ) {
        let port = PortId(port);
        let [a, b] = ports.0.to_be_bytes();
        let [c, d] = ports.1.to_be_bytes();
        let [src @ .., _, _, _, _] = v4;
        let [_, _, _, _, dst @ ..] = v4;
        let key = FlowKey::of_ipv4(port, &v4, protocol, [a, b, c, d]);
        let (src, dst) = (IpAddr::from(src), IpAddr::from(dst));
        prop_assert_eq!(key, FlowKey::new(port, src, dst, protocol, ports.0, ports.1));

        let half = |at: usize| <[u8; 16]>::try_from(&v6[at..at + 16]).expect("sixteen");
        let key = FlowKey::of_ipv6(port, &v6, protocol, [a, b, c, d]);
        let (src, dst) = (IpAddr::from(half(0)), IpAddr::from(half(16)));
        prop_assert_eq!(key, FlowKey::new(port, src, dst, protocol, ports.0, ports.1));
    }
}
