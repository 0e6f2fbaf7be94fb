//! Removes an instance when whoever started it is no more.
//!
//! The guard is this program again, in a process group of its own so that a terminal's Ctrl-C
//! passes it by. It waits for a word on its standard input, whose other end only we hold: when we
//! end, however that is, the input ends too.

use std::io::{Write, read_to_string, stdin};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Program;
use crate::process;

/// How long removing an instance may take.
const PATIENCE: Duration = Duration::from_secs(90);
/// Nothing more to do: the instance is the user's.
const KEEP: &str = "keep";
/// Remove it, and let the one who asked speak about it.
const REMOVE: &str = "remove";

/// Arguments of the hidden command that is the guard.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The instance to remove
    #[arg(long)]
    instance: String,
    /// The `clearway` to remove it with
    #[arg(long)]
    program: PathBuf,
    /// The network namespace that is the agent's host, if it is not ours
    #[arg(long)]
    netns: Option<String>,
}

/// The process that guards an instance.
#[derive(Debug)]
pub(crate) struct Guard {
    child: Child,
    /// None once it has had its word.
    stdin: Option<ChildStdin>,
}

/// What the guard was told, once its input has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Keep,
    Remove,
    /// Nothing: the one who should have said it is gone.
    Orphaned,
}

impl Guard {
    /// Starts one for `instance`, which may not exist yet.
    pub(super) fn start(program: &Program, instance: &str) -> Result<Self> {
        let mut command = Command::new(process::own_program());
        command
            .args(["guard", "--instance", instance, "--program"])
            .arg(program.file());
        if let Some(netns) = &program.netns {
            command.args(["--netns", netns]);
        }
        let mut child = command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start the guard")?;
        let stdin = child.stdin.take();
        Ok(Self { child, stdin })
    }

    /// Has the instance removed.
    pub(super) fn remove(&mut self) -> Result<()> {
        self.tell(REMOVE)
    }

    /// Leaves the instance alone.
    pub(super) fn keep(&mut self) -> Result<()> {
        self.tell(KEEP)
    }

    fn tell(&mut self, word: &str) -> Result<()> {
        let Some(mut stdin) = self.stdin.take() else {
            return Ok(());
        };
        let told = stdin.write_all(word.as_bytes());
        drop(stdin);
        if !process::wait_within(&mut self.child, PATIENCE).context("the guard does not end")? {
            bail!("the instance could not be removed");
        }
        told.context("cannot speak to the guard")
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            eprintln!("cannot remove what was started: {error:#}");
        }
    }
}

/// Is the guard.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    // What cannot be read has ended.
    let order = order(&read_to_string(stdin()).unwrap_or_default());
    if order != Order::Keep {
        let program = Program {
            file: arguments.program.clone(),
            netns: arguments.netns.clone(),
        };
        let mut down = program.command(&arguments.instance);
        process::capture_within(down.arg("down"), PATIENCE)?;
    }
    if order == Order::Orphaned {
        eprintln!("removed the instance {}", arguments.instance);
    }
    Ok(ExitCode::SUCCESS)
}

fn order(said: &str) -> Order {
    match said {
        KEEP => Order::Keep,
        REMOVE => Order::Remove,
        _ => Order::Orphaned,
    }
}

#[cfg(test)]
mod tests {
    use super::{KEEP, Order, REMOVE, order};

    #[test]
    fn only_a_whole_word_keeps_an_instance() {
        assert_eq!(order(KEEP), Order::Keep);
        assert_eq!(order(REMOVE), Order::Remove);
        assert_eq!(order(""), Order::Orphaned);
        assert_eq!(order("ke"), Order::Orphaned);
    }
}
