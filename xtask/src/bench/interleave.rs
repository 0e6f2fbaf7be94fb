//! Contestants take turns, A B C A B C, so that a slow minute of the machine slows them all.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::guard::{Distance, Guard};

/// Which way is better.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    Higher,
    Lower,
}

/// One figure that one run of one contestant gave.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measurement {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
    pub(crate) better: Better,
}

impl Measurement {
    /// A figure of which more is better.
    pub(crate) fn higher(name: impl Into<String>, unit: &'static str, value: f64) -> Self {
        Self {
            name: name.into(),
            unit,
            value,
            better: Better::Higher,
        }
    }

    /// A figure of which less is better.
    pub(crate) fn lower(name: impl Into<String>, unit: &'static str, value: f64) -> Self {
        Self {
            name: name.into(),
            unit,
            value,
            better: Better::Lower,
        }
    }
}

/// Whose figures they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Clearway's.
    Ours,
    /// Clearway's as well, and a peer of the rest of Clearway's.
    OursToBeat,
    /// What Clearway is measured against.
    Peer,
}

impl Side {
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Ours | Self::OursToBeat)
    }

    pub(crate) fn is_peer(self) -> bool {
        matches!(self, Self::Peer | Self::OursToBeat)
    }
}

/// Someone who takes part.
pub(crate) struct Contestant<'a> {
    pub(crate) name: String,
    pub(crate) side: Side,
    pub(crate) run: Box<dyn FnMut() -> Result<Vec<Measurement>> + 'a>,
}

/// A figure, and whether it counts.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Sample {
    pub(crate) value: f64,
    pub(crate) distance: Distance,
}

/// All figures of one name that one contestant gave, in the order of the runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    pub(crate) contestant: String,
    pub(crate) side: Side,
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) better: Better,
    pub(crate) samples: Vec<Sample>,
}

/// Runs each contestant `runs` times, in turns; `note` is told what happens.
pub(crate) fn interleave(
    contestants: &mut [Contestant<'_>],
    runs: u32,
    guard: &mut Guard,
    note: impl Fn(&str),
) -> Result<Vec<Series>> {
    let mut series: Vec<Series> = Vec::new();
    for run in 1..=runs {
        for contestant in &mut *contestants {
            note(&format!("run {run} of {runs}: {}", contestant.name));
            let (measurements, distance) = guard
                .sample(&mut contestant.run)
                .with_context(|| format!("{} failed", contestant.name))?;
            for measurement in measurements {
                add(&mut series, contestant, measurement, distance);
            }
        }
    }
    Ok(series)
}

fn add(
    series: &mut Vec<Series>,
    contestant: &Contestant<'_>,
    measurement: Measurement,
    distance: Distance,
) {
    let sample = Sample {
        value: measurement.value,
        distance,
    };
    let known = series
        .iter_mut()
        .find(|one| one.contestant == contestant.name && one.name == measurement.name);
    match known {
        Some(known) => known.samples.push(sample),
        None => series.push(Series {
            contestant: contestant.name.clone(),
            side: contestant.side,
            name: measurement.name,
            unit: measurement.unit.to_owned(),
            better: measurement.better,
            samples: vec![sample],
        }),
    }
}

#[cfg(test)]
mod tests;
