use std::time::Duration;

use super::*;

#[test]
fn offload_states_survive_packing() {
    let mut cold = Cold::vacant(NIL);
    let refusals = [
        Refusal::Encapsulation,
        Refusal::TableFull,
        Refusal::NoDevice,
        Refusal::System(0),
        Refusal::System(28),
        Refusal::System(524),
    ];
    let refused = refusals.map(|refusal| Offload::NotOffloaded(Some(refusal)));
    let plain = [
        Offload::NotOffloaded(None),
        Offload::Deferred,
        Offload::Installed,
        Offload::Active,
    ];
    for offload in refused.into_iter().chain(plain) {
        cold.set_offload(offload);
        assert_eq!(cold.offload(), offload);
    }
    for (errno, kept) in [(i32::MIN, 0), (i32::MAX, 65_528)] {
        cold.set_offload(Offload::NotOffloaded(Some(Refusal::System(errno))));
        assert_eq!(
            cold.offload(),
            Offload::NotOffloaded(Some(Refusal::System(kept)))
        );
    }
}

#[test]
fn waiting_is_never_assumed_too_early_and_noticed_within_two_units() {
    let unit = Duration::from_nanos(1 << COARSE_SHIFT);
    for start in [0, 1, (1 << COARSE_SHIFT) - 1, (1 << 45) - 1, 1 << 45] {
        for wait in [
            Duration::ZERO,
            Duration::from_secs(5),
            Duration::from_secs(8_000),
        ] {
            let (queued, start) = (coarse(Tick(start)), Tick(start));
            assert!(!waited(queued, start, wait));
            assert!(!waited(queued, start + wait, wait));
            assert!(waited(queued, start + wait + 2 * unit, wait));
        }
    }
}

#[test]
fn a_long_wait_counts_as_five_hours() {
    let day = Duration::from_secs(86_400);
    let hours = |count: u64| Tick(0) + Duration::from_secs(3_600 * count);
    assert!(!waited(coarse(Tick(0)), hours(4), day));
    assert!(waited(coarse(Tick(0)), hours(5), day));
}
