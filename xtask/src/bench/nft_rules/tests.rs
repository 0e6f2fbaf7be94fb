use std::collections::HashSet;
use std::net::Ipv4Addr;

use super::{Family, ruleset};

fn rules(text: &str) -> Vec<&str> {
    text.lines()
        .map(str::trim)
        .filter(|line| line.starts_with("ip saddr"))
        .collect()
}

#[test]
fn as_many_rules_as_asked_between_established_and_everything() {
    let text = ruleset(Family::Inet, 1000);
    assert!(text.starts_with("table inet "));
    assert_eq!(rules(&text).len(), 999);
    let established = text.find("ct state established,related accept").unwrap();
    assert!(established < text.find("ip saddr").unwrap());
    assert!(text.trim_end().ends_with("accept\n }\n}"));
    assert!(ruleset(Family::Bridge, 3).starts_with("table bridge "));
}

#[test]
fn the_rules_are_the_same_each_time_and_differ_from_each_other() {
    let text = ruleset(Family::Inet, 1000);
    assert_eq!(text, ruleset(Family::Inet, 1000));
    let distinct: HashSet<&str> = rules(&text).into_iter().collect();
    assert_eq!(distinct.len(), 999);
}

#[test]
fn no_rule_speaks_of_a_testbed() {
    let text = ruleset(Family::Inet, 5000);
    let testbeds = 198 << 24 | 18 << 16_u32..=198 << 24 | 19 << 16 | 0xffff;
    let mut prefixes = 0;
    for word in text.split_whitespace().filter(|word| word.contains('/')) {
        let (address, length) = word.split_once('/').unwrap();
        let first = address.parse::<Ipv4Addr>().unwrap().to_bits();
        let size = 32 - length.parse::<u32>().unwrap();
        let last = first | u32::try_from((1_u64 << size) - 1).unwrap();
        assert!(
            last < *testbeds.start() || first > *testbeds.end(),
            "{word}"
        );
        prefixes += 1;
    }
    assert_eq!(prefixes, 2 * 4999);
}
