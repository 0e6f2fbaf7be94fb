//! The versions that shape an eBPF object: the compiler and the headers.

use std::fmt;
use std::fs;

use anyhow::{Context, Result};

use crate::process;

/// Versions by name, such as `clang` → `14.0.6`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Toolchain {
    versions: Vec<(String, String)>,
}

impl Toolchain {
    /// Asks the compiler and reads the installed headers.
    pub(super) fn of_this_machine() -> Result<Self> {
        let clang = process::capture(process::tool("clang").arg("--version"))?;
        let clang = clang_version(&clang).context("clang does not say its version")?;
        let libbpf = fs::read_to_string("/usr/include/bpf/libbpf_version.h").unwrap_or_default();
        let linux = fs::read_to_string("/usr/include/linux/version.h").unwrap_or_default();
        let versions = [
            ("clang", clang),
            ("libbpf", libbpf_version(&libbpf)),
            ("linux-headers", linux_version(&linux)),
        ];
        let versions = versions
            .map(|(name, version)| (name.to_owned(), version))
            .to_vec();
        Ok(Self { versions })
    }

    /// Reads lines of `name version`.
    pub(super) fn parse(text: &str) -> Self {
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        let versions = pairs.map(|(name, version)| (name.to_owned(), version.trim().to_owned()));
        Self {
            versions: versions.collect(),
        }
    }

    /// The first thing that `present` has in another version than the one recorded here.
    pub(super) fn difference(&self, present: &Self) -> Option<String> {
        present.versions.iter().find_map(|(name, version)| {
            let recorded = self.versions.iter().find(|(known, _)| known == name);
            match recorded {
                Some((_, known)) if known == version => None,
                Some((_, known)) => Some(format!("{name} {version} is not the recorded {known}")),
                None => Some(format!("{name} {version} is not recorded")),
            }
        })
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.versions
            .iter()
            .try_for_each(|(name, version)| writeln!(out, "{name} {version}"))
    }
}

/// The number after `clang version` in the first line, whoever built it.
pub(super) fn clang_version(text: &str) -> Option<String> {
    let after = text.split("clang version ").nth(1)?;
    Some(after.split([' ', '\n', '-', '+']).next()?.to_owned())
}

fn libbpf_version(header: &str) -> String {
    let part = |name: &str| {
        let line = header.lines().find(|line| line.contains(name));
        line.and_then(|line| line.split_whitespace().last())
            .unwrap_or("?")
            .to_owned()
    };
    format!(
        "{}.{}",
        part("LIBBPF_MAJOR_VERSION"),
        part("LIBBPF_MINOR_VERSION")
    )
}

/// The version that `LINUX_VERSION_CODE` packs into one number.
pub(super) fn linux_version(header: &str) -> String {
    let line = header
        .lines()
        .find_map(|line| line.strip_prefix("#define LINUX_VERSION_CODE "));
    match line.and_then(|number| number.trim().parse::<u32>().ok()) {
        Some(code) => format!("{}.{}.{}", code >> 16, code >> 8 & 0xff, code & 0xff),
        None => "?".to_owned(),
    }
}
