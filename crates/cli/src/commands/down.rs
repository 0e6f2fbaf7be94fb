//! `clearway down`.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use host::api::Status;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::Serialize;

use crate::agent;
use crate::client::{Client, Route};
use crate::exit::{Exit, Failure};
use crate::print::Console;

/// How long the agent may take to remove everything once it has said that it will.
const END_TIMEOUT: Duration = Duration::from_secs(60);

/// What was done.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Down {
    /// The agent that was told to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<serde_json::Value>,
    /// What was removed in place of an agent that is dead.
    removed: Vec<String>,
}

pub(crate) async fn run(client: &Client, console: &Console) -> Result<Exit> {
    let status = match client.get(&Route::new(&["status"])).await {
        Ok(answer) => answer.read::<Status>()?,
        Err(error) if is_no_agent(&error) => return remove_remains(client, console).await,
        Err(error) => return Err(error),
    };
    // Before it is told: a process that has gone may have a successor of the same number.
    let process = process_of(status.pid)?;
    let answer = client
        .post(&Route::new(&["down"]), &serde_json::json!({}))
        .await?;
    if let Some(process) = process {
        wait_for_end(&process, status.pid)?;
    }
    if console.is_json() {
        console.json(&Down {
            agent: Some(answer.raw()?),
            removed: Vec::new(),
        })?;
    } else {
        console.line(&format!(
            "instance {} is down: its agent (pid {}) has removed everything and ended",
            status.instance, status.pid
        ))?;
    }
    Ok(Exit::Done)
}

async fn remove_remains(client: &Client, console: &Console) -> Result<Exit> {
    let instance = &client.paths().instance;
    let removed = agent::teardown(client.paths())
        .await
        .with_context(|| format!("cannot remove what instance {instance} has left"))?;
    if console.is_json() {
        console.json(&Down {
            agent: None,
            removed,
        })?;
    } else if removed.is_empty() {
        console.line(&format!(
            "instance {instance} has no agent and has left nothing"
        ))?;
    } else {
        for what in &removed {
            console.line(&format!("removed {what}"))?;
        }
        console.line(&format!(
            "instance {instance} is down; no agent was running"
        ))?;
    }
    Ok(Exit::Done)
}

fn is_no_agent(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<Failure>()
        .is_some_and(|failure| failure.exit == Exit::NoAgent)
}

/// None if there is no such process: it has ended already.
fn process_of(pid: u32) -> Result<Option<OwnedFd>> {
    let Some(known) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        bail!("the agent says that its process is {pid}, which is none");
    };
    match pidfd_open(known, PidfdFlags::empty()) {
        Ok(process) => Ok(Some(process)),
        Err(rustix::io::Errno::SRCH) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot watch the agent (pid {pid})")),
    }
}

fn wait_for_end(process: &OwnedFd, pid: u32) -> Result<()> {
    let limit = Timespec::try_from(END_TIMEOUT).context("cannot wait that long")?;
    let mut watched = [PollFd::new(process, PollFlags::IN)];
    let ended = loop {
        match rustix::event::poll(&mut watched, Some(&limit)) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other.context("cannot wait for the agent")?,
        }
    };
    if ended == 0 {
        bail!(
            "the agent (pid {pid}) has not ended for {} s; look at its log, \
             or kill it and run `clearway down` again",
            END_TIMEOUT.as_secs()
        );
    }
    Ok(())
}
