//! The one error of set-up operations: what it was about, what was tried, what the kernel said.

use std::{fmt, io};

use rustix::io::Errno;

/// A set-up operation that the kernel, or a check made before asking it, refused.
#[derive(Debug, thiserror::Error)]
#[error("{subject}: cannot {operation}")]
pub struct Error {
    subject: String,
    operation: &'static str,
    source: io::Error,
}

impl Error {
    pub(crate) fn new(
        subject: impl fmt::Display,
        operation: &'static str,
        source: impl Into<io::Error>,
    ) -> Self {
        Self {
            subject: subject.to_string(),
            operation,
            source: source.into(),
        }
    }

    /// What the operation was about, such as `link veth0`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What was tried, such as `set the MTU`.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// The kernel's error number; `None` when the refusal did not come from the kernel.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.source.raw_os_error()
    }

    /// Whether the object is not there: link, namespace, address, route or neighbour.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        is_missing(&self.source)
    }

    /// Whether the object, or another of its name, is already there.
    #[must_use]
    pub fn is_already_present(&self) -> bool {
        Errno::from_io_error(&self.source) == Some(Errno::EXIST)
    }
}

impl From<Error> for io::Error {
    /// Keeps the kind; the whole error becomes the payload.
    fn from(error: Error) -> Self {
        io::Error::new(error.source.kind(), error)
    }
}

/// Each family says "there is no such thing" with an error number of its own.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::NODEV | Errno::NXIO | Errno::NOENT | Errno::SRCH | Errno::ADDRNOTAVAIL)
    )
}

/// Gives a plain I/O result its subject and operation.
pub(crate) trait Context<T> {
    fn context(self, subject: impl fmt::Display, operation: &'static str) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, subject: impl fmt::Display, operation: &'static str) -> Result<T, Error> {
        self.map_err(|source| Error::new(subject, operation, source))
    }
}

/// Turns "it was not there" into `false` for operations that remove things.
pub(crate) fn removed(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(error),
    }
}
