use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use netdev::netns::Namespace;
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

/// Runs `clearway` on an instance to its end, on this host or in the namespace that plays another.
pub(super) fn run(host: Option<&Namespace>, instance: &str, args: &[&str]) -> Ran {
    let mut command = command(instance, args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = spawn(host, &mut command).wait_with_output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A `clearway` that runs until it is told to end.
pub(crate) struct Running(Child);

impl Running {
    pub(super) fn start(host: Option<&Namespace>, instance: &str, args: &[&str]) -> Running {
        let mut command = command(instance, args);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        Running(spawn(host, &mut command))
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

fn spawn(host: Option<&Namespace>, command: &mut Command) -> Child {
    match host {
        Some(namespace) => namespace.spawn_in(command).unwrap(),
        None => command.spawn().unwrap(),
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
