use std::sync::Arc;

use flow::PortId;

use super::{nic, policy_of, rule, set};
use crate::input::{Access, Layer, RouteTableInput};
use crate::{Compiler, Limits, Snapshot};

/// Where the compiled parts of the NIC behind port 1 are.
fn parts(snapshot: &Snapshot) -> Vec<usize> {
    let nic = snapshot.nic(PortId(1)).expect("the NIC is there");
    let sets = nic.rule_sets().map(|set| Arc::as_ptr(set).addr());
    sets.chain([Arc::as_ptr(nic.routes()).addr()]).collect()
}

#[test]
fn equal_parts_are_compiled_once() {
    let group = || Arc::new(set(Layer::NicGroup, vec![rule("all", 100, Access::Allow)]));
    let mut input = nic(1);
    input.outbound = vec![group()];
    input.inbound = vec![group()];
    let mut compiler = Compiler::new(Limits::default());
    let first = compiler
        .compile(&policy_of(vec![input.clone()]))
        .expect("legal");
    let [outbound, inbound, routes] = parts(&first)[..] else {
        panic!("three parts")
    };
    assert_eq!(outbound, inbound, "equal within a generation");

    input.outbound = vec![group()];
    input.routes = Arc::new(RouteTableInput::default());
    let second = compiler
        .compile(&policy_of(vec![input.clone()]))
        .expect("legal");
    assert_eq!(
        parts(&second),
        [outbound, inbound, routes],
        "equal to the generation before"
    );

    let mut changed = set(Layer::NicGroup, vec![rule("all", 100, Access::Deny)]);
    changed.covers_platform = true;
    input.outbound = vec![Arc::new(changed)];
    let third = compiler.compile(&policy_of(vec![input])).expect("legal");
    assert_ne!(parts(&third)[0], outbound, "changed");
    assert_eq!(parts(&third)[1], inbound, "not changed");
}

/// What no NIC uses any longer is let go, inputs and all.
#[test]
fn a_generation_keeps_only_what_it_uses() {
    let group = Arc::new(set(Layer::NicGroup, vec![rule("all", 100, Access::Allow)]));
    let mut input = nic(1);
    input.outbound = vec![Arc::clone(&group)];
    let mut compiler = Compiler::new(Limits::default());
    let first = compiler.compile(&policy_of(vec![input])).expect("legal");
    assert!(Arc::strong_count(&group) > 1);
    let second = compiler.compile(&policy_of(Vec::new())).expect("legal");
    drop(first);
    assert_eq!(Arc::strong_count(&group), 1);
    assert_eq!(second.nics().count(), 0);
}

#[test]
fn shared_parts_count_once() {
    let rules = (0..200).map(|number| {
        let mut rule = rule("host", 100 + number, Access::Allow);
        rule.source = super::prefixes(&[&format!("10.0.0.{number}/32")]);
        rule
    });
    let group = Arc::new(set(Layer::NicGroup, rules.collect()));
    let with = |nics: u16| {
        let nics = (1..=nics).map(|port| {
            let mut nic = nic(port);
            nic.outbound = vec![Arc::clone(&group)];
            nic
        });
        super::compiled(&policy_of(nics.collect())).memory_bytes()
    };
    let (none, one, two) = (with(0), with(1), with(2));
    assert!(
        one - none > 200 * 8,
        "{one} is no more than the intervals themselves"
    );
    assert!(
        two - one < one - none,
        "the second NIC brings no rule set of its own"
    );
}
