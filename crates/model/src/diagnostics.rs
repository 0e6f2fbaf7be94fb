//! What is wrong with a document, as data; rendered in one place.

mod render;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::place::{Place, Span};
use crate::validate::limits::DIAGNOSTICS_MAX;

/// Whether a document with this in it can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, and its author should look.
    Warning,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal;)+) => {
        /// What kind of mistake it is: stable, for scripts and for the documentation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[doc = $doc])+ #[serde(rename = $text)] $name,)+
        }

        impl Code {
            /// All codes.
            pub const ALL: &'static [Code] = &[$(Code::$name),+];

            /// As it is printed.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Code::$name => $text,)+
                }
            }
        }
    };
}

codes! {
    /// Not YAML, or YAML that a topology has no use for.
    Syntax = "syntax";
    /// Too large, too deep, or too many nodes once aliases are followed.
    TooLarge = "too-large";
    /// A key that means nothing here.
    UnknownKey = "unknown-key";
    /// A key or a name that is there twice.
    Duplicate = "duplicate";
    /// A key that must be there.
    MissingKey = "missing-key";
    /// A list where a text should be, and the like.
    WrongType = "wrong-type";
    /// The right type, and not a value it can have.
    BadValue = "bad-value";
    /// A name of nothing in this document.
    UnknownReference = "unknown-reference";
    /// Keys that contradict each other.
    Conflict = "conflict";
    /// Address ranges that overlap, or lie outside of what they must be in.
    AddressRange = "address-range";
    /// An address that cannot be given to this NIC.
    Address = "address";
    /// A default route of the user's makes the tag `VirtualNetwork` mean everything.
    WidenedTag = "NW001";
    /// A rule that never decides, two rules with one priority, or a priority out of range.
    RuleOrder = "NW002";
    /// A next hop that will not forward, or that serves the subnet it is in.
    Appliance = "NW003";
    /// More than the platform's limit of something.
    Limit = "NW004";
    /// A peering with one side only: no traffic passes.
    PeeringInitiated = "NW005";
    /// Remote addresses in a virtual network whose identifier the other hosts cannot know.
    UnstableVni = "NW006";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One mistake, where it is, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// The kind of mistake.
    pub code: Code,
    /// Where in the document, like `guests.web-1.nics[0].subnet`; empty for the whole of it.
    pub path: String,
    /// The line, from one.
    pub line: u32,
    /// The column in characters, from one.
    pub column: u32,
    /// What was found, and what may be there.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The line of text, or the part of a long one around the mistake.
    pub excerpt: String,
    /// Where the mistake starts in the excerpt, in characters from zero.
    pub excerpt_column: u32,
    /// How many characters of the excerpt it covers, at least one.
    pub excerpt_width: u32,
}

/// All that was found in one document, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostics {
    /// The name the document was given.
    pub file_name: String,
    /// The diagnostics.
    pub diagnostics: Vec<Diagnostic>,
    /// How many errors were found and not kept.
    pub omitted_errors: usize,
    /// How many warnings were found and not kept.
    pub omitted_warnings: usize,
}

impl Diagnostics {
    /// Whether one is an error.
    pub fn has_errors(&self) -> bool {
        self.diagnostics
            .iter()
            .any(|found| found.severity == Severity::Error)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// For people: each with its line and a caret, and a last line that counts them. `colour` adds
    /// terminal colours.
    pub fn render(&self, colour: bool) -> String {
        render::render(self, colour)
    }
}

/// As [`Diagnostics::render`] without colour.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

/// Collects what is found while a document is read.
#[derive(Default)]
pub(crate) struct Sink {
    found: Vec<Found>,
    errors: usize,
    warnings: usize,
}

struct Found {
    severity: Severity,
    code: Code,
    place: Place,
    message: String,
    help: Option<String>,
}

impl Sink {
    pub(crate) fn error(&mut self, place: &Place, code: Code, message: impl Into<String>) {
        self.add(Severity::Error, place, code, message.into(), None);
    }

    /// An error with advice.
    pub(crate) fn error_help(
        &mut self,
        place: &Place,
        code: Code,
        message: impl Into<String>,
        help: impl Into<Option<String>>,
    ) {
        self.add(Severity::Error, place, code, message.into(), help.into());
    }

    pub(crate) fn warning(
        &mut self,
        place: &Place,
        code: Code,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(
            Severity::Warning,
            place,
            code,
            message.into(),
            Some(help.into()),
        );
    }

    fn add(
        &mut self,
        severity: Severity,
        place: &Place,
        code: Code,
        message: String,
        help: Option<String>,
    ) {
        let count = match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *count += 1;
        if *count <= DIAGNOSTICS_MAX {
            self.found.push(Found {
                severity,
                code,
                place: place.clone(),
                message,
                help,
            });
        }
    }

    /// Sorts, and adds the lines of text.
    pub(crate) fn finish(mut self, source: &str, file_name: &str) -> Diagnostics {
        self.found
            .sort_by_key(|found| (found.place.span.line, found.place.span.column));
        let lines: Vec<&str> = if self.found.is_empty() {
            Vec::new()
        } else {
            source.lines().collect()
        };
        let diagnostics = self
            .found
            .into_iter()
            .map(|found| found.with_line(&lines))
            .collect();
        Diagnostics {
            file_name: file_name.to_owned(),
            diagnostics,
            omitted_errors: self.errors.saturating_sub(DIAGNOSTICS_MAX),
            omitted_warnings: self.warnings.saturating_sub(DIAGNOSTICS_MAX),
        }
    }
}

impl Found {
    fn with_line(self, lines: &[&str]) -> Diagnostic {
        let Span {
            line,
            column,
            width,
        } = self.place.span;
        let text = lines
            .get((line as usize).saturating_sub(1))
            .copied()
            .unwrap_or_default();
        let (excerpt, excerpt_column, excerpt_width) = render::excerpt(text, column, width);
        Diagnostic {
            severity: self.severity,
            code: self.code,
            path: self.place.path.to_string(),
            line,
            column,
            message: self.message,
            help: self.help,
            excerpt,
            excerpt_column,
            excerpt_width,
        }
    }
}
