//! Running our own load generators inside network namespaces.
//!
//! A server says on standard output where it listens, works until its standard input closes, and
//! then says what it counted. So it ends when we do, however we end.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::process;

/// What a generator may take beyond the time it was given.
const GRACE: Duration = Duration::from_secs(10);

/// `program`, to run in the network namespace `netns`.
pub(crate) fn inside(netns: &str, program: &str) -> Command {
    let mut command = process::tool("ip");
    command.args(["netns", "exec", netns, program]);
    command
}

/// Our own `load` command, to run in the network namespace `netns`.
pub(crate) fn load(netns: &str, arguments: &[String]) -> Command {
    let mut command = inside(netns, &process::own_program());
    command.arg("load").args(arguments);
    command
}

/// Runs a client for `length` and reads its report.
pub(crate) fn run_client<R: DeserializeOwned>(
    netns: &str,
    arguments: &[String],
    length: Duration,
) -> Result<R> {
    let text = process::capture_within(&mut load(netns, arguments), length + GRACE)?;
    serde_json::from_str(&text).with_context(|| format!("`load {}` reports {text}", arguments[0]))
}

/// A server that listens; killed when dropped.
pub(crate) struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    address: SocketAddr,
}

/// The first line a server writes.
#[derive(Deserialize, serde::Serialize)]
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts a server and waits until it listens.
    pub(crate) fn start(netns: &str, arguments: &[String]) -> Result<Self> {
        let mut command = load(netns, arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{}`", process::shown(&command)))?;
        let stdin = child.stdin.take();
        let Some(stdout) = child.stdout.take() else {
            bail!("a server without output")
        };
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let Ok(listening) = serde_json::from_str::<Listening>(&line) else {
            // It said on our own standard error why.
            child.kill()?;
            child.wait()?;
            bail!("`{}` does not listen", process::shown(&command));
        };
        Ok(Self {
            child,
            stdin,
            stdout,
            address: listening.address,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the server and reads its report.
    pub(crate) fn finish<R: DeserializeOwned>(mut self) -> Result<R> {
        drop(self.stdin.take());
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        process::wait_within(&mut self.child, GRACE).context("a load server does not end")?;
        serde_json::from_str(&line).with_context(|| format!("a load server reports {line}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // Either fails only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
