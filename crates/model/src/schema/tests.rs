use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::document::tree_as_json;
use crate::tests::{example, examples};

const COMMITTED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../schema/topology.schema.json"
);

/// `UPDATE_GOLDEN=1` writes it.
#[test]
fn the_committed_schema_is_the_generated_one() {
    let mut generated = serde_json::to_string_pretty(&topology_schema()).expect("JSON");
    generated.push('\n');
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(COMMITTED, &generated).expect("the schema's file");
    }
    let committed = std::fs::read_to_string(COMMITTED).expect("the schema's file");
    assert!(
        committed == generated,
        "schema/topology.schema.json is old: UPDATE_GOLDEN=1 renews it"
    );
}

#[test]
fn every_example_is_valid() {
    let validator = jsonschema::validator_for(&topology_schema()).expect("a schema");
    for name in examples() {
        let document = tree_as_json(&example(&name)).expect("a tree");
        let errors: Vec<String> = validator
            .iter_errors(&document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    }
}

#[test]
fn what_the_reader_refuses_by_its_form_the_schema_refuses_too() {
    let validator = jsonschema::validator_for(&topology_schema()).expect("a schema");
    let bad = [
        "vents: {}",
        "vnets: { a: {} }",
        "vnets: { a: { addressSpace: 10.0.0.0/16, addressPrefixes: 10.0.0.0/16 } }",
        "vnets: { a: { addressSpace: 10.0.0.0/16, vni: 16777216 } }",
        "guests: { g: { kind: vm, subnet: a/b } }",
        "guests: { g: {} }",
        "guests: { g: { subnet: a/b, nics: [{ subnet: a/b }] } }",
        "guests: { g: { subnet: web } }",
        "nsgs: { n: { rules: [{ name: r, priority: 100, direction: Inbound, access: AlwaysAllow }] } }",
        "nsgs: { n: { rules: [{ name: r, priority: 99, direction: Inbound, access: Allow }] } }",
        "routeTables: { t: { routes: [{ name: r, prefix: 10.0.0.0/8 }] } }",
        "host: { timeouts: { idle: 5 parsecs } }",
        "asgs: { a: { b: c } }",
        "'-a': {}",
    ];
    for source in bad {
        assert!(crate::parse(source, "t.yaml").is_err(), "{source}");
        let document = tree_as_json(source).expect("a tree");
        assert!(!validator.is_valid(&document), "{source}");
    }
}

#[test]
fn kind_spellings_of_the_reader_are_in_the_schema() {
    let validator = jsonschema::validator_for(&topology_schema()).expect("a schema");
    let kind = [
        "",
        "nsgs:",
        "asgs: { web: , db: ~ }",
        "vnets: { a: { addressPrefixes: [10.0.0.0/16], subnets: , vni: '7' } }",
        "routeTables: { t: { routes: [{ name: r, addressPrefix: 10.0.0.0/8, nextHopType: vnetlocal }] } }",
        "nsgs: { n: { rules: [{ name: r, priority: '100', direction: INBOUND, access: deny, ports: [80, Any] }] } }",
        "host: { timeouts: { idle: 1.5, drop: 100ms } }",
    ];
    for source in kind {
        assert!(crate::parse(source, "t.yaml").is_ok(), "{source}");
        let document = tree_as_json(source).expect("a tree");
        let errors: Vec<String> = validator
            .iter_errors(&document)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{source}: {errors:?}");
    }
}

/// A key the tables have and the schema does not know allows nothing, and so shows here.
#[test]
fn no_key_is_without_a_schema() {
    fn forbidden(path: &str, value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    let here = format!("{path}/{key}");
                    if value == &Value::Bool(false) && path.ends_with("/properties") {
                        found.insert(here.clone());
                    }
                    forbidden(&here, value, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|value| forbidden(path, value, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    forbidden("", &topology_schema(), &mut found);
    assert!(found.is_empty(), "{found:?}");
}

/// Every reference leads to a definition.
#[test]
fn no_reference_dangles() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(target)) = fields.get("$ref") {
                    found.insert(target.clone());
                }
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let schema = topology_schema();
    let mut found = BTreeSet::new();
    references(&schema, &mut found);
    for target in found {
        assert!(schema.pointer(&target[1..]).is_some(), "{target}");
    }
}
