use proptest::prelude::*;
use zerocopy::transmute;

use super::*;
use crate::Family;

proptest! {
    #[test]
    fn keys_of_both_families_survive_packing(
        addresses: [u8; 32], ports: [u8; 4], protocol: u8, port: u16
    ) {
        let v6 = FlowKey::of_ipv6(PortId(port), &addresses, protocol, ports);
        let v4 = addresses.first_chunk().expect("32 bytes hold 8");
        let v4 = FlowKey::of_ipv4(PortId(port), v4, protocol, ports);
        for (key, wide) in [(v6, true), (v4, false)] {
            let packed = PackedKey::of(&key);
            prop_assert_eq!(packed.key(), key);
            prop_assert_eq!(packed.is_wide(), wide);
            prop_assert_eq!(owner(packed.near[0]), key.owner());
            prop_assert_eq!(key.family() == Family::V6, wide);
        }
    }

    /// Such a key no packet has, but the memory of a kernel might.
    #[test]
    fn whatever_a_key_is_made_of_packing_it_twice_changes_nothing(words: [[u8; 8]; 5]) {
        let packed = PackedKey::of(&transmute!(words));
        prop_assert_eq!(PackedKey::of(&packed.key()), packed);
    }
}
