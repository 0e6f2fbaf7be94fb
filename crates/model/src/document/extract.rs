//! Taking typed values out of a tree, reporting what does not fit.

use std::collections::HashMap;
use std::fmt::Display;
use std::ops::RangeInclusive;

use super::keys::KeySpec;
use super::node::{Node, Value, shorten};
use crate::diagnostics::{Code, Sink};
use crate::place::{At, Path, Place};
use crate::topology::Choice;
use crate::validate::limits::TEXT_CHARS_MAX;

/// A value in the tree, and the way to it.
#[derive(Clone)]
pub(crate) struct Cursor<'n> {
    node: &'n Node,
    path: Path,
}

impl<'n> Cursor<'n> {
    pub(crate) fn root(node: &'n Node) -> Cursor<'n> {
        Cursor {
            node,
            path: Path::default(),
        }
    }

    pub(crate) fn place(&self) -> Place {
        Place {
            span: self.node.span,
            path: self.path.clone(),
        }
    }

    pub(crate) fn is_map(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    /// The values of a map with fixed keys; nothing at all counts as an empty map.
    pub(crate) fn fields(&self, keys: &'static [KeySpec], sink: &mut Sink) -> Fields<'n> {
        let mut fields = Fields {
            place: self.place(),
            values: HashMap::new(),
        };
        let entries = match &self.node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Null => &[],
            Value::Scalar(_) | Value::List(_) => {
                let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
                self.expected(&format!("a map with the keys {}", names.join(", ")), sink);
                &[]
            }
        };
        for (key, node) in entries {
            let path = self.path.key(&key.text);
            let place = Place {
                span: key.span,
                path: path.clone(),
            };
            let Some(spec) = keys.iter().find(|spec| spec.is_called(&key.text)) else {
                unknown_key(&key.text, keys, &place, sink);
                continue;
            };
            if fields.values.contains_key(spec.name) {
                let message = if key.text == spec.name {
                    format!("key `{}` is here twice", spec.name)
                } else {
                    format!(
                        "key `{}` is another spelling of `{}`, which is here too",
                        key.text, spec.name
                    )
                };
                sink.error(&place, Code::Duplicate, message);
                continue;
            }
            fields.values.insert(spec.name, Cursor { node, path });
        }
        fields
    }

    /// The entries of a map whose keys are names the author chose.
    pub(crate) fn named(&self, what: &str, sink: &mut Sink) -> Vec<(At<String>, Cursor<'n>)> {
        let entries = match &self.node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Null => &[],
            Value::Scalar(_) | Value::List(_) => {
                self.expected(&format!("a map of {what} by name"), sink);
                &[]
            }
        };
        let mut seen = HashMap::new();
        let mut named = Vec::with_capacity(entries.len());
        for (key, node) in entries {
            let path = self.path.key(&key.text);
            let place = Place {
                span: key.span,
                path: path.clone(),
            };
            if let Some(line) = seen.insert(key.text.as_str(), key.span.line) {
                let message = format!("name `{}` is taken on line {line}", shorten(&key.text));
                sink.error(&place, Code::Duplicate, message);
                continue;
            }
            check_name(&key.text, &place, sink);
            named.push((
                At {
                    value: key.text.clone(),
                    place,
                },
                Cursor { node, path },
            ));
        }
        named
    }

    /// The items of a list; nothing at all counts as an empty one.
    pub(crate) fn items(&self, what: &str, sink: &mut Sink) -> Vec<Cursor<'n>> {
        match &self.node.value {
            Value::List(items) => self.numbered(items),
            Value::Null => Vec::new(),
            Value::Scalar(_) | Value::Map(_) => {
                self.expected(&format!("a list of {what}"), sink);
                Vec::new()
            }
        }
    }

    /// The items of a list, or the one value that stands for a list of one.
    pub(crate) fn one_or_many(&self) -> Vec<Cursor<'n>> {
        match &self.node.value {
            Value::List(items) => self.numbered(items),
            Value::Null => Vec::new(),
            Value::Scalar(_) | Value::Map(_) => vec![self.clone()],
        }
    }

    fn numbered(&self, items: &'n [Node]) -> Vec<Cursor<'n>> {
        let cursor = |(index, node)| Cursor {
            node,
            path: self.path.index(index),
        };
        items.iter().enumerate().map(cursor).collect()
    }

    /// A scalar as `parse` reads it; `expected` says in a message what may be there.
    pub(crate) fn scalar<T>(
        &self,
        expected: &str,
        sink: &mut Sink,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<At<T>> {
        let Value::Scalar(scalar) = &self.node.value else {
            self.expected(expected, sink);
            return None;
        };
        match parse(&scalar.text) {
            Ok(value) => Some(At {
                value,
                place: self.place(),
            }),
            Err(reason) => {
                let message = format!("found {}; expected {expected}", self.node.describe());
                let help = Some(reason).filter(|reason| !reason.is_empty());
                sink.error_help(&self.place(), Code::BadValue, message, help);
                None
            }
        }
    }

    pub(crate) fn text(&self, what: &str, sink: &mut Sink) -> Option<At<String>> {
        self.scalar(what, sink, |text| Ok(text.to_owned()))
    }

    /// A text for people, on one line.
    pub(crate) fn prose(&self, sink: &mut Sink) -> Option<String> {
        let expected = format!("a text of at most {TEXT_CHARS_MAX} characters on one line");
        let text = self.scalar(&expected, sink, |text| {
            let good = text.chars().count() <= TEXT_CHARS_MAX && !text.contains(char::is_control);
            if good {
                Ok(text.to_owned())
            } else {
                Err(String::new())
            }
        })?;
        Some(text.value)
    }

    /// A name the author gives here.
    pub(crate) fn name(&self, what: &str, sink: &mut Sink) -> Option<At<String>> {
        let name = self.text(what, sink)?;
        check_name(&name.value, &name.place, sink);
        Some(name)
    }

    pub(crate) fn boolean(&self, sink: &mut Sink) -> Option<bool> {
        if let Value::Scalar(scalar) = &self.node.value
            && !scalar.plain
        {
            let message = format!(
                "found the text {}; expected true or false",
                self.node.describe()
            );
            sink.error_help(
                &self.place(),
                Code::WrongType,
                message,
                "leave out the quotes".to_owned(),
            );
            return None;
        }
        let value = self.scalar("true or false", sink, |text| match text {
            "true" | "True" | "TRUE" => Ok(true),
            "false" | "False" | "FALSE" => Ok(false),
            _ => Err(String::new()),
        })?;
        Some(value.value)
    }

    /// A whole number, quoted or not: exported templates quote them.
    pub(crate) fn integer<T>(&self, range: RangeInclusive<T>, sink: &mut Sink) -> Option<At<T>>
    where
        T: std::str::FromStr + PartialOrd + Display,
    {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.scalar(&expected, sink, |text| {
            let value = text.parse::<T>().ok().filter(|value| range.contains(value));
            value.ok_or_else(String::new)
        })
    }

    /// One of a closed set of words, in any case.
    pub(crate) fn choice<T: Choice>(&self, sink: &mut Sink) -> Option<At<T>> {
        let words: Vec<&str> = T::ALL.iter().map(|(word, _)| *word).collect();
        let expected = format!("one of {}", words.join(", "));
        self.scalar(&expected, sink, |text| {
            let same = |(word, _): &&(&str, T)| word.eq_ignore_ascii_case(text);
            match T::ALL.iter().find(same) {
                Some((_, value)) => Ok(*value),
                None => Err(suggestion(text, words.iter().copied()).unwrap_or_default()),
            }
        })
    }

    fn expected(&self, what: &str, sink: &mut Sink) {
        let message = format!("found {}; expected {what}", self.node.describe());
        sink.error(&self.place(), Code::WrongType, message);
    }
}

/// The values of one map, by the canonical names of their keys.
pub(crate) struct Fields<'n> {
    pub(crate) place: Place,
    values: HashMap<&'static str, Cursor<'n>>,
}

impl<'n> Fields<'n> {
    /// The value, unless the key is absent or has nothing.
    pub(crate) fn get(&self, name: &'static str) -> Option<Cursor<'n>> {
        let cursor = self.values.get(name)?;
        if matches!(cursor.node.value, Value::Null) {
            None
        } else {
            Some(cursor.clone())
        }
    }

    pub(crate) fn required(&self, name: &'static str, sink: &mut Sink) -> Option<Cursor<'n>> {
        let cursor = self.get(name);
        if cursor.is_none() {
            sink.error(
                &self.place,
                Code::MissingKey,
                format!("key `{name}` is missing"),
            );
        }
        cursor
    }

    /// A truth value, or `default` when the key is absent.
    pub(crate) fn boolean(&self, name: &'static str, default: bool, sink: &mut Sink) -> bool {
        self.get(name)
            .and_then(|cursor| cursor.boolean(sink))
            .unwrap_or(default)
    }

    /// The items of a list, or the one value that stands for it; empty when absent.
    pub(crate) fn many(&self, name: &'static str) -> Vec<Cursor<'n>> {
        self.get(name)
            .map(|cursor| cursor.one_or_many())
            .unwrap_or_default()
    }
}

/// `did you mean ...`, when something in `known` is close to `found`.
pub(crate) fn suggestion<'a>(
    found: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    // A distance costs the product of the lengths: nobody mistypes a name this long.
    if found.len() > 160 {
        return None;
    }
    let lower = found.to_ascii_lowercase();
    known
        .into_iter()
        .map(|word| {
            (
                strsim::osa_distance(&lower, &word.to_ascii_lowercase()),
                word,
            )
        })
        // As rustc does: one slip for every three letters.
        .filter(|(distance, word)| *distance <= lower.len().max(word.len()).max(3) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| format!("did you mean `{word}`?"))
}

fn unknown_key(found: &str, keys: &[KeySpec], place: &Place, sink: &mut Sink) {
    let help = if found == "<<" {
        "merge keys are YAML 1.1; an alias must stand for the whole value".to_owned()
    } else {
        let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
        let known = keys.iter().flat_map(KeySpec::spellings);
        let allowed = format!("allowed here: {}", names.join(", "));
        suggestion(found, known).map_or(allowed.clone(), |near| format!("{near} ({allowed})"))
    };
    sink.error_help(
        place,
        Code::UnknownKey,
        format!("unknown key `{}`", shorten(found)),
        help,
    );
}

/// The cloud's rule for names of network resources.
fn check_name(name: &str, place: &Place, sink: &mut Sink) {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let good = (1..=80).contains(&name.len())
        && name.chars().all(|c| word(c) || c == '.' || c == '-')
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(word);
    if !good {
        let message = format!(
            "name `{}` is not 1 to 80 letters, digits, `.`, `-` and `_`, \
             beginning with a letter or digit and ending with one or `_`",
            shorten(name)
        );
        sink.error(place, Code::BadValue, message);
    }
}
