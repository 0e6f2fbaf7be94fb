use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::input::{Access, Layer, RuleSetInput};
use crate::naive;
use crate::tests::strategies::{rule_sets, tuples};
use crate::tests::{nic, prefixes, rule, set};

/// How the first match of a tuple is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Short,
    Long,
    Sweep,
}

fn way(classifier: &Classifier, tuple: &Tuple) -> Way {
    let located = classifier.locate(tuple);
    let open = if tuple.src.is_ipv4() {
        &classifier.v4.open
    } else {
        &classifier.v6.open
    };
    match (open, located.is_listed(), located.is_short()) {
        _ if tuple.src.is_ipv4() != tuple.dst.is_ipv4() => Way::Sweep,
        (None, ..) | (_, false, _) => Way::Sweep,
        (_, _, false) => Way::Long,
        (_, _, true) => Way::Short,
    }
}

/// That the way taken and the sweep, which is there for all, find what a scan finds. Returns the
/// ways taken, and the rules found.
fn check(
    rules: RuleSetInput,
    tuples: &[Tuple],
) -> Result<(BTreeSet<Way>, BTreeSet<usize>), TestCaseError> {
    let classifier = Classifier::new(&rules.rules, usize::MAX).expect("room enough");
    let mut input = nic(1);
    input.outbound = vec![Arc::new(rules)];
    let (mut ways, mut found) = (BTreeSet::new(), BTreeSet::new());
    for tuple in tuples {
        let expected = naive::outbound(&input, tuple).layers[0].1;
        let located = classifier.locate(tuple);
        let first = classifier.first_match(tuple, &located);
        prop_assert_eq!(first, expected, "{:?}", tuple);
        prop_assert_eq!(classifier.sweep(tuple), expected, "{:?} swept", tuple);
        ways.insert(way(&classifier, tuple));
        found.extend(expected);
    }
    Ok((ways, found))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_way_finds_what_a_scan_finds(
        rules in rule_sets(Layer::SecurityAdmin),
        tuples in vec(tuples(), 60),
    ) {
        let mut rules = rules;
        // Traffic with the platform is asked about, too.
        rules.covers_platform = true;
        check(rules, &tuples)?;
    }
}

/// Packets between hosts of 10.0.0.0/24, of several protocols and ports.
fn grid() -> Vec<Tuple> {
    let hosts =
        [0, 1, 2, 3, 4, 5, 8, 15, 16, 17, 40, 41, 255].map(|host| Ipv4Addr::new(10, 0, 0, host));
    let mut tuples = Vec::new();
    for src in hosts {
        for dst in hosts {
            for (protocol, source_port, destination_port) in [
                (6, 9, 0),
                (6, 1_003, 3),
                (6, 1_020, 20),
                (17, 1_039, 39),
                (17, 5, 12),
                (1, 3, 3),
            ] {
                tuples.push(Tuple {
                    src: src.into(),
                    dst: dst.into(),
                    protocol,
                    source_port,
                    destination_port,
                });
            }
        }
    }
    tuples
}

/// Rules by their number, a port of its own each, before one for everything else.
fn numbered(count: u16, shape: impl Fn(u16, &mut RuleInput)) -> RuleSetInput {
    let mut rules: Vec<RuleInput> = (0..count)
        .map(|number| {
            let mut rule = rule("", 100, Access::Deny);
            rule.destination_ports = vec![number..=number];
            shape(number, &mut rule);
            rule
        })
        .collect();
    rules.push(rule("rest", 200, Access::Allow));
    set(Layer::NicGroup, rules)
}

fn host(number: u16) -> AddressSet {
    prefixes(&[&format!("10.0.0.{number}/32")])
}

/// Both addresses, either, or none, in turn.
fn in_turn(number: u16, rule: &mut RuleInput, covered: &AddressSet) {
    if number & 1 == 0 {
        rule.source = covered.clone();
    }
    if number & 2 == 0 {
        rule.destination = covered.clone();
    }
}

#[test]
fn few_rules_cover_an_address() {
    let rules = numbered(40, |number, rule| in_turn(number, rule, &host(number)));
    let (ways, found) = check(rules, &grid()).expect("as a scan finds");
    assert_eq!(ways, BTreeSet::from([Way::Short]));
    assert!(found.len() > 4, "{found:?}");
}

#[test]
fn up_to_sixteen_rules_cover_an_address() {
    let wide = prefixes(&["10.0.0.0/28"]);
    let rules = numbered(21, |number, rule| in_turn(number, rule, &wide));
    let (ways, found) = check(rules, &grid()).expect("as a scan finds");
    assert_eq!(ways, BTreeSet::from([Way::Short, Way::Long]));
    assert!(found.contains(&20) && found.contains(&3), "{found:?}");
}

#[test]
fn many_rules_cover_an_address() {
    let wide = prefixes(&["10.0.0.0/28"]);
    let rules = numbered(200, |number, rule| in_turn(number, rule, &wide));
    let (ways, found) = check(rules, &grid()).expect("as a scan finds");
    assert_eq!(ways, BTreeSet::from([Way::Short, Way::Sweep]));
    assert!(found.contains(&20) && found.contains(&39), "{found:?}");
}

#[test]
fn rules_for_ports_alone() {
    let rules = numbered(200, |number, rule| {
        rule.protocols = [vec![6], vec![17, 1], vec![]][usize::from(number % 3)].clone();
        rule.destination_ports.push(number * 7..=number * 7 + 2);
    });
    let (ways, found) = check(rules, &grid()).expect("as a scan finds");
    assert_eq!(ways, BTreeSet::from([Way::Short]));
    assert!(found.len() > 4, "{found:?}");
}

/// Every combination of source and destination port is another: a table of them would be too large.
#[test]
fn rules_for_both_ports_alone() {
    let rules = numbered(200, |number, rule| {
        rule.source_ports = vec![1_000 + number..=1_000 + number, 5..=5];
    });
    let (ways, found) = check(rules, &grid()).expect("as a scan finds");
    assert_eq!(ways, BTreeSet::from([Way::Sweep]));
    assert!(found.contains(&20) && found.contains(&39), "{found:?}");
}
