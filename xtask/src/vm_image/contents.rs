//! What an image is made of, by the path it gets there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result};

use super::newc::Archive;
use crate::process;

/// Entries of an image in the order of their paths, in which a folder precedes what it holds.
#[derive(Default)]
pub(super) struct Contents {
    entries: BTreeMap<String, Entry>,
}

enum Entry {
    Folder,
    Text {
        text: String,
        executable: bool,
    },
    File {
        from: PathBuf,
        executable: bool,
    },
    /// A program without its debug information, which is most of a debug build.
    Stripped {
        from: PathBuf,
    },
}

impl Contents {
    /// Adds a folder, and those it lies in.
    pub(super) fn add_folder(&mut self, path: &str) {
        self.insert(path, Entry::Folder);
    }

    /// Adds a file of ours.
    pub(super) fn add_text(&mut self, path: &str, text: &str, executable: bool) {
        let text = text.to_owned();
        self.insert(path, Entry::Text { text, executable });
    }

    /// Adds a file of this machine.
    pub(super) fn add_file(&mut self, path: &str, from: &Path, executable: bool) {
        let from = from.to_owned();
        self.insert(path, Entry::File { from, executable });
    }

    /// Adds a program of this machine, less its debug information.
    pub(super) fn add_stripped(&mut self, path: &str, from: &Path) {
        let from = from.to_owned();
        self.insert(path, Entry::Stripped { from });
    }

    /// A text that differs whenever the image would: each entry, and of files the size and the time
    /// of the last change.
    pub(super) fn inputs(&self) -> Result<String> {
        let mut inputs = String::new();
        for (path, entry) in &self.entries {
            match entry {
                Entry::Folder => writeln!(inputs, "{path}/")?,
                Entry::Text { text, executable } => {
                    writeln!(inputs, "{path} {executable} {text:?}")?;
                }
                Entry::File { from, executable } => {
                    writeln!(inputs, "{path} {executable} {}", state_of(from)?)?;
                }
                Entry::Stripped { from } => {
                    writeln!(inputs, "{path} stripped {}", state_of(from)?)?
                }
            }
        }
        Ok(inputs)
    }

    /// Writes the image to a file.
    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let mut archive = Archive::new(BufWriter::new(File::create(file)?));
        for (path, entry) in &self.entries {
            match entry {
                Entry::Folder => archive.folder(path)?,
                Entry::Text { text, executable } => {
                    archive.file(path, text.as_bytes(), *executable)?;
                }
                Entry::File { from, executable } => {
                    archive.file(path, &read(from)?, *executable)?;
                }
                Entry::Stripped { from } => archive.file(path, &stripped(from)?, true)?,
            }
        }
        archive.finish()?;
        Ok(())
    }

    /// Whether there is something at `path`.
    pub(super) fn has(&self, path: &str) -> bool {
        self.entries.contains_key(path)
    }

    fn insert(&mut self, path: &str, entry: Entry) {
        if let Some((folder, _)) = path.rsplit_once('/')
            && !self.has(folder)
        {
            self.insert(folder, Entry::Folder);
        }
        self.entries.insert(path.to_owned(), entry);
    }
}

fn read(from: &Path) -> Result<Vec<u8>> {
    fs::read(from).with_context(|| format!("cannot read {}", from.display()))
}

fn stripped(from: &Path) -> Result<Vec<u8>> {
    let aside = tempfile::NamedTempFile::new()?;
    let mut strip: Command = process::tool("strip");
    strip.arg("--strip-debug").arg("-o").arg(aside.path());
    process::capture(strip.arg(from))?;
    read(aside.path())
}

/// Where a file is, how long, and when it was changed last.
fn state_of(from: &Path) -> Result<String> {
    let state = fs::metadata(from).with_context(|| format!("cannot find {}", from.display()))?;
    let changed = state.modified()?.duration_since(UNIX_EPOCH)?;
    let (from, len) = (from.display(), state.len());
    Ok(format!("{from} {len} {}", changed.as_nanos()))
}
