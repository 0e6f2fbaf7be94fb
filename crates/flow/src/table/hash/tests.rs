use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::{FlowKey, PortId};

fn key(source: u32, source_port: u16) -> PackedKey {
    let [high, low] = source_port.to_be_bytes();
    let [a, b, c, d] = source.to_be_bytes();
    let addresses = [a, b, c, d, 10, 0, 0, 5];
    let key = FlowKey::of_ipv4(PortId(1), &addresses, 6, [high, low, 0, 80]);
    PackedKey::of(&key)
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
    fn every_bit_of_the_key_counts(
        seed: u64, bytes: [u8; 32], last: [u8; 7], bit in 0_usize..312,
    ) {
        let hasher = KeyHasher::new(seed);
        let hashes = |addresses: [u8; 32], last: [u8; 7]| {
            let [a, b, c, d, protocol, high, low] = last;
            let (port, ports) = (PortId(u16::from_be_bytes([high, low])), [a, b, c, d]);
            let v6 = FlowKey::of_ipv6(port, &addresses, protocol, ports);
            let both = addresses.first_chunk().expect("32 bytes hold 8");
            let v4 = FlowKey::of_ipv4(port, both, protocol, ports);
            [v6, v4].map(|key| hasher.hash(&PackedKey::of(&key)))
        };
        let (mut addresses, mut rest) = (bytes, last);
        let byte = addresses.iter_mut().chain(&mut rest).nth(bit / 8).expect("39 bytes");
        *byte ^= 1 << (bit % 8);
        let ([v6, v4], [v6_changed, v4_changed]) = (hashes(bytes, last), hashes(addresses, rest));
        prop_assert_ne!(v6, v6_changed);
        // Of the addresses of IPv4 there are eight bytes.
        prop_assert_eq!(v4 == v4_changed, (8..32).contains(&(bit / 8)));
    }

    #[test]
    fn another_seed_is_another_function(seed: u64, source: u32) {
        let key = key(source, 1);
        let other = KeyHasher::new(seed.wrapping_add(1));
        prop_assert_ne!(KeyHasher::new(seed).hash(&key), other.hash(&key));
    }
}
