//! What needs root and touches the system: namespaces, `/run`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::agent::Prepared;
use crate::run::{clearway, run, write};
use crate::samples;

/// Says so on standard error, and in the journal that `cargo xtask test` reads.
fn skipped(test: &str) -> bool {
    if rustix::process::geteuid().is_root() {
        return false;
    }
    let reason = "this is not root";
    eprintln!("skipped, because {reason}");
    if let Some(journal) = std::env::var_os("CLEARWAY_SKIPPED_FILE") {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(journal)
            .expect("the journal");
        file.write_all(format!("clearway::{test}\t{reason}\n").as_bytes())
            .expect("the journal");
    }
    true
}

/// A process in a network namespace of its own.
struct Guest(Child);

impl Guest {
    fn new() -> Self {
        let mut command = Command::new("unshare");
        let child = command
            .args(["--net", "sleep", "600"])
            .spawn()
            .expect("unshare starts");
        let guest = Self(child);
        let begun = Instant::now();
        while guest.namespace() == std::fs::read_link("/proc/self/ns/net").expect("a link") {
            assert!(begun.elapsed() < Duration::from_secs(20), "no namespace");
            std::thread::sleep(Duration::from_millis(5));
        }
        guest
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }

    fn namespace(&self) -> PathBuf {
        std::fs::read_link(self.path()).expect("a link")
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An instance that leaves nothing in `/run`.
struct Instance(String);

impl Instance {
    fn new(name: &str) -> Self {
        Self(format!("test-{name}-{}", std::process::id()))
    }

    fn folder(&self) -> PathBuf {
        PathBuf::from("/run/clearway").join(&self.0)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.folder());
    }
}

#[test]
fn kernel_exec_runs_in_the_namespace_and_ends_as_the_command_does() {
    if skipped("kernel_exec_runs_in_the_namespace_and_ends_as_the_command_does") {
        return;
    }
    let guest = Guest::new();
    let view = samples::guest(Some(&guest.path()));
    let agent = Prepared::default()
        .on_json("GET /v1/guests/web-1", &view)
        .start();
    let script = "readlink /proc/self/ns/net; echo \"$1\" >&2; exit 37";
    let ran = agent.run([
        "exec",
        "web-1",
        "--",
        "sh",
        "-c",
        script,
        "sh",
        "--an-argument",
    ]);
    assert_eq!(ran.code, Some(37), "{ran:?}");
    assert_eq!(
        ran.stdout.trim(),
        guest.namespace().to_str().expect("UTF-8")
    );
    assert_eq!(ran.stderr, "--an-argument\n");

    let ran = agent.run(["exec", "web-1", "--", "/no/such/program"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stderr.contains("cannot run `/no/such/program`"),
        "{ran:?}"
    );
}

#[test]
fn kernel_an_agent_that_ends_at_its_start_shows_the_end_of_its_log() {
    if skipped("kernel_an_agent_that_ends_at_its_start_shows_the_end_of_its_log") {
        return;
    }
    let instance = Instance::new("log");
    let folder = tempfile::tempdir().expect("a folder");
    let file = write(folder.path(), "good.yaml", include_str!("good.yaml"));
    for round in 0..2 {
        let mut command = clearway(["up", &file, "--detach", "--instance", &instance.0]);
        let ran = run(command
            .env("CLEARWAY_LOG", "host=no-such-level")
            .stdin(Stdio::null()));
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(
            ran.stderr.contains("the agent ended (exit status: 2)"),
            "{ran:?}"
        );
        assert!(
            ran.stderr
                .contains("error: CLEARWAY_LOG `host=no-such-level`"),
            "{ran:?}"
        );
        // The log before is kept, and no more than that.
        assert_eq!(instance.folder().join("agent.log.1").exists(), round == 1);
    }
}

#[test]
fn kernel_down_without_an_agent_and_without_remains() {
    if skipped("kernel_down_without_an_agent_and_without_remains") {
        return;
    }
    let instance = Instance::new("down");
    let ran = run(&mut clearway(["down", "--instance", &instance.0]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        ran.stdout,
        format!(
            "instance {} has no agent and has left nothing\n",
            instance.0
        )
    );
    let ran = run(&mut clearway([
        "down",
        "--instance",
        &instance.0,
        "-o",
        "json",
    ]));
    assert_eq!((ran.code, ran.json()), (Some(0), json!({"removed": []})));
}
