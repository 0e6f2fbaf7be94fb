use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

#[test]
fn no_limit_lets_everything_through() {
    let mut bucket = Bucket::UNLIMITED;
    bucket.fill(5);
    bucket.take(u64::MAX);
    assert!(bucket.is_open());
    assert_eq!(bucket.wait_ns(), 0);
}

#[test]
fn a_burst_passes_and_then_the_rate_holds() {
    let mut bucket = Bucket::per_second(1_000_000, 0);
    let mut passed = 0;
    while bucket.is_open() {
        bucket.take(1);
        passed += 1;
    }
    assert_eq!(passed, 10_000);
    assert_eq!(bucket.wait_ns(), 1);
    bucket.fill(1_000);
    bucket.take(1);
    assert!(!bucket.is_open());
}

#[test]
fn what_is_longer_than_the_burst_passes_and_is_paid_back() {
    // 1 Mbyte/s: a burst is 10,000 bytes.
    let mut bucket = Bucket::per_second(1_000_000, 0);
    bucket.take(64_000);
    assert!(!bucket.is_open());
    assert_eq!(bucket.wait_ns(), 54_000_001);
    bucket.fill(54_000_001);
    assert!(bucket.is_open());
}

#[test]
fn even_a_rate_of_nothing_lets_one_packet_through_and_no_second() {
    let mut bucket = Bucket::per_second(0, 0);
    assert!(bucket.is_open());
    bucket.take(1);
    bucket.fill(100 * SECOND);
    assert!(!bucket.is_open());
    assert_eq!(bucket.wait_ns(), u64::MAX);
}

#[test]
fn a_clock_that_stands_still_or_jumps_back_gives_nothing() {
    let mut bucket = Bucket::per_second(100, SECOND);
    bucket.take(1_000);
    let waits = bucket.wait_ns();
    bucket.fill(SECOND);
    bucket.fill(0);
    assert_eq!(bucket.wait_ns(), waits);
}

proptest! {
    /// Whatever is offered, and however it is cut: the rate over the whole time, one burst and one
    /// packet are never exceeded, and a guest that always has something to send gets its rate.
    #[test]
    fn the_rate_holds(
        rate in 1_000u64..1_000_000_000,
        steps in prop::collection::vec((1u64..5_000_000, 1u64..65_536), 1..200),
    ) {
        let mut bucket = Bucket::per_second(rate, 0);
        let (mut now, mut passed, mut largest) = (0u64, 0u64, 0u64);
        for (gap, size) in steps {
            now += gap;
            bucket.fill(now);
            while bucket.is_open() {
                bucket.take(size);
                passed += size;
            }
            largest = largest.max(size);
        }
        let earned = u128::from(rate) * u128::from(now) / u128::from(SECOND);
        let burst = u128::from(rate) / 100 + 1;
        prop_assert!(u128::from(passed) <= earned + burst + u128::from(largest));
        // Of what came in, only what overflowed in a gap longer than a burst may be missing: here
        // no gap is, so all of it went out.
        prop_assert!(u128::from(passed) >= earned);
    }
}
