//! Taking typed values out of a tree, reporting what does not fit.

use std::collections::HashMap;
use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::ops::RangeInclusive;

use super::keys::KeySpec;
use super::node::{Node, Value, shorten};
use crate::diagnostics::{Code, Sink};
use crate::place::{At, Path, Place};
use crate::topology::Choice;
use crate::validate::limits::TEXT_CHARS_MAX;

/// A value in the tree, and the way to it: from a value that holds it, and the last step. Most
/// values are in order, and the place of such a one is never asked for.
#[derive(Clone)]
pub(crate) struct Cursor<'n> {
    node: &'n Node<'n>,
    parent: Path,
    step: Step<'n>,
}

/// The last step of the way to a value.
#[derive(Clone, Copy)]
enum Step<'n> {
    /// None: it is the document.
    Root,
    /// A key that the author chose.
    Key(&'n str),
    /// A key that documents have by their form, as it is spelled here.
    Field(&'static str),
    Index(usize),
}

impl<'n> Cursor<'n> {
    pub(crate) fn root(node: &'n Node<'n>) -> Cursor<'n> {
        Cursor {
            node,
            parent: Path::default(),
            step: Step::Root,
        }
    }

    pub(crate) fn place(&self) -> Place {
        Place {
            span: self.node.span,
            path: self.path(),
        }
    }

    fn path(&self) -> Path {
        match self.step {
            Step::Root => self.parent.clone(),
            Step::Key(key) => self.parent.key(key),
            Step::Field(key) => self.parent.field(key),
            Step::Index(index) => self.parent.index(index),
        }
    }

    pub(crate) fn is_map(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    /// The values of a map with fixed keys; nothing at all counts as an empty map.
    pub(crate) fn fields(&self, keys: &'static [KeySpec], sink: &mut Sink) -> Fields<'n> {
        let mut fields = Fields {
            place: self.place(),
            values: Vec::new(),
        };
        let entries = match &self.node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Null => &[],
            Value::Scalar(_) | Value::List(_) => {
                let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
                self.expected(format!("a map with the keys {}", names.join(", ")), sink);
                &[]
            }
        };
        fields.values.reserve(entries.len().min(keys.len()));
        for (key, node) in entries {
            let place = || Place {
                span: key.span,
                path: fields.place.path.key(&key.text),
            };
            let known = |spec: &KeySpec| Some((spec.name, spec.spelling(&key.text)?));
            let Some((name, spelling)) = keys.iter().find_map(known) else {
                unknown_key(&key.text, keys, &place(), sink);
                continue;
            };
            if fields.values.iter().any(|field| field.name == name) {
                let message = if spelling == name {
                    format!("key `{name}` is here twice")
                } else {
                    format!("key `{spelling}` is another spelling of `{name}`, which is here too")
                };
                sink.error(&place(), Code::Duplicate, message);
                continue;
            }
            fields.values.push(Field {
                name,
                spelling,
                node,
            });
        }
        fields
    }

    /// The entries of a map whose keys are names the author chose.
    pub(crate) fn named(&self, what: &str, sink: &mut Sink) -> Vec<(At<String>, Cursor<'n>)> {
        let entries = match &self.node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Null => &[],
            Value::Scalar(_) | Value::List(_) => {
                self.expected(format_args!("a map of {what} by name"), sink);
                &[]
            }
        };
        let mut seen = HashMap::new();
        let mut named = Vec::with_capacity(entries.len());
        let parent = self.path();
        for (key, node) in entries {
            let place = Place {
                span: key.span,
                path: parent.key(&key.text),
            };
            if let Some(line) = seen.insert(key.text.as_ref(), key.span.line) {
                let message = format!("name `{}` is taken on line {line}", shorten(&key.text));
                sink.error(&place, Code::Duplicate, message);
                continue;
            }
            check_name(&key.text, &place, sink);
            named.push((
                At {
                    value: key.text.to_string(),
                    place,
                },
                Cursor {
                    node,
                    parent: parent.clone(),
                    step: Step::Key(&key.text),
                },
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
                self.expected(format_args!("a list of {what}"), sink);
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

    fn numbered(&self, items: &'n [Node<'n>]) -> Vec<Cursor<'n>> {
        let parent = self.path();
        let cursor = |(index, node)| Cursor {
            node,
            parent: parent.clone(),
            step: Step::Index(index),
        };
        items.iter().enumerate().map(cursor).collect()
    }

    /// A scalar as `parse` reads it; `expected` says in a message what may be there.
    pub(crate) fn scalar<T>(
        &self,
        expected: impl Display,
        sink: &mut Sink,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<At<T>> {
        let value = self.value(expected, sink, parse)?;
        Some(At {
            value,
            place: self.place(),
        })
    }

    /// As [`Cursor::scalar`], where nobody will ask for the place.
    pub(crate) fn value<T>(
        &self,
        expected: impl Display,
        sink: &mut Sink,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let Value::Scalar(scalar) = &self.node.value else {
            self.expected(expected, sink);
            return None;
        };
        match parse(&scalar.text) {
            Ok(value) => Some(value),
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
        let expected = format_args!("a text of at most {TEXT_CHARS_MAX} characters on one line");
        self.value(expected, sink, |text| {
            let good = text.chars().count() <= TEXT_CHARS_MAX && !text.contains(char::is_control);
            if good {
                Ok(text.to_owned())
            } else {
                Err(String::new())
            }
        })
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
        self.value("true or false", sink, |text| match text {
            "true" | "True" | "TRUE" => Ok(true),
            "false" | "False" | "FALSE" => Ok(false),
            _ => Err(String::new()),
        })
    }

    /// A whole number, quoted or not: exported templates quote them.
    pub(crate) fn integer<T>(&self, range: RangeInclusive<T>, sink: &mut Sink) -> Option<At<T>>
    where
        T: std::str::FromStr + PartialOrd + Display,
    {
        self.scalar(WholeNumber(&range), sink, |text| {
            let value = text.parse::<T>().ok().filter(|value| range.contains(value));
            value.ok_or_else(String::new)
        })
    }

    /// One of a closed set of words, in any case.
    pub(crate) fn choice<T: Choice>(&self, sink: &mut Sink) -> Option<T> {
        self.value(OneOf::<T>(PhantomData), sink, |text| {
            let same = |(word, _): &&(&str, T)| word.eq_ignore_ascii_case(text);
            match T::ALL.iter().find(same) {
                Some((_, value)) => Ok(*value),
                None => {
                    let words = T::ALL.iter().map(|(word, _)| *word);
                    Err(suggestion(text, words).unwrap_or_default())
                }
            }
        })
    }

    fn expected(&self, what: impl Display, sink: &mut Sink) {
        let message = format!("found {}; expected {what}", self.node.describe());
        sink.error(&self.place(), Code::WrongType, message);
    }
}

/// For messages, which are made only where something is wrong.
struct WholeNumber<'r, T>(&'r RangeInclusive<T>);

impl<T: Display> Display for WholeNumber<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.0.start(), self.0.end());
        write!(f, "a whole number from {first} to {last}")
    }
}

/// Likewise.
struct OneOf<T>(PhantomData<T>);

impl<T: Choice> Display for OneOf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = T::ALL.iter().map(|(word, _)| *word).collect();
        write!(f, "one of {}", words.join(", "))
    }
}

/// The values of one map. There are at most a dozen, so they are searched one by one.
pub(crate) struct Fields<'n> {
    pub(crate) place: Place,
    values: Vec<Field<'n>>,
}

struct Field<'n> {
    /// The key's canonical name.
    name: &'static str,
    /// As it is written here.
    spelling: &'static str,
    node: &'n Node<'n>,
}

impl<'n> Fields<'n> {
    /// The value, unless the key is absent or has nothing.
    pub(crate) fn get(&self, name: &'static str) -> Option<Cursor<'n>> {
        let field = self.values.iter().find(|field| field.name == name)?;
        if matches!(field.node.value, Value::Null) {
            return None;
        }
        Some(Cursor {
            node: field.node,
            parent: self.place.path.clone(),
            step: Step::Field(field.spelling),
        })
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
