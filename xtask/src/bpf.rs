//! `cargo xtask bpf`: compiles each `NAME.bpf.c` to `NAME.bpf.o` beside it, or checks that the
//! committed objects are what the sources compile to.
//!
//! Users need no compiler, because the objects are committed; this command is how a reviewer knows
//! that they are honest. Objects do not depend on where the repository lies.

mod toolchain;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::process;
use crate::setup::{self, Consent, Purpose};
use crate::step::{Outcome, summarise};
use toolchain::Toolchain;

/// Names the versions that made the committed objects.
const TOOLCHAIN_FILE: &str = "TOOLCHAIN";

/// Arguments of `cargo xtask bpf`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Compare with the committed objects instead of replacing them
    #[arg(long)]
    check: bool,
}

/// Runs `cargo xtask bpf`.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let folder = programs_folder();
    if arguments.check {
        return Ok(summarise(&[("eBPF objects", check(&folder).into())]));
    }
    setup::ensure(&Purpose::Bpf.needs(), Consent::Ask)?;
    build(&folder)
}

/// Where the eBPF programs live.
pub(crate) fn programs_folder() -> PathBuf {
    crate::repository().join("crates/bpf/src/programs")
}

/// Rebuilds the programs of `folder` aside and compares each byte with the committed objects.
///
/// Another compiler may well make other bytes of the same source, so that is a skip on a person's
/// machine, but a failure in continuous integration, whose compiler is ours to choose.
pub(crate) fn check(folder: &Path) -> Result<Outcome> {
    let lacking: Vec<_> = Purpose::Bpf
        .needs()
        .into_iter()
        .filter(|need| !need.tool.is_present())
        .collect();
    if let Some(need) = lacking.first() {
        return Ok(skip_or_fail(format!(
            "{} is not installed",
            need.tool.name()
        )));
    }
    let mut different = Vec::new();
    for source in sources(folder)? {
        let aside = tempfile::tempdir()?;
        let fresh = aside.path().join("fresh.o");
        compile(&source, &fresh)?;
        if fs::read(object_of(&source)).ok() != Some(fs::read(&fresh)?) {
            different.push(file_name(&object_of(&source)));
        }
    }
    if different.is_empty() {
        return Ok(Outcome::Passed);
    }
    let present = Toolchain::of_this_machine()?;
    let recorded =
        Toolchain::parse(&fs::read_to_string(folder.join(TOOLCHAIN_FILE)).unwrap_or_default());
    match recorded.difference(&present) {
        Some(difference) => Ok(skip_or_fail(difference)),
        None => Ok(Outcome::Failed(format!(
            "{} differ(s) from the source; run `cargo xtask bpf`",
            different.join(", ")
        ))),
    }
}

fn skip_or_fail(why: String) -> Outcome {
    if process::is_ci() {
        Outcome::Failed(why)
    } else {
        Outcome::Skipped(why)
    }
}

fn build(folder: &Path) -> Result<ExitCode> {
    let sources = sources(folder)?;
    for source in &sources {
        compile(source, &object_of(source))?;
        eprintln!("built {}", file_name(&object_of(source)));
    }
    fs::write(
        folder.join(TOOLCHAIN_FILE),
        Toolchain::of_this_machine()?.to_string(),
    )?;
    Ok(ExitCode::SUCCESS)
}

/// The `*.bpf.c` files of `folder`, sorted.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).context("cannot read the folder of eBPF programs")?;
    let mut sources = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if file_name(&path).ends_with(".bpf.c") {
            sources.push(path);
        }
    }
    if sources.is_empty() {
        bail!("no `*.bpf.c` among the eBPF programs");
    }
    sources.sort();
    Ok(sources)
}

fn object_of(source: &Path) -> PathBuf {
    source.with_extension("o")
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Compiles in the source's own folder, so that relative names are all the object can contain.
fn compile(source: &Path, object: &Path) -> Result<()> {
    let folder = source.parent().context("an eBPF source lies in a folder")?;
    let mut clang = process::tool("clang");
    clang
        .current_dir(folder)
        .args([
            "-O2", "-g", "-target", "bpf", "-mcpu=v3", "-Wall", "-Wextra", "-Werror",
        ])
        .arg(format!("-ffile-prefix-map={}=.", folder.display()))
        .arg(format!("-fdebug-prefix-map={}=.", folder.display()));
    // Debian keeps <asm/...> apart for each architecture, which `-target bpf` does not look into.
    let multiarch = format!("/usr/include/{}-linux-gnu", std::env::consts::ARCH);
    if Path::new(&multiarch).is_dir() {
        clang.args(["-idirafter", &multiarch]);
    }
    process::capture(clang.arg("-c").arg(file_name(source)).arg("-o").arg(object))?;
    // Drops DWARF and keeps BTF, which the kernel needs.
    process::capture(strip().arg("-g").arg(object)).map(drop)
}

fn strip() -> Command {
    process::tool("llvm-strip")
}

#[cfg(test)]
mod tests;
