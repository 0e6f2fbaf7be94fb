use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::input::{Access, AddressSet, Layer, RuleSetInput};
use crate::naive;
use crate::tests::strategies::{rule_sets, tuples};
use crate::tests::{nic, prefixes, rule, set};

/// How the first match of a tuple is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Own,
    Stored,
    Sweep,
}

/// How the first match is found, and what it is.
fn found<P: Point>(
    classifier: &Classifier,
    family: &Family<P>,
    tuple: &Tuple,
    addresses: [P; 2],
) -> (Way, Option<usize>)
where
    [P; 2]: Addresses,
{
    let located = addresses.locate(classifier);
    let way = match (&family.open, located.is_listed(), located.is_own()) {
        (None, ..) | (_, false, _) => Way::Sweep,
        (_, _, false) => Way::Stored,
        (_, _, true) => Way::Own,
    };
    (way, addresses.first_match(classifier, tuple, located))
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
    let (mut ways, mut rules) = (BTreeSet::new(), BTreeSet::new());
    for tuple in tuples {
        let expected = naive::outbound(&input, tuple).layers[0].1;
        let (way, first) = match (tuple.src, tuple.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => found(
                &classifier,
                &classifier.v4,
                tuple,
                [src.to_bits(), dst.to_bits()],
            ),
            (IpAddr::V6(src), IpAddr::V6(dst)) => found(
                &classifier,
                &classifier.v6,
                tuple,
                [src.to_bits(), dst.to_bits()],
            ),
            _ => (
                Way::Sweep,
                Mixed.first_match(&classifier, tuple, Located::NONE),
            ),
        };
        prop_assert_eq!(first, expected, "{:?}", tuple);
        prop_assert_eq!(classifier.sweep(tuple), expected, "{:?} swept", tuple);
        ways.insert(way);
        rules.extend(expected);
    }
    Ok((ways, rules))
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
    assert_eq!(ways, BTreeSet::from([Way::Own]));
    assert!(found.len() > 4, "{found:?}");
}

#[test]
fn up_to_sixteen_rules_cover_an_address() {
    let wide = prefixes(&["10.0.0.0/28"]);
    let rules = numbered(21, |number, rule| in_turn(number, rule, &wide));
    let (ways, found) = check(rules, &grid()).expect("as a scan finds");
    assert_eq!(ways, BTreeSet::from([Way::Own, Way::Stored]));
    assert!(found.contains(&20) && found.contains(&3), "{found:?}");
}

#[test]
fn many_rules_cover_an_address() {
    let wide = prefixes(&["10.0.0.0/28"]);
    let rules = numbered(200, |number, rule| in_turn(number, rule, &wide));
    let (ways, found) = check(rules, &grid()).expect("as a scan finds");
    assert_eq!(ways, BTreeSet::from([Way::Own, Way::Sweep]));
    assert!(found.contains(&20) && found.contains(&39), "{found:?}");
}

#[test]
fn rules_for_ports_alone() {
    let rules = numbered(200, |number, rule| {
        rule.protocols = [vec![6], vec![17, 1], vec![]][usize::from(number % 3)].clone();
        rule.destination_ports.push(number * 7..=number * 7 + 2);
    });
    let (ways, found) = check(rules, &grid()).expect("as a scan finds");
    assert_eq!(ways, BTreeSet::from([Way::Own]));
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

/// Rules for hosts of 10.0.0.0/24, and among them one that `shape` makes.
fn hosts_and(rule_index: u16, shape: impl Fn(&mut RuleInput)) -> RuleSetInput {
    numbered(40, |number, rule| {
        if number == rule_index {
            shape(rule);
        } else {
            in_turn(number, rule, &host(number));
        }
    })
}

fn wide_of(rules: &RuleSetInput) -> Vec<usize> {
    let covers: Vec<RuleCoverage> = rules.rules.iter().map(RuleCoverage::new).collect();
    wide_rules(&covers)
}

#[test]
fn a_rule_around_the_others_is_compared_by_itself() {
    let between = |source: &[&str], destination: &[&str]| {
        let (source, destination) = (prefixes(source), prefixes(destination));
        move |rule: &mut RuleInput| {
            rule.source = source.clone();
            rule.destination = destination.clone();
            rule.destination_ports = vec![0..=30];
        }
    };
    let net = &["10.0.0.0/24"][..];
    let halves = &[
        "10.0.0.0/26",
        "10.0.0.128/30",
        "10.0.0.144/28",
        "10.0.0.192/26",
    ][..];
    for (source, destination) in [(net, net), (halves, net), (net, halves)] {
        for index in [0, 20, 39] {
            let rules = hosts_and(index, between(source, destination));
            assert_eq!(wide_of(&rules), [usize::from(index)]);
            let (ways, found) = check(rules, &grid()).expect("as a scan finds");
            assert_eq!(ways, BTreeSet::from([Way::Own]));
            assert!(found.contains(&usize::from(index)), "{found:?}");
        }
    }
}

#[test]
fn a_rule_of_many_ranges_or_around_nothing_is_like_others() {
    let scattered: Vec<String> = (0..8)
        .map(|index| format!("10.0.0.{}/28", index * 32))
        .collect();
    let scattered: Vec<&str> = scattered.iter().map(String::as_str).collect();
    for list in [&scattered[..], &["10.9.0.0/16"]] {
        let rules = hosts_and(7, |rule| {
            rule.source = prefixes(list);
            rule.destination = prefixes(list);
        });
        assert_eq!(wide_of(&rules), Vec::<usize>::new());
        check(rules, &grid()).expect("as a scan finds");
    }
}

/// A wide rule is in no line of either family, so whatever the pair of addresses is like, it must
/// be compared.
#[test]
fn wide_rules_of_both_families() {
    let rules = hosts_and(5, |rule| {
        rule.source = prefixes(&["10.0.0.0/24", "fd00::/64"]);
        rule.destination = prefixes(&["10.0.0.0/25", "fd00::/120"]);
    });
    assert_eq!(wide_of(&rules), [5]);
    let ends = ["10.0.0.77", "10.0.0.200", "fd00::1", "fd00::1:1", "fd01::1"];
    let ends = ends.map(|end| end.parse::<IpAddr>().expect("an address"));
    let mut tuples = Vec::new();
    for src in ends {
        for dst in ends {
            for (protocol, destination_port) in [(6, 5), (6, 6), (1, 0)] {
                tuples.push(Tuple {
                    src,
                    dst,
                    protocol,
                    source_port: 9,
                    destination_port,
                });
            }
        }
    }
    let (ways, found) = check(rules, &tuples).expect("as a scan finds");
    assert_eq!(ways, BTreeSet::from([Way::Own, Way::Sweep]));
    assert!(found.contains(&5), "{found:?}");
}

/// More protocols told apart than a check has bits for.
#[test]
fn rules_for_many_protocols() {
    let rules = numbered(40, |number, rule| {
        let [_, low] = number.to_be_bytes();
        let sources = ["10.0.0.0/30", "10.0.0.4/30", "10.0.0.8/29"];
        rule.source = prefixes(&[sources[usize::from(number % 3)]]);
        rule.destination_ports = Vec::new();
        rule.protocols = match number {
            38 => (20..30).collect(),
            39 => (12..=44).rev().collect(),
            _ => vec![low],
        };
    });
    let tuples = grid().into_iter().flat_map(|tuple| {
        let of = move |protocol| Tuple { protocol, ..tuple };
        (0..45).map(of)
    });
    let tuples: Vec<Tuple> = tuples.step_by(7).collect();
    let (ways, found) = check(rules, &tuples).expect("as a scan finds");
    assert_eq!(ways, BTreeSet::from([Way::Own, Way::Stored]));
    assert!(found.len() > 30, "{found:?}");
    assert!(found.contains(&38) && found.contains(&39), "{found:?}");
}
