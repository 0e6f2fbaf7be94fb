//! Names the kernel accepts, checked once, so that none can escape a directory or a format string.

use std::{fmt, str::FromStr};

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty, or longer than the kernel keeps.
    #[error("name {name:?} has {len} bytes, outside 1..={len_max}")]
    Length {
        /// The name as given.
        name: String,
        /// Its bytes.
        len: usize,
        /// The most it may have.
        len_max: usize,
    },
    /// A character that is a separator, a format or invisible.
    #[error("name {name:?} contains {character:?}")]
    Character {
        /// The name as given.
        name: String,
        /// The first character that is refused.
        character: char,
    },
    /// `.` or `..`, which would be a directory.
    #[error("name {name:?} is a directory")]
    Directory {
        /// The name as given.
        name: String,
    },
}

/// A link's name: 1 to 15 bytes without `/`, `:`, `%`, white space or control characters.
///
/// The kernel's `dev_valid_name` allows `%`, but takes it as a template for a free name, and
/// allows control characters, which would reach terminals and logs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkName(String);

/// The name of a network namespace below `/run/netns`: 1 to 255 bytes, one path component.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamespaceName(String);

impl LinkName {
    /// The most bytes of a name (`IFNAMSIZ` less the terminating zero).
    pub const LEN_MAX: usize = libc::IFNAMSIZ - 1;

    /// Checks a name.
    ///
    /// # Errors
    /// The first rule that `name` breaks.
    pub fn new(name: &str) -> Result<Self, NameError> {
        check(name, Self::LEN_MAX, |c| {
            matches!(c, '/' | ':' | '%') || c.is_whitespace()
        })?;
        Ok(Self(name.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl NamespaceName {
    /// The most bytes of a name (`NAME_MAX`).
    pub const LEN_MAX: usize = 255;

    /// Checks a name.
    ///
    /// # Errors
    /// The first rule that `name` breaks.
    pub fn new(name: &str) -> Result<Self, NameError> {
        check(name, Self::LEN_MAX, |c| c == '/')?;
        Ok(Self(name.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NamespaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LinkName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl FromStr for NamespaceName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

fn check(name: &str, len_max: usize, refused: impl Fn(char) -> bool) -> Result<(), NameError> {
    if name.is_empty() || name.len() > len_max {
        return Err(NameError::Length {
            name: name.to_owned(),
            len: name.len(),
            len_max,
        });
    }
    if name == "." || name == ".." {
        return Err(NameError::Directory {
            name: name.to_owned(),
        });
    }
    match name.chars().find(|&c| c.is_control() || refused(c)) {
        Some(character) => Err(NameError::Character {
            name: name.to_owned(),
            character,
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
