use proptest::prelude::*;

use super::*;
use crate::classifier::RULES_MAX;

/// Rules up to the last there may be, often the same.
fn members() -> impl Strategy<Value = Vec<Member>> {
    let last = u16::try_from(RULES_MAX - 1).expect("rules are numbered by 16 bits");
    let rule = prop_oneof![0..4_u16, Just(last), 0..=last];
    let members = proptest::collection::btree_map(rule, any::<bool>(), 0..3);
    members.prop_map(|rules| {
        let member = |(rule, other_open)| Member::new(rule, other_open);
        rules.into_iter().map(member).collect()
    })
}

fn class(members: &[Member]) -> Class {
    match *members {
        [] => Class::EMPTY,
        [only] => Class::of(only, None),
        [first, second, ..] => Class::of(first, Some(second)),
    }
}

proptest! {
    #[test]
    fn own_classes_hold_what_blocks_hold(ours in members(), theirs in members()) {
        let (class, other) = (class(&ours), class(&theirs));
        prop_assert!(class.is_own() && class.is_listed() && class.place().is_none());
        prop_assert!(class.number() <= NUMBERS_MAX);
        prop_assert_eq!(class.block(), Block::of(&ours));
        let found: Vec<Member> = class.matching(other).collect();
        let by_blocks: Vec<Member> = class.block().matching(other.block()).collect();
        prop_assert_eq!(&found, &by_blocks);
        let open = class.block().other_open().collect::<Vec<_>>();
        let expected: Vec<Member> = ours
            .iter()
            .filter(|member| open.contains(member) || theirs.contains(member))
            .copied()
            .collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn places_come_back(first in 0..1_usize << LONG_BITS, count in 1..=BLOCKS_MAX) {
        for place in [Place::Blocks(first, count), Place::Many(first)] {
            let class = Class::at(place).expect("it is near enough");
            prop_assert!(!class.is_own());
            prop_assert_eq!(class.is_listed(), place != Place::Many(first));
            prop_assert_eq!(class.place(), Some(place));
            prop_assert_eq!(Class::from_number(class.number()), class);
            prop_assert!(class.number() <= NUMBERS_MAX);
        }
    }
}

#[test]
fn places_too_far_are_refused() {
    for (last, beyond) in [
        (
            Place::Blocks((1 << BLOCK_BITS) - 1, 1),
            Place::Blocks(1 << BLOCK_BITS, 1),
        ),
        (
            Place::Blocks((1 << LONG_BITS) - 1, 4),
            Place::Blocks(1 << LONG_BITS, 2),
        ),
        (
            Place::Many((1 << MANY_BITS) - 1),
            Place::Many(1 << MANY_BITS),
        ),
    ] {
        assert_eq!(
            Class::at(last).expect("it is near enough").place(),
            Some(last)
        );
        assert_eq!(Class::at(beyond), Err(TooLarge));
    }
}
