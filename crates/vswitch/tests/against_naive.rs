//! The property that matters most: with its flow table, its compiled policy and its generations the
//! switch does what a switch without them does. Verdicts, bytes, answers, counters, connections;
//! and `explain` says beforehand what happens then.

use std::collections::HashSet;

use flow::DropReason;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use vswitch::Outcome;

use crate::model::ops::Driver;
use crate::model::strategies::{traces, worlds};

/// `PROPTEST_CASES` goes deeper.
const CASES: u32 = 200;

/// Cases that are looked at for what they reach.
const SAMPLE: u32 = 100;

fn config() -> ProptestConfig {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig::default();
    if asked {
        default
    } else {
        ProptestConfig {
            cases: CASES,
            ..default
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_switch_does_as_the_naive_one(world in worlds(), trace in traces(60)) {
        let mut driver = Driver::new(&world);
        for op in &trace {
            driver.step(op);
        }
        driver.finish();
    }
}

/// A property says something only of what its cases reach.
#[test]
fn traces_go_everywhere() {
    let mut runner = TestRunner::deterministic();
    let (mut delivered, mut uplinked, mut answered, mut resimulated) = (0, 0, 0, 0);
    let mut reasons = HashSet::new();
    for _ in 0..SAMPLE {
        let tree = (worlds(), traces(60))
            .new_tree(&mut runner)
            .expect("nothing is filtered");
        let (world, trace) = tree.current();
        let mut driver = Driver::new(&world);
        trace.iter().for_each(|op| driver.step(op));
        resimulated += driver.sum(|counters| counters.resimulations);
        for outcome in &driver.reached {
            match outcome {
                Outcome::Deliver(_) => delivered += 1,
                Outcome::Uplink(_) => uplinked += 1,
                Outcome::Answered => answered += 1,
                Outcome::Dropped(reason) => drop(reasons.insert(*reason)),
            }
        }
    }
    assert!(delivered > 1_000, "{delivered}");
    assert!(uplinked > 5 && answered > 10 && resimulated > 80);
    // Limits are out of reach here, and the last two are the caller's to count.
    let others = [
        DropReason::FragmentTableFull,
        DropReason::FlowTableFull,
        DropReason::ExceptionRateLimited,
        DropReason::UplinkUnavailable,
        DropReason::TransmitFailed,
    ];
    for reason in DropReason::ALL
        .iter()
        .filter(|reason| !others.contains(reason))
    {
        assert!(reasons.contains(reason), "{reason} is not reached");
    }
}
