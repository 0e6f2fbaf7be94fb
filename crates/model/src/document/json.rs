//! From text to a tree, where the text is plain JSON: what programs send, and nothing to guess.
//!
//! Every JSON document is YAML, but to read it as such takes many times as long. The tree is the
//! same, places included (a value is as wide as it is, without the blanks after it); of whatever is
//! not as plain as it can be, nothing is said here, and the YAML reader has the word. So all messages
//! of broken documents are its own.

use std::borrow::Cow;

use super::node::{Key, Node, Scalar, Value};
use crate::place::Span;
use crate::validate::limits::{DEPTH_MAX, NODES_MAX, SOURCE_BYTES_MAX};

/// A key this long may be none in YAML, which looks for its colon so many characters ahead.
const KEY_BYTES_MAX: usize = 256;

/// The tree of a document in JSON; None for all others, and for some that are odd.
pub(super) fn read(source: &str) -> Option<Node<'_>> {
    // Columns are characters, which are bytes then.
    let plain = source.len() <= SOURCE_BYTES_MAX && source.is_ascii();
    if !plain || !source.starts_with('{') {
        return None;
    }
    let mut reader = Reader {
        source,
        at: 0,
        line: 1,
        line_starts: 0,
        nodes: 0,
    };
    let root = reader.value(0)?;
    reader.skip_blank()?;
    (reader.at == source.len()).then_some(root)
}

struct Reader<'s> {
    source: &'s str,
    at: usize,
    line: u32,
    /// Where the present line starts.
    line_starts: usize,
    nodes: usize,
}

impl<'s> Reader<'s> {
    fn peek(&self) -> Option<u8> {
        self.source.as_bytes().get(self.at).copied()
    }

    /// Whether this comes next, which is then behind.
    fn takes(&mut self, byte: u8) -> bool {
        let taken = self.peek() == Some(byte);
        self.at += usize::from(taken);
        taken
    }

    /// Spaces and line ends. Tabs and carriage returns are the YAML reader's.
    fn skip_blank(&mut self) -> Option<()> {
        loop {
            match self.peek() {
                Some(b' ') => self.at += 1,
                Some(b'\n') => {
                    self.at += 1;
                    self.line = self.line.checked_add(1)?;
                    self.line_starts = self.at;
                }
                _ => return Some(()),
            }
        }
    }

    /// What lies between `start`, on this line, and here.
    fn span(&self, start: usize) -> Option<Span> {
        Some(Span {
            line: self.line,
            column: u32::try_from(start - self.line_starts + 1).ok()?,
            width: u32::try_from(self.at - start).ok()?,
        })
    }

    /// The value that starts here, after `depth` lists and maps that are open.
    fn value(&mut self, depth: usize) -> Option<Node<'s>> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return None;
        }
        let start = self.at;
        match self.peek()? {
            b'{' => {
                self.at += 1;
                let span = self.span(start)?;
                let entries = self.entries(depth + 1)?;
                Some(Node {
                    span,
                    value: Value::Map(entries),
                })
            }
            b'[' => {
                self.at += 1;
                let span = self.span(start)?;
                let items = self.items(depth + 1)?;
                Some(Node {
                    span,
                    value: Value::List(items),
                })
            }
            b'"' => {
                let text = self.text()?;
                Some(Node {
                    span: self.span(start)?,
                    value: Value::Scalar(Scalar { text, plain: false }),
                })
            }
            _ => self.word(),
        }
    }

    fn items(&mut self, depth: usize) -> Option<Vec<Node<'s>>> {
        let mut items = Vec::new();
        self.skip_blank()?;
        if depth > DEPTH_MAX || self.takes(b']') {
            return (depth <= DEPTH_MAX).then_some(items);
        }
        loop {
            items.push(self.value(depth)?);
            self.skip_blank()?;
            if self.takes(b']') {
                return Some(items);
            }
            self.takes(b',').then_some(())?;
            self.skip_blank()?;
        }
    }

    fn entries(&mut self, depth: usize) -> Option<Vec<(Key<'s>, Node<'s>)>> {
        let mut entries = Vec::new();
        self.skip_blank()?;
        if depth > DEPTH_MAX || self.takes(b'}') {
            return (depth <= DEPTH_MAX).then_some(entries);
        }
        loop {
            self.nodes += 1;
            let start = self.at;
            let text = self.text()?;
            let span = self.span(start)?;
            let short = self.at - start <= KEY_BYTES_MAX;
            // A space before the colon would make what follows it another word.
            (short && self.takes(b':')).then_some(())?;
            self.skip_blank()?;
            entries.push((Key { text, span }, self.value(depth)?));
            self.skip_blank()?;
            if self.takes(b'}') {
                return Some(entries);
            }
            self.takes(b',').then_some(())?;
            self.skip_blank()?;
        }
    }

    /// A text in quotes, on one line.
    fn text(&mut self) -> Option<Cow<'s, str>> {
        self.takes(b'"').then_some(())?;
        let start = self.at;
        let mut unescaped = String::new();
        let mut copied = start;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    unescaped.push_str(&self.source[copied..self.at]);
                    self.at += 1;
                    // Those that are the same in YAML; numbers of characters are not.
                    unescaped.push(match self.peek()? {
                        same @ (b'"' | b'\\' | b'/') => char::from(same),
                        b'n' => '\n',
                        b't' => '\t',
                        _ => return None,
                    });
                    self.at += 1;
                    copied = self.at;
                }
                b' '..=b'~' => self.at += 1,
                _ => return None,
            }
        }
        let rest = &self.source[copied..self.at];
        self.at += 1;
        if copied == start {
            return Some(Cow::Borrowed(rest));
        }
        unescaped.push_str(rest);
        Some(Cow::Owned(unescaped))
    }

    /// A number, a truth value, or nothing. The end must be plain to see.
    fn word(&mut self) -> Option<Node<'s>> {
        let start = self.at;
        while let Some(b'a'..=b'z' | b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        let text = &self.source[start..self.at];
        let number = || text.bytes().all(|byte| byte.is_ascii_digit());
        let value = match text {
            "null" => Value::Null,
            "true" | "false" => Value::Scalar(Scalar {
                text: Cow::Borrowed(text),
                plain: true,
            }),
            _ if !text.is_empty() && number() => Value::Scalar(Scalar {
                text: Cow::Borrowed(text),
                plain: true,
            }),
            _ => return None,
        };
        let ends = matches!(self.peek(), Some(b',' | b']' | b'}' | b'\n' | b' '));
        let span = self.span(start)?;
        ends.then_some(Node { span, value })
    }
}

#[cfg(test)]
mod tests;
