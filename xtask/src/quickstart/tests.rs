use std::fs;

use super::expectations::{ADDRESSES, EXPECTATIONS, Traffic, Verdict};
use super::{TOPOLOGY, address_of};

fn example() -> String {
    fs::read_to_string(crate::repository().join(TOPOLOGY)).unwrap()
}

#[test]
fn the_example_has_the_guests_at_these_addresses() {
    let example = example();
    for (guest, address) in ADDRESSES {
        let line = example
            .lines()
            .find(|line| line.trim_start().starts_with(&format!("{guest}: {{")))
            .unwrap_or_else(|| panic!("no guest {guest}"));
        assert!(line.contains(&format!("address: {address}")), "{line}");
    }
}

#[test]
fn the_example_has_every_rule_that_is_named() {
    let example = example();
    for expected in EXPECTATIONS {
        let Some((group, rule)) = expected.rule.split_once('/') else {
            assert_eq!(expected.rule, "AllowVnetInBound");
            continue;
        };
        let groups = example.split("nsgs:").nth(1).unwrap();
        let of_group = groups.split(&format!("\n  {group}:\n")).nth(1).unwrap();
        let rules = of_group
            .split("\n  ")
            .take_while(|line| line.starts_with("  "));
        let text: String = rules.collect::<Vec<_>>().join("\n");
        assert!(text.contains(&format!("name: {rule}")), "{}", expected.rule);
    }
}

#[test]
fn expectations_are_distinct_and_cover_both_verdicts_everywhere() {
    for (index, one) in EXPECTATIONS.iter().enumerate() {
        assert!(address_of(one.from).is_ok() && address_of(one.to).is_ok());
        let same = |other: &super::expectations::Expectation| {
            (other.from, other.to, other.traffic) == (one.from, one.to, one.traffic)
        };
        assert!(!EXPECTATIONS[index + 1..].iter().any(same), "{one}");
    }
    for verdict in [Verdict::Allowed, Verdict::Denied] {
        let of_verdict = || EXPECTATIONS.iter().filter(|one| one.verdict == verdict);
        assert!(of_verdict().any(|one| one.passes_appliance()));
        assert!(of_verdict().any(|one| one.traffic == Traffic::Ping));
        assert!(of_verdict().any(|one| one.traffic == Traffic::Http));
        assert!(of_verdict().any(|one| one.traffic == Traffic::UdpEcho));
        assert!(of_verdict().any(|one| matches!(one.traffic, Traffic::Tcp { .. })));
    }
}
