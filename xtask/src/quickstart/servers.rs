//! What listens in the guests while the policy is tried.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::TOPOLOGY;
use super::expectations::{DATABASE_PORT, HTTP_PORT, IPERF_PORT};
use crate::bench::inside::inside;
use crate::clearway::Instance;
use crate::process;

const STARTING: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);
/// Runs its arguments until its own input ends, which it does when we end, however we do. (What a
/// shell runs in the background ignores Ctrl-C, so nothing else would end it.)
const UNTIL_INPUT_ENDS: &str =
    "\"$@\" </dev/null >/dev/null 2>&1 & server=$!; read -r _; kill $server 2>/dev/null; wait";

/// All servers; they end with the value.
#[derive(Debug)]
pub(super) struct Servers {
    _servers: Vec<Server>,
}

/// A program that serves and knows nothing of us.
#[derive(Debug)]
struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Servers {
    /// Starts them and waits until each listens.
    pub(super) fn start(instance: &Instance) -> Result<Self> {
        // The page is the topology itself.
        let page = crate::repository().join(TOPOLOGY);
        let folder = page.parent().and_then(Path::to_str);
        let folder = folder.context("the path of the examples is no text")?;
        let (http, iperf) = (HTTP_PORT.to_string(), IPERF_PORT.to_string());
        let database = DATABASE_PORT.to_string();
        let http = ["python3", "-m", "http.server", "--directory", folder, &http];
        let wanted: [(&str, u16, &[&str]); 4] = [
            ("web-1", HTTP_PORT, &http),
            ("web-1", IPERF_PORT, &["iperf3", "-s", "-p", &iperf]),
            ("client-1", IPERF_PORT, &["iperf3", "-s", "-p", &iperf]),
            ("db-1", DATABASE_PORT, &["iperf3", "-s", "-p", &database]),
        ];
        let servers = wanted
            .iter()
            .map(|(guest, _, words)| Server::start(&instance.netns(guest), words))
            .collect::<Result<_>>()?;
        for (guest, port, words) in wanted {
            wait_until_listening(&instance.netns(guest), port)
                .with_context(|| format!("{} in {guest}", words[0]))?;
        }
        Ok(Self { _servers: servers })
    }
}

impl Server {
    fn start(netns: &str, words: &[&str]) -> Result<Self> {
        let mut command = inside(netns, "sh");
        command.args(["-c", UNTIL_INPUT_ENDS, "sh"]).args(words);
        let mut child = command
            // Ctrl-C must not end the shell before it has ended the server.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start `{}`", process::shown(&command)))?;
        let stdin = child.stdin.take();
        Ok(Self { child, stdin })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // The script kills what it started, and ends; it fails only if it has ended already.
        let _ = process::wait_within(&mut self.child, STARTING);
    }
}

fn wait_until_listening(netns: &str, port: u16) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < STARTING {
        let mut command: Command = inside(netns, "ss");
        command.args(["-Hltn", &format!("sport = :{port}")]);
        if !process::capture(&mut command)?.trim().is_empty() {
            return Ok(());
        }
        thread::sleep(LOOK);
    }
    bail!("nothing listens on port {port}")
}
