//! Policy that changes ten times a second under traffic, and what that costs the traffic.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::bed::{Applied, Bed, change};
use super::document::Size;
use super::{Scale, median};
use crate::bench::interleave::Better;
use crate::bench::testbed::Testbed;
use crate::bench::workload::Workload;

const PERIOD: Duration = Duration::from_millis(100);
/// With the rule that changes, as many as a group may have.
const SIZE: Size = Size {
    nics: 100,
    rules: 999,
    flows: None,
};
/// Runs of each of the two, in turn.
const RUNS: usize = 7;
const RUNS_QUICK: usize = 1;
const SAMPLE: Duration = Duration::from_secs(2);
const SAMPLE_QUICK: Duration = Duration::from_millis(500);
const SOCKETS: std::num::NonZeroU16 = std::num::NonZeroU16::new(8).expect("above zero");

/// Figures without changes and with them.
type Samples = [Vec<f64>; 2];

pub(crate) fn measure(scale: &mut Scale) -> Result<()> {
    let (runs, sample) = if scale.quick {
        (RUNS_QUICK, SAMPLE_QUICK)
    } else {
        (RUNS, SAMPLE)
    };
    let bed = Bed::start(&scale.program()?, SIZE)?;
    let testbed = bed.between(0, 1)?;
    let connecting = Workload::ConnectRate { sockets: SOCKETS };
    let workloads = [
        (Workload::TcpThroughput, "TCP throughput", "Gbit/s"),
        (connecting, "new connections", "k/s"),
    ];
    let mut applied: Vec<Applied> = Vec::new();
    for (workload, name, unit) in workloads {
        let mut samples: Samples = Default::default();
        for run in 0..runs {
            scale.progress.note(&format!("{name}, run {}", run + 1));
            for (changing, samples) in samples.iter_mut().enumerate() {
                let rate = if changing == 1 {
                    let (rate, seen) = under_changes(&bed, || first(workload, &testbed, sample))?;
                    applied.extend(seen);
                    rate
                } else {
                    first(workload, &testbed, sample)?
                };
                samples.push(rate);
            }
        }
        let [still, changing] = samples.map(median);
        for (which, value) in [("policy at rest", still), ("policy changing", changing)] {
            let name = format!("{name}, {which}");
            scale.put("changes", &name, unit, Better::Higher, 1, value);
        }
        let loss = 100.0 * (1.0 - changing / still);
        let name = format!("{name}, lost to changes");
        scale.put("changes", &name, "%", Better::Lower, 1, loss);
    }
    let visible = applied.iter().map(|one| one.visible.as_secs_f64() * 1e3);
    let worst = visible.clone().fold(0.0, f64::max);
    let middle = median(visible);
    scale.put(
        "changes",
        "on all NICs, median",
        "ms",
        Better::Lower,
        1,
        middle,
    );
    scale.put(
        "changes",
        "on all NICs, slowest",
        "ms",
        Better::Lower,
        1,
        worst,
    );
    bed.remove().map(drop)
}

/// What a workload is about: its first figure.
fn first(workload: Workload, testbed: &Testbed, sample: Duration) -> Result<f64> {
    let figures = workload.run(testbed, sample)?;
    let first = figures.first().map(|figure| figure.value);
    first.ok_or_else(|| anyhow!("no figure"))
}

/// Runs `work` while the policy changes; what it gives, and how long each change took.
fn under_changes<T>(bed: &Bed, work: impl FnOnce() -> Result<T>) -> Result<(T, Vec<Applied>)> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let changes = scope.spawn(|| change_until(bed, &stop));
        let outcome = work();
        stop.store(true, Ordering::Relaxed);
        let applied = changes
            .join()
            .map_err(|_| anyhow!("the changing thread panicked"))??;
        Ok((outcome?, applied))
    })
}

fn change_until(bed: &Bed, stop: &AtomicBool) -> Result<Vec<Applied>> {
    let mut applied = Vec::new();
    let mut next = Instant::now();
    // In the end the policy is as it was at first.
    let mut variant = 0;
    while !stop.load(Ordering::Relaxed) || variant == 1 {
        variant = 1 - variant;
        applied.push(change(&bed.api, &bed.variants[variant])?);
        next += PERIOD;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(applied)
}
