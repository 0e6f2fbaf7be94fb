//! Paths that take part, and workloads run on all of them in turns.

use anyhow::Result;

use super::Frame;
use super::interleave::{Contestant, Series, Side, interleave};
use super::testbed::Bed;
use super::workload::Workload;

/// A path that takes part.
pub(crate) struct Entrant {
    name: &'static str,
    side: Side,
    bed: Box<dyn Bed>,
}

impl Entrant {
    pub(crate) fn new(name: &'static str, side: Side, bed: impl Bed + 'static) -> Self {
        Self {
            name,
            side,
            bed: Box::new(bed),
        }
    }
}

/// Runs every workload that was asked for on every path; `prefix` begins the names of what is
/// measured.
pub(crate) fn measure(
    frame: &mut Frame,
    prefix: &str,
    workloads: &[Workload],
    entrants: &[Entrant],
) -> Result<Vec<Series>> {
    let mut series = Vec::new();
    for workload in workloads
        .iter()
        .filter(|workload| is_asked_for(&frame.rows, &workload.name()))
    {
        let sample = frame.sample;
        let mut contestants: Vec<Contestant<'_>> = entrants
            .iter()
            .map(|entrant| Contestant {
                name: entrant.name.to_owned(),
                side: entrant.side,
                run: Box::new(move || workload.run(entrant.bed.testbed(), sample)),
            })
            .collect();
        let progress = &frame.progress;
        let note = |what: &str| progress.note(&format!("{prefix}{}: {what}", workload.name()));
        let mut measured = interleave(&mut contestants, frame.runs, &mut frame.guard, note)?;
        for one in &mut measured {
            one.name.insert_str(0, prefix);
        }
        series.append(&mut measured);
    }
    Ok(series)
}

/// Whether a kind of traffic has one of these in its name, or nothing was asked for.
fn is_asked_for(rows: &[String], name: &str) -> bool {
    rows.is_empty() || rows.iter().any(|text| name.contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_choice_everything_is_measured() {
        assert!(is_asked_for(&[], "tcp connect x8"));
    }

    #[test]
    fn a_choice_is_by_a_part_of_the_name() {
        let rows = ["connect".to_owned(), "block".to_owned()];
        assert!(is_asked_for(&rows, "tcp connect x8"));
        assert!(is_asked_for(&rows, "udp 64 B block"));
        assert!(!is_asked_for(&rows, "udp 64 B spin"));
    }
}
