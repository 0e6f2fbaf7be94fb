//! `clearway apply`.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use host::api::{ApplyRequest, ApplyResult};
use model::{Change, Difference};

use crate::client::{Answer, Client, Route};
use crate::exit::{Exit, Failure};
use crate::print::{Console, Tone, printable};
use crate::topology::{self, Document};

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  clearway apply topology.yaml
  clearway apply topology.yaml --dry-run
  clearway apply - --yes < topology.yaml

Shows what would change, and asks. Where nobody can be asked (standard input is no terminal, or
the output is JSON) a change needs --yes. Established connections keep the verdict they got when
they opened, unless --reevaluate is given.")]
pub(crate) struct ApplyArgs {
    /// The topology, YAML or JSON; `-` for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
    /// Judge established connections by the new rules too
    #[arg(long)]
    reevaluate: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(crate) async fn run(args: &ApplyArgs, client: &Client, console: &Console) -> Result<Exit> {
    let document = Document::read(&args.file)?;
    let (answer, planned) = send(client, &document, args, true).await?;
    if !console.is_json() {
        show_plan(console, &document.file_name, &planned)?;
    }
    let idle = planned.changes.is_empty() && !args.reevaluate;
    if args.dry_run || idle {
        if console.is_json() {
            console.json(&answer.raw()?)?;
        }
        return Ok(Exit::Done);
    }
    if !args.yes && !confirm(args, console)? {
        return Err(Failure::new(Exit::Failed, "Declined", "nothing was applied").into());
    }
    let (answer, done) = send(client, &document, args, false).await?;
    if console.is_json() {
        console.json(&answer.raw()?)?;
    } else {
        show_done(console, &planned, &done)?;
    }
    Ok(if done.problems.is_empty() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

async fn send(
    client: &Client,
    document: &Document,
    args: &ApplyArgs,
    dry_run: bool,
) -> Result<(Answer, ApplyResult)> {
    let request = ApplyRequest {
        source: document.source.clone(),
        file_name: document.file_name.clone(),
        dry_run,
        reevaluate: args.reevaluate,
    };
    let answer = client
        .post(&Route::new(&["apply"]), &request)
        .await
        .map_err(|error| match error.downcast::<Failure>() {
            Ok(mut failure) => {
                failure.file_name = Some(document.file_name.clone());
                failure.into()
            }
            Err(error) => error,
        })?;
    let result = answer.read()?;
    Ok((answer, result))
}

fn show_plan(console: &Console, file_name: &str, planned: &ApplyResult) -> Result<()> {
    console.diagnostics(&topology::gather(file_name, planned.warnings.clone()));
    show_changes(console, &planned.changes)
}

/// The model's plan, with its signs in colour.
fn show_changes(console: &Console, changes: &[Change]) -> Result<()> {
    let plan = Difference {
        changes: changes.to_vec(),
    }
    .to_string();
    let lines: Vec<String> = plan
        .trim_end()
        .lines()
        .map(|line| {
            let tone = match line.trim_start().as_bytes() {
                [b'+', b' ', ..] => Tone::Good,
                [b'-', b' ', ..] => Tone::Bad,
                [b'~', b' ', ..] => Tone::Notice,
                _ => Tone::Plain,
            };
            console.paint(tone, &printable(line))
        })
        .collect();
    console.line(&lines.join("\n"))
}

fn confirm(args: &ApplyArgs, console: &Console) -> Result<bool> {
    let stdin = std::io::stdin();
    if console.is_json() || !stdin.is_terminal() || topology::is_stdin(&args.file) {
        return Err(Failure::usage(
            "there is something to change and nobody to ask; give --yes to apply it, \
             or --dry-run to only look",
        )
        .into());
    }
    console.ask("\nApply this? [y/N] ");
    let mut reply = String::new();
    stdin
        .lock()
        .read_line(&mut reply)
        .context("cannot read the reply")?;
    Ok(matches!(
        reply.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}

fn show_done(console: &Console, planned: &ApplyResult, done: &ApplyResult) -> Result<()> {
    if done.changes != planned.changes {
        console.note("what was in force had changed in the meantime; applied was:");
        show_changes(console, &done.changes)?;
    }
    for problem in &done.problems {
        console.note(&format!("problem: {}", printable(problem)));
    }
    console.line(&format!(
        "\napplied; generation {} is in force",
        done.generation
    ))
}
