use std::time::Instant;

use super::*;
use crate::fixture::require_root;

/// On a thread of its own, for the class stays with the thread.
fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}

fn policy() -> libc::c_int {
    // SAFETY: it takes integers only; 0 is this thread.
    unsafe { libc::sched_getscheduler(0) }
}

#[test]
fn the_class_is_this_threads_and_not_its_childrens() {
    require_root!();
    on_a_thread(|| {
        if let Err(error) = set_class(Class::RealTime) {
            eprintln!("skipped, because {error}");
            return;
        }
        assert_eq!(policy(), libc::SCHED_RR | libc::SCHED_RESET_ON_FORK);
        assert_eq!(on_a_thread(policy), libc::SCHED_OTHER);
        set_class(Class::Ordinary).unwrap();
        assert_eq!(policy(), libc::SCHED_OTHER | libc::SCHED_RESET_ON_FORK);
    });
    assert_eq!(policy(), libc::SCHED_OTHER);
}

#[test]
fn times_are_those_of_the_thread() {
    let gauge = Gauge::open().unwrap();
    let begun = Instant::now();
    let before = gauge.read().unwrap();
    while gauge.read().unwrap().ran < before.ran + Duration::from_millis(2) {}
    let elapsed = begun.elapsed();
    let after = gauge.read().unwrap();
    assert!(after.ran - before.ran >= Duration::from_millis(2));
    assert!(after.waited >= before.waited);
    // Each clock is rounded in its own way.
    assert!(elapsed >= Duration::from_micros(1_900), "{elapsed:?}");

    std::thread::sleep(Duration::from_millis(20));
    let asleep = gauge.read().unwrap().ran - after.ran;
    assert!(asleep < Duration::from_millis(10), "{asleep:?}");
}

#[test]
fn only_what_the_kernel_writes_is_understood() {
    let text = b"8117224 1200345 17\n";
    assert_eq!(waited(text), Some(Duration::from_nanos(1_200_345)));
    for other in [&b""[..], b"17", b"1 two 3", b"1 -2 3", b"\xff \xff"] {
        assert_eq!(waited(other), None);
    }
}
