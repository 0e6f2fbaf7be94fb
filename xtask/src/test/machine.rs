//! What this machine lets tests do, said before they run.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::process;

/// Linux capability numbers (`linux/capability.h`).
const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_BPF: u32 = 39;

/// Prints what tests can use here, and what they will have to skip.
pub(super) fn describe() {
    let capabilities =
        effective_capabilities(&fs::read_to_string("/proc/self/status").unwrap_or_default());
    let bpf = has(capabilities, CAP_BPF) || has(capabilities, CAP_SYS_ADMIN);
    let facts = [
        ("root", process::is_root(), "tests that change the network"),
        (
            "CAP_NET_ADMIN",
            has(capabilities, CAP_NET_ADMIN),
            "tests with devices",
        ),
        (
            "eBPF",
            bpf && Path::new("/sys/fs/bpf").is_dir(),
            "tests of the kernel's fast path",
        ),
        (
            "TAP devices",
            Path::new("/dev/net/tun").exists(),
            "tests with TAPs",
        ),
        (
            "network namespaces",
            unshares("--net"),
            "tests in namespaces",
        ),
        (
            "user namespaces",
            unshares("--user"),
            "tests that need no root",
        ),
    ];
    for (name, present, what) in facts {
        if present {
            eprintln!("{name:<20} yes");
        } else {
            eprintln!("{name:<20} no: {what} will be skipped");
        }
    }
}

/// The effective capability set in a `/proc/PID/status`, empty when it cannot be read.
pub(super) fn effective_capabilities(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hexadecimal| u64::from_str_radix(hexadecimal.trim(), 16).ok())
        .unwrap_or(0)
}

fn has(capabilities: u64, number: u32) -> bool {
    capabilities >> number & 1 == 1
}

fn unshares(kind: &str) -> bool {
    process::succeeds_quietly(Command::new("unshare").args([kind, "true"]))
}
