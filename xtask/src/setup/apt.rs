//! Installing Debian packages, with as little noise and as few downloads as possible.

use std::process::Command;

use anyhow::{Result, bail};

use crate::process;
use crate::progress::Progress;

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
