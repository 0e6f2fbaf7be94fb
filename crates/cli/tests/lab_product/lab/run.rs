use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;

use super::PATIENCE;

/// What a run left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Its output, which is JSON.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs `clearway` on an instance to its end.
pub(super) fn run(instance: &str, args: &[&str]) -> Ran {
    let output = command(instance, args).output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A `clearway` that runs until it is told to end.
pub(crate) struct Running(Child);

impl Running {
    pub(super) fn start(instance: &str, args: &[&str]) -> Running {
        let mut command = command(instance, args);
        Running(
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        )
    }

    pub(crate) fn stdout(&mut self) -> std::process::ChildStdout {
        self.0.stdout.take().expect("asked for once")
    }

    /// As Ctrl-C does; its exit code.
    pub(crate) fn interrupt(mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.0), Signal::INT).unwrap();
        assert!(self.ends_within(PATIENCE), "it does not end");
        self.0.wait().unwrap().code()
    }

    pub(super) fn ends_within(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if matches!(self.0.try_wait(), Ok(Some(_))) {
                return true;
            }
            std::thread::sleep(super::POLL);
        }
        false
    }

    pub(super) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The binary, with nothing of this test's environment that could change what it does.
fn command(instance: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clearway"));
    command
        .arg("--instance")
        .arg(instance)
        .args(args)
        .stdin(Stdio::null());
    for name in [
        "CLEARWAY_INSTANCE",
        "CLEARWAY_SOCKET",
        "CLEARWAY_LOG",
        "NO_COLOR",
    ] {
        command.env_remove(name);
    }
    command
}
