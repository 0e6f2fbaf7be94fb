use std::collections::HashSet;

use super::*;

#[test]
fn names_are_unique_and_kebab_case() {
    let names: HashSet<&str> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
    assert_eq!(names.len(), DropReason::ALL.len());
    for name in names {
        let words = name.split('-');
        let is_word = |word: &str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        assert!(words.into_iter().all(is_word), "{name}");
    }
}

#[test]
fn every_reason_has_its_number_and_every_other_number_has_none() {
    for number in 0..=u8::MAX {
        let reason = DropReason::from_number(number);
        assert_eq!(
            reason.is_some(),
            (1..DropReason::SLOTS).contains(&usize::from(number))
        );
        assert!(reason.is_none_or(|reason| reason.number() == number));
    }
}

#[test]
fn counters_add_up_by_reason() {
    let mut counters = DropCounters::default();
    assert_eq!(counters.iter().count(), 0);
    counters.add(DropReason::NoRoute, 1, 60);
    counters.add(DropReason::TransmitFailed, 2, 3_000);
    let mut sum = counters.clone();
    sum.merge(&counters);
    let expected = [
        (DropReason::NoRoute, 2, 120),
        (DropReason::TransmitFailed, 4, 6_000),
    ];
    assert_eq!(sum.iter().collect::<Vec<_>>(), expected);
    assert_eq!(
        (
            sum.packets(DropReason::AdminDeny),
            sum.bytes(DropReason::AdminDeny)
        ),
        (0, 0)
    );
}

#[test]
fn a_reason_pads_in_a_table() {
    assert_eq!(format!("[{:>10}]", DropReason::TooBig), "[   too-big]");
}
