//! No promises in the sources: work is either done or not in the tree.

use super::Finding;
use super::tree::{Tree, is_generated};

/// Spelt in halves, so that this file obeys its own rule.
const WORDS: [&str; 3] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];
const MARKS: [&str; 3] = [
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("#[", "ignore"),
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.ending(&[".rs", ".c", ".h"]) {
        if is_generated(text) {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            let word = WORDS.iter().find(|word| has_word(line, word));
            if let Some(found) = word.or_else(|| MARKS.iter().find(|mark| line.contains(*mark))) {
                findings.push(Finding::error(path, Some(index + 1), format!("`{found}`")));
            }
        }
    }
    findings
}

/// Whether `word` stands in `line` with no letter, digit or underscore against it.
fn has_word(line: &str, word: &str) -> bool {
    let part_of_word = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        !before.is_some_and(part_of_word) && !after.is_some_and(part_of_word)
    })
}
