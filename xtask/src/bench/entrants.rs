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

/// Runs every workload on every path; `prefix` begins the names of what is measured.
pub(crate) fn measure(
    frame: &mut Frame,
    prefix: &str,
    workloads: &[Workload],
    entrants: &[Entrant],
) -> Result<Vec<Series>> {
    let mut series = Vec::new();
    for workload in workloads {
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
