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
use crate::model::strategies::{moving_traces, small_worlds, traces, worlds};

/// `PROPTEST_CASES` goes deeper.
const CASES: u32 = 120;

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

proptest! {
    #![proptest_config(config())]

    #[test]
    fn it_does_as_the_naive_one_when_addresses_move_between_hosts(
        world in small_worlds(),
        trace in moving_traces(60),
    ) {
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
    let mut received = 0;
    let mut reasons = HashSet::new();
    for _ in 0..SAMPLE {
        let tree = (worlds(), traces(60))
            .new_tree(&mut runner)
            .expect("nothing is filtered");
        let (world, trace) = tree.current();
        let mut driver = Driver::new(&world);
        trace.iter().for_each(|op| driver.step(op));
        received += driver.off_uplink;
        resimulated += driver.sum(|counters| counters.resimulations);
        for outcome in &driver.reached {
            match outcome {
                Outcome::Deliver(_) => delivered += 1,
                Outcome::Uplink { .. } => uplinked += 1,
                Outcome::Answered => answered += 1,
                Outcome::Dropped(reason) => drop(reasons.insert(*reason)),
            }
        }
    }
    assert!(delivered > 1_000, "{delivered}");
    assert!(uplinked > 30 && received > 80);
    assert!(answered > 10 && resimulated > 80);
    // Limits are out of reach here, failures to receive and to send are the caller's to count, and
    // nobody asks for its configuration.
    let others = [
        DropReason::FragmentTableFull,
        DropReason::FlowTableFull,
        DropReason::ExceptionRateLimited,
        DropReason::TransmitFailed,
        DropReason::UnansweredConfiguration,
        DropReason::ExceptionQueueFull,
        DropReason::UnsupportedOffload,
        DropReason::NoReceiveBuffer,
    ];
    for reason in DropReason::ALL
        .iter()
        .filter(|reason| !others.contains(reason))
    {
        assert!(reasons.contains(reason), "{reason} is not reached");
    }
}

/// Connections follow addresses that come here and that go, in many ways.
#[test]
fn moving_traces_make_connections_move() {
    let mut runner = TestRunner::deterministic();
    let mut relocated = 0;
    for _ in 0..SAMPLE {
        let tree = (small_worlds(), moving_traces(60))
            .new_tree(&mut runner)
            .expect("nothing is filtered");
        let (world, trace) = tree.current();
        let mut driver = Driver::new(&world);
        trace.iter().for_each(|op| driver.step(op));
        relocated += driver.naive.relocations;
    }
    assert!(relocated > 20, "{relocated}");
}
