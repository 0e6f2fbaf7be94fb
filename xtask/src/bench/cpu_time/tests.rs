use std::time::Duration;

use super::{background, busy, busy_ticks};

#[test]
fn idle_waiting_and_stolen_time_are_not_busy() {
    let stat = "cpu  1 20 300 4000 50000 600000 7000000 80000000 9 9\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
    assert_eq!(busy_ticks(stat), Some(7_600_321));
    assert_eq!(busy_ticks("cpu  1 2 3\n"), None);
    assert_eq!(busy_ticks("intr 1\n"), None);
}

#[test]
fn busy_time_only_grows() {
    let before = busy().unwrap();
    assert!(busy().unwrap() >= before);
    assert!((0.0..=1.0).contains(&background(Duration::from_millis(30)).unwrap()));
}
