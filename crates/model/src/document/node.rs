//! The tree of a document, every node with its place in the text.

use std::borrow::Cow;

use crate::place::Span;

/// One value. Its texts are those of the document where they stand there as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node<'s> {
    pub(crate) span: Span,
    pub(crate) value: Value<'s>,
}

/// What a value is. Numbers and truth values stay text: what a plain scalar means depends on what
/// is wanted there (`10.10` is no number in a list of addresses).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value<'s> {
    /// Nothing, `~` or `null`.
    Null,
    Scalar(Scalar<'s>),
    List(Vec<Node<'s>>),
    Map(Vec<(Key<'s>, Node<'s>)>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scalar<'s> {
    pub(crate) text: Cow<'s, str>,
    /// Written without quotes.
    pub(crate) plain: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key<'s> {
    pub(crate) text: Cow<'s, str>,
    pub(crate) span: Span,
}

impl Node<'_> {
    /// How many nodes this is, itself included.
    pub(crate) fn count(&self) -> usize {
        1 + match &self.value {
            Value::Null | Value::Scalar(_) => 0,
            Value::List(items) => items.iter().map(Node::count).sum(),
            Value::Map(entries) => entries.iter().map(|(_, node)| 1 + node.count()).sum(),
        }
    }

    /// Plain scalars by YAML's core schema, as far as documents use it.
    #[cfg(test)]
    pub(crate) fn as_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Scalar(scalar) if !scalar.plain => Json::String(scalar.text.to_string()),
            Value::Scalar(scalar) => {
                let number = scalar.text.parse::<serde_json::Number>();
                match (scalar.text.as_ref(), number) {
                    ("true", _) => Json::Bool(true),
                    ("false", _) => Json::Bool(false),
                    (_, Ok(number)) => Json::Number(number),
                    (text, Err(_)) => Json::String(text.to_owned()),
                }
            }
            Value::List(items) => items.iter().map(Node::as_json).collect(),
            Value::Map(entries) => Json::Object(
                entries
                    .iter()
                    .map(|(key, node)| (key.text.to_string(), node.as_json()))
                    .collect(),
            ),
        }
    }

    /// For messages: what was found.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Scalar(scalar) => format!("`{}`", shorten(&scalar.text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }
}

/// At most 60 characters of `text`, for messages.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
