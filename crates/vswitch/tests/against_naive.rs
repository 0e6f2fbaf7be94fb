//! The property that matters most: with its flow table, its compiled policy and its generations the
//! switch does what a switch without them does. Verdicts, bytes, answers, counters, connections.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use vswitch::Outcome;

use crate::model::ops::Driver;
use crate::model::strategies::{traces, worlds};

/// `PROPTEST_CASES` goes deeper.
const CASES: u32 = 300;

fn config() -> ProptestConfig {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig::default();
    if asked { default } else { ProptestConfig { cases: CASES, ..default } }
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
    let mut reached: HashMap<String, u32> = HashMap::new();
    for _ in 0..CASES / 3 {
        let tree = (worlds(), traces(60)).new_tree(&mut runner).expect("nothing is filtered");
        let (world, trace) = tree.current();
        let mut driver = Driver::new(&world);
        trace.iter().for_each(|op| driver.step(op));
        driver.finish();
        let sum = |of: fn(&vswitch::PortCounters) -> u64| driver.sum(of);
        *reached.entry("resim".into()).or_default() += sum(|c| c.resimulations) as u32;
        *reached.entry("first".into()).or_default() += sum(|c| c.first_packets) as u32;
        for outcome in driver.reached {
            let name = match outcome {
                Outcome::Deliver(_) => "delivered".to_owned(),
                Outcome::Uplink(_) => "uplink".to_owned(),
                Outcome::Answered => "answered".to_owned(),
                Outcome::Dropped(reason) => reason.name().to_owned(),
            };
            *reached.entry(name).or_default() += 1;
        }
    }
    dbg!(&reached);
}
