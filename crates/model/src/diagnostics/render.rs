//! Diagnostics as text, after the manner of rustc.

use std::fmt::Write as _;

use super::{Diagnostic, Diagnostics, Severity};

/// The longest part of a line that is shown, in characters.
const EXCERPT_MAX: usize = 160;
/// How much of a long line is shown before the mistake.
const LEAD: usize = 40;

struct Style {
    error: &'static str,
    warning: &'static str,
    frame: &'static str,
    bold: &'static str,
    reset: &'static str,
}

const PLAIN: Style = Style {
    error: "",
    warning: "",
    frame: "",
    bold: "",
    reset: "",
};
const COLOURED: Style = Style {
    error: "\x1b[1;31m",
    warning: "\x1b[1;33m",
    frame: "\x1b[1;34m",
    bold: "\x1b[1m",
    reset: "\x1b[0m",
};

pub(super) fn render(diagnostics: &Diagnostics, colour: bool) -> String {
    let style = if colour { &COLOURED } else { &PLAIN };
    let mut out = String::new();
    for diagnostic in &diagnostics.diagnostics {
        one(&mut out, diagnostic, &diagnostics.file_name, style);
        out.push('\n');
    }
    out.push_str(&summary(diagnostics));
    out
}

/// The part of a line to show, and where in it the mistake is and how wide; control characters are
/// replaced, so that a document cannot write to the terminal.
pub(super) fn excerpt(line: &str, column: u32, width: u32) -> (String, u32, u32) {
    let column = (column as usize).saturating_sub(1);
    let length = line.chars().count();
    let skip = if length <= EXCERPT_MAX {
        0
    } else {
        column.saturating_sub(LEAD)
    };
    let shown: String = line
        .chars()
        .skip(skip)
        .take(EXCERPT_MAX)
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect();
    let shown = shown.trim_end().to_owned();
    let start = (column - skip.min(column)).min(EXCERPT_MAX);
    let rest = shown.chars().count().saturating_sub(start);
    let width = if width == 0 {
        rest
    } else {
        (width as usize).min(rest)
    };
    (shown, number(start), number(width.max(1)))
}

fn one(out: &mut String, found: &Diagnostic, file_name: &str, style: &Style) {
    let (name, colour) = match found.severity {
        Severity::Error => ("error", style.error),
        Severity::Warning => ("warning", style.warning),
    };
    let Style {
        frame, bold, reset, ..
    } = *style;
    let gutter = found.line.to_string();
    let blank = " ".repeat(gutter.len());
    let code = found.code;
    let message = printable(&found.message);
    let _ = writeln!(out, "{colour}{name}[{code}]{reset}{bold}: {message}{reset}");
    let (line, column) = (found.line, found.column);
    let _ = writeln!(out, "{blank}{frame}-->{reset} {file_name}:{line}:{column}");
    if !found.excerpt.is_empty() {
        let indent = " ".repeat(found.excerpt_column as usize);
        let carets = "^".repeat(found.excerpt_width as usize);
        let _ = writeln!(out, "{blank} {frame}|{reset}");
        let _ = writeln!(out, "{frame}{gutter} |{reset} {}", found.excerpt);
        let _ = writeln!(
            out,
            "{blank} {frame}|{reset} {indent}{colour}{carets}{reset}"
        );
    }
    if !found.path.is_empty() {
        let _ = writeln!(
            out,
            "{blank} {frame}={reset} at: {}",
            printable(&found.path)
        );
    }
    if let Some(help) = &found.help {
        let _ = writeln!(out, "{blank} {frame}={reset} help: {}", printable(help));
    }
}

fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

fn summary(diagnostics: &Diagnostics) -> String {
    let of = |severity| {
        diagnostics
            .diagnostics
            .iter()
            .filter(|d| d.severity == severity)
            .count()
    };
    let counts = [
        (of(Severity::Error), diagnostics.omitted_errors, "error"),
        (
            of(Severity::Warning),
            diagnostics.omitted_warnings,
            "warning",
        ),
    ];
    let parts: Vec<String> = counts
        .iter()
        .filter(|(shown, _, _)| *shown > 0)
        .map(|(shown, omitted, what)| {
            let total = shown + omitted;
            let plural = if total == 1 { "" } else { "s" };
            let note = if *omitted > 0 {
                format!(" ({omitted} not shown)")
            } else {
                String::new()
            };
            format!("{total} {what}{plural}{note}")
        })
        .collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!("{}\n", parts.join(", "))
    }
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
