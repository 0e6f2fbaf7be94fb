use std::collections::HashSet;

use super::{BRIDGE, FIGURES, RULES_DEFAULT, WORKLOADS, bars};

#[test]
fn the_bridge_is_called_by_the_rules_it_has() {
    assert_eq!(BRIDGE, format!("bridge+nft {RULES_DEFAULT}"));
}

#[test]
fn no_bar_is_there_twice_and_each_is_of_a_workload() {
    let bars = bars();
    let distinct: HashSet<_> = bars
        .iter()
        .map(|bar| (bar.name.as_str(), bar.ours, bar.peer))
        .collect();
    assert_eq!(distinct.len(), bars.len());
    for bar in &bars {
        let known = WORKLOADS
            .iter()
            .any(|workload| bar.name.starts_with(&workload.name()));
        assert!(known, "{}", bar.name);
    }
}

#[test]
fn every_workload_is_held_against_the_bridge() {
    for workload in WORKLOADS {
        let of_workload = |name: &&str| {
            let rest = name.strip_prefix(workload.name().as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(','))
        };
        assert!(FIGURES.iter().any(of_workload), "{}", workload.name());
    }
}
