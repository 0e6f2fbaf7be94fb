//! Figures that follow from others.

use super::guard::Distance;
use super::interleave::{Better, Sample, Series, Side};
use super::rows::{counted, median};

/// What every other contestant's figures of a name are beyond those of `baseline`, run by run.
pub(crate) fn beyond(series: &[Series], name: &str, baseline: &str) -> Vec<Series> {
    let of_name = || series.iter().filter(|one| one.name == name);
    let Some(base) = of_name().find(|one| one.contestant == baseline) else {
        return Vec::new();
    };
    of_name()
        .filter(|one| one.contestant != baseline)
        .map(|one| Series {
            name: beyond_name(name),
            samples: one
                .samples
                .iter()
                .zip(&base.samples)
                .map(|(sample, base)| Sample {
                    value: sample.value - base.value,
                    distance: farther(sample.distance, base.distance),
                })
                .collect(),
            ..one.clone()
        })
        .collect()
}

/// How [`beyond`] names its series.
pub(crate) fn beyond_name(name: &str) -> String {
    format!("{name} beyond guests")
}

/// The part that the median of `ours` is of that of `peer`, in one series of one name. It may be
/// below zero, if `ours` is: then nothing is beyond the baseline. None if the peer's is not above
/// zero, because then nothing is a part of it.
pub(crate) fn share(series: &[Series], ours: &str, peer: &str) -> Option<Series> {
    let of = |contestant: &str| series.iter().find(|one| one.contestant == contestant);
    let (mine, theirs) = (of(ours)?, of(peer)?);
    let part = median(&counted(&mine.samples))?;
    let whole = median(&counted(&theirs.samples)).filter(|whole| *whole > 0.0)?;
    let distances = mine.samples.iter().chain(&theirs.samples);
    Some(Series {
        contestant: ours.to_owned(),
        side: Side::Ours,
        name: share_name(&mine.name, peer),
        unit: "share".to_owned(),
        better: Better::Lower,
        samples: vec![Sample {
            value: part / whole,
            distance: distances
                .map(|sample| sample.distance)
                .reduce(nearer)
                .unwrap_or(Distance::Unprobed),
        }],
    })
}

/// How [`share`] names its series.
pub(crate) fn share_name(name: &str, peer: &str) -> String {
    format!("{name}, as a share of {peer}'s")
}

fn farther(one: Distance, other: Distance) -> Distance {
    match (one, other) {
        (Distance::Far, _) | (_, Distance::Far) => Distance::Far,
        (Distance::Near, Distance::Near) => Distance::Near,
        _ => Distance::Unprobed,
    }
}

/// Far samples do not count where there are near ones.
fn nearer(one: Distance, other: Distance) -> Distance {
    match (one, other) {
        (Distance::Far, Distance::Far) => Distance::Far,
        (Distance::Near, _) | (_, Distance::Near) => Distance::Near,
        _ => Distance::Unprobed,
    }
}

#[cfg(test)]
mod tests;
