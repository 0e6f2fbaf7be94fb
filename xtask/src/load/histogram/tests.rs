use std::time::Duration;

use super::{GROUPS, Histogram, STEPS, index_of, middle_of};

#[test]
fn every_value_has_a_step_and_greater_values_greater_steps() {
    let mut last = 0;
    for bit in 0..64 {
        for value in [
            1_u64 << bit,
            (1 << bit) | (1 << bit >> 1),
            u64::MAX >> (63 - bit),
        ] {
            let index = index_of(value);
            assert!(index >= last && index < GROUPS * STEPS, "{value}");
            last = index;
        }
    }
    assert_eq!(index_of(0), 0);
}

#[test]
fn a_step_is_within_a_percent_of_its_values() {
    for value in [
        1,
        127,
        128,
        129,
        255,
        256,
        1000,
        65_537,
        123_456_789,
        1 << 40,
    ] {
        let error = (middle_of(index_of(value)) - value as f64).abs() / value as f64;
        assert!(error < 0.01, "{value}: {error}");
    }
}

#[test]
fn quantiles_of_a_known_distribution() {
    let mut histogram = Histogram::new();
    for microseconds in 1..=1000 {
        histogram.record(Duration::from_micros(microseconds));
    }
    for (fraction, expected) in [(0.5, 500e3), (0.99, 990e3), (0.999, 999e3), (0.0, 1e3)] {
        let found = histogram.quantile_ns(fraction);
        assert!(
            (found - expected).abs() / expected < 0.01,
            "{fraction}: {found}"
        );
    }
    assert_eq!(histogram.quantile_ns(1.0), 1e6);
    assert_eq!((histogram.count(), histogram.max_ns()), (1000, 1_000_000));
}

#[test]
fn nothing_recorded_is_zero() {
    assert_eq!(Histogram::new().quantile_ns(0.5), 0.0);
}

#[test]
fn merging_adds_up() {
    let (mut one, mut other) = (Histogram::new(), Histogram::new());
    one.record(Duration::from_nanos(10));
    other.record(Duration::from_nanos(90));
    other.record(Duration::MAX);
    one.merge(&other);
    assert_eq!(
        (one.count(), one.max_ns(), one.quantile_ns(0.5)),
        (3, u64::MAX, 90.0)
    );
}
