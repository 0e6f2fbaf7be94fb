use std::time::Duration;

use super::echo::Jitter;
use super::seconds;

#[test]
fn lengths_have_limits() {
    assert_eq!(seconds("0.5").unwrap(), Duration::from_millis(500));
    for bad in ["0", "-1", "nan", "inf", "1e9", "soon"] {
        assert!(seconds(bad).is_err(), "{bad}");
    }
}

#[test]
fn jitter_is_the_mean_difference_between_neighbours() {
    let mut jitter = Jitter::default();
    assert_eq!(jitter.mean_ns(), 0.0);
    for ns in [100, 300, 200, 200] {
        jitter.record(Duration::from_nanos(ns));
    }
    assert!((jitter.mean_ns() - 100.0).abs() < 1e-6);
}
