use std::net::IpAddr;

use flow::{DropReason, Encap, FlowKey, Half, PortId, Stamp, Transposition, Verdict};
use proptest::prelude::*;
use wire::{MacAddr, Vni};
use zerocopy::{FromZeros, IntoBytes};

use super::{FlowValue, Unencodable, Uplink};

fn keys() -> impl Strategy<Value = FlowKey> {
    let addresses = prop_oneof![
        any::<([u8; 4], [u8; 4])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
        any::<([u8; 16], [u8; 16])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
    ];
    (addresses, ports(), any::<(u8, u16, u16)>()).prop_map(
        |((src, dst), port, (protocol, sport, dport))| {
            FlowKey::new(port, src, dst, protocol, sport, dport)
        },
    )
}

/// Those of guests, marked or not.
fn ports() -> impl Strategy<Value = PortId> {
    (1..=PortId::MAX.0, any::<bool>()).prop_map(|(number, marked)| {
        let port = PortId(number);
        if marked { port.from_uplink() } else { port }
    })
}

/// Two ends of a tunnel, of one family.
fn ends() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    prop_oneof![
        any::<([u8; 4], [u8; 4])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
        any::<([u8; 16], [u8; 16])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
    ]
}

prop_compose! {
    fn tunnels()(
        (outer_src, outer_dst) in ends(),
        vni in 0..=Vni::MAX.get(),
        dst_port in 1..=u16::MAX,
    ) -> Encap {
        Encap { outer_src, outer_dst, vni: Vni::new(vni).unwrap(), dst_port }
    }
}

prop_compose! {
    fn halves()(
        key in keys(),
        peer in proptest::option::of(ports()),
        (verdict, encap) in prop_oneof![
            (1..=PortId::MAX.0).prop_map(|port| (Verdict::Deliver(PortId(port)), None)),
            proptest::sample::select(DropReason::ALL)
                .prop_map(|reason| (Verdict::Drop(reason), None)),
            tunnels().prop_map(|encap| (Verdict::Uplink, Some(encap))),
        ],
        macs in any::<([u8; 6], [u8; 6])>(),
        (decrement_ttl, forward, mtu) in any::<(bool, bool, u16)>(),
        (policy, path, mapping_slot, mapping_version) in any::<(u32, u32, u16, u32)>(),
    ) -> Half {
        let transposition = Transposition {
            verdict,
            eth_dst: MacAddr(macs.0),
            eth_src: MacAddr(macs.1),
            decrement_ttl,
            mtu,
            encap,
        };
        let mapping_slot = mapping_slot.into();
        let stamp = Stamp { policy, path, mapping_slot, mapping_version };
        let peer = peer.map(|port| key.reversed_at(port));
        Half { key, transposition, stamp, peer, forward }
    }
}

/// The uplink that a half's tunnel begins at.
fn uplink_of(half: &Half) -> Uplink {
    match half.transposition.encap {
        Some(encap) => Uplink::new(7, encap.outer_src, encap.dst_port),
        None => Uplink::new_zeroed(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// A restarted agent reads back exactly what the old one wrote.
    #[test]
    fn a_half_survives_the_kernel(half in halves(), batch: u64) {
        let value = FlowValue::encode(&half, batch).unwrap();
        prop_assert_eq!(value.decode(&half.key, &uplink_of(&half)), Some(half));
        prop_assert_eq!(value.batch(), batch);
        prop_assert_eq!(value.counters(), flow::Counters::default());
    }

    #[test]
    fn what_an_entry_cannot_say_is_refused(half in halves(), other in keys(), slot in 65_536_u32..) {
        let mut odd = half;
        odd.stamp.mapping_slot = slot;
        prop_assert_eq!(FlowValue::encode(&odd, 1).unwrap_err(), Unencodable::MappingSlot);
        let mut odd = half;
        odd.peer = Some(other).filter(|&other| other != half.key.reversed_at(other.port()));
        prop_assume!(odd.peer.is_some());
        prop_assert_eq!(FlowValue::encode(&odd, 1).unwrap_err(), Unencodable::Peer);
        let mut odd = half;
        odd.transposition.verdict = Verdict::Uplink;
        odd.transposition.encap = None;
        prop_assert_eq!(FlowValue::encode(&odd, 1).unwrap_err(), Unencodable::NoEncap);
    }
}

#[test]
fn a_value_of_another_version_is_not_guessed_at() {
    let (src, dst) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let key = FlowKey::new(PortId(1), src, dst, 17, 1, 2);
    let none = Uplink::new_zeroed();
    let mut value = FlowValue::new_zeroed();
    assert_eq!(value.decode(&key, &none), None, "a drop without a reason");
    value.as_mut_bytes()[0] = 9;
    assert_eq!(value.decode(&key, &none), None, "a verdict nobody knows");
    value.as_mut_bytes()[0] = 2;
    assert_eq!(value.decode(&key, &none), None, "a tunnel from nowhere");
}
