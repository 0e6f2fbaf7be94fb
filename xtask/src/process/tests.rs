use std::process::Command;
use std::time::{Duration, Instant};

use super::{capture, capture_within, feed, find, shown};

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[test]
fn output_is_returned_and_errors_carry_what_was_said() {
    assert_eq!(
        capture(&mut shell("echo one; echo two >&2")).unwrap(),
        "one\n"
    );
    let error = capture(&mut shell("echo reason >&2; exit 3"))
        .unwrap_err()
        .to_string();
    assert!(error.ends_with("failed: reason"), "{error}");
}

#[test]
fn a_child_that_does_not_end_is_killed() {
    let begun = Instant::now();
    let error = capture_within(Command::new("sleep").arg("30"), Duration::from_millis(60));
    assert!(format!("{:#}", error.unwrap_err()).contains("killed after 0.1 s"));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn output_larger_than_a_pipe_does_not_block_the_child() {
    let text = capture_within(&mut shell("yes | head -c 300000"), Duration::from_secs(20)).unwrap();
    assert_eq!(text.len(), 300_000);
}

#[test]
fn errors_on_standard_output_are_reported_too() {
    let error = capture_within(
        &mut shell("echo '{\"error\":1}'; exit 1"),
        Duration::from_secs(9),
    );
    assert!(
        error
            .unwrap_err()
            .to_string()
            .ends_with("failed: {\"error\":1}")
    );
}

#[test]
fn input_reaches_the_child() {
    feed(&mut shell("test \"$(cat)\" = payload"), "payload").unwrap();
    feed(&mut shell("cat; exit 1"), "payload").unwrap_err();
}

#[test]
fn tools_are_found_by_name() {
    assert!(find("sh").is_some());
    assert!(find("no-such-tool-anywhere").is_none());
    assert_eq!(shown(&shell("true")), "sh -c true");
}
