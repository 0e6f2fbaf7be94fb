//! Rows: one figure of ours beside one of a peer's, with the ratio and the bar.

use serde::{Deserialize, Serialize};

use super::guard::Distance;
use super::interleave::{Better, Sample, Series};
use super::print::figure;

/// What a row has to reach.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    /// The measurement's name.
    pub(crate) name: String,
    /// Our contestant's name.
    pub(crate) ours: &'static str,
    /// The peer's name; without one, `at` is a limit for our own figure.
    pub(crate) peer: Option<&'static str>,
    /// The smallest ratio that passes; without a peer, the limit, in the measurement's unit.
    pub(crate) at: f64,
}

impl Bar {
    /// `ours` has to be at least `at` times as good as `peer`.
    pub(crate) fn ratio(
        name: impl Into<String>,
        ours: &'static str,
        peer: &'static str,
        at: f64,
    ) -> Self {
        Self {
            name: name.into(),
            ours,
            peer: Some(peer),
            at,
        }
    }

    /// `ours` has to reach `at`, from the better side.
    pub(crate) fn limit(name: impl Into<String>, ours: &'static str, at: f64) -> Self {
        Self {
            name: name.into(),
            ours,
            peer: None,
            at,
        }
    }
}

/// One line of the result.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: String,
    /// Our median.
    pub(crate) ours: Option<f64>,
    /// The peer's median.
    pub(crate) peer: Option<f64>,
    pub(crate) peer_name: Option<String>,
    /// How many times better we are, whichever way is better: 1 is level, above 1 is ahead.
    pub(crate) ratio: Option<f64>,
    /// The smallest `ratio` that passes; in a row without a peer, the limit for `ours`.
    pub(crate) bar: Option<f64>,
    /// Whether the bar is reached; none without a bar.
    pub(crate) pass: Option<bool>,
    pub(crate) better: Better,
    pub(crate) samples: Samples,
    /// The larger of both sides' (largest - smallest) / median.
    pub(crate) spread: Option<f64>,
}

/// Every sample behind a row, in the order of the runs.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Samples {
    pub(crate) ours: Vec<Sample>,
    pub(crate) peer: Vec<Sample>,
}

/// The middle value, or the mean of the two middle ones; none of nothing.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        count if count % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// The values that count: all but the far ones, or all if every one is far.
pub(crate) fn counted(samples: &[Sample]) -> Vec<f64> {
    let any_counts = samples
        .iter()
        .any(|sample| sample.distance != Distance::Far);
    samples
        .iter()
        .filter(|sample| !any_counts || sample.distance != Distance::Far)
        .map(|sample| sample.value)
        .collect()
}

/// Whether there are samples and each was taken far.
pub(crate) fn all_far(samples: &[Sample]) -> bool {
    !samples.is_empty()
        && samples
            .iter()
            .all(|sample| sample.distance == Distance::Far)
}

/// (largest - smallest) / median of what counts.
pub(crate) fn spread(samples: &[Sample]) -> Option<f64> {
    let values = counted(samples);
    let middle = median(&values).filter(|middle| *middle != 0.0)?;
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some((most - least) / middle.abs())
}

/// How many times better `ours` is than `peer`.
pub(crate) fn ratio(ours: f64, peer: f64, better: Better) -> Option<f64> {
    let ratio = match better {
        Better::Higher => ours / peer,
        Better::Lower => peer / ours,
    };
    ratio.is_finite().then_some(ratio)
}

/// Each of our series against each peer's of the same name, except itself, and against whatever else
/// a bar holds it to. A series of ours without any peer, and a peer's without any of ours, get a row
/// of their own.
pub(crate) fn rows_of(series: &[Series], bars: &[Bar]) -> Vec<Row> {
    let mut names: Vec<&str> = Vec::new();
    for one in series {
        if !names.contains(&one.name.as_str()) {
            names.push(&one.name);
        }
    }
    let mut rows = Vec::new();
    for name in names {
        let of_name = || series.iter().filter(move |one| one.name == name);
        for ours in of_name().filter(|one| one.side.is_ours()) {
            let before = rows.len();
            for peer in of_name().filter(|one| one.contestant != ours.contestant) {
                if peer.side.is_peer() || bar_for(ours, peer, bars).is_some() {
                    rows.push(Row::of(ours, Some(ours), Some(peer), bars));
                }
            }
            let alone = rows.len() == before;
            if alone || limit_for(ours, bars).is_some() {
                rows.push(Row::of(ours, Some(ours), None, bars));
            }
        }
        if !of_name().any(|one| one.side.is_ours()) {
            rows.extend(of_name().map(|peer| Row::of(peer, None, Some(peer), bars)));
        }
    }
    rows
}

/// The bars that no row was held against: a name that nothing measured has.
pub(crate) fn bars_without_row<'a>(series: &[Series], bars: &'a [Bar]) -> Vec<&'a Bar> {
    let measured = |name: &str, contestant: &str| {
        series
            .iter()
            .any(|one| one.name == name && one.contestant == contestant)
    };
    bars.iter()
        .filter(|bar| {
            !measured(&bar.name, bar.ours)
                || bar.peer.is_some_and(|peer| !measured(&bar.name, peer))
        })
        .collect()
}

impl Row {
    /// A row of the kind of `like`, which is one of the two sides.
    fn of(like: &Series, ours: Option<&Series>, peer: Option<&Series>, bars: &[Bar]) -> Self {
        let samples = Samples {
            ours: ours.map(|one| one.samples.clone()).unwrap_or_default(),
            peer: peer.map(|one| one.samples.clone()).unwrap_or_default(),
        };
        let better = like.better;
        let our_median = median(&counted(&samples.ours));
        let peer_median = median(&counted(&samples.peer));
        let ratio = our_median
            .zip(peer_median)
            .and_then(|(o, p)| ratio(o, p, better));
        let bar = ours.and_then(|ours| match peer {
            Some(peer) => bar_for(ours, peer, bars),
            None => limit_for(ours, bars),
        });
        let pass = bar.map(|bar| match peer {
            Some(_) => ratio.is_some_and(|ratio| ratio >= bar),
            None => our_median.is_some_and(|value| within(value, bar, better)),
        });
        let name = match ours {
            Some(ours) => format!("{}, {}", ours.name, ours.contestant),
            None => like.name.clone(),
        };
        let spreads = [spread(&samples.ours), spread(&samples.peer)];
        Self {
            name,
            unit: like.unit.clone(),
            ours: our_median,
            peer: peer_median,
            peer_name: peer.map(|peer| peer.contestant.clone()),
            ratio,
            bar,
            pass,
            better,
            spread: spreads.into_iter().flatten().reduce(f64::max),
            samples,
        }
    }

    /// What a person is told about the bar.
    pub(crate) fn verdict(&self) -> String {
        let bar = self.bar.unwrap_or(f64::NAN);
        match (&self.peer_name, self.ratio, self.ours) {
            (Some(peer), Some(ratio), _) => {
                format!("{}: {ratio:.3} times {peer}, bar {bar:.3}", self.name)
            }
            (Some(peer), None, _) => format!("{}: no ratio to {peer}, bar {bar:.3}", self.name),
            (None, _, Some(ours)) => {
                let (ours, bar) = (figure(ours), figure(bar));
                format!("{}: {ours} {}, bar {bar}", self.name, self.unit)
            }
            (None, _, None) => format!("{}: nothing measured, bar {bar}", self.name),
        }
    }
}

fn bar_for(ours: &Series, peer: &Series, bars: &[Bar]) -> Option<f64> {
    bars.iter()
        .find(|bar| {
            bar.name == ours.name
                && bar.ours == ours.contestant
                && bar.peer == Some(peer.contestant.as_str())
        })
        .map(|bar| bar.at)
}

fn limit_for(ours: &Series, bars: &[Bar]) -> Option<f64> {
    bars.iter()
        .find(|bar| bar.name == ours.name && bar.ours == ours.contestant && bar.peer.is_none())
        .map(|bar| bar.at)
}

fn within(value: f64, limit: f64, better: Better) -> bool {
    match better {
        Better::Higher => value >= limit,
        Better::Lower => value <= limit,
    }
}

#[cfg(test)]
mod tests;
