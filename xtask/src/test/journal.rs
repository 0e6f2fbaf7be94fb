//! The file in which tests note that they could not run.

/// A test that could not run here.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Skip {
    pub(super) test: String,
    pub(super) reason: String,
}

/// The journal's entries, sorted, each test once.
///
/// Tests append to it from many processes at once; a line without a tab is kept whole, so that
/// nothing is lost in silence.
pub(super) fn read(text: &str) -> Vec<Skip> {
    let mut skips: Vec<Skip> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| match line.split_once('\t') {
            Some((test, reason)) => Skip {
                test: test.into(),
                reason: reason.trim().into(),
            },
            None => Skip {
                test: line.trim().into(),
                reason: "no reason given".into(),
            },
        })
        .collect();
    skips.sort();
    skips.dedup_by(|one, other| one.test == other.test);
    skips
}
