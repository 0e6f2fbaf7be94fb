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
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::agent;
use crate::args::{Cli, Command};
use crate::client::Client;
use crate::exit::Exit;
use crate::print::Console;

/// Does what the command line says.
pub(crate) fn run(cli: Cli, console: &Console) -> Result<Exit> {
    let Cli { global, command } = cli;
    let client = || agent::paths(&global).map(Client::new);
    match command {
        Command::Up(args) => up::run(&args, &global, console),
        Command::Down => wait_for(down::run(&client()?, console)),
        Command::Status => wait_for(status::run(&client()?, console)),
        Command::Apply(args) => wait_for(apply::run(&args, &client()?, console)),
        Command::Validate(args) => validate::run(&args, console),
        Command::Exec(args) => exec::run(&args, &client()?),
        Command::Attach(args) => wait_for(attach::run(&args, &client()?, console)),
        Command::Nic(args) => wait_for(nic::run(&args, &client()?, console)),
        Command::Vf(args) => wait_for(vf::run(&args, &client()?, console)),
        Command::Explain(args) => wait_for(explain::run(&args, &client()?, console)),
        Command::Drops(args) => wait_for(drops::run(&args, &client()?, console)),
        Command::Capture(args) => wait_for(capture::run(&args, &client()?, console)),
        Command::Schema => console.json(&model::topology_schema()).map(|()| Exit::Done),
        Command::Completion(args) => completion::run(&args, console),
    }
}

/// Runs on this thread alone: a client waits for one thing at a time.
fn wait_for<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?
        .block_on(work)
}

/// The wish of the user or the system that this program ends. From its making on, the signals no
/// longer end it by themselves.
struct EndSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl EndSignals {
    fn watch() -> Result<Self> {
        let watch = |kind| signal(kind).context("cannot watch for signals");
        Ok(Self {
            interrupt: watch(SignalKind::interrupt())?,
            terminate: watch(SignalKind::terminate())?,
        })
    }

    /// Completes when there is one.
    async fn received(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
