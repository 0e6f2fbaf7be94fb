//! The software paths in process, on one core: what the examples of the crates measure themselves.

use anyhow::Result;

use crate::bench::examples::{self, Figure};
use crate::bench::guard::Distance;
use crate::bench::interleave::{Sample, Series, Side};
use crate::bench::rows::Bar;
use crate::bench::{Frame, Section};

const CONTESTANT: &str = "in process";

/// The examples, and what they are told.
const EXAMPLES: [(&str, &str, &[&str]); 3] = [
    ("vswitch", "fast_path", &["--json", "--flows", "1000"]),
    ("vswitch", "fast_path", &["--json", "--flows", "1000000"]),
    ("policy", "policy_cost", &["--json", "--only", "bar"]),
];

/// Figures with a bar, and the bars.
const BARS: [(&str, f64); 11] = [
    ("hit/push/batched/1000-flows", 20e6),
    ("hit/push/batched/1000000-flows", 10e6),
    ("allocations/local/1000-flows", 0.0),
    ("allocations/push/1000-flows", 0.0),
    ("allocations/pop/1000-flows", 0.0),
    ("allocations/local/1000000-flows", 0.0),
    ("allocations/push/1000000-flows", 0.0),
    ("allocations/pop/1000000-flows", 0.0),
    ("memory/1000000-flows", 128.0),
    ("evaluations/bar, n=1000", 1e6),
    ("growth/bar", 2.0),
];

/// Runs the examples.
pub(crate) fn run(frame: &mut Frame) -> Result<Section> {
    frame.progress.note("building the examples");
    let mut built = Vec::new();
    for (package, example, arguments) in EXAMPLES {
        built.push((examples::build(package, example)?, arguments));
    }
    let mut series = Vec::new();
    for (file, arguments) in built {
        frame
            .progress
            .note(&format!("{} {}", file.display(), arguments.join(" ")));
        add(&mut series, examples::run(&file, arguments)?);
    }
    Ok(Section {
        title: "in process, one core",
        series,
        bars: BARS
            .map(|(name, at)| Bar::limit(name, CONTESTANT, at))
            .to_vec(),
        notes: Vec::new(),
    })
}

/// Adds what one example said. A name that it said more than once is of several sizes, which are
/// then part of the name; what an earlier one has said too is a further sample.
fn add(series: &mut Vec<Series>, figures: Vec<Figure>) {
    let names: Vec<String> = figures.iter().map(|figure| figure.name.clone()).collect();
    for figure in figures {
        let several = names.iter().filter(|name| **name == figure.name).count() > 1;
        let one = series_of(figure, several);
        match series.iter_mut().find(|known| known.name == one.name) {
            Some(known) => known.samples.extend(one.samples),
            None => series.push(one),
        }
    }
}

/// One sample: an example takes medians itself. It runs on one core, so that the distance to the
/// other says nothing.
fn series_of(figure: Figure, sized: bool) -> Series {
    let name = match figure.n {
        Some(n) if sized => format!("{}, n={n}", figure.name),
        _ => figure.name,
    };
    Series {
        contestant: CONTESTANT.to_owned(),
        side: Side::Ours,
        name,
        unit: figure.unit,
        better: figure.better,
        samples: vec![Sample {
            value: figure.value,
            distance: Distance::Unprobed,
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::{Figure, add};
    use crate::bench::interleave::Better;
    use crate::bench::rows::counted;

    fn figure(name: &str, n: Option<u64>, value: f64) -> Figure {
        Figure {
            name: name.into(),
            unit: "x".into(),
            value,
            better: Better::Lower,
            n,
        }
    }

    #[test]
    fn sizes_are_told_apart_and_the_same_figure_again_is_a_sample() {
        let mut series = Vec::new();
        add(
            &mut series,
            vec![
                figure("cost", Some(100), 1.0),
                figure("cost", Some(1000), 2.0),
                figure("new", Some(7), 3.0),
            ],
        );
        add(&mut series, vec![figure("new", Some(7), 5.0)]);
        let shown: Vec<_> = series
            .iter()
            .map(|one| (one.name.as_str(), counted(&one.samples)))
            .collect();
        assert_eq!(
            shown,
            [
                ("cost, n=100", vec![1.0]),
                ("cost, n=1000", vec![2.0]),
                ("new", vec![3.0, 5.0]),
            ]
        );
    }
}
