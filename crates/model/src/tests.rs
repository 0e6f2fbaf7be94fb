//! What the author of a document relies on.

mod examples;
mod hostile;
mod mistakes;
mod resolved;

use crate::{Checked, Diagnostics, Topology, parse};

/// The topology of a document that must be good.
pub(crate) fn good(source: &str) -> Topology {
    checked(source).topology
}

pub(crate) fn checked(source: &str) -> Checked {
    parse(source, "test.yaml").unwrap_or_else(|found| panic!("{found}"))
}

/// What is found in a document that must be bad.
pub(crate) fn bad(source: &str) -> Diagnostics {
    match parse(source, "test.yaml") {
        Ok(_) => panic!("nothing is wrong with this document:\n{source}"),
        Err(found) => found,
    }
}

/// The text of an example.
pub(crate) fn example(name: &str) -> String {
    let path = format!("{}/../../examples/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names of all examples.
pub(crate) fn examples() -> Vec<String> {
    let folder = format!("{}/../../examples", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string());
    let mut names: Vec<String> = names.map(|name| name.expect("a name in UTF-8")).collect();
    names.retain(|name| name.ends_with(".yaml"));
    names.sort();
    assert!(names.len() >= 6, "examples are missing: {names:?}");
    names
}
