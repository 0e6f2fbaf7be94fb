use std::time::{Duration, Instant};

use super::round_trip_ns;
use crate::bench::cpus::Cpus;

#[test]
fn a_round_trip_takes_longer_than_nanoseconds() {
    let cpus = Cpus::detect().unwrap();
    if cpus.server == cpus.client {
        crate::skip::because("bench::probe", "there is one processor");
        return;
    }
    let begun = Instant::now();
    let round_trip = round_trip_ns(cpus).unwrap();
    // No upper bound: on a busy machine the two threads wait for their processors.
    assert!(
        round_trip.is_finite() && round_trip > 5.0,
        "{round_trip} ns"
    );
    assert!(begun.elapsed() >= Duration::from_millis(50));
}

#[test]
fn a_processor_that_does_not_exist_is_an_error_and_no_hang() {
    assert!(
        round_trip_ns(Cpus {
            server: 1023,
            client: 0
        })
        .is_err()
    );
    assert!(
        round_trip_ns(Cpus {
            server: 0,
            client: 1_000_000
        })
        .is_err()
    );
}
