use proptest::prelude::*;

use super::*;
use crate::FlowKey;

fn occupied() -> Hot {
    let key = FlowKey::of_ipv4(PortId(1), &[10, 0, 0, 4, 10, 0, 0, 5], 6, [0, 1, 0, 2]);
    let mut hot = Hot::vacant();
    hot.occupy(&PackedKey::of(&key), true, Tick(0));
    hot
}

#[test]
fn what_shares_a_byte_does_not_touch_each_other() {
    let mut hot = occupied();
    for class in Class::ALL {
        for &reason in DropReason::ALL {
            for offload in [Offload::Deferred, Offload::Active] {
                hot.set_class(class);
                hot.note_offload(offload);
                hot.decide(&Transposition::drop(reason), &Stamp::default(), None);
                assert_eq!(hot.class(), class);
                assert_eq!(hot.transposition(), Transposition::drop(reason));
                assert_eq!(hot.is_deferred(), offload == Offload::Deferred);
                assert!(hot.is_forward() && hot.drops() && !hot.is_vacant());
            }
        }
    }
}

#[test]
fn counts_stop_at_their_most() {
    let (mut hot, mut cold) = (occupied(), Cold::vacant(0));
    hot.add(u64::MAX, u64::MAX, &mut cold);
    for _ in 0..2 {
        assert_eq!(hot.counted(&cold), (PACKETS_MAX, u64::MAX));
        hot.add(1, 1, &mut cold);
    }
}

proptest! {
    /// In steps that fit into the near half and in such that do not, up to what both hold.
    #[test]
    fn counts_are_sums(steps in prop::collection::vec((0u64..1 << 50, 0u64..1 << 58), 0..30)) {
        let (mut hot, mut cold) = (occupied(), Cold::vacant(0));
        let mut sums = (0, 0);
        for (packets, bytes) in steps {
            hot.add(packets, bytes, &mut cold);
            sums = (sums.0 + packets, sums.1 + bytes);
            for bytes in [bytes, bytes >> 20, bytes >> 30, bytes >> 45] {
                if !hot.count(bytes) {
                    hot.add(1, bytes, &mut cold);
                }
                sums = (sums.0 + 1, sums.1 + bytes);
            }
            prop_assert_eq!(hot.counted(&cold), sums);
        }
    }
}
