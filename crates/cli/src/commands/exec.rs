//! `clearway exec`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use anyhow::{Result, bail};
use clap::Args;
use host::api::GuestView;

use super::wait_for;
use crate::agent;
use crate::client::{Client, Route};
use crate::exit::Exit;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  clearway exec web-1 -- ping -c 3 10.0.2.4
  clearway exec web-1 -- sh -c 'ip -br addr; ss -tn'

Ends with the exit code of the command, or with 1 if it cannot be started.")]
pub(crate) struct ExecArgs {
    /// The guest; it must have a network namespace
    guest: String,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(crate) fn run(args: &ExecArgs, client: &Client) -> Result<Exit> {
    let guest: GuestView = wait_for(async {
        client
            .get(&Route::new(&["guests", &args.guest]))
            .await?
            .read()
    })?;
    let Some(netns) = &guest.netns else {
        bail!(
            "guest `{}` is of kind `{}` and has no network namespace to run a command in",
            guest.name,
            guest.kind
        );
    };
    let [program, rest @ ..] = args.command.as_slice() else {
        bail!("no command");
    };
    // Takes this process's place: signals, the terminal and the exit code are the command's own.
    let error = agent::command_in(Path::new(netns), program, rest)?.exec();
    bail!("cannot run `{}` in {netns}: {error}", program.display());
}
