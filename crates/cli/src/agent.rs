//! All that is done in this process and not asked of an agent.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use bpf::Hook;
use host::Paths;
use tracing_subscriber::EnvFilter;

use crate::args::Global;
use crate::exit::Failure;
use crate::topology::Document;

/// Environment variable with what the agent writes to its log, such as `debug` or `host=trace`.
pub(crate) const LOG_ENV: &str = "CLEARWAY_LOG";

/// Where the instance keeps its things.
pub(crate) fn paths(global: &Global) -> Result<Paths> {
    let mut paths = Paths::for_instance(&global.instance)
        .map_err(|error| Failure::usage(format!("--instance: {error}")))?;
    if let Some(socket) = &global.socket {
        paths.socket.clone_from(socket);
    }
    Ok(paths)
}

/// Runs the agent until it is told to end.
pub(crate) fn serve(
    paths: Paths,
    topology: Option<Document>,
    hook: Hook,
    colour: bool,
) -> Result<()> {
    let filter = match std::env::var(LOG_ENV) {
        Ok(filter) => EnvFilter::try_new(&filter)
            .map_err(|error| Failure::usage(format!("{LOG_ENV} `{filter}`: {error}")))?,
        Err(_) => EnvFilter::new("info"),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .init();
    let topology = topology.map(|document| host::TopologySource {
        file_name: document.file_name,
        source: document.source,
    });
    let options = host::Options {
        paths,
        topology,
        hook,
    };
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the agent's threads")?
        .block_on(host::serve(options))
}

/// Removes what an agent that is dead has left; says what that was.
pub(crate) async fn teardown(paths: &Paths) -> Result<Vec<String>> {
    host::teardown(paths).await
}

/// A command in a network namespace.
pub(crate) fn command_in(netns: &Path, program: &OsStr, args: &[OsString]) -> Result<Command> {
    host::command_in(netns, program, args)
}
