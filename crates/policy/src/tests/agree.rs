use std::net::IpAddr;
use std::sync::Arc;

use flow::PortId;
use proptest::collection::vec;
use proptest::prelude::*;

use super::strategies::{addresses, route_tables, rule_sets, tuples};
use super::{Recorder, address, compiled, nic, policy_of, rule, set};
use crate::input::{
    Access, AddressSet, Layer, MappingInput, MappingTarget, NicInput, PolicyInput, RuleSetInput,
    VnetId,
};
use crate::naive::{self, Decision};
use crate::{Judgement, NicPolicy, Observer, Overridden, RouteRef, Tuple};

/// Both directions, the deciding rule of every layer included.
fn check(policy: &NicPolicy, input: &NicInput, tuple: &Tuple) -> Result<(), TestCaseError> {
    let mut recorder = Recorder::default();
    let judgement = policy.outbound(tuple, &mut recorder);
    same(
        naive::outbound(input, tuple),
        judgement,
        &recorder,
        &input.outbound,
        tuple,
    )?;
    prop_assert_eq!(policy.outbound(tuple, &mut ()), judgement);
    let mut recorder = Recorder::default();
    let judgement = policy.inbound(tuple, &mut recorder);
    same(
        naive::inbound(input, tuple),
        judgement,
        &recorder,
        &input.inbound,
        tuple,
    )
}

fn same(
    expected: Decision,
    judgement: Judgement,
    recorder: &Recorder,
    sets: &[Arc<RuleSetInput>],
    tuple: &Tuple,
) -> Result<(), TestCaseError> {
    let said = recorder.layers.iter();
    let layers = said
        .map(|said| (said.layer, said.rule.as_ref().map(|rule| rule.0)))
        .collect();
    let decision = Decision { judgement, layers };
    prop_assert_eq!(&decision, &expected, "{:?} through {:#?}", tuple, sets);
    for (said, set) in recorder.layers.iter().zip(sets) {
        if let Some((index, name)) = &said.rule {
            prop_assert_eq!(name, &set.rules[*index].name);
        }
    }
    Ok(())
}

/// The chosen route, then those it overrode.
#[derive(Default)]
struct Routes(Vec<String>);

impl Observer for Routes {
    fn route(&mut self, _: IpAddr, chosen: &RouteRef<'_>, overridden: Overridden<'_>) {
        self.0.push(chosen.name.to_owned());
        self.0.extend(overridden.map(|route| route.name.to_owned()));
    }

    fn no_route(&mut self, _: IpAddr, table: &str) {
        assert_eq!(table, "table");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn judgements_and_deciding_rules(
        admin in rule_sets(Layer::SecurityAdmin),
        group in rule_sets(Layer::NicGroup),
        subnet in rule_sets(Layer::SubnetGroup),
        shape in 0..8_u8,
        tuples in vec(tuples(), 60),
    ) {
        let mut input = nic(7);
        let present = |bit: u8| shape >> bit & 1 != 0;
        let layers = [(2, admin), (1, group), (0, subnet)];
        let chosen = layers.into_iter().filter(|(bit, _)| !present(*bit));
        input.outbound = chosen.map(|(_, set)| Arc::new(set)).collect();
        input.inbound = input.outbound.iter().rev().cloned().collect();
        let snapshot = compiled(&policy_of(vec![input.clone()]));
        let policy = snapshot.nic(PortId(7)).expect("the NIC is there");
        for tuple in &tuples {
            check(policy, &input, tuple)?;
        }
    }

    #[test]
    fn routes_and_those_they_override(
        table in route_tables(60),
        destinations in vec(addresses(), 60),
    ) {
        let mut input = nic(7);
        input.routes = Arc::new(table);
        let snapshot = compiled(&policy_of(vec![input.clone()]));
        let policy = snapshot.nic(PortId(7)).expect("the NIC is there");
        for destination in destinations {
            let expected = naive::routes(&input.routes, destination);
            let mut routes = Routes::default();
            let chosen = policy.route(destination, &mut routes);
            prop_assert_eq!(
                chosen.map(|route| (route.name, route.prefix, route.source, route.next_hop)),
                expected
                    .first()
                    .map(|route| (&*route.name, route.prefix, route.source, route.next_hop))
            );
            let names: Vec<String> = expected.iter().map(|route| route.name.clone()).collect();
            prop_assert_eq!(routes.0, names, "to {} by {:#?}", destination, input.routes);
        }
    }

    #[test]
    fn mappings_and_appliances(
        table in route_tables(20),
        known in vec((0..3_u32, addresses()), 0..40),
        asked in vec((0..3_u32, addresses()), 60),
    ) {
        let mut input = nic(7);
        input.routes = Arc::new(table);
        let mut policy = PolicyInput { nics: vec![input.clone()], ..PolicyInput::default() };
        for (number, (vnet, address)) in (1..).zip(known) {
            let vnet = VnetId(vnet);
            if naive::mapping(&policy, vnet, address).is_none() {
                let target = MappingTarget::Port(PortId(number));
                policy.mappings.push(MappingInput { vnet, address, target });
            }
        }
        let snapshot = compiled(&policy);
        let nic = snapshot.nic(PortId(7)).expect("the NIC is there");
        prop_assert_eq!(snapshot.mappings_len(), policy.mappings.len());
        for (vnet, address) in asked {
            let vnet = VnetId(vnet);
            let found = snapshot.mapping(vnet, address).2;
            prop_assert_eq!(found, naive::mapping(&policy, vnet, address));
            let found = snapshot.appliance(nic, address).2;
            prop_assert_eq!(found, naive::appliance(&policy, &input, address));
        }
    }
}

/// More rules than one word of a summary stands for, so that every part of a large set is used:
/// several summary words, words of several patterns.
#[test]
fn thousands_of_rules() {
    let mut rules = Vec::new();
    for number in 0..6_000_u16 {
        let mut rule = rule(&format!("rule-{number}"), number, Access::Deny);
        let [high, low] = number.to_be_bytes();
        let host = format!("10.1.{high}.{low}/32");
        match number % 4 {
            0 => rule.source = super::prefixes(&[&host, "10.4.0.0/16"]),
            1 => rule.destination = super::prefixes(&[&host, "10.3.0.0/16"]),
            2 => {
                // Irregular, so that no two words of the set of 10.2.0.1 are alike.
                let far = number.wrapping_mul(40_503) >> 15 != 0;
                rule.source = super::prefixes(&[if far { "10.2.0.0/15" } else { "10.3.0.0/16" }]);
                rule.destination = super::prefixes(&[&host]);
            }
            _ => rule.destination_ports = vec![number..=number],
        }
        rule.protocols = if number % 8 < 4 { vec![6] } else { vec![17, 1] };
        rules.push(rule);
    }
    let mut input = nic(7);
    input.outbound = vec![Arc::new(set(Layer::NicGroup, rules))];
    let snapshot = compiled(&policy_of(vec![input.clone()]));
    let policy = snapshot.nic(PortId(7)).expect("the NIC is there");
    let host = |number: u16| {
        let [high, low] = number.to_be_bytes();
        IpAddr::from([10, 1, high, low])
    };
    let others = ["10.2.0.1", "10.3.0.1", "10.4.0.1", "10.9.9.9"].map(address);
    let sides = (0..6_000).step_by(997).map(host).chain(others);
    let sides: Vec<IpAddr> = sides.collect();
    let mut pairs = Vec::new();
    for &src in &sides {
        pairs.extend(sides.iter().map(|&dst| (src, dst)));
    }
    pairs.extend(
        (2..6_000)
            .step_by(12)
            .map(|number| (others[0], host(number))),
    );
    let mut decided = std::collections::BTreeSet::new();
    for (src, dst) in pairs {
        for (protocol, destination_port) in [(6, 3), (6, 5_999), (17, 7), (1, 0)] {
            let source_port = 9;
            let tuple = Tuple {
                src,
                dst,
                protocol,
                source_port,
                destination_port,
            };
            check(policy, &input, &tuple).expect("the oracle agrees");
            decided.extend(naive::outbound(&input, &tuple).layers[0].1);
        }
    }
    let late = decided.range(4_096..).count();
    assert!(late >= 20, "too few behind the first summary word");
}

/// No packet mixes families, but a question to `explain` may.
#[test]
fn mixed_families_match_only_what_both_sides_match() {
    let mut only_v4 = rule("v4", 100, Access::Deny);
    only_v4.destination = super::prefixes(&["0.0.0.0/0"]);
    let mut from_v4 = rule("from-v4", 101, Access::Allow);
    from_v4.source = super::prefixes(&["10.0.0.0/8"]);
    from_v4.destination = AddressSet::Any;
    let mut input = nic(7);
    input.outbound = vec![Arc::new(set(Layer::NicGroup, vec![only_v4, from_v4]))];
    let snapshot = compiled(&policy_of(vec![input.clone()]));
    let policy = snapshot.nic(PortId(7)).expect("the NIC is there");
    let (src, dst) = (address("10.0.0.1"), address("fd00::1"));
    let tuple = Tuple {
        src,
        dst,
        protocol: 6,
        source_port: 1,
        destination_port: 1,
    };
    assert_eq!(policy.outbound(&tuple, &mut ()), Judgement::Allow);
    check(policy, &input, &tuple).expect("the oracle agrees");
}
