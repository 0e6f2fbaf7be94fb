use std::collections::HashSet;

use proptest::prelude::*;
use zerocopy::transmute;

use super::*;
use crate::PortId;

fn key(source: u32, source_port: u16) -> FlowKey {
    let [high, low] = source_port.to_be_bytes();
    let [a, b, c, d] = source.to_be_bytes();
    let addresses = [a, b, c, d, 10, 0, 0, 5];
    FlowKey::of_ipv4(PortId(1), &addresses, 6, [high, low, 0, 80])
}

/// How many of 256 places `bits` chooses hold more than twice their share.
fn crowded(hashes: &[u64], bits: impl Fn(u64) -> u64) -> usize {
    let mut places = [0_usize; 256];
    for hash in hashes {
        let place = usize::try_from(bits(*hash) & 0xff).expect("eight bits");
        places[place] += 1;
    }
    let share = hashes.len() / places.len();
    places.iter().filter(|&&count| count > 2 * share).count()
}

/// Both ends of the hash are used: the upper chooses the bucket, the lower the tag.
#[test]
fn keys_that_differ_little_spread_over_both_ends() {
    for seed in 0..4 {
        let hasher = KeyHasher::new(seed);
        let ports: Vec<u64> = (0..u16::MAX)
            .map(|port| hasher.hash(&key(1, port)))
            .collect();
        let hosts: Vec<u64> = (0..65_536).map(|host| hasher.hash(&key(host, 1))).collect();
        for hashes in [&ports, &hosts] {
            assert_eq!(hashes.iter().collect::<HashSet<_>>().len(), hashes.len());
            assert_eq!(crowded(hashes, |hash| hash), 0);
            assert_eq!(crowded(hashes, |hash| hash >> 56), 0);
        }
    }
}

proptest! {
    #[test]
    fn every_bit_of_the_key_counts(seed: u64, bytes: [[u8; 8]; 5], bit in 0_usize..320) {
        let hasher = KeyHasher::new(seed);
        let mut changed = bytes;
        changed[bit / 64][bit % 64 / 8] ^= 1 << (bit % 8);
        let hash = |bytes: [[u8; 8]; 5]| hasher.hash(&transmute!(bytes));
        prop_assert_ne!(hash(bytes), hash(changed));
    }

    #[test]
    fn another_seed_is_another_function(seed: u64, source: u32) {
        let key = key(source, 1);
        let other = KeyHasher::new(seed.wrapping_add(1));
        prop_assert_ne!(KeyHasher::new(seed).hash(&key), other.hash(&key));
    }
}
