//! How a test says that it cannot run on this machine.

use std::fs::OpenOptions;
use std::io::Write;

/// Says so on standard error, and in the journal that `cargo xtask test` reads.
pub(crate) fn because(test: &str, reason: &str) {
    eprintln!("skipped, because {reason}");
    let Some(journal) = std::env::var_os("CLEARWAY_SKIPPED_FILE") else {
        return;
    };
    let line = format!("xtask::{test}\t{reason}\n");
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(journal)
        .unwrap();
    file.write_all(line.as_bytes()).unwrap();
}
