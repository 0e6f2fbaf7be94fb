//! A Clearway agent of our own: built, started in an instance of its own, asked, and removed.
//!
//! What removes it is a child process, the [guard], so that nothing stays behind however we end:
//! by an error, by Ctrl-C, or killed.

pub(crate) mod answers;
pub(crate) mod guard;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::process;
use answers::{DropRow, NicStats, NicSummary, Status, VfState};
use guard::Guard;

/// How long a command of ours may take; starting an agent is the longest.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long the kernel may take to end a killed agent.
const DYING: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};

/// The `clearway` binary, in release mode, and where it runs.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    file: PathBuf,
    /// The network namespace that is its host; ours unless it says so.
    netns: Option<String>,
}

/// Who serves a NIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServedBy {
    /// The virtual switch, in the agent.
    Synthetic,
    /// The flow engine, in the kernel.
    Accelerated,
}

/// An agent in an instance of its own; removed with everything it made when dropped.
#[derive(Debug)]
pub(crate) struct Instance {
    program: Program,
    name: &'static str,
    guard: Guard,
}

impl Program {
    /// Builds it.
    pub(crate) fn build() -> Result<Self> {
        let mut command = process::cargo();
        command
            .args(["build", "--release", "-p", "clearway"])
            .arg("--message-format=json-render-diagnostics")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        let output = command.output().context("cannot start cargo")?;
        if !output.status.success() {
            bail!("`{}` failed", process::shown(&command));
        }
        let file = executable(&String::from_utf8_lossy(&output.stdout))
            .context("cargo does not say where it put `clearway`")?;
        Ok(Self { file, netns: None })
    }

    /// The same, on the host that is the network namespace `name`, as `ip netns` lists it.
    pub(crate) fn on_host(&self, name: &str) -> Self {
        Self {
            file: self.file.clone(),
            netns: Some(name.to_owned()),
        }
    }

    /// Where it is.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    fn command(&self, instance: &str) -> Command {
        let mut command = match &self.netns {
            None => Command::new(&self.file),
            // Not `ip netns exec`, which also makes a mount namespace of its own: what the agent
            // pins and mounts in there would end with it.
            Some(netns) => {
                let mut command = process::tool("nsenter");
                command.arg(format!("--net=/run/netns/{netns}"));
                command.arg(&self.file);
                command
            }
        };
        command.args(["--instance", instance]);
        command
    }
}

impl ServedBy {
    /// The word that the agent and its users have for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Synthetic => "synthetic",
            Self::Accelerated => "accelerated",
        }
    }
}

impl Instance {
    /// Starts an agent with `topology`, after removing what an earlier one of this name has left.
    pub(crate) fn start(
        program: Program,
        name: &'static str,
        topology: &Path,
    ) -> Result<(Self, Status)> {
        if !process::is_root() {
            bail!("making network namespaces needs root");
        }
        process::capture_within(program.command(name).arg("down"), PATIENCE)
            .with_context(|| format!("cannot remove the instance {name} that was there before"))?;
        let guard = Guard::start(&program, name)?;
        let instance = Self {
            program,
            name,
            guard,
        };
        process::capture_within(
            instance.command(&["up"]).arg(topology).arg("--detach"),
            PATIENCE,
        )?;
        let status = instance.status()?;
        Ok((instance, status))
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The binary that made it.
    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    /// The network namespace of `guest`, as `ip netns` lists it.
    pub(crate) fn netns(&self, guest: &str) -> String {
        format!("{}-{guest}", self.name)
    }

    /// `clearway` with `arguments`.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.program.command(self.name);
        command.args(arguments);
        command
    }

    /// `program`, to run in `guest` by way of `clearway exec`.
    pub(crate) fn exec(&self, guest: &str, program: &str) -> Command {
        self.command(&["exec", guest, "--", program])
    }

    /// How the agent is.
    pub(crate) fn status(&self) -> Result<Status> {
        self.ask(&["status"])
    }

    /// Every NIC.
    pub(crate) fn nics(&self) -> Result<Vec<NicSummary>> {
        self.ask(&["nic", "list"])
    }

    /// The counters of the only NIC of `guest`.
    pub(crate) fn stats(&self, guest: &str) -> Result<NicStats> {
        self.ask(&["nic", "stats", guest])
    }

    /// What was dropped, by NIC and reason.
    pub(crate) fn drops(&self) -> Result<Vec<DropRow>> {
        self.ask(&["drops"])
    }

    /// Takes the accelerated path away from a NIC, or gives it back, and sees that it was done.
    pub(crate) fn serve_by(&self, nic: &str, path: ServedBy) -> Result<()> {
        let state: VfState = match path {
            ServedBy::Synthetic => {
                self.ask(&["vf", "revoke", nic, "--reason", "for comparison"])?
            }
            ServedBy::Accelerated => self.ask(&["vf", "restore", nic])?,
        };
        expect(nic, &state, path)
    }

    /// Sees that every NIC of `guest` is served by `path`.
    pub(crate) fn expect_served_by(&self, guest: &str, path: ServedBy) -> Result<()> {
        let of_guest = |nic: &NicSummary| {
            let rest = nic.name.strip_prefix(guest);
            rest.is_some_and(|rest| rest.starts_with('/'))
        };
        for nic in self.nics()?.iter().filter(|nic| of_guest(nic)) {
            expect(&nic.name, &nic.vf, path)?;
        }
        Ok(())
    }

    /// Kills the agent as a crash would, and returns once it is gone.
    pub(crate) fn kill_agent(&self) -> Result<()> {
        let number = self.status()?.pid;
        let pid = i32::try_from(number)
            .ok()
            .and_then(Pid::from_raw)
            .with_context(|| format!("the agent says that its process is {number}"))?;
        let process = pidfd_open(pid, PidfdFlags::empty()).context("cannot watch the agent")?;
        pidfd_send_signal(&process, Signal::KILL).context("cannot kill the agent")?;
        let mut watched = [PollFd::new(&process, PollFlags::IN)];
        if poll(&mut watched, Some(&DYING)).context("cannot wait for the agent's end")? == 0 {
            bail!("the agent (pid {number}) outlives SIGKILL");
        }
        Ok(())
    }

    /// Starts the agent again, to go on with what was applied last; how long that took.
    pub(crate) fn start_agent_again(&self) -> Result<Duration> {
        let begun = Instant::now();
        process::capture_within(&mut self.command(&["up", "--detach"]), PATIENCE)?;
        Ok(begun.elapsed())
    }

    /// Removes everything, and says if that failed.
    pub(crate) fn remove(mut self) -> Result<()> {
        self.guard.remove()
    }

    /// Leaves the agent and its guests to the user.
    pub(crate) fn keep(mut self) -> Result<()> {
        self.guard.keep()
    }

    fn ask<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T> {
        let mut command = self.command(&["--output", "json"]);
        command.args(arguments);
        let text = process::capture_within(&mut command, PATIENCE)?;
        serde_json::from_str(&text)
            .with_context(|| format!("`{}` answers {}", process::shown(&command), text.trim()))
    }
}

fn expect(nic: &str, state: &VfState, path: ServedBy) -> Result<()> {
    if state.observed == path.name() {
        return Ok(());
    }
    let why = state.reason.as_deref().unwrap_or("nobody says why");
    bail!(
        "{nic} should be {} and is {}: {why}",
        path.name(),
        state.observed
    )
}

/// The file in cargo's messages (one JSON object a line) that is an executable of this name.
pub(crate) fn executable(messages: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == "clearway")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

#[cfg(test)]
mod tests;
