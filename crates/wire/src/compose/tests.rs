use proptest::prelude::*;

use super::*;
use crate::{L4, arp::ArpView, ethernet::EthernetView, fixtures::*};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn checksums_are_right(payload in prop::collection::vec(any::<u8>(), 0..200), ident: u16) {
        for (a, b) in both() {
            for frame in [
                tcp(&a, &b, TcpFlags::SYN, &payload),
                udp(&a, &b, &payload),
                echo_request(&a, &b, ident, &payload),
                echo_reply(&a, &b, ident, &payload),
            ] {
                prop_assert!(checksums_hold(&frame));
                prop_assert!(frame.ends_with(&payload));
            }
        }
    }

    #[test]
    fn fragments_reassemble(
        payload in prop::collection::vec(any::<u8>(), 0..500),
        max in 24u16..300,
    ) {
        for (a, b) in both() {
            let whole = udp(&a, &b, &payload);
            let mut datagram = Vec::new();
            for part in fragments(&whole, 5, max) {
                let found = packet(&part);
                let offset = found.fragment.map_or(0, |fragment| usize::from(fragment.offset));
                prop_assert_eq!(offset, datagram.len());
                prop_assert!(part.len() - found.l4_offset <= usize::from(max));
                datagram.extend_from_slice(&part[found.l4_offset..]);
            }
            prop_assert_eq!(&datagram, &whole[packet(&whole).l4_offset..]);
        }
    }
}

#[test]
fn shared_parts_are_used() {
    let (a, b) = v4();
    let shape = Packet {
        ttl: 3,
        dscp_ecn: 0x48,
        dont_fragment: false,
        ..Packet::new(&a, &b, b"x")
    };
    let found = packet(&shape.udp());
    assert_eq!(
        (found.ttl, found.dscp_ecn, found.dont_fragment),
        (3, 0x48, false)
    );
}

#[test]
fn address_resolution() {
    let (a, b) = v4();
    let IpAddr::V4(target) = b.ip else {
        unreachable!()
    };
    let frame = arp_request(&a, target);
    let ethernet = EthernetView::new(&frame).unwrap();
    assert!(ethernet.dst().is_broadcast());
    let arp = ArpView::new(ethernet.payload()).unwrap();
    assert_eq!(
        (arp.operation(), arp.sender_mac(), arp.target_ip()),
        (1, a.mac, target)
    );
    let (a, _) = v6();
    let frame = neighbour_solicit(&a, "fd00::99".parse().unwrap());
    assert!(checksums_hold(&frame));
    let found = packet(&frame);
    assert_eq!(
        (found.ttl, found.dst),
        (255, "ff02::1:ff00:99".parse::<IpAddr>().unwrap())
    );
    assert!(matches!(found.l4, L4::NeighbourSolicit { .. }));
}

#[test]
#[should_panic(expected = "different IP versions")]
fn mixed_families_are_a_mistake() {
    let _ = tcp(&v4().0, &v6().1, TcpFlags::SYN, b"");
}
