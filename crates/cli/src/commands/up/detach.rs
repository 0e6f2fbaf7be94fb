//! Starts an agent in the background: this program again, in a session of its own.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use bpf::Hook;
use host::Paths;
use indicatif::ProgressBar;

use crate::args::{Global, same_instance};
use crate::client::{Answer, Client, Route};
use crate::commands::{status, wait_for};
use crate::exit::Exit;
use crate::print::{Console, printable};
use crate::topology::Document;

/// How long an agent may take until it answers.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How often it is asked.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How much of the log is shown when it does not.
const LOG_LINES: usize = 20;
const LOG_BYTES_MAX: u64 = 16 << 10;

pub(super) fn run(
    global: &Global,
    paths: Paths,
    document: Option<Document>,
    hook: Hook,
    console: &Console,
) -> Result<Exit> {
    let client = Client::new(paths);
    if wait_for(ask(&client)).is_ok() {
        bail!(
            "an agent of instance `{}` runs already; `clearway apply` changes its topology, \
             `clearway down` ends it",
            client.paths().instance
        );
    }
    let child = start(global, client.paths(), document, hook)?;
    let answer = wait_for(answered(&client, child))?;
    console.answer(&answer, status::show)?;
    Ok(Exit::Done)
}

/// In the background: no signal of the terminal's reaches the agent from here on.
pub(super) fn leave_terminal() -> Result<()> {
    rustix::process::setsid().context("cannot start a session")?;
    Ok(())
}

/// Starts the agent. It reads the very text that was validated here.
fn start(global: &Global, paths: &Paths, document: Option<Document>, hook: Hook) -> Result<Child> {
    let log = open_log(&paths.log)?;
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut command = Command::new(program);
    command
        .args(same_instance(global))
        .args([
            "--color",
            "never",
            "up",
            "--background",
            "--hook",
            &hook.to_string(),
        ])
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("cannot share the log")?)
        .stderr(log);
    if let Some(document) = &document {
        command
            .args(["--topology-name", &document.file_name, "--", "-"])
            .stdin(Stdio::piped());
    }
    let mut child = command.spawn().context("cannot start the agent")?;
    if let (Some(mut stdin), Some(document)) = (child.stdin.take(), document)
        && let Err(error) = stdin.write_all(document.source.as_bytes())
    {
        // It has ended before it read everything; its log says why.
        let _ = child.wait();
        return Err(ended(
            paths,
            &format!("did not take its topology ({error})"),
        ));
    }
    Ok(child)
}

async fn ask(client: &Client) -> Result<Answer> {
    client.get(&Route::new(&["status"])).await
}

async fn answered(client: &Client, mut child: Child) -> Result<Answer> {
    let paths = client.paths();
    let progress = ProgressBar::new_spinner().with_message("the agent starts");
    progress.enable_steady_tick(Duration::from_millis(100));
    let begun = Instant::now();
    let outcome = loop {
        if let Ok(answer) = ask(client).await {
            break Ok(answer);
        }
        if let Some(status) = child.try_wait().context("cannot watch the agent")? {
            break Err(ended(paths, &format!("ended ({status})")));
        }
        if begun.elapsed() > START_TIMEOUT {
            let seconds = START_TIMEOUT.as_secs();
            let what = format!(
                "runs (pid {}) and has not answered for {seconds} s",
                child.id()
            );
            break Err(ended(paths, &what));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    };
    progress.finish_and_clear();
    outcome
}

fn ended(paths: &Paths, what: &str) -> anyhow::Error {
    let path = paths.log.display();
    match end_of(&paths.log) {
        Ok(end) if end.trim().is_empty() => {
            anyhow!("the agent {what}; its log {path} is empty")
        }
        Ok(end) => anyhow!(
            "the agent {what}; its log {path} ends in:\n{}",
            printable(&end)
        ),
        Err(error) => anyhow!("the agent {what}; its log {path} cannot be read: {error}"),
    }
}

/// A new log; the one before is kept beside it, older ones are not.
fn open_log(path: &Path) -> Result<File> {
    if let Some(folder) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    if path.exists() {
        let before = path.with_extension("log.1");
        fs::rename(path, &before)
            .with_context(|| format!("cannot move {} to {}", path.display(), before.display()))?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot open the log {}", path.display()))
}

fn end_of(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(LOG_LINES)..].join("\n"))
}
