//! Every `--help` is a contract; each has an example.

use crate::assert_snapshot;
use crate::run::{clearway, run};

const COMMANDS: [&str; 21] = [
    "",
    "up",
    "down",
    "status",
    "apply",
    "validate",
    "exec",
    "attach",
    "nic",
    "nic list",
    "nic show",
    "nic stats",
    "nic flows",
    "vf",
    "vf revoke",
    "vf restore",
    "explain",
    "drops",
    "capture",
    "schema",
    "completion",
];

#[test]
fn every_command_explains_itself() {
    for command in COMMANDS {
        let words: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let ran = run(&mut clearway(&words));
        assert_eq!(ran.code, Some(0), "{words:?}");
        assert!(ran.stdout.contains("Example"), "`{command}` has no example");
        let name = words.join("_").replace("_--", "_").replace("--", "");
        assert_snapshot(&name, &ran.stdout);
    }
}

#[test]
fn no_command_is_without_a_snapshot() {
    let mut unseen = vec![Vec::<String>::new()];
    while let Some(words) = unseen.pop() {
        assert!(COMMANDS.contains(&words.join(" ").as_str()), "{words:?}");
        let ran = run(clearway(&words).arg("--help"));
        for name in subcommands(&ran.stdout) {
            unseen.push(words.iter().cloned().chain([name]).collect());
        }
    }
}

fn subcommands(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_command_line_that_cannot_be_understood_ends_with_2() {
    for words in [
        &["nics"][..],
        &["up", "--hook", "xdp"],
        &["nic", "show"],
        &["nic", "show", "a/b/c"],
        &["nic", "show", "/eth0"],
        &["nic", "flows", "web-1", "--limit", "0"],
        &["exec", "web-1"],
        &["attach", "db-1"],
        &["attach", "db-1", "--pid", "1", "--netns", "/run/netns/a"],
        &["status", "--instance", "../etc"],
        &["status", "--output", "xml"],
    ] {
        let ran = run(&mut clearway(words));
        assert_eq!(ran.code, Some(2), "{words:?}: {ran:?}");
        assert!(
            ran.stdout.is_empty() && !ran.stderr.is_empty(),
            "{words:?}: {ran:?}"
        );
    }
}
