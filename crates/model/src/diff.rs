//! What differs between two topologies, for `apply` to show before it acts.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::topology::Topology;

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Where, like `nsgs.web.rules.allow-http.priority`.
    pub path: String,
    /// What it was; absent when it is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What it is; absent when it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// All that differs, by path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The changes.
    pub changes: Vec<Change>,
}

impl Difference {
    /// Whether the two topologies are the same.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// What differs between `old` and `new`, resolved values included: an address that was given
/// shows as well as one that was written.
pub fn difference(old: &Topology, new: &Topology) -> Difference {
    let mut changes = Vec::new();
    compare("", &value_of(old), &value_of(new), &mut changes);
    Difference { changes }
}

/// As a plan: `+` new, `-` gone, `~` changed, and a line that counts them.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.changes.is_empty() {
            return writeln!(f, "No changes.");
        }
        let (mut added, mut changed, mut removed) = (0, 0, 0);
        for change in &self.changes {
            match (&change.before, &change.after) {
                (Some(before), Some(after)) => {
                    changed += 1;
                    writeln!(
                        f,
                        "  ~ {}: {} -> {}",
                        change.path,
                        short(before),
                        short(after)
                    )?;
                }
                (None, Some(after)) => {
                    added += 1;
                    write_whole(f, '+', &change.path, after)?;
                }
                (Some(before), None) => {
                    removed += 1;
                    write_whole(f, '-', &change.path, before)?;
                }
                (None, None) => {}
            }
        }
        writeln!(
            f,
            "\nPlan: {added} to add, {changed} to change, {removed} to remove."
        )
    }
}

fn write_whole(f: &mut fmt::Formatter<'_>, sign: char, path: &str, value: &Value) -> fmt::Result {
    let Value::Object(fields) = value else {
        return writeln!(f, "  {sign} {path}: {}", short(value));
    };
    writeln!(f, "  {sign} {path}")?;
    for (key, value) in fields.iter().filter(|(_, value)| !is_empty(value)) {
        writeln!(f, "      {key}: {}", short(value))?;
    }
    Ok(())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// On one line, texts without quotes, and long values cut.
fn short(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Topologies hold text, numbers and maps with text keys, all of which JSON has.
fn value_of(topology: &Topology) -> Value {
    serde_json::to_value(topology).unwrap_or(Value::Null)
}

fn compare(path: &str, old: &Value, new: &Value, changes: &mut Vec<Change>) {
    if old == new {
        return;
    }
    match (fields(old), fields(new)) {
        // One of several forms, like a rule's source, is one value.
        (Some(old), Some(new)) if !(is_form(&old) && is_form(&new)) => {
            let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for key in keys {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                match (old.get(key), new.get(key)) {
                    (Some(old), Some(new)) => compare(&path, old, new, changes),
                    (before, after) => changes.push(Change {
                        path,
                        before: before.cloned(),
                        after: after.cloned(),
                    }),
                }
            }
        }
        _ => changes.push(Change {
            path: path.to_owned(),
            before: Some(old.clone()),
            after: Some(new.clone()),
        }),
    }
}

/// A map, or a list of things with names as a map by those names: then a rule that moved is not a
/// rule that changed.
fn fields(value: &Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(fields) => Some(fields.clone()),
        Value::Array(items) => items
            .iter()
            .map(|item| Some((name(item)?, item.clone())))
            .collect(),
        _ => None,
    }
}

/// Whether this is how an enumeration with a value is written: one key, and that one its kind.
fn is_form(fields: &Map<String, Value>) -> bool {
    const FORMS: [&str; 4] = ["prefix", "prefixes", "tag", "asgs"];
    fields.len() == 1 && fields.keys().all(|key| FORMS.contains(&key.as_str()))
}

/// What a list's item is called: by its name, or where it is mapped.
fn name(item: &Value) -> Option<String> {
    let text = |key| item.get(key).and_then(Value::as_str);
    match (text("name"), text("vnet"), text("address")) {
        (Some(name), _, _) => Some(name.to_owned()),
        (None, Some(vnet), Some(address)) => Some(format!("{vnet}/{address}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
