//! The tree's own rules: what no compiler checks and reviewers should not have to.
//!
//! Each rule is a function from the tree to findings, in a file of its own. `cargo xtask lint` and
//! a test run them all.

mod layers;
mod links;
mod orphans;
mod purity;
mod size;
mod tree;
mod unsafety;
mod words;

use std::fmt;
use std::process::ExitCode;

use anyhow::Result;

use crate::step::Outcome;
use tree::Tree;

/// Something a rule found.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    weight: Weight,
    /// Relative to the top of the tree.
    path: String,
    /// From 1; none where the whole file is meant.
    line: Option<usize>,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    Warning,
    Error,
}

/// All rules, in the order in which they report.
const RULES: [fn(&Tree) -> Vec<Finding>; 7] = [
    size::check,
    words::check,
    orphans::check,
    unsafety::check,
    links::check,
    layers::check,
    purity::check,
];

/// Runs `cargo xtask tidy`.
pub(crate) fn run() -> Result<ExitCode> {
    Ok(crate::step::summarise(&[(
        "tidy",
        check_repository().into(),
    )]))
}

/// Checks the repository and prints the findings.
pub(crate) fn check_repository() -> Result<Outcome> {
    eprintln!("--- tidy");
    let findings = findings_of(&Tree::read(&crate::repository())?);
    for finding in &findings {
        eprintln!("{finding}");
    }
    let errors = findings
        .iter()
        .filter(|finding| finding.weight == Weight::Error)
        .count();
    Ok(Outcome::from_success(
        errors == 0,
        &format!("{errors} error(s)"),
    ))
}

fn findings_of(tree: &Tree) -> Vec<Finding> {
    RULES.iter().flat_map(|rule| rule(tree)).collect()
}

impl Finding {
    fn error(path: &str, line: Option<usize>, message: impl Into<String>) -> Self {
        Self {
            weight: Weight::Error,
            path: path.into(),
            line,
            message: message.into(),
        }
    }

    fn warning(path: &str, message: impl Into<String>) -> Self {
        Self {
            weight: Weight::Warning,
            path: path.into(),
            line: None,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = match self.weight {
            Weight::Warning => "warning",
            Weight::Error => "error",
        };
        match self.line {
            Some(line) => write!(out, "{}:{line}: {weight}: {}", self.path, self.message),
            None => write!(out, "{}: {weight}: {}", self.path, self.message),
        }
    }
}

#[cfg(test)]
mod tests;
