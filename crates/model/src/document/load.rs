//! From text to a tree: YAML events, with a budget.
//!
//! What is plain JSON is read without them ([`super::json`]), which gives the same tree.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span as Marks};

use super::node::{Key, Node, Scalar, Value};
use crate::diagnostics::{Code, Sink};
use crate::place::{Path, Place, Span};
use crate::validate::limits::{DEPTH_MAX, NODES_MAX, SOURCE_BYTES_MAX};

/// The document's tree. The first thing that is wrong is the only one reported: after it, what the
/// rest means is a guess.
pub(super) fn load<'s>(source: &'s str, sink: &mut Sink) -> Option<Node<'s>> {
    if let Some(node) = super::json::read(source) {
        return Some(node);
    }
    match read(source) {
        Ok(node) => Some(node),
        Err(Failure {
            span,
            code,
            message,
            help,
        }) => {
            let place = Place {
                span,
                path: Path::default(),
            };
            sink.error_help(&place, code, message, help.map(str::to_owned));
            None
        }
    }
}

#[derive(Debug)]
pub(super) struct Failure {
    span: Span,
    code: Code,
    message: String,
    help: Option<&'static str>,
}

impl Failure {
    fn new(span: Span, code: Code, message: impl Into<String>) -> Failure {
        Failure {
            span,
            code,
            message: message.into(),
            help: None,
        }
    }
}

const START: Span = Span {
    line: 1,
    column: 1,
    width: 0,
};

pub(super) fn read(source: &str) -> Result<Node<'_>, Failure> {
    if source.len() > SOURCE_BYTES_MAX {
        let message = format!(
            "the document has {} bytes; allowed are {SOURCE_BYTES_MAX}",
            source.len()
        );
        return Err(Failure::new(START, Code::TooLarge, message));
    }
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let mut loader = Loader::default();
    for event in Parser::new_from_str(source) {
        let (event, marks) = event.map_err(|error| {
            let mark = error.marker();
            let span = Span {
                line: number(mark.line()),
                column: number(mark.col() + 1),
                width: 1,
            };
            let mut failure = Failure::new(span, Code::Syntax, error.info());
            failure.help = advice(source, mark.line());
            failure
        })?;
        loader.event(event, span_of(marks))?;
    }
    let empty = Node {
        span: START,
        value: Value::Null,
    };
    Ok(loader.root.unwrap_or(empty))
}

/// Two mistakes that the parser's own words do not explain.
fn advice(source: &str, line: usize) -> Option<&'static str> {
    let text = source.lines().nth(line.saturating_sub(1))?;
    if text.contains(": *") || text.contains("[*") || text.contains("- *") {
        Some("an asterisk starts a YAML alias: write \"*\" in quotes, or Any")
    } else if text.trim_start_matches(' ').starts_with('\t') {
        Some("YAML is indented with spaces, not tabs")
    } else {
        None
    }
}

#[derive(Default)]
struct Loader<'s> {
    root: Option<Node<'s>>,
    open: Vec<Open<'s>>,
    anchors: HashMap<usize, (Node<'s>, usize)>,
    nodes: usize,
    documents: usize,
}

/// A list or map whose end is still to come.
struct Open<'s> {
    span: Span,
    anchor: usize,
    content: Content<'s>,
}

enum Content<'s> {
    List(Vec<Node<'s>>),
    Map(Vec<(Key<'s>, Node<'s>)>, Option<Key<'s>>),
}

impl<'s> Loader<'s> {
    fn event(&mut self, event: Event<'s>, span: Span) -> Result<(), Failure> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    let message = "a second document; a topology is one document";
                    return Err(Failure::new(span, Code::Syntax, message));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some_and(|tag| !tag.is_yaml_core_schema()), span)?;
                let plain = style == ScalarStyle::Plain;
                let value = match text.as_ref() {
                    "" | "~" | "null" | "Null" | "NULL" if plain => Value::Null,
                    _ => Value::Scalar(Scalar { text, plain }),
                };
                self.spend(1, span)?;
                self.done(Node { span, value }, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.is_some_and(|tag| !tag.is_yaml_core_schema()), span)?;
                self.enter(span, anchor, Content::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.is_some_and(|tag| !tag.is_yaml_core_schema()), span)?;
                self.enter(span, anchor, Content::Map(Vec::new(), None))
            }
            Event::SequenceEnd | Event::MappingEnd => self.leave(),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn refuse_tag(&self, foreign: bool, span: Span) -> Result<(), Failure> {
        if !foreign {
            return Ok(());
        }
        Err(Failure::new(
            span,
            Code::Syntax,
            "a YAML tag; a topology has no use for tags",
        ))
    }

    fn spend(&mut self, nodes: usize, span: Span) -> Result<(), Failure> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > NODES_MAX {
            let message =
                format!("more than {NODES_MAX} values here, counting what aliases stand for");
            return Err(Failure::new(span, Code::TooLarge, message));
        }
        Ok(())
    }

    fn enter(&mut self, span: Span, anchor: usize, content: Content<'s>) -> Result<(), Failure> {
        if self.open.len() >= DEPTH_MAX {
            let message = format!("nested deeper than {DEPTH_MAX} levels");
            return Err(Failure::new(span, Code::TooLarge, message));
        }
        self.spend(1, span)?;
        self.open.push(Open {
            span,
            anchor,
            content,
        });
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Failure> {
        let Some(Open {
            span,
            anchor,
            content,
        }) = self.open.pop()
        else {
            return Ok(());
        };
        let value = match content {
            Content::List(items) => Value::List(items),
            Content::Map(entries, _) => Value::Map(entries),
        };
        self.done(Node { span, value }, anchor)
    }

    /// A copy of what the alias names. Its nodes count like written ones, so that a few lines
    /// cannot stand for billions, and its depth as well.
    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Failure> {
        let Some((node, depth)) = self.anchors.get(&anchor) else {
            let message = "an alias of a value that contains it";
            return Err(Failure::new(span, Code::Syntax, message));
        };
        if self.open.len() + depth > DEPTH_MAX {
            let message = format!("nested deeper than {DEPTH_MAX} levels");
            return Err(Failure::new(span, Code::TooLarge, message));
        }
        let nodes = node.count();
        let node = node.clone();
        self.spend(nodes, span)?;
        self.done(node, 0)
    }

    /// Puts a complete node where it belongs, and remembers it when it has an anchor.
    fn done(&mut self, node: Node<'s>, anchor: usize) -> Result<(), Failure> {
        if anchor != 0 {
            self.spend(node.count(), node.span)?;
            self.anchors.insert(anchor, (node.clone(), depth(&node)));
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map(entries, pending)) => match pending.take() {
                Some(key) => entries.push((key, node)),
                None => *pending = Some(as_key(node)?),
            },
        }
        Ok(())
    }
}

fn as_key(node: Node<'_>) -> Result<Key<'_>, Failure> {
    match node.value {
        Value::Scalar(scalar) => Ok(Key {
            text: scalar.text,
            span: node.span,
        }),
        Value::Null => Ok(Key {
            text: Cow::Borrowed("null"),
            span: node.span,
        }),
        Value::List(_) | Value::Map(_) => {
            let message = format!("{} as a key; a key is a text", node.describe());
            let help = "a value that starts with { or [ must be quoted to be a text";
            Err(Failure {
                help: Some(help),
                ..Failure::new(node.span, Code::Syntax, message)
            })
        }
    }
}

fn depth(node: &Node<'_>) -> usize {
    match &node.value {
        Value::Null | Value::Scalar(_) => 0,
        Value::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Map(entries) => {
            1 + entries
                .iter()
                .map(|(_, node)| depth(node))
                .max()
                .unwrap_or(0)
        }
    }
}

fn span_of(marks: Marks) -> Span {
    let (start, end) = (marks.start, marks.end);
    let width = if start.line() == end.line() {
        end.col().saturating_sub(start.col())
    } else {
        0
    };
    let width = if start.line() == end.line() {
        width.max(1)
    } else {
        width
    };
    Span {
        line: number(start.line()),
        column: number(start.col() + 1),
        width: number(width),
    }
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
