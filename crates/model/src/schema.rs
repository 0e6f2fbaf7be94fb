//! The JSON schema of the document, for editors and for checks outside of this crate.
//!
//! Its keys are the reader's own tables, and so are its words and limits. The reader is kinder in
//! what a schema cannot say (a number where a text is wanted) and stricter in what needs the whole
//! document (references, overlaps, limits in sum).

mod build;
mod sections;

use serde_json::{Value, json};

use self::build::{described, key_map, list, nullable, object, reference};
use crate::document::keys;

/// The schema (JSON Schema 2020-12) of what [`crate::parse`] accepts.
pub fn topology_schema() -> Value {
    let mut schema = object(keys::DOCUMENT, &[], section);
    let Some(fields) = schema.as_object_mut() else {
        return schema;
    };
    fields.insert(
        "$schema".into(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    fields.insert("title".into(), json!("Clearway topology"));
    fields.insert("$defs".into(), sections::definitions());
    nullable(schema)
}

fn section(key: &str) -> Option<Value> {
    let nothing = json!({"type": ["object", "null"], "maxProperties": 0});
    Some(match key {
        "name" => described(build::prose(), "What the topology is called."),
        "vnets" => described(key_map(reference("vnet")), "Virtual networks by name."),
        "nsgs" => described(
            key_map(reference("nsg")),
            "Network security groups by name.",
        ),
        "securityAdminRules" => described(
            list(reference("adminRule")),
            "Rules before all groups: Allow goes on to them, AlwaysAllow and Deny are final.",
        ),
        "asgs" => described(
            json!({"anyOf": [list(reference("name")), key_map(nothing)]}),
            "Application security groups. Their members are the NICs that list them.",
        ),
        "serviceTags" => described(
            key_map(build::one_or_many(reference("prefix"))),
            "Service tags by name: prefixes that rules, routes and service endpoints can refer to.",
        ),
        "routeTables" => described(key_map(reference("routeTable")), "Route tables by name."),
        "guests" => described(
            key_map(reference("guest")),
            "Guests by name. Addresses that are not written are given in this order.",
        ),
        "uplink" => described(reference("uplink"), "The way to other hosts."),
        "mappings" => described(
            list(reference("mapping")),
            "Customer addresses that live on other hosts. They need an uplink.",
        ),
        "host" => described(reference("host"), "Settings of this host."),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
