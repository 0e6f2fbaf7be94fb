//! The outcome of one check, and the summary of several.

use std::process::ExitCode;

use anyhow::Result;

/// How a step ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It ran and found nothing wrong.
    Passed,
    /// It ran and found something; the text says what.
    Failed(String),
    /// It could not run here; the text says why.
    Skipped(String),
}

impl Outcome {
    /// `Passed` for true, `Failed` with `what` otherwise.
    pub(crate) fn from_success(success: bool, what: &str) -> Self {
        if success {
            Self::Passed
        } else {
            Self::Failed(what.to_owned())
        }
    }
}

impl From<Result<Outcome>> for Outcome {
    fn from(result: Result<Outcome>) -> Self {
        result.unwrap_or_else(|error| Self::Failed(format!("{error:#}")))
    }
}

/// Prints one line for each step; failure if any step failed.
pub(crate) fn summarise(steps: &[(&str, Outcome)]) -> ExitCode {
    eprintln!();
    for (name, outcome) in steps {
        match outcome {
            Outcome::Passed => eprintln!("{name:<14} passed"),
            Outcome::Failed(what) => eprintln!("{name:<14} FAILED: {what}"),
            Outcome::Skipped(why) => eprintln!("{name:<14} skipped, because {why}"),
        }
    }
    let failed = steps
        .iter()
        .any(|(_, outcome)| matches!(outcome, Outcome::Failed(_)));
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
