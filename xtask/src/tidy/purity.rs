//! The crates that decide about packets do no I/O, read no clock and start no thread.

use super::Finding;
use super::tree::{Tree, is_test_path};

const PURE: [&str; 5] = ["wire", "flow", "policy", "model", "vswitch"];

/// What a pure crate's code does not mention, and what that would be.
const BANNED: [(&str, &str); 8] = [
    ("Instant::now", "reads a clock"),
    ("SystemTime::now", "reads a clock"),
    ("std::net::TcpStream", "opens a socket"),
    ("std::net::TcpListener", "opens a socket"),
    ("std::net::UdpSocket", "opens a socket"),
    ("std::thread", "starts threads"),
    ("std::fs", "touches files"),
    ("std::process", "starts processes"),
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in PURE {
        let sources = format!("crates/{name}/src/");
        let files = tree
            .ending(&[".rs"])
            .filter(|(path, _)| path.starts_with(&sources));
        for (path, text) in files.filter(|(path, _)| !is_test_path(path)) {
            findings.extend(check_file(path, text));
        }
    }
    findings
}

/// Looks at the code up to an inline test module, which our files keep last.
fn check_file(path: &str, text: &str) -> Vec<Finding> {
    let lines: Vec<&str> = text.lines().collect();
    let opens_tests = |index: usize| {
        lines[index].trim() == "#[cfg(test)]"
            && lines
                .get(index + 1)
                .is_some_and(|next| next.trim_end().ends_with('{'))
    };
    let mut findings = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        if opens_tests(index) {
            break;
        }
        if line.trim_start().starts_with("//") {
            continue;
        }
        for (mention, what) in BANNED.iter().filter(|(mention, _)| line.contains(mention)) {
            let message = format!("a pure crate {what}: `{mention}`");
            findings.push(Finding::error(path, Some(index + 1), message));
        }
    }
    findings
}
