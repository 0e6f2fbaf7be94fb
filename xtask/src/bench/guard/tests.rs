use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;

use super::{Distance, Guard, Patience, near_ns};

const PATIENCE: Patience = Patience {
    tries: 3,
    looks: 4,
    calibration: 5,
    pauses: 100,
    repeats: 100,
};

/// A guard whose probe reads from a list (its last value repeats), and its count of pauses.
fn guard_of<const COUNT: usize>(round_trips: [f64; COUNT]) -> (Result<Guard>, Rc<Cell<u32>>) {
    let pauses = Rc::new(Cell::new(0));
    let counted = Rc::clone(&pauses);
    let mut rest = round_trips.into_iter();
    let mut last = f64::NAN;
    let probe = move || {
        last = rest.next().unwrap_or(last);
        Ok(last)
    };
    let pause = move |_: Duration| counted.set(counted.get() + 1);
    (
        Guard::with_limit(Box::new(probe), Box::new(pause), 220.0, PATIENCE),
        pauses,
    )
}

fn sample(guard: &mut Guard) -> (u32, Distance) {
    let mut takes = 0;
    let (_, distance) = guard
        .sample(|| {
            takes += 1;
            Ok(())
        })
        .unwrap();
    (takes, distance)
}

#[test]
fn near_before_and_after_counts_at_once() {
    let (guard, pauses) = guard_of([90.0]);
    assert_eq!(sample(&mut guard.unwrap()), (1, Distance::Near));
    assert_eq!(pauses.get(), 0);
}

#[test]
fn it_waits_for_a_near_spell() {
    let (guard, pauses) = guard_of([90.0, 500.0, 500.0, 90.0, 90.0]);
    assert_eq!(sample(&mut guard.unwrap()), (1, Distance::Near));
    assert_eq!(pauses.get(), 2);
}

#[test]
fn a_far_probe_afterwards_repeats_the_sample() {
    let (guard, _) = guard_of([90.0, 90.0, 500.0, 90.0, 90.0]);
    assert_eq!(sample(&mut guard.unwrap()), (2, Distance::Near));
}

#[test]
fn a_sample_that_never_comes_out_near_is_kept_and_marked() {
    let (guard, _) = guard_of([90.0, 500.0]);
    assert_eq!(sample(&mut guard.unwrap()), (3, Distance::Far));
}

#[test]
fn a_flat_far_probe_turns_it_off_and_says_so() {
    let (guard, pauses) = guard_of([480.0, 500.0, 510.0]);
    let mut guard = guard.unwrap();
    assert_eq!(
        guard.off_because(),
        Some("the probe is flat at 480 to 510 ns, above the limit of 220 ns")
    );
    assert_eq!(pauses.get(), 4);
    assert_eq!(sample(&mut guard), (1, Distance::Unprobed));
}

#[test]
fn two_modes_keep_it_on_even_if_neither_is_near() {
    let (guard, _) = guard_of([300.0, 900.0]);
    assert_eq!(guard.unwrap().off_because(), None);
}

#[test]
fn a_failing_sample_or_probe_is_an_error() {
    let (guard, _) = guard_of([90.0]);
    guard
        .unwrap()
        .sample(|| -> Result<()> { anyhow::bail!("broken") })
        .unwrap_err();
    let broken = Box::new(|| anyhow::bail!("broken"));
    assert!(Guard::with_limit(broken, Box::new(|_| ()), 220.0, PATIENCE).is_err());
}

#[test]
fn the_flag_goes_before_the_environment() {
    let of = |flag, text: Option<&str>| near_ns(flag, text.map(str::to_owned)).ok();
    assert_eq!(of(Some(100.0), Some("300")), Some(Some(100.0)));
    assert_eq!(of(None, Some("300")), Some(Some(300.0)));
    assert_eq!(of(None, None), Some(None));
    assert_eq!(of(None, Some("many")), None);
    assert_eq!(of(Some(-1.0), None), None);
    assert_eq!(of(Some(f64::NAN), None), None);
}

#[test]
fn a_calibrated_limit_lies_between_the_modes() {
    let mut count = 0;
    let probe = move || {
        count += 1;
        Ok(if count % 3 == 0 { 270.0 } else { 900.0 })
    };
    let guard = Guard::calibrate(Box::new(probe), Box::new(|_| ()), PATIENCE).unwrap();
    assert_eq!(guard.limit_ns(), Some(405.0));
    assert_eq!(guard.off_because(), None);
    assert_eq!(Guard::off("alone").limit_ns(), None);
}

#[test]
fn patience_is_for_the_whole_run() {
    let patience = Patience {
        repeats: 1,
        pauses: 2,
        ..PATIENCE
    };
    let pauses = Rc::new(Cell::new(0));
    let counted = Rc::clone(&pauses);
    let mut first = true;
    let probe = move || {
        Ok(if std::mem::take(&mut first) {
            90.0
        } else {
            500.0
        })
    };
    let pause = move |_: Duration| counted.set(counted.get() + 1);
    let guard = Guard::with_limit(Box::new(probe), Box::new(pause), 220.0, patience);
    let mut guard = guard.unwrap();
    assert_eq!(sample(&mut guard), (2, Distance::Far));
    assert_eq!(sample(&mut guard), (1, Distance::Far));
    assert_eq!(pauses.get(), 2);
}
