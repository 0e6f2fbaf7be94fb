//! Whether we may change the machine.

use std::io::{IsTerminal, Write, stderr, stdin};

use anyhow::Result;

use super::Need;
use crate::process;

/// What the person said on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consent {
    /// `--yes`.
    Given,
    /// Nothing: ask, where there is someone to ask.
    Ask,
}

/// Where the answer comes from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Install,
    Prompt,
    Refuse,
}

/// Root in continuous integration owns its machine; a person is asked; nobody is surprised.
pub(super) fn decide(consent: Consent, owned: bool, terminal: bool) -> Decision {
    match (consent, owned, terminal) {
        (Consent::Given, ..) | (_, true, _) => Decision::Install,
        (_, _, true) => Decision::Prompt,
        _ => Decision::Refuse,
    }
}

/// Whether to install `missing`, asking if need be.
pub(super) fn ask(consent: Consent, missing: &[Need]) -> Result<bool> {
    let owned = process::is_root() && process::is_ci();
    let terminal = stdin().is_terminal() && stderr().is_terminal();
    match decide(consent, owned, terminal) {
        Decision::Install => Ok(true),
        Decision::Refuse => {
            eprintln!("there is no terminal to ask on; `cargo xtask setup --yes` installs");
            Ok(false)
        }
        Decision::Prompt => {
            let how = if process::is_root() { "" } else { " with sudo" };
            eprint!("install {} tool(s){how}? [y/N] ", missing.len());
            stderr().flush()?;
            let mut answer = String::new();
            stdin().read_line(&mut answer)?;
            Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
        }
    }
}
