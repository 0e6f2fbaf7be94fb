//! Tables, JSON, colours: the only place that writes to standard output.

mod fields;
pub(crate) mod human;
mod table;

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::Result;
use host::api::ApiError;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use fields::Fields;
pub(crate) use table::{Cell, Column, Table};

use crate::args::{Format, When};
use crate::client::Answer;
use crate::exit::Failure;
use crate::topology;

/// How something is meant, which colours say where there are any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be.
    Good,
    /// Worth a look.
    Notice,
    /// Not as it should be.
    Bad,
    /// A heading.
    Strong,
    /// Less important than what it stands by.
    Faint,
    /// None of these.
    Plain,
}

impl Tone {
    /// The SGR sequence (ECMA-48, section 8.3.117).
    fn sequence(self) -> &'static str {
        match self {
            Tone::Good => "\x1b[32m",
            Tone::Notice => "\x1b[33m",
            Tone::Bad => "\x1b[31m",
            Tone::Strong => "\x1b[1m",
            Tone::Faint => "\x1b[2m",
            Tone::Plain => "",
        }
    }
}

/// Where and how things are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    format: Format,
    colour: bool,
    colour_on_stderr: bool,
}

impl Console {
    pub(crate) fn new(format: Format, when: When) -> Self {
        // https://no-color.org: present and not empty.
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let colour = |terminal: bool| match when {
            When::Always => true,
            When::Never => false,
            When::Auto => terminal && !refused,
        };
        Self {
            format,
            colour: colour(io::stdout().is_terminal()),
            colour_on_stderr: colour(io::stderr().is_terminal()),
        }
    }

    /// Whether programs read what is written.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether standard error takes colours.
    pub(crate) fn colour_on_stderr(&self) -> bool {
        self.colour_on_stderr
    }

    /// Text in colour, where there are colours.
    pub(crate) fn paint(&self, tone: Tone, text: &str) -> String {
        if self.colour && tone != Tone::Plain {
            format!("{}{text}\x1b[0m", tone.sequence())
        } else {
            text.to_owned()
        }
    }

    /// The agent's answer: as it is for programs, as `render` has it for people.
    pub(crate) fn answer<T: DeserializeOwned>(
        &self,
        answer: &Answer,
        render: impl FnOnce(&Self, &T) -> Result<()>,
    ) -> Result<()> {
        if self.is_json() {
            self.json(&answer.raw()?)
        } else {
            render(self, &answer.read()?)
        }
    }

    /// A value as JSON.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(value)?;
        text.push(b'\n');
        write_stdout(&text)
    }

    /// A line.
    pub(crate) fn line(&self, text: &str) -> Result<()> {
        write_stdout(format!("{text}\n").as_bytes())
    }

    /// A heading with an empty line above.
    pub(crate) fn heading(&self, text: &str) -> Result<()> {
        self.line(&format!("\n{}", self.paint(Tone::Strong, text)))
    }

    /// Bytes as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<()> {
        write_stdout(bytes)
    }

    /// Something by the way, on standard error.
    pub(crate) fn note(&self, text: &str) {
        write_stderr(&format!("{text}\n"));
    }

    /// A question, on standard error: the reply is on the same line.
    pub(crate) fn ask(&self, text: &str) {
        write_stderr(text);
    }

    /// What a document's author should look at, on standard error.
    pub(crate) fn diagnostics(&self, found: &model::Diagnostics) {
        if !found.is_empty() {
            write_stderr(&format!(
                "{}\n",
                found.render(self.colour_on_stderr).trim_end()
            ));
        }
    }

    /// Why it ended, on standard error.
    pub(crate) fn failure(&self, failure: &Failure) {
        if self.is_json() {
            let error = ApiError {
                error: failure.body.clone(),
            };
            // Text and numbers only: this cannot fail.
            let text = serde_json::to_string_pretty(&error).unwrap_or_default();
            write_stderr(&format!("{text}\n"));
            return;
        }
        if !failure.body.details.is_empty() {
            let file_name = failure.file_name.as_deref().unwrap_or("topology");
            self.diagnostics(&topology::gather(file_name, failure.body.details.clone()));
        }
        let (bad, reset) = if self.colour_on_stderr {
            ("\x1b[1;31m", "\x1b[0m")
        } else {
            ("", "")
        };
        write_stderr(&format!(
            "{bad}error:{reset} {}\n",
            printable(&failure.body.message)
        ));
    }
}

/// Without what could drive a terminal; line ends stay.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

fn write_stdout(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    Ok(stdout.flush()?)
}

/// There is nowhere left to say that this failed.
fn write_stderr(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
