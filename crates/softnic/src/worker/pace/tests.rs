use std::time::Duration;

use super::*;

const US: u64 = 1_000;

fn adaptive() -> Pace {
    Pace::new(Waiting::ADAPTIVE, 0)
}

#[test]
fn who_always_polls_never_sleeps() {
    let mut pace = Pace::new(Waiting::Poll, 0);
    assert_eq!(pace.looked(0, u64::MAX - 1), Next::Poll);
    assert_eq!(pace.patience(), None);
}

#[test]
fn it_polls_on_after_a_packet_and_then_sleeps() {
    let mut pace = adaptive();
    assert_eq!(pace.looked(3, 5_000 * US), Next::Poll);
    assert_eq!(pace.looked(0, 5_999 * US), Next::Poll);
    assert_eq!(pace.looked(0, 6_000 * US), Next::Sleep);
}

#[test]
fn long_sleeps_make_it_impatient_and_short_ones_patient_within_bounds() {
    let mut pace = adaptive();
    let long = Duration::from_secs(1);
    let mut now = 0;
    for _ in 0..20 {
        now += 1_000_000 * US;
        pace.woke(long, true, now);
    }
    assert_eq!(pace.patience(), Some(Duration::from_micros(20)));
    assert_eq!(pace.looked(0, now + 20 * US), Next::Sleep);

    let short = Duration::from_micros(90);
    pace.woke(short, true, now);
    assert_eq!(pace.patience(), Some(Duration::from_micros(40)));
    for _ in 0..20 {
        pace.woke(short, true, now);
    }
    assert_eq!(pace.patience(), Some(Duration::from_micros(1_000)));
}

#[test]
fn nothing_is_learnt_from_a_sleep_that_no_guest_ended() {
    let mut pace = adaptive();
    let before = pace.patience();
    pace.woke(Duration::from_secs(1), false, 7);
    assert_eq!(pace.patience(), before);
}

/// The reason for adapting: a guest that sends in a steady rhythm is waited for, once the worker
/// has been wrong a few times.
#[test]
fn a_rhythm_within_bounds_is_learnt() {
    let mut pace = adaptive();
    let (mut now, mut sleeps_late) = (0, 0);
    // First a quiet hour, then a packet every 300 microseconds.
    for _ in 0..8 {
        pace.woke(Duration::from_secs(60), true, now);
    }
    for packet in 0..100 {
        let next_packet = now + 300 * US;
        while now < next_packet {
            now += 10 * US;
            if pace.looked(0, now) == Next::Sleep {
                let slept = Duration::from_nanos(next_packet.saturating_sub(now));
                now = next_packet;
                pace.woke(slept, true, now);
                sleeps_late += u32::from(packet >= 10);
            }
        }
        pace.looked(1, now);
    }
    assert_eq!(sleeps_late, 0);
}
