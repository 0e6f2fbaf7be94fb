//! `clearway attach`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use host::api::{AttachRequest, GuestView};

use crate::client::{Client, Route};
use crate::exit::{Exit, Failure};
use crate::print::Console;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  clearway attach db-1 --pid $(docker inspect -f '{{.State.Pid}}' db-1)
  clearway attach db-1 --netns /run/netns/db-1")]
pub(crate) struct AttachArgs {
    /// The guest, of kind `attached` in the topology
    guest: String,
    #[command(flatten)]
    namespace: Namespace,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Namespace {
    /// The path of its network namespace
    #[arg(long, value_name = "PATH")]
    netns: Option<PathBuf>,
    /// A process in its network namespace
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pid: Option<u32>,
}

pub(crate) async fn run(args: &AttachArgs, client: &Client, console: &Console) -> Result<Exit> {
    let netns = args.namespace.netns.as_deref().map(absolute).transpose()?;
    let request = AttachRequest {
        netns,
        pid: args.namespace.pid,
    };
    let route = Route::new(&["guests", &args.guest, "attach"]);
    console.answer(
        &client.post(&route, &request).await?,
        |console, guest: &GuestView| {
            let nics = guest.nics.join(", ");
            let netns = guest.netns.as_deref().unwrap_or("a network namespace");
            console.line(&format!("{} is attached: {nics} in {netns}", guest.name))
        },
    )?;
    Ok(Exit::Done)
}

/// The agent has another working directory.
fn absolute(path: &std::path::Path) -> Result<String> {
    let path = std::path::absolute(path)
        .with_context(|| format!("cannot make {} absolute", path.display()))?;
    match path.into_os_string().into_string() {
        Ok(path) => Ok(path),
        Err(path) => {
            Err(Failure::usage(format!("--netns: {} is not UTF-8", path.display())).into())
        }
    }
}
