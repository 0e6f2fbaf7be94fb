//! What the user is told when it does not work, and the exit codes.

use serde_json::json;

use crate::agent::{Prepared, Reply};
use crate::run::{clearway, run};
use crate::samples;

#[test]
fn without_an_agent_it_says_how_to_start_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("agent.sock");
    for command in [
        &["status"][..],
        &["nic", "list"],
        &["exec", "web-1", "--", "true"],
    ] {
        let ran = run(clearway(["--socket".as_ref(), socket.as_os_str()]).args(command));
        let message = format!(
            "error: no agent answers at {}; start one with `clearway up TOPOLOGY.yaml`\n",
            socket.display()
        );
        assert_eq!((ran.code, ran.stderr), (Some(4), message));
    }
    // A socket that nobody serves any longer is no agent either.
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("a socket"));
    let words = ["status", "--instance", "lab", "--socket"];
    let ran = run(clearway(words).arg(&socket).args(["-o", "json"]));
    assert_eq!(ran.code, Some(4), "{ran:?}");
    let error = &ran.error_json()["error"];
    assert_eq!(error["code"], json!("NoAgent"));
    assert!(
        error["message"]
            .as_str()
            .expect("text")
            .contains("--instance lab"),
        "{error}"
    );
}

#[test]
fn the_instance_has_its_own_socket() {
    let ran = run(clearway(["status"]).env("CLEARWAY_INSTANCE", "no-such-instance"));
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(
        ran.stderr.contains("/no-such-instance/agent.sock"),
        "{ran:?}"
    );
}

#[test]
fn the_socket_may_come_from_the_environment() {
    let agent = Prepared::default()
        .on_json("GET /v1/status", &samples::status())
        .start();
    let ran = run(clearway(["status"]).env("CLEARWAY_SOCKET", agent.socket()));
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn each_status_has_its_exit_code() {
    for (status, code) in [
        (404, 5),
        (400, 2),
        (403, 3),
        (422, 3),
        (409, 1),
        (500, 1),
        (503, 1),
    ] {
        let agent = Prepared::default()
            .on("GET /v1/nics", move |_| {
                Reply::error(status, "SomeCode", "what happened")
            })
            .start();
        let ran = agent.run(["nic", "list"]);
        assert_eq!(
            (ran.code, ran.stderr.as_str()),
            (Some(code), "error: what happened\n")
        );
        let ran = agent.run(["nic", "list", "-o", "json"]);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        let expected = json!({"error": {"code": "SomeCode", "message": "what happened"}});
        assert_eq!(ran.error_json(), expected);
    }
}

#[test]
fn an_answer_of_another_kind_is_a_failure_that_shows_it() {
    let agent = Prepared::default()
        .on("GET /v1/nics", |_| Reply::bytes("<html>").with_status(502))
        .on("GET /v1/status", |_| Reply::bytes("{}"))
        .start();
    let ran = agent.run(["nic", "list"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stderr.contains("502") && ran.stderr.contains("`<html>`"),
        "{ran:?}"
    );
    let ran = agent.run(["status"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("missing field `instance`"), "{ran:?}");
}

#[test]
fn messages_cannot_drive_the_terminal() {
    let agent = Prepared::default()
        .on("GET /v1/nics", |_| {
            Reply::error(500, "X", "a\u{1b}]0;b\u{7}c")
        })
        .start();
    let ran = agent.run(["nic", "list"]);
    assert!(!ran.stderr.contains(['\u{1b}', '\u{7}']), "{ran:?}");
}

#[test]
fn a_guest_without_a_namespace_runs_nothing() {
    let agent = Prepared::default()
        .on_json("GET /v1/guests/web-1", &samples::guest(None))
        .start();
    let ran = agent.run(["exec", "web-1", "--", "true"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stderr
            .contains("of kind `tap` and has no network namespace"),
        "{ran:?}"
    );
}
