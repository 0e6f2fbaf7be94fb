use std::sync::Arc;

use flow::PortId;

use super::{address, net, nic, policy_of, prefixes, rule, set};
use crate::input::{
    Access, Layer, MappingInput, MappingTarget, NextHop, NicInput, PolicyInput, RouteInput,
    RouteSource, RouteTableInput, RuleInput, VnetId,
};
use crate::{CompileError, Compiler, Counted, Limits};

fn refusal(limits: Limits, input: &PolicyInput) -> CompileError {
    Compiler::new(limits)
        .compile(input)
        .expect_err("the policy is refused")
}

/// That `input` is one too many for `limits`, and that it is taken with `enough`.
fn too_many(limits: Limits, enough: Limits, input: &PolicyInput, what: Counted, place: &str) {
    let CompileError::TooMany {
        what: counted,
        place: at,
        count,
        max,
    } = refusal(limits, input)
    else {
        panic!("not a limit")
    };
    assert_eq!((counted, &*at, count), (what, place, max + 1));
    Compiler::new(enough)
        .compile(input)
        .expect("the limit itself is allowed");
}

fn with_rules(rules: Vec<RuleInput>) -> PolicyInput {
    policy_of(vec![NicInput {
        outbound: vec![Arc::new(set(Layer::NicGroup, rules))],
        ..nic(1)
    }])
}

#[test]
fn nics_and_what_they_have() {
    let limits = Limits::default();
    let two = policy_of(vec![nic(1), nic(2)]);
    let (one_too_few, enough) = (
        Limits {
            nics_max: 1,
            ..limits
        },
        Limits {
            nics_max: 2,
            ..limits
        },
    );
    too_many(one_too_few, enough, &two, Counted::Nics, "policy");

    let mut many = nic(1);
    many.addresses = vec![address("10.0.0.4"), address("10.0.0.5")];
    let (one_too_few, enough) = (
        Limits {
            addresses_per_nic_max: 1,
            ..limits
        },
        Limits {
            addresses_per_nic_max: 2,
            ..limits
        },
    );
    too_many(
        one_too_few,
        enough,
        &policy_of(vec![many]),
        Counted::Addresses,
        "NIC `nic-1`",
    );

    let mut many = nic(1);
    let group = Arc::new(set(Layer::NicGroup, Vec::new()));
    many.inbound = vec![group; 2];
    let (one_too_few, enough) = (
        Limits {
            sets_per_direction_max: 1,
            ..limits
        },
        Limits {
            sets_per_direction_max: 2,
            ..limits
        },
    );
    too_many(
        one_too_few,
        enough,
        &policy_of(vec![many]),
        Counted::RuleSets,
        "NIC `nic-1`",
    );
}

#[test]
fn rules_and_what_they_have() {
    let limits = Limits::default();
    let two = with_rules(vec![
        rule("a", 100, Access::Allow),
        rule("b", 101, Access::Allow),
    ]);
    let (one_too_few, enough) = (
        Limits {
            rules_max: 1,
            ..limits
        },
        Limits {
            rules_max: 2,
            ..limits
        },
    );
    too_many(
        one_too_few,
        enough,
        &two,
        Counted::Rules,
        "rule set `NicGroup`",
    );

    let mut wide = rule("wide", 100, Access::Allow);
    wide.destination = prefixes(&["10.0.0.0/24", "10.0.1.0/24"]);
    let (one_too_few, enough) = (
        Limits {
            prefixes_per_rule_max: 1,
            ..limits
        },
        Limits {
            prefixes_per_rule_max: 2,
            ..limits
        },
    );
    let place = "rule `wide` of `NicGroup`";
    too_many(
        one_too_few,
        enough,
        &with_rules(vec![wide.clone()]),
        Counted::Prefixes,
        place,
    );

    wide.source = prefixes(&["10.0.2.0/24"]);
    let (one_too_few, enough) = (
        Limits {
            prefixes_per_set_max: 2,
            ..limits
        },
        Limits {
            prefixes_per_set_max: 3,
            ..limits
        },
    );
    let place = "rule set `NicGroup`";
    too_many(
        one_too_few,
        enough,
        &with_rules(vec![wide]),
        Counted::Prefixes,
        place,
    );

    let mut ports = rule("ports", 100, Access::Allow);
    ports.destination_ports = vec![1..=2, 4..=5];
    let (one_too_few, enough) = (
        Limits {
            port_ranges_per_rule_max: 1,
            ..limits
        },
        Limits {
            port_ranges_per_rule_max: 2,
            ..limits
        },
    );
    let place = "rule `ports` of `NicGroup`";
    too_many(
        one_too_few,
        enough,
        &with_rules(vec![ports]),
        Counted::PortRanges,
        place,
    );
}

/// More rules than positions are refused whatever the limit says.
#[test]
fn the_classifier_has_a_limit_of_its_own() {
    let limits = Limits {
        rules_max: usize::MAX,
        ..Limits::default()
    };
    let rules = |count| vec![rule("r", 100, Access::Allow); count];
    assert_eq!(
        refusal(limits, &with_rules(rules(16_385))),
        CompileError::TooMany {
            what: Counted::Rules,
            place: "rule set `NicGroup`".to_owned(),
            count: 16_385,
            max: 16_384,
        }
    );
    Compiler::new(limits)
        .compile(&with_rules(rules(16_384)))
        .expect("as many as there may be");
}

#[test]
fn routes_and_mappings() {
    let limits = Limits::default();
    let route = |prefix| RouteInput {
        name: "route".to_owned(),
        prefix: net(prefix),
        source: RouteSource::User,
        next_hop: NextHop::None,
    };
    let routes = vec![route("10.0.0.0/8"), route("0.0.0.0/0")];
    let table = RouteTableInput {
        name: "table".to_owned(),
        routes,
    };
    let input = policy_of(vec![NicInput {
        routes: Arc::new(table),
        ..nic(1)
    }]);
    let (one_too_few, enough) = (
        Limits {
            routes_max: 1,
            ..limits
        },
        Limits {
            routes_max: 2,
            ..limits
        },
    );
    too_many(
        one_too_few,
        enough,
        &input,
        Counted::Routes,
        "route table `table`",
    );

    let mapping = |text| MappingInput {
        vnet: VnetId(0),
        address: address(text),
        target: MappingTarget::Port(PortId(1)),
    };
    let mappings = vec![mapping("10.0.0.4"), mapping("10.0.0.5")];
    let input = PolicyInput {
        mappings,
        ..PolicyInput::default()
    };
    let (one_too_few, enough) = (
        Limits {
            mappings_max: 1,
            ..limits
        },
        Limits {
            mappings_max: 2,
            ..limits
        },
    );
    too_many(one_too_few, enough, &input, Counted::Mappings, "policy");

    let snapshot = Compiler::new(enough).compile(&input).expect("legal");
    let target = Some(MappingTarget::Port(PortId(1)));
    let third = (VnetId(0), address("10.0.0.6"), target);
    let refused = snapshot
        .with_mapping_changes(&[third])
        .expect_err("one too many");
    let (place, max) = ("mapping changes".to_owned(), 2);
    let expected = CompileError::TooMany {
        what: Counted::Mappings,
        place,
        count: 3,
        max,
    };
    assert_eq!(refused, expected);
    let swap = [(VnetId(0), address("10.0.0.5"), None), third];
    assert_eq!(
        snapshot
            .with_mapping_changes(&swap)
            .expect("no more than before")
            .mappings_len(),
        2
    );
}

/// Prefixes that make every interval a different set of many rules cost memory that has a limit.
#[test]
fn entangled_prefixes() {
    let rules = (0..200_u16).map(|number| {
        let mut rule = rule("r", 100, Access::Allow);
        // Rule n covers the addresses from n to n + 199.
        let hosts = (number..number + 200)
            .map(|host| net(&format!("10.0.{}.{}/32", host / 256, host % 256)));
        rule.source = crate::input::AddressSet::Prefixes(hosts.collect());
        rule
    });
    let input = with_rules(rules.collect());
    let limits = Limits {
        set_bytes_max: 4_096,
        ..Limits::default()
    };
    let place = "rule set `NicGroup`".to_owned();
    let expected = CompileError::TooEntangled {
        place,
        bytes_max: 4_096,
    };
    assert_eq!(refusal(limits, &input), expected);
    Compiler::new(Limits::default())
        .compile(&input)
        .expect("room enough");
}

#[test]
fn contradictions() {
    let limits = Limits::default();
    let error = refusal(limits, &policy_of(vec![nic(0)]));
    assert_eq!(error.to_string(), "NIC `nic-0`: port 0 does not exist");
    let error = refusal(limits, &policy_of(vec![nic(4_095)]));
    assert_eq!(
        error.to_string(),
        "NIC `nic-4095`: port 4095 does not exist"
    );
    let mut twin = nic(3);
    twin.name = "twin".to_owned();
    let error = refusal(limits, &policy_of(vec![nic(3), twin]));
    assert_eq!(error.to_string(), "port 3: both NIC `nic-3` and NIC `twin`");

    let rules = vec![rule("b", 200, Access::Allow), rule("a", 100, Access::Allow)];
    let error = refusal(limits, &with_rules(rules));
    assert_eq!(
        error.to_string(),
        "rule `a` of `NicGroup`: priority 100 after 200"
    );
    let error = refusal(
        limits,
        &with_rules(vec![rule("r", 100, Access::AlwaysAllow)]),
    );
    let text = "rule `r` of group `NicGroup`: only security admin rules can always allow";
    assert_eq!(error.to_string(), text);

    let mapping = |port| MappingInput {
        vnet: VnetId(4),
        address: address("10.0.0.4"),
        target: MappingTarget::Port(PortId(port)),
    };
    let policy = |mappings| PolicyInput {
        mappings,
        ..PolicyInput::default()
    };
    let error = refusal(limits, &policy(vec![mapping(1), mapping(2)]));
    assert_eq!(
        error.to_string(),
        "mapping of 10.0.0.4 in network 4: two targets"
    );
    let twice = Compiler::new(limits).compile(&policy(vec![mapping(1), mapping(1)]));
    assert_eq!(twice.expect("the same twice is once").mappings_len(), 1);
}

#[test]
fn a_refused_policy_leaves_no_trace() {
    let mapping = |port| MappingInput {
        vnet: VnetId(0),
        address: address("10.0.0.4"),
        target: MappingTarget::Port(PortId(port)),
    };
    let policy = |mappings| PolicyInput {
        mappings,
        ..PolicyInput::default()
    };
    let mut compiler = Compiler::new(Limits::default());
    let before = compiler.compile(&policy(vec![mapping(1)])).expect("legal");
    let conflict = PolicyInput {
        mappings: vec![mapping(2), mapping(3)],
        ..with_rules(vec![rule("r", 100, Access::Allow)])
    };
    compiler.compile(&conflict).expect_err("refused");
    let after = compiler.compile(&policy(vec![mapping(1)])).expect("legal");
    assert!(after.changed_slots(&before).is_empty());
}
