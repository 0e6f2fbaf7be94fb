//! What differs between two topologies, for `apply` to show before it acts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::topology::{AdminRule, Mapping, Topology};

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
///
/// What is the same on both sides costs a comparison and nothing more.
pub fn difference(old: &Topology, new: &Topology) -> Difference {
    let mut found = Differences::default();
    found.value("asgs", &old.asgs, &new.asgs);
    found.map("guests", &old.guests, &new.guests);
    found.value("host", &old.host, &new.host);
    let place = |mapping: &Mapping| format!("{}/{}", mapping.vnet, mapping.address);
    found.list("mappings", &old.mappings, &new.mappings, place);
    found.option("name", old.name.as_ref(), new.name.as_ref());
    found.map_by("nsgs", &old.nsgs, &new.nsgs, |found, path, old, new| {
        let path = format!("{path}.rules");
        found.list(&path, &old.rules, &new.rules, |rule| rule.name.clone());
    });
    found.map("routeTables", &old.route_tables, &new.route_tables);
    let (before, after) = (&old.security_admin_rules, &new.security_admin_rules);
    let name = |admin: &AdminRule| admin.rule.name.clone();
    found.list("securityAdminRules", before, after, name);
    found.map("serviceTags", &old.service_tags, &new.service_tags);
    found.option("uplink", old.uplink.as_ref(), new.uplink.as_ref());
    found.map("vnets", &old.vnets, &new.vnets);
    Difference { changes: found.0 }
}

/// What was found so far, by path.
#[derive(Default)]
struct Differences(Vec<Change>);

impl Differences {
    fn value<T: PartialEq + Serialize>(&mut self, path: &str, old: &T, new: &T) {
        if old != new {
            compare(path, &value_of(old), &value_of(new), &mut self.0);
        }
    }

    /// A value that may be absent.
    fn option<T: PartialEq + Serialize>(&mut self, path: &str, old: Option<&T>, new: Option<&T>) {
        if let (Some(old), Some(new)) = (old, new) {
            return self.value(path, old, new);
        }
        if old.is_some() || new.is_some() {
            self.0.push(Change {
                path: path.to_owned(),
                before: old.map(value_of),
                after: new.map(value_of),
            });
        }
    }

    fn map<T: PartialEq + Serialize>(
        &mut self,
        path: &str,
        old: &BTreeMap<String, T>,
        new: &BTreeMap<String, T>,
    ) {
        self.map_by(path, old, new, Differences::value);
    }

    /// Things by name; `inside` looks at one that differs.
    fn map_by<T: PartialEq + Serialize>(
        &mut self,
        path: &str,
        old: &BTreeMap<String, T>,
        new: &BTreeMap<String, T>,
        inside: impl Fn(&mut Differences, &str, &T, &T),
    ) {
        let mut names: Vec<&String> = old.keys().collect();
        names.extend(new.keys().filter(|name| !old.contains_key(*name)));
        names.sort_unstable();
        for name in names {
            match (old.get(name), new.get(name)) {
                (Some(old), Some(new)) if old == new => {}
                (Some(old), Some(new)) => inside(self, &format!("{path}.{name}"), old, new),
                (old, new) => self.option(&format!("{path}.{name}"), old, new),
            }
        }
    }

    /// A list of things with names, in which a place means nothing.
    fn list<T: PartialEq + Serialize>(
        &mut self,
        path: &str,
        old: &[T],
        new: &[T],
        name: impl Fn(&T) -> String,
    ) {
        let same = |(old, new): &(&T, &T)| old == new;
        let first = old.iter().zip(new).take_while(same).count();
        let (old, new) = (&old[first..], &new[first..]);
        let last = old
            .iter()
            .rev()
            .zip(new.iter().rev())
            .take_while(same)
            .count();
        let (old, new) = (&old[..old.len() - last], &new[..new.len() - last]);
        let by_name =
            |list: &[T]| -> BTreeMap<String, usize> { list.iter().map(&name).zip(0..).collect() };
        let (old_names, new_names) = (by_name(old), by_name(new));
        let names: BTreeSet<&String> = old_names.keys().chain(new_names.keys()).collect();
        for name in names {
            let old = old_names.get(name).map(|place| &old[*place]);
            let new = new_names.get(name).map(|place| &new[*place]);
            self.option(&format!("{path}.{name}"), old, new);
        }
    }
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
fn value_of<T: Serialize>(part: &T) -> Value {
    serde_json::to_value(part).unwrap_or(Value::Null)
}

fn compare(path: &str, old: &Value, new: &Value, changes: &mut Vec<Change>) {
    if old == new {
        return;
    }
    match (fields(old), fields(new)) {
        // One of several forms, like a rule's source, is one value.
        (Some(old), Some(new)) if !(is_form(&old) && is_form(&new)) => {
            let keys: BTreeSet<&String> = old.keys().chain(new.keys()).copied().collect();
            for key in keys {
                let path = format!("{path}.{key}");
                match (old.get(key), new.get(key)) {
                    (Some(old), Some(new)) => compare(&path, old, new, changes),
                    (before, after) => changes.push(Change {
                        path,
                        before: before.copied().cloned(),
                        after: after.copied().cloned(),
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
fn fields(value: &Value) -> Option<BTreeMap<&String, &Value>> {
    match value {
        Value::Object(fields) => Some(fields.iter().collect()),
        Value::Array(items) => items.iter().map(named).collect(),
        _ => None,
    }
}

fn named(item: &Value) -> Option<(&String, &Value)> {
    match item.as_object()?.get("name")? {
        Value::String(name) => Some((name, item)),
        _ => None,
    }
}

/// Whether this is how an enumeration with a value is written: one key, and that one its kind. A
/// thing may have such a name too, but is not just a text or a list.
fn is_form(fields: &BTreeMap<&String, &Value>) -> bool {
    const FORMS: [&str; 4] = ["prefix", "prefixes", "tag", "asgs"];
    let mut fields = fields.iter();
    let first = fields.next();
    let only = first.filter(|_| fields.next().is_none());
    only.is_some_and(|(key, value)| FORMS.contains(&key.as_str()) && !value.is_object())
}

#[cfg(test)]
mod tests;
