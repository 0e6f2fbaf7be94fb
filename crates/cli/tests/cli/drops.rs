//! `drops`.

use std::io::Read as _;
use std::process::Stdio;

use serde_json::json;

use crate::agent::{Prepared, Reply};
use crate::{assert_snapshot, samples};

fn event_line() -> Vec<u8> {
    let mut line = serde_json::to_vec(&samples::drop_event()).expect("JSON");
    line.push(b'\n');
    line
}

#[test]
fn sums() {
    let agent = Prepared::default()
        .on_json("GET /v1/drops", &samples::all_drop_rows())
        .start();
    let ran = agent.run(["drops"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_snapshot("table_drops", &ran.stdout);
    let ran = agent.run(["drops", "--output", "json"]);
    assert_eq!(ran.json()[0]["packets"], json!(1234));
}

#[test]
fn no_drops_are_no_error() {
    let agent = Prepared::default()
        .on_json("GET /v1/drops", &json!([]))
        .start();
    assert_eq!(agent.run(["drops"]).stdout, "nothing was dropped\n");
}

#[test]
fn following_ends_with_the_agent() {
    let mut late = samples::drop_event();
    late.missed = 1500;
    let mut late = serde_json::to_vec(&late).expect("JSON");
    late.push(b'\n');
    let lines = [event_line(), late.clone()].concat();
    let body = [event_line(), b"\n".to_vec(), late].concat();
    let answer = move |_: &_| Reply::bytes(body.clone());
    let agent = Prepared::default()
        .on("GET /v1/drops/follow", answer)
        .start();
    let ran = agent.run(["drops", "--follow"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_snapshot("table_drops_follow", &ran.stdout);

    let ran = agent.run(["drops", "--follow", "-o", "json"]);
    assert_eq!(ran.stdout.as_bytes(), lines);
}

#[test]
fn an_agent_that_breaks_off_within_a_line_is_a_failure() {
    let answer = |_: &_| Reply::bytes(&event_line()[..20]);
    let agent = Prepared::default()
        .on("GET /v1/drops/follow", answer)
        .start();
    let ran = agent.run(["drops", "--follow"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("within a line"), "{ran:?}");
}

#[test]
fn a_line_without_end_is_a_failure() {
    let answer = |_: &_| Reply::bytes([b'x'; 1000]).repeated();
    let agent = Prepared::default()
        .on("GET /v1/drops/follow", answer)
        .start();
    let ran = agent.run(["drops", "--follow"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("a line of more than"), "{ran:?}");
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let answer = |_: &_| Reply::bytes(event_line()).repeated();
    let agent = Prepared::default()
        .on("GET /v1/drops/follow", answer)
        .start();
    let mut child = agent
        .clearway(["drops", "--follow"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut start = [0; 10];
    child
        .stdout
        .take()
        .expect("piped")
        .read_exact(&mut start)
        .expect("a line");
    let ended = child.wait_with_output().expect("it ends");
    assert_eq!((ended.status.code(), ended.stderr), (Some(0), Vec::new()));
}
