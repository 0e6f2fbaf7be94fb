use super::*;

/// A thread's fate, look by look.
#[derive(Default)]
struct Thread {
    rule: Rule,
    now: Tick,
}

impl Thread {
    /// A span in which it ran and waited for so many microseconds.
    fn look(&mut self, span: Duration, ran: u64, waited: u64) -> Class {
        self.now = self.now + span;
        self.rule.decide(&Look {
            now: self.now,
            span,
            ran: Duration::from_micros(ran),
            waited: Duration::from_micros(waited),
        })
    }

    /// One that is kept waiting.
    fn kept_waiting() -> Thread {
        let mut thread = Thread::default();
        assert_eq!(thread.look(LOOK_EVERY, 500, 1_000), Class::RealTime);
        thread
    }
}

#[test]
fn who_is_not_kept_waiting_stays_ordinary_however_busy() {
    let mut thread = Thread::default();
    for _ in 0..1_000 {
        assert_eq!(thread.look(LOOK_EVERY, 2_000, 0), Class::Ordinary);
        assert_eq!(thread.look(LOOK_EVERY, 10, 90), Class::Ordinary);
    }
    // A little, in the long time that an idle thread sleeps.
    let idle = Duration::from_millis(200);
    assert_eq!(thread.look(idle, 100, 3_000), Class::Ordinary);
}

#[test]
fn contention_is_looked_for_again_and_again() {
    let mut thread = Thread::kept_waiting();
    let mut real_time = 0;
    while thread.look(WINDOW, 25_000, 0) == Class::RealTime {
        real_time += 1;
    }
    assert_eq!(
        real_time,
        REAL_TIME_FOR.as_millis() / WINDOW.as_millis() - 1
    );
    assert_eq!(thread.look(LOOK_EVERY, 500, 50), Class::Ordinary);
    assert_eq!(thread.look(LOOK_EVERY, 500, 1_500), Class::RealTime);
}

#[test]
fn a_flood_gets_its_fair_share_and_no_more() {
    let mut thread = Thread::kept_waiting();
    assert_eq!(thread.look(WINDOW, 39_999, 0), Class::RealTime);
    assert_eq!(thread.look(WINDOW, 40_000, 0), Class::Ordinary);
    let barred = thread.now + BARRED_FOR;
    let mut windows = 0;
    loop {
        let class = thread.look(LOOK_EVERY, 1_000, 1_000);
        assert_eq!(class == Class::RealTime, thread.now >= barred);
        if class == Class::RealTime {
            break;
        }
        windows += 1;
    }
    assert!(windows > 100, "{windows}");
}

#[test]
fn a_long_turn_is_judged_by_its_length() {
    let mut thread = Thread::kept_waiting();
    // 40 ms are much of 50, and little of 100.
    let long = Duration::from_millis(100);
    assert_eq!(thread.look(long, 40_000, 0), Class::RealTime);
    assert_eq!(thread.look(long, 80_000, 0), Class::Ordinary);
}

#[test]
fn operators_are_told_why() {
    let mut urgency = Urgency::default();
    let told = |urgency: &Urgency| urgency.view(Tick::default()).reason.unwrap_or_default();
    assert_eq!(told(&urgency), "nothing keeps it waiting");
    urgency.rule.class = Class::RealTime;
    assert_eq!(told(&urgency), "");
    urgency.rule.class = Class::Ordinary;
    urgency.rule.barred_until = Tick(1);
    assert_eq!(told(&urgency), "it is too busy to go before others");
    urgency.refuse(&std::io::Error::from_raw_os_error(1));
    assert!(
        told(&urgency).contains("not permitted"),
        "{}",
        told(&urgency)
    );
}
