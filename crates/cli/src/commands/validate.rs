//! `clearway validate`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::exit::Exit;
use crate::print::{Console, human};
use crate::topology::Document;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  clearway validate topology.yaml
  clearway validate - --output json < topology.yaml

Ends with 3 if the topology has errors; warnings alone end with 0.")]
pub(crate) struct ValidateArgs {
    /// The topology, YAML or JSON; `-` for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(crate) fn run(args: &ValidateArgs, console: &Console) -> Result<Exit> {
    let document = Document::read(&args.file)?;
    let (found, exit) = match document.check() {
        Ok(warnings) => (warnings, Exit::Done),
        Err(found) => (found, Exit::Refused),
    };
    if console.is_json() {
        console.json(&found)?;
        return Ok(exit);
    }
    console.diagnostics(&found);
    if exit == Exit::Done {
        let warnings = match found.diagnostics.len() + found.omitted_warnings {
            0 => String::new(),
            number => format!(", with {}", human::counted(number, "warning")),
        };
        console.line(&format!(
            "{} is a valid topology{warnings}",
            document.file_name
        ))?;
    }
    Ok(exit)
}
