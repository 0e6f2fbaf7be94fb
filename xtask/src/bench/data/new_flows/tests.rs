use super::{STEPS, since, told};
use crate::bench::flood::Burst;
use crate::bench::rate_search::{Attempt, Search};

fn reasons(list: &[(&str, u64)]) -> Vec<(String, u64)> {
    list.iter()
        .map(|(reason, packets)| ((*reason).to_owned(), *packets))
        .collect()
}

#[test]
fn only_what_was_dropped_meanwhile_is_told() {
    let before = reasons(&[("rule-denied", 4), ("malformed", 2)]);
    let now = reasons(&[("rule-denied", 9), ("malformed", 2), ("flow-limit", 1)]);
    let expected = reasons(&[("rule-denied", 5), ("flow-limit", 1)]);
    assert_eq!(since(&before, now), expected);
}

#[test]
fn losses_that_no_reason_names_were_in_queues() {
    let mut search = Search::new(STEPS);
    for lossless in [true, false, false] {
        search.tell(Attempt {
            achieved: search.rate().unwrap(),
            lossless,
        });
    }
    let burst = Burst {
        sent: 1000,
        received: 900,
        seconds: 0.01,
        sender_share: 1.0,
    };
    assert_eq!(
        told(
            "ours",
            &search,
            2,
            &burst,
            &reasons(&[("flow-limit", 70)]),
            0
        ),
        "ours: without loss 20 k/s; at 100 k/s lost 100 of 1000 new flows, 70 flow-limit, \
         30 in queues on the way; the established flow lost 0; 2 bursts were disturbed and repeated"
    );
}
