//! Installing Debian packages, with as little noise and as few downloads as possible.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::progress::Progress;

/// How long a download may take; apt gives up on a silent mirror long before.
const PATIENCE: Duration = Duration::from_secs(900);

/// Downloads a package without installing it, into a folder that is empty; its file.
///
/// # Errors
/// When there is no such package, or it cannot be had, be it by old lists or by fresh ones.
pub(crate) fn download(package: &str, folder: &Path, progress: &Progress) -> Result<PathBuf> {
    let fetch = || {
        let mut command = Command::new("apt-get");
        command.args(["download", package]).current_dir(folder);
        process::capture_within(&mut command, PATIENCE)
    };
    if fetch().is_err() {
        update(progress)?;
        fetch()?;
    }
    let mut entries = fs::read_dir(folder)?;
    let entry = entries.next().context("apt-get downloaded nothing")??;
    Ok(entry.path())
}

/// The first package with a name of this beginning that `package` depends on.
///
/// # Errors
/// When fresh lists know neither.
pub(crate) fn dependency(package: &str, prefix: &str, progress: &Progress) -> Result<String> {
    let look = || {
        let text = process::capture(Command::new("apt-cache").args(["depends", package]))?;
        dependency_in(&text, prefix)
            .with_context(|| format!("the package {package} does not depend on any {prefix}*"))
    };
    look().or_else(|_| {
        update(progress)?;
        look()
    })
}

/// The first package with a name of this beginning among what `apt-cache depends` says.
pub(super) fn dependency_in(text: &str, prefix: &str) -> Option<String> {
    let names = text.lines().filter_map(|line| line.split_once("Depends: "));
    let mut names = names.filter(|(before, _)| before.trim().is_empty());
    let (_, found) = names.find(|(_, name)| name.starts_with(prefix))?;
    Some(found.trim().to_owned())
}

/// Installs one package of each list of alternatives.
pub(super) fn install(alternatives: &[&[&str]]) -> Result<()> {
    let progress = Progress::start("looking for packages");
    let packages = match choose(alternatives, is_known) {
        Ok(packages) => packages,
        Err(_) => {
            update(&progress)?;
            choose(alternatives, is_known)?
        }
    };
    progress.note(&format!("installing {}", packages.join(" ")));
    if process::capture(&mut install_command(&packages)?).is_err() {
        // Old lists name files that the mirror has replaced since; fresh ones settle that.
        update(&progress)?;
        process::capture(&mut install_command(&packages)?)?;
    }
    progress.keep(&format!("installed {}", packages.join(" ")));
    Ok(())
}

/// The first known package of each list.
///
/// # Errors
/// When a list has none: the package lists are empty, old, or of a distribution without it.
pub(super) fn choose(
    alternatives: &[&[&str]],
    known: impl Fn(&str) -> bool,
) -> Result<Vec<String>> {
    let mut packages = Vec::new();
    for names in alternatives {
        match names.iter().find(|name| known(name)) {
            Some(name) => packages.push((*name).to_owned()),
            None => bail!("no package of the name {}", names.join(" or ")),
        }
    }
    packages.dedup();
    Ok(packages)
}

fn is_known(package: &str) -> bool {
    process::capture(Command::new("apt-cache").args(["policy", package]))
        .is_ok_and(|text| text.contains("Candidate:") && !text.contains("Candidate: (none)"))
}

fn update(progress: &Progress) -> Result<()> {
    progress.note("fetching package lists");
    process::capture(apt_get()?.arg("update")).map(drop)
}

fn install_command(packages: &[String]) -> Result<Command> {
    let mut command = apt_get()?;
    command
        .args(["install", "-y", "--no-install-recommends"])
        .args(packages);
    Ok(command)
}

fn apt_get() -> Result<Command> {
    if process::is_root() {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        return Ok(command);
    }
    if process::find("sudo").is_none() {
        bail!("neither root nor sudo: run `cargo xtask setup` as root");
    }
    let mut command = Command::new("sudo");
    command.args(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    Ok(command)
}
