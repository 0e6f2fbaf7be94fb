//! The examples are right, and say what warnings they have.

use std::collections::BTreeSet;

use super::{checked, example, examples};
use crate::{Topology, parse};

#[test]
fn every_example_has_no_errors_and_the_warnings_it_says() {
    for name in examples() {
        let source = example(&name);
        let said: BTreeSet<&str> = source
            .lines()
            .filter_map(|line| line.strip_prefix("# expected warnings: "))
            .flat_map(|codes| codes.split([',', ' ']))
            .filter(|code| !code.is_empty())
            .collect();
        let checked = parse(&source, &name).unwrap_or_else(|found| panic!("{found}"));
        let found: BTreeSet<&str> = checked
            .warnings
            .diagnostics
            .iter()
            .map(|found| found.code.as_str())
            .collect();
        assert_eq!(found, said, "{name}\n{}", checked.warnings);
    }
}

#[test]
fn a_resolved_topology_survives_the_state_store() {
    for name in examples() {
        let topology = checked(&example(&name)).topology;
        let stored = serde_json::to_string(&topology).expect("JSON");
        let read: Topology = serde_json::from_str(&stored).expect("what was written");
        assert_eq!(read, topology, "{name}");
    }
}

#[test]
fn json_is_accepted_as_it_is_yaml() {
    let source = "{\n\t\"vnets\": {\"main\": {\"addressSpace\": [\"10.0.0.0/16\"], \
                  \"subnets\": {\"a\": {\"addressPrefix\": \"10.0.0.0/24\"}}}},\n\t\"guests\": {\"one\": \
                  {\"subnet\": \"main/a\", \"acceleratedNetworking\": false}}\n}\n";
    let topology = checked(source).topology;
    assert!(!topology.guests["one"].nics[0].accelerated_networking);
}
