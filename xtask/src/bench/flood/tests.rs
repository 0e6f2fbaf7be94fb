use std::collections::HashSet;

use serde_json::json;

use super::{BLOCK_SIZE, Burst, DESTINATIONS, PORT, counted, rules};
use crate::bench::nft_rules::{Family, forward_chain};

#[test]
fn every_rule_has_addresses_of_its_own_and_the_port_of_the_flows() {
    let rules: Vec<_> = rules(997).collect();
    let destinations: HashSet<&str> = rules.iter().map(|rule| &*rule.destination).collect();
    assert_eq!((rules.len(), destinations.len()), (997, 997));
    for (number, rule) in rules.iter().enumerate() {
        let first = DESTINATIONS.to_bits() + u32::try_from(number).unwrap() * BLOCK_SIZE;
        let expected = format!("{}/26", std::net::Ipv4Addr::from_bits(first));
        assert_eq!(rule.destination, expected);
        let (low, high) = rule.destination_ports.split_once('-').unwrap();
        let (low, high): (u16, u16) = (low.parse().unwrap(), high.parse().unwrap());
        assert!((1024..=PORT).contains(&low) && high >= PORT, "{rule}");
        assert!(rule.accepts && rule.protocol == "udp");
    }
}

#[test]
fn what_no_rule_allows_is_dropped() {
    let text = forward_chain(Family::Inet, rules(2), "drop");
    assert!(text.trim_end().ends_with("accept\n  drop\n }\n}"), "{text}");
}

#[test]
fn the_counter_is_found_behind_what_nft_says_of_itself() {
    let answer = json!({ "nftables": [
        { "metainfo": { "version": "1.0.6" } },
        { "counter": { "name": "arrived", "packets": 12345, "bytes": 740_700 } },
    ]});
    assert_eq!(counted(&answer), Some(12345));
    assert_eq!(counted(&json!({ "nftables": [] })), None);
}

#[test]
fn a_burst_knows_its_rate_and_its_losses() {
    let burst = Burst {
        sent: 5000,
        received: 4990,
        seconds: 0.5,
        sender_share: 1.0,
    };
    assert_eq!((burst.rate(), burst.lost()), (10_000.0, 10));
}
