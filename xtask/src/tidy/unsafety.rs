//! Unsafe code lives in three crates; all others forbid it at their top.

use super::Finding;
use super::tree::Tree;

/// Crates that may opt in to unsafe code module by module: system calls, eBPF maps, and guest memory.
const MAY_BE_UNSAFE: [&str; 3] = ["crates/netdev", "crates/bpf", "crates/vring"];
const FORBIDS: &str = "#![forbid(unsafe_code)]";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (folder, _) in tree.crates() {
        if MAY_BE_UNSAFE.contains(&folder) {
            continue;
        }
        for root in ["src/lib.rs", "src/main.rs"] {
            let path = format!("{folder}/{root}");
            let Some(text) = tree.text(&path) else {
                continue;
            };
            if !text.lines().any(|line| line.trim() == FORBIDS) {
                findings.push(Finding::error(
                    &path,
                    None,
                    format!("does not say `{FORBIDS}`"),
                ));
            }
        }
    }
    findings
}
