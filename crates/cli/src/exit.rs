//! What went wrong, and the exit code it has.

use std::io;
use std::process::ExitCode;

use host::api::{ApiError, ApiErrorBody};

/// The exit codes; `clearway --help` documents them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// The command line, or what it names, cannot be understood.
    Usage = 2,
    /// A policy or a validation says no.
    Refused = 3,
    /// There is no agent to ask.
    NoAgent = 4,
    /// The agent does not know what was asked for.
    NotFound = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// An error with its exit code, in the shape the agent's errors have.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", .body.message)]
pub(crate) struct Failure {
    /// What the process ends with.
    pub(crate) exit: Exit,
    /// Code, message and findings.
    pub(crate) body: ApiErrorBody,
    /// What the findings call the document.
    pub(crate) file_name: Option<String>,
}

impl Failure {
    /// A failure of our own. `code` is for programs.
    pub(crate) fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        let body = ApiErrorBody {
            code: code.to_owned(),
            message: message.into(),
            details: Vec::new(),
        };
        Self {
            exit,
            body,
            file_name: None,
        }
    }

    /// A command line that parses and cannot be followed.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "Usage", message)
    }

    /// An error the agent answered with.
    pub(crate) fn answered(status: u16, error: ApiError) -> Self {
        Self {
            exit: exit_for(status, &error.error),
            body: error.error,
            file_name: None,
        }
    }

    /// The failure in an error's chain, with what was said around it; anything else has failed.
    pub(crate) fn from_error(error: anyhow::Error) -> Self {
        match error.downcast::<Failure>() {
            Ok(failure) => failure,
            Err(error) => Self::new(Exit::Failed, "Failed", format!("{error:#}")),
        }
    }
}

/// Whether whoever read our output has gone away.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let kind = cause
            .downcast_ref::<io::Error>()
            .map(io::Error::kind)
            .or_else(|| {
                cause
                    .downcast_ref::<serde_json::Error>()
                    .and_then(serde_json::Error::io_error_kind)
            });
        kind == Some(io::ErrorKind::BrokenPipe)
    })
}

fn exit_for(status: u16, body: &ApiErrorBody) -> Exit {
    match status {
        _ if !body.details.is_empty() => Exit::Refused,
        400 => Exit::Usage,
        403 | 422 => Exit::Refused,
        404 => Exit::NotFound,
        _ => Exit::Failed,
    }
}
