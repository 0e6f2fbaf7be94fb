//! What moved since an earlier run.

use super::Document;
use super::interleave::Better;
use super::print::{figure, table};
use super::rows::Row;

/// How a row's figure changed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) old: f64,
    pub(crate) new: f64,
    /// (new - old) / old, turned so that above 0 is better.
    pub(crate) gain: f64,
    /// Whether the change is larger than the spread of either run.
    pub(crate) significant: bool,
}

/// The changes of the rows that both have, in the order of `new`.
///
/// Ours is compared where there is ours, otherwise the peer's figure, so that a peer that moved
/// shows that the machine did.
pub(crate) fn changes(old: &[Row], new: &[Row]) -> Vec<Change> {
    new.iter()
        .filter_map(|row| {
            let before = old.iter().find(|before| same(before, row))?;
            let (past, present) = match (before.ours, row.ours) {
                (Some(past), Some(present)) => (past, present),
                _ => (before.peer?, row.peer?),
            };
            let moved = (present - past) / past;
            let noise = before.spread.unwrap_or(0.0).max(row.spread.unwrap_or(0.0));
            moved.is_finite().then(|| Change {
                name: shown(row),
                unit: row.unit.clone(),
                old: past,
                new: present,
                gain: match row.better {
                    Better::Higher => moved,
                    Better::Lower => -moved,
                },
                significant: moved.abs() > noise,
            })
        })
        .collect()
}

/// The rows that only one of two runs has.
pub(crate) fn only_in(one: &[Row], other: &[Row]) -> Vec<String> {
    one.iter()
        .filter(|row| !other.iter().any(|there| same(there, row)))
        .map(shown)
        .collect()
}

/// The comparison as a person reads it.
pub(crate) fn text(old: &Document, new: &Document) -> String {
    let mut lines = vec![format!(
        "\ncompared with {} ({})",
        old.machine.date,
        commit(old)
    )];
    if old.bench != new.bench {
        lines.push(format!(
            "another benchmark: {} before, {} now",
            old.bench, new.bench
        ));
    }
    for (what, before, now) in old.machine.differences(&new.machine) {
        lines.push(format!("another machine: {what} was {before}, is {now}"));
    }
    let mut table = table(&["row", "before", "now", "better by", ""]);
    for change in changes(&old.rows, &new.rows) {
        let mark = match (change.significant, change.gain > 0.0) {
            (false, _) => "within spread",
            (true, true) => "BETTER",
            (true, false) => "WORSE",
        };
        table.add_row([
            change.name,
            format!("{} {}", figure(change.old), change.unit),
            format!("{} {}", figure(change.new), change.unit),
            format!("{:+.1} %", change.gain * 100.0),
            mark.to_owned(),
        ]);
    }
    lines.push(table.to_string());
    for name in only_in(&old.rows, &new.rows) {
        lines.push(format!("no longer measured: {name}"));
    }
    for name in only_in(&new.rows, &old.rows) {
        lines.push(format!("new: {name}"));
    }
    lines.join("\n")
}

fn same(one: &Row, other: &Row) -> bool {
    one.name == other.name && one.peer_name == other.peer_name
}

fn shown(row: &Row) -> String {
    match &row.peer_name {
        Some(peer) => format!("{} / {peer}", row.name),
        None => row.name.clone(),
    }
}

fn commit(document: &Document) -> &str {
    document.machine.commit.as_deref().unwrap_or("no commit")
}

#[cfg(test)]
mod tests;
