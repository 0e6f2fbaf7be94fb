use std::collections::HashMap;

use proptest::prelude::*;

use super::Index;

#[test]
fn holds_its_capacity_even_when_every_hash_collides() {
    for capacity in [1, 9, 10, 95] {
        let mut index = Index::with_capacity(capacity);
        for slot in 0..capacity {
            index.insert(7, slot);
        }
        for slot in 0..capacity {
            assert_eq!(index.find(7, |candidate| candidate == slot), Some(slot));
        }
        for slot in 0..capacity {
            index.remove(7, slot);
            assert_eq!(index.find(7, |candidate| candidate == slot), None);
        }
        assert!(index.buckets.iter().all(|bucket| bucket.overflow == 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Few homes and few tags, so that buckets overflow, wrap around and share tags.
    #[test]
    fn behaves_as_a_map(ops in prop::collection::vec((0u32..60, 0u64..4, 0u64..3), 0..300)) {
        let mut index = Index::with_capacity(60);
        let mut oracle: HashMap<u32, u64> = HashMap::new();
        for (slot, upper, lower) in ops {
            let hash = (upper << 62) | lower;
            match oracle.remove(&slot) {
                Some(old) => index.remove(old, slot),
                None => {
                    index.insert(hash, slot);
                    oracle.insert(slot, hash);
                }
            }
            for slot in 0..60 {
                let expected = oracle.get(&slot).map(|_| slot);
                let hash = oracle.get(&slot).copied().unwrap_or(hash);
                prop_assert_eq!(index.find(hash, |candidate| candidate == slot), expected);
            }
        }
    }
}
