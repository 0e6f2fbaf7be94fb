//! What needs no agent: `validate`, `schema`, `completion`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::run::{clearway, run, run_with_input, write};

const GOOD: &str = include_str!("good.yaml");
const BAD: &str = "name: shop\nvnest: {}\n";

#[test]
fn validate_accepts_what_is_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = write(folder.path(), "good.yaml", GOOD);
    let ran = run(&mut clearway(["validate", &file]));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(ran.stdout, format!("{file} is a valid topology\n"));
}

#[test]
fn validate_shows_what_is_wrong_and_ends_with_3() {
    let ran = run_with_input(&mut clearway(["validate", "-"]), BAD);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), ""));
    assert!(ran.stderr.contains("error[unknown-key]"), "{ran:?}");
    assert!(ran.stderr.contains("--> <stdin>:2:1"), "{ran:?}");

    let ran = run_with_input(&mut clearway(["validate", "-", "-o", "json"]), BAD);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(3), ""));
    let found = ran.json();
    assert_eq!(found["fileName"], json!("<stdin>"));
    assert_eq!(found["diagnostics"][0]["code"], json!("unknown-key"));
    assert_eq!(found["diagnostics"][0]["line"], json!(2));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let ran = run(&mut clearway(["validate", "/no/such.yaml"]));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stderr
            .starts_with("error: cannot open /no/such.yaml: No such file"),
        "{ran:?}"
    );
}

#[test]
fn the_schema_is_a_schema() {
    let ran = run(&mut clearway(["schema"]));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let schema = ran.json();
    assert!(schema["$schema"].is_string(), "{schema}");
    assert!(schema["properties"]["guests"].is_object(), "{schema}");
}

#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(&mut clearway(["completion", shell]));
        assert_eq!(ran.code, Some(0), "{shell}");
        for word in ["explain", "revoke", "not-offloaded"] {
            assert!(ran.stdout.contains(word), "{shell} does not know {word}");
        }
    }
    // The one shell that is everywhere must be able to read its script.
    let script = run(&mut clearway(["completion", "bash"])).stdout;
    let mut bash = Command::new("bash")
        .arg("-n")
        .stdin(Stdio::piped())
        .spawn()
        .expect("bash starts");
    bash.stdin
        .take()
        .expect("piped")
        .write_all(script.as_bytes())
        .expect("bash reads");
    assert!(bash.wait().expect("bash ends").success());
}

#[test]
fn a_reader_that_has_left_is_no_failure() {
    for words in [&["schema"][..], &["completion", "bash"], &["--help"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let ended = clearway(words).stdout(writer).output().expect("it runs");
        assert_eq!(
            (ended.status.code(), ended.stderr),
            (Some(0), Vec::new()),
            "{words:?}"
        );
    }
}
