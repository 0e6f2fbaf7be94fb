//! Programs of this machine, with the libraries that they are linked with.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::contents::Contents;
use crate::process;

/// Where programs go: before busybox in `PATH`, and never in the place of one of its own.
const FOLDER: &str = "usr/local/bin";

/// Adds a program that is installed here.
pub(super) fn add_installed(contents: &mut Contents, name: &str) -> Result<()> {
    let file = process::find(name).with_context(|| format!("this machine has no {name}"))?;
    contents.add_file(&format!("{FOLDER}/{name}"), &file, true);
    add_libraries(contents, &file)
}

/// Adds a program that was built here, less its debug information.
pub(super) fn add_stripped(contents: &mut Contents, name: &str, file: &Path) -> Result<()> {
    contents.add_stripped(&format!("{FOLDER}/{name}"), file);
    add_libraries(contents, file)
}

fn add_libraries(contents: &mut Contents, program: &Path) -> Result<()> {
    let said = process::capture(process::tool("ldd").arg(program))?;
    for library in libraries(&said)? {
        let path = library.strip_prefix("/").context("a library's path")?;
        contents.add_file(&path.display().to_string(), &library, true);
    }
    Ok(())
}

/// The files in what `ldd` says, the dynamic linker among them.
///
/// # Errors
/// When it says that there is none of a library.
pub(super) fn libraries(said: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for line in said.lines().map(str::trim) {
        let (name, place) = line.split_once(" => ").unwrap_or(("", line));
        if place == "not found" {
            bail!("the library {name} is not on this machine");
        }
        let file = place.rsplit_once(" (").map_or(place, |(file, _)| file);
        // The kernel's own library is in no file.
        if file.starts_with('/') {
            files.push(PathBuf::from(file));
        }
    }
    Ok(files)
}
