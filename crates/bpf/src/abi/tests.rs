use std::net::IpAddr;

use flow::{DropReason, FlowKey, Half, PortId, Stamp, Transposition, Verdict};
use proptest::prelude::*;
use wire::MacAddr;
use zerocopy::{FromZeros, IntoBytes};

use super::FlowValue;
use crate::DeviceKind;

fn keys() -> impl Strategy<Value = FlowKey> {
    let addresses = prop_oneof![
        any::<([u8; 4], [u8; 4])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
        any::<([u8; 16], [u8; 16])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
    ];
    (addresses, 1..=4094u16, any::<(u8, u16, u16)>()).prop_map(
        |((src, dst), port, (protocol, sport, dport))| {
            FlowKey::new(PortId(port), src, dst, protocol, sport, dport)
        },
    )
}

prop_compose! {
    fn halves()(
        key in keys(),
        peer in proptest::option::of(keys()),
        verdict in prop_oneof![
            (1..=4094u16).prop_map(|port| Verdict::Deliver(PortId(port))),
            proptest::sample::select(DropReason::ALL).prop_map(Verdict::Drop),
        ],
        macs in any::<([u8; 6], [u8; 6])>(),
        (decrement_ttl, forward, mtu) in any::<(bool, bool, u16)>(),
        (policy, path, mapping_slot, mapping_version) in any::<(u32, u32, u32, u32)>(),
    ) -> Half {
        let transposition = Transposition {
            verdict,
            eth_dst: MacAddr(macs.0),
            eth_src: MacAddr(macs.1),
            decrement_ttl,
            mtu,
            encap: None,
        };
        let stamp = Stamp { policy, path, mapping_slot, mapping_version };
        Half { key, transposition, stamp, peer, forward }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// A restarted agent reads back exactly what the old one wrote.
    #[test]
    fn a_half_survives_the_kernel(half in halves(), tap: bool) {
        let kind = if tap { DeviceKind::Tap } else { DeviceKind::Veth };
        let target = match half.transposition.verdict {
            Verdict::Deliver(port) => Some((port, 7, kind)),
            _ => None,
        };
        let mut value = FlowValue::encode(&half, target);
        prop_assert!(!value.is_active());
        prop_assert_eq!(value.decode(&half.key), Some(half));
        value.activate();
        prop_assert!(value.is_active());
        prop_assert_eq!(value.decode(&half.key), Some(half));
        prop_assert_eq!(value.counters(), flow::Counters::default());
    }
}

#[test]
fn a_value_of_another_version_is_not_guessed_at() {
    let key = FlowKey::new(
        PortId(1),
        [10, 0, 0, 1].into(),
        [10, 0, 0, 2].into(),
        17,
        1,
        2,
    );
    let mut value = FlowValue::new_zeroed();
    assert_eq!(value.decode(&key), None, "a drop without a reason");
    value.as_mut_bytes()[0] = 9;
    assert_eq!(value.decode(&key), None, "a verdict nobody knows");
}
