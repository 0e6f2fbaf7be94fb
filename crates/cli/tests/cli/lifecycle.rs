//! `up` and `down` as far as they need no kernel.

use std::process::Command;
use std::sync::Mutex;

use serde_json::json;

use crate::agent::{Prepared, Reply};
use crate::run::{clearway, run, write};
use crate::samples;

#[test]
fn a_topology_with_errors_starts_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = write(folder.path(), "bad.yaml", "vnest: {}\n");
    for words in [&["up", &file][..], &["up", &file, "--detach"]] {
        let ran = run(clearway(words).args(["--instance", "never-started"]));
        assert_eq!(ran.code, Some(3), "{ran:?}");
        assert!(ran.stderr.contains("error[unknown-key]"), "{ran:?}");
        assert!(ran.stderr.contains("is not a valid topology"), "{ran:?}");
    }
}

#[test]
fn a_second_agent_is_not_started() {
    let agent = Prepared::default()
        .on_json("GET /v1/status", &samples::status())
        .start();
    let ran = agent.run(["up", "--detach"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stderr.contains("runs already; `clearway apply`"),
        "{ran:?}"
    );
}

#[test]
fn down_waits_until_the_agent_has_ended() {
    for format in ["table", "json"] {
        let process = Command::new("sleep")
            .arg("600")
            .spawn()
            .expect("sleep starts");
        let mut status = samples::status();
        status.pid = process.id();
        let process = Mutex::new(process);
        let shown = status.clone();
        let agent = Prepared::default()
            .on_json("GET /v1/status", &status)
            .on("POST /v1/down", move |_| {
                let mut process = process.lock().expect("no panic");
                process.kill().expect("it ends");
                process.wait().expect("it ended");
                Reply::json(&shown)
            })
            .start();
        let ran = agent.run(["down", "--output", format]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        if format == "json" {
            assert_eq!(ran.json()["agent"]["pid"], json!(status.pid));
            assert_eq!(ran.json()["removed"], json!([]));
        } else {
            assert!(
                ran.stdout.starts_with("instance default is down"),
                "{ran:?}"
            );
        }
    }
}
