//! Processor time that a workload cost, over all processors and everything that ran.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Busy time since the machine started: user, nice, system, interrupts, soft interrupts.
pub(crate) fn busy() -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let ticks = busy_ticks(&text).context("/proc/stat has no processor line")?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

/// The share of the machine's time that others use while we do nothing, from 0 to 1.
pub(crate) fn background(length: Duration) -> Result<f64> {
    let (begun, before) = (Instant::now(), busy()?);
    thread::sleep(length);
    let used = busy()?.saturating_sub(before).as_secs_f64();
    let processors = thread::available_parallelism().map_or(1, usize::from) as f64;
    Ok((used / (begun.elapsed().as_secs_f64() * processors)).min(1.0))
}

/// Fields of the line `cpu`, proc(5): user nice system idle iowait irq softirq steal guest ...
///
/// Steal is left out: it is time in which we did not run. Guest time is part of user already.
fn busy_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Vec<u64> = line
        .split_whitespace()
        .map_while(|field| field.parse().ok())
        .collect();
    [0, 1, 2, 5, 6].iter().map(|index| fields.get(*index)).sum()
}

#[cfg(test)]
mod tests;
