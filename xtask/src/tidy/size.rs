//! Files stay small enough to read in one sitting.

use super::Finding;
use super::tree::{Tree, is_generated};

/// Above this, consider splitting.
const LINES_SOFT: usize = 600;
/// Above this, split.
const LINES_HARD: usize = 1200;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.ending(&[".rs", ".c", ".h"])
        .filter(|(_, text)| !is_generated(text))
        .filter_map(|(path, text)| {
            let lines = text.lines().count();
            let message = |cap| format!("{lines} lines, above {cap}");
            if lines > LINES_HARD {
                Some(Finding::error(path, None, message(LINES_HARD)))
            } else if lines > LINES_SOFT {
                Some(Finding::warning(path, message(LINES_SOFT)))
            } else {
                None
            }
        })
        .collect()
}
