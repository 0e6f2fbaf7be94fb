//! The source tree as rules see it: paths and texts, so that a rule can be tried on an invented one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Folders that hold nothing of ours.
const FOREIGN: [&str; 3] = ["target", "node_modules", ".git"];
/// Files of other kinds only count as link targets; their text is not read.
const READ: [&str; 6] = ["rs", "c", "h", "md", "toml", "sh"];

/// Every file below the top, by its path relative to it.
#[derive(Default)]
pub(super) struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// Reads the tree at `top`.
    pub(super) fn read(top: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(top, "")?;
        Ok(tree)
    }

    /// A tree of these paths and texts.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let owned = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Self {
            files: owned.collect(),
        }
    }

    /// Paths and texts of the files with one of these endings, in order of path.
    pub(super) fn ending<'t>(
        &'t self,
        endings: &'t [&str],
    ) -> impl Iterator<Item = (&'t str, &'t str)> {
        self.files
            .iter()
            .filter(|(path, _)| endings.iter().any(|ending| path.ends_with(ending)))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The text at `path`, if there is such a file.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Whether `path` is a file, or a folder with a file in it.
    pub(super) fn contains(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        self.files.contains_key(path) || self.files.keys().any(|file| file.starts_with(&folder))
    }

    /// The folders of crates: those with a `Cargo.toml` that has a package, and that text.
    pub(super) fn crates(&self) -> impl Iterator<Item = (&str, &str)> {
        self.ending(&["/Cargo.toml"])
            .filter(|(_, text)| text.lines().any(|line| line.trim() == "[package]"))
            .map(|(path, text)| (path.trim_end_matches("/Cargo.toml"), text))
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        let shown = if prefix.is_empty() {
            "the top of the tree"
        } else {
            prefix
        };
        let entries = fs::read_dir(folder).with_context(|| format!("cannot read {shown}"))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type()?;
            if kind.is_dir() && !FOREIGN.contains(&name.as_str()) {
                self.read_folder(&entry.path(), &format!("{prefix}{name}/"))?;
            } else if kind.is_file() {
                let path = format!("{prefix}{name}");
                let ending = name.rsplit('.').next().unwrap_or_default();
                let text = if READ.contains(&ending) {
                    let bytes =
                        fs::read(entry.path()).with_context(|| format!("cannot read {path}"))?;
                    String::from_utf8_lossy(&bytes).into_owned()
                } else {
                    String::new()
                };
                self.files.insert(path, text);
            }
        }
        Ok(())
    }
}

/// Whether a tool wrote this text: it says `@generated` in its first lines.
pub(super) fn is_generated(text: &str) -> bool {
    text.lines().take(5).any(|line| line.contains("@generated"))
}

/// Whether everything in the file at `path` is test code.
pub(super) fn is_test_path(path: &str) -> bool {
    let in_folder = |folder: &str| path.split('/').any(|part| part == folder);
    in_folder("tests") || in_folder("benches") || path.ends_with("/tests.rs")
}
