//! Topology documents: reading them, and showing what is wrong with them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use model::{Diagnostic, Diagnostics};

use crate::exit::{Exit, Failure};

/// More than this is not read: the largest document that validates is smaller.
const BYTES_MAX: u64 = 64 << 20;
/// What standard input is called.
const STDIN_NAME: &str = "<stdin>";

/// A document as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// What to call it.
    pub(crate) file_name: String,
    /// Its text.
    pub(crate) source: String,
}

impl Document {
    /// Reads a file, or standard input for `-`.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        if is_stdin(path) {
            let source = text(std::io::stdin().lock(), STDIN_NAME)?;
            return Ok(Self {
                file_name: STDIN_NAME.to_owned(),
                source,
            });
        }
        let file_name = path.display().to_string();
        let file = File::open(path).with_context(|| format!("cannot open {file_name}"))?;
        let source = text(file, &file_name)?;
        Ok(Self { file_name, source })
    }

    /// Validates without an agent. Warnings come back, errors are a failure.
    pub(crate) fn check(&self) -> Result<Diagnostics, Diagnostics> {
        model::parse(&self.source, &self.file_name).map(|checked| checked.warnings)
    }

    /// The failure of a document that does not validate.
    pub(crate) fn refused(&self, found: Diagnostics) -> Failure {
        let mut failure = Failure::new(
            Exit::Refused,
            "InvalidTopology",
            format!("{} is not a valid topology", self.file_name),
        );
        failure.body.details = found.diagnostics;
        failure.file_name = Some(self.file_name.clone());
        failure
    }
}

/// Whether a path means standard input.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Diagnostics that came over the API, as they are when found here.
pub(crate) fn gather(file_name: &str, diagnostics: Vec<Diagnostic>) -> Diagnostics {
    Diagnostics {
        file_name: file_name.to_owned(),
        diagnostics,
        omitted_errors: 0,
        omitted_warnings: 0,
    }
}

fn text(source: impl Read, name: &str) -> Result<String> {
    let mut text = String::new();
    let read = source
        .take(BYTES_MAX + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {name}"))?;
    if read as u64 > BYTES_MAX {
        bail!("{name} is larger than {} MiB", BYTES_MAX >> 20);
    }
    Ok(text)
}
