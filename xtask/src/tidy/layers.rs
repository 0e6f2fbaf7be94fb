//! An arrow between crates may only point down.

use std::collections::BTreeSet;

use super::Finding;
use super::tree::Tree;

/// Which of our crates a crate may depend on, for its code, its tests and its build. Read it from
/// the bottom of the picture in ARCHITECTURE.md to the top.
const ALLOWED: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("flow", &["wire"]),
    ("policy", &["flow", "wire"]),
    ("vswitch", &["policy", "flow", "wire"]),
    ("model", &["policy", "flow", "wire"]),
    ("bpf", &["flow", "wire"]),
    ("netdev", &["wire"]),
    ("vring", &[]),
    ("vm", &["wire"]),
    ("softnic", &["vring", "vswitch", "policy", "flow", "wire"]),
    (
        "host",
        &[
            "model", "bpf", "netdev", "vswitch", "policy", "flow", "wire",
        ],
    ),
    (
        "clearway",
        &[
            "host", "model", "bpf", "netdev", "vswitch", "policy", "flow", "wire",
        ],
    ),
    ("xtask", &[]),
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let ours: BTreeSet<&str> = tree
        .crates()
        .filter_map(|(_, text)| package_name(text))
        .collect();
    let mut findings = Vec::new();
    for (folder, text) in tree.crates() {
        let path = format!("{folder}/Cargo.toml");
        let name = package_name(text).unwrap_or_default();
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
            findings.push(Finding::error(
                &path,
                None,
                format!("`{name}` is in no layer"),
            ));
            continue;
        };
        for (line, dependency) in dependencies(text) {
            if ours.contains(dependency) && !allowed.contains(&dependency) {
                let message = format!("`{name}` may not depend on `{dependency}`");
                findings.push(Finding::error(&path, Some(line), message));
            }
        }
    }
    findings
}

fn package_name(manifest: &str) -> Option<&str> {
    let line = manifest
        .lines()
        .find_map(|line| line.strip_prefix("name = "))?;
    line.strip_prefix('"')?.split('"').next()
}

/// The names in every dependency section, with their lines from 1.
fn dependencies(manifest: &str) -> Vec<(usize, &str)> {
    let mut in_section = false;
    let mut found = Vec::new();
    for (index, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if let Some(section) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            in_section = section.ends_with("dependencies");
            if let Some((_, name)) = section.rsplit_once("dependencies.") {
                found.push((index + 1, name));
            }
        } else if in_section
            && let Some(name) = line.split(['.', '=', ' ']).next()
            && !name.is_empty()
            && !name.starts_with('#')
        {
            found.push((index + 1, name));
        }
    }
    found
}
