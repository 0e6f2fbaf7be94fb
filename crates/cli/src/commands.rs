//! One module for each command: asks the agent, shows the answer.

pub(crate) mod apply;
pub(crate) mod attach;
pub(crate) mod capture;
pub(crate) mod completion;
pub(crate) mod down;
pub(crate) mod drops;
pub(crate) mod exec;
pub(crate) mod explain;
pub(crate) mod nic;
pub(crate) mod status;
pub(crate) mod up;
pub(crate) mod validate;
pub(crate) mod vf;

use anyhow::{Context as _, Result};

use crate::agent;
use crate::args::{Cli, Command, Global};
use crate::client::Client;
use crate::exit::Exit;
use crate::print::Console;

/// Does what the command line says.
pub(crate) fn run(cli: Cli, console: &Console) -> Result<Exit> {
    let Cli { global, command } = cli;
    match command {
        Command::Up(args) => up::run(&args, &global, console),
        Command::Exec(args) => exec::run(&args, &client(&global)?),
        Command::Validate(args) => validate::run(&args, console),
        Command::Schema => console.json(&model::topology_schema()).map(|()| Exit::Done),
        Command::Completion(args) => completion::run(&args, console),
        asking => wait_for(ask(asking, &client(&global)?, console)),
    }
}

async fn ask(command: Command, client: &Client, console: &Console) -> Result<Exit> {
    match command {
        Command::Down => down::run(client, console).await,
        Command::Status => status::run(client, console).await,
        Command::Apply(args) => apply::run(&args, client, console).await,
        Command::Attach(args) => attach::run(&args, client, console).await,
        Command::Nic(args) => nic::run(&args, client, console).await,
        Command::Vf(args) => vf::run(&args, client, console).await,
        Command::Explain(args) => explain::run(&args, client, console).await,
        Command::Drops(args) => drops::run(&args, client, console).await,
        Command::Capture(args) => capture::run(&args, client, console).await,
        Command::Up(_)
        | Command::Exec(_)
        | Command::Validate(_)
        | Command::Schema
        | Command::Completion(_) => unreachable!("`run` does those itself"),
    }
}

fn client(global: &Global) -> Result<Client> {
    Ok(Client::new(agent::paths(global)?))
}

/// Runs on this thread alone: a client waits for one thing at a time.
fn wait_for<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?
        .block_on(work)
}

/// Completes when the user or the system asks this program to end.
async fn asked_to_end() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot watch for SIGINT"),
        _ = terminate.recv() => Ok(()),
    }
}
