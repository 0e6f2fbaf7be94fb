//! The pieces schemas are made of.

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use crate::document::keys::KeySpec;
use crate::topology::Choice;
use crate::validate::limits::TEXT_CHARS_MAX;

/// A map with fixed keys, each under all its spellings. `property` knows the schema of each; a key
/// it does not know is a mistake here, which a test finds, and allows nothing.
pub(super) fn object(
    keys: &[KeySpec],
    required: &[&str],
    property: impl Fn(&str) -> Option<Value>,
) -> Value {
    let mut properties = Map::new();
    let mut conditions = Vec::new();
    for key in keys {
        let schema = property(key.name).unwrap_or(json!(false));
        let needed = required.contains(&key.name);
        let schema = if needed { schema } else { nullable(schema) };
        for spelling in key.spellings() {
            properties.insert(spelling.to_owned(), schema.clone());
        }
        let present: Vec<Value> = key
            .spellings()
            .map(|name| json!({"required": [name]}))
            .collect();
        match (present.len(), needed) {
            (1, _) => {}
            (_, true) => conditions.push(json!({"oneOf": present})),
            (_, false) => conditions.push(json!({"not": at_least_two(key)})),
        }
    }
    let plain: Vec<&str> = keys
        .iter()
        .filter(|key| required.contains(&key.name) && key.aliases.is_empty())
        .map(|key| key.name)
        .collect();
    let mut schema = Map::new();
    schema.insert("type".into(), json!("object"));
    schema.insert("properties".into(), Value::Object(properties));
    schema.insert("additionalProperties".into(), json!(false));
    if !plain.is_empty() {
        schema.insert("required".into(), json!(plain));
    }
    if !conditions.is_empty() {
        schema.insert("allOf".into(), Value::Array(conditions));
    }
    Value::Object(schema)
}

/// Two spellings of one key.
fn at_least_two(key: &KeySpec) -> Value {
    let spellings: Vec<&str> = key.spellings().collect();
    let mut pairs = Vec::new();
    for (index, first) in spellings.iter().enumerate() {
        let later = spellings[index + 1..].iter();
        pairs.extend(later.map(|second| json!({"required": [first, second]})));
    }
    json!({"anyOf": pairs})
}

/// A map whose keys are names.
pub(super) fn key_map(value: Value) -> Value {
    json!({"type": "object", "propertyNames": reference("name"), "additionalProperties": value})
}

pub(super) fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

pub(super) fn one_or_many(item: Value) -> Value {
    json!({"anyOf": [item, {"type": "array", "items": item}]})
}

pub(super) fn boolean(default: bool, text: &str) -> Value {
    json!({"type": "boolean", "default": default, "description": text})
}

pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

pub(super) fn described(mut schema: Value, text: &str) -> Value {
    if let Some(fields) = schema.as_object_mut() {
        fields.insert("description".into(), json!(text));
    }
    schema
}

/// A text for people.
pub(super) fn prose() -> Value {
    json!({"type": "string", "maxLength": TEXT_CHARS_MAX})
}

/// The schema, or nothing: a key without a value is as one that is not there.
pub(super) fn nullable(mut schema: Value) -> Value {
    let Some(fields) = schema.as_object_mut() else {
        return schema;
    };
    if let Some(Value::String(one)) = fields.get("type") {
        let both = json!([one, "null"]);
        fields.insert("type".into(), both);
        return schema;
    }
    let description = fields.remove("description");
    let either = json!({"anyOf": [schema, {"type": "null"}]});
    match description.as_ref().and_then(Value::as_str) {
        Some(text) => described(either, text),
        None => either,
    }
}

/// A closed set of words: as they are offered, and as they are accepted, in any case.
pub(super) fn choice<T: Choice>() -> Value {
    let words: Vec<&str> = T::ALL.iter().map(|(word, _)| *word).collect();
    let any_case: Vec<String> = words.iter().map(|word| in_any_case(word)).collect();
    let pattern = format!("^({})$", any_case.join("|"));
    json!({"anyOf": [{"enum": words}, {"type": "string", "pattern": pattern}]})
}

fn in_any_case(word: &str) -> String {
    let letter = |c: char| match c {
        c if c.is_ascii_alphabetic() => {
            format!("[{}{}]", c.to_ascii_uppercase(), c.to_ascii_lowercase())
        }
        c => format!("\\{c}"),
    };
    word.chars().map(letter).collect()
}

/// A whole number, or one in quotes as templates have it.
pub(super) fn integer<T: serde::Serialize>(range: &RangeInclusive<T>) -> Value {
    json!({"anyOf": [
        {"type": "integer", "minimum": range.start(), "maximum": range.end()},
        {"type": "string", "pattern": "^[0-9]+$"},
    ]})
}
