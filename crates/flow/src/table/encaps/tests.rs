use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use wire::Vni;

use super::Encaps;
use crate::Encap;

fn encap(host: u8) -> Encap {
    Encap {
        outer_src: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        outer_dst: IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)),
        vni: Vni::new(100).expect("a number of 24 bits"),
        dst_port: 4789,
    }
}

/// Few chains, so that they are longer than one.
fn hash(host: u8) -> u64 {
    u64::from(host % 3) << 62
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn counts_users_and_keeps_each_once(
        ops in prop::collection::vec((0u8..10, any::<bool>()), 0..120),
    ) {
        let mut encaps = Encaps::with_capacity(6);
        let mut oracle = HashMap::new();
        for (host, take) in ops {
            if take {
                let id = encaps.take(hash(host), &encap(host));
                let room = oracle.len() < 6 || oracle.contains_key(&host);
                prop_assert_eq!(id.is_some(), room);
                if let Some(id) = id {
                    let (known, users) = oracle.entry(host).or_insert((id, 0));
                    prop_assert_eq!(*known, id);
                    *users += 1;
                }
            } else if let Some((id, users)) = oracle.get_mut(&host) {
                encaps.release(hash(host), *id);
                *users -= 1;
                if *users == 0 {
                    oracle.remove(&host);
                }
            }
            for (&host, &(id, _)) in &oracle {
                prop_assert_eq!(encaps.get(id), Some(&encap(host)));
            }
        }
    }
}
