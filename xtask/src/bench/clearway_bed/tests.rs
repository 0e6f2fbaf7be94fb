use std::collections::HashSet;

use super::{names, topology};
use crate::bench::nft_rules::{Family, ruleset};
use crate::clearway::ServedBy;

#[test]
fn the_group_has_the_rules_of_the_filter_and_an_allow_for_the_rest() {
    let document = topology(1000);
    let group = document["nsgs"]["rules"]["rules"].as_array().unwrap();
    assert_eq!(group.len(), 1000);
    let priorities: HashSet<u64> = group
        .iter()
        .map(|rule| rule["priority"].as_u64().unwrap())
        .collect();
    assert_eq!(priorities.len(), 1000);
    assert!(priorities.iter().all(|one| (100..=4096).contains(one)));

    let filter = ruleset(Family::Inet, 1000);
    let lines = filter.lines().filter(|line| line.contains("ip saddr"));
    let mut translated = 0;
    for (line, rule) in lines.zip(group) {
        let verdict = match rule["access"].as_str().unwrap() {
            "Allow" => "accept",
            _ => "drop",
        };
        let protocol = rule["protocol"].as_str().unwrap().to_lowercase();
        let from = match rule["sourcePorts"].as_str().unwrap() {
            "*" => String::new(),
            ports => format!(" {protocol} sport {ports}"),
        };
        let [source, destination, ports] =
            ["source", "destination", "destinationPorts"].map(|key| rule[key].as_str().unwrap());
        let expected = format!(
            "ip saddr {source} ip daddr {destination}{from} {protocol} dport {ports} {verdict}"
        );
        assert_eq!(line.trim(), expected);
        translated += 1;
    }
    assert_eq!(translated, 999);
    assert_eq!(group[999]["access"], "Allow");
    assert!(group[999].get("protocol").is_none());
}

#[test]
fn one_pair_is_accelerated_and_addresses_are_distinct() {
    let document = topology(1);
    let guests = document["guests"].as_object().unwrap();
    let addresses: HashSet<&str> = guests
        .values()
        .map(|guest| guest["address"].as_str().unwrap())
        .collect();
    assert_eq!((guests.len(), addresses.len()), (4, 4));
    for path in [ServedBy::Synthetic, ServedBy::Accelerated] {
        for name in names(path) {
            let expected = path == ServedBy::Accelerated;
            assert_eq!(guests[&name]["acceleratedNetworking"], expected);
        }
    }
}
