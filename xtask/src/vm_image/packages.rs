//! Debian packages that are looked into, not installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::process;
use crate::progress::Progress;
use crate::setup::apt;

/// Beginning of the names of folders that go when we do.
pub(super) const ASIDE: &str = "aside-";

/// A package's files, in a folder that goes when this does.
pub(super) struct Unpacked(TempDir);

impl Unpacked {
    /// Downloads a package and unpacks it, inside `folder`.
    pub(super) fn of(package: &str, folder: &Path, progress: &Progress) -> Result<Self> {
        progress.note(&format!("downloading {package}"));
        let archives = aside(folder)?;
        let archive = apt::download(package, archives.path(), progress)?;
        progress.note(&format!("unpacking {package}"));
        let unpacked = aside(folder)?;
        let mut unpack = Command::new("dpkg-deb");
        unpack.arg("--extract").arg(&archive).arg(unpacked.path());
        process::capture(&mut unpack)?;
        progress.keep(&format!("downloaded and unpacked {package}"));
        Ok(Self(unpacked))
    }

    /// Where they are.
    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// A busybox that needs no library, by its file.
pub(super) fn busybox(folder: &Path, update: bool, progress: &Progress) -> Result<PathBuf> {
    let file = folder.join("busybox");
    if !update && file.is_file() {
        return Ok(file);
    }
    let package = Unpacked::of("busybox-static", folder, progress)?;
    let merged = package.path().join("usr/bin/busybox");
    let apart = package.path().join("bin/busybox");
    let found = if merged.is_file() { merged } else { apart };
    fs::rename(&found, &file).context("cannot find busybox in its package")?;
    Ok(file)
}

/// A folder for the time being, on the same file system as `folder`.
pub(super) fn aside(folder: &Path) -> Result<TempDir> {
    let made = tempfile::Builder::new().prefix(ASIDE).tempdir_in(folder);
    made.with_context(|| format!("cannot make a folder in {}", folder.display()))
}
