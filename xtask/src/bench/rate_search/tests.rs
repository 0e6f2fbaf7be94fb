use super::{Attempt, Search, Steps};

const STEPS: Steps = Steps {
    first: 1000.0,
    factor: 1.5,
    precision: 1.05,
    sender_share: 0.9,
};

/// Searches on a path that carries up to `limit`, with a sender that makes up to `sender`.
fn search(limit: f64, sender: f64) -> (Search, u32) {
    let mut search = Search::new(STEPS);
    let mut trials = 0;
    while let Some(rate) = search.rate() {
        let achieved = rate.min(sender);
        search.tell(Attempt {
            achieved,
            lossless: achieved <= limit,
        });
        trials += 1;
        assert!(trials < 100, "no end");
    }
    (search, trials)
}

#[test]
fn the_limit_is_found_within_the_precision_and_never_exceeded() {
    for limit in [1000.0, 1234.0, 50_000.0, 333_333.0] {
        let (search, trials) = search(limit, f64::INFINITY);
        assert!(search.best() <= limit);
        assert!(search.best() * 1.05 >= limit, "{limit}: {}", search.best());
        assert!(!search.is_sender_bound());
        assert!(trials < 40, "{trials}");
    }
}

#[test]
fn a_limit_below_the_first_step_is_found_too() {
    let (search, _) = search(300.0, f64::INFINITY);
    assert!(search.best() <= 300.0 && search.best() * 1.05 >= 300.0);
}

#[test]
fn a_path_that_carries_nothing_ends_the_search_at_nothing() {
    let (search, _) = search(0.0, f64::INFINITY);
    assert_eq!(search.best(), 0.0);
}

#[test]
fn a_sender_that_is_slower_than_the_path_is_the_figure() {
    let (search, trials) = search(f64::INFINITY, 5000.0);
    assert_eq!(search.best(), 5000.0);
    assert!(search.is_sender_bound());
    assert!(trials < 10);
}

#[test]
fn one_unlucky_packet_does_not_end_the_climb() {
    let mut search = Search::new(STEPS);
    let lossless = |search: &mut Search, lossless| {
        let achieved = search.rate().unwrap();
        search.tell(Attempt { achieved, lossless });
    };
    lossless(&mut search, false);
    assert_eq!(search.rate(), Some(1000.0));
    lossless(&mut search, true);
    assert_eq!(search.rate(), Some(1500.0));
    lossless(&mut search, false);
    lossless(&mut search, false);
    let next = search.rate().unwrap();
    assert!(next > 1000.0 && next < 1500.0, "{next}");
}
