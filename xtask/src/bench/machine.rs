//! The machine a figure comes from; without it a figure says nothing.

use std::fmt;
use std::fs;
use std::process::Command;
use std::thread;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::process;

/// Where and when a benchmark ran.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu_model: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    /// RFC 3339, in UTC.
    pub(crate) date: String,
    /// The commit measured, with `+changes` if the tree had any; none outside a repository.
    pub(crate) commit: Option<String>,
    /// As the kernel found it; none where its log is not ours to read.
    pub(crate) tsc_mhz: Option<f64>,
}

impl Machine {
    /// This machine, now.
    pub(crate) fn describe() -> Self {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            cpu_model: cpu_model(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
            cores: thread::available_parallelism().map_or(1, usize::from),
            kernel: release.trim().to_owned(),
            date: format!("{:.0}", Timestamp::now()),
            commit: commit(),
            tsc_mhz: process::capture(&mut Command::new("dmesg"))
                .ok()
                .and_then(|log| tsc_mhz(&log)),
        }
    }

    /// What is not the same in `other`: the fact, here, there.
    pub(crate) fn differences(&self, other: &Self) -> Vec<(&'static str, String, String)> {
        let mut differences = Vec::new();
        let mut note = |what, here: &dyn fmt::Display, there: &dyn fmt::Display| {
            let (here, there) = (here.to_string(), there.to_string());
            if here != there {
                differences.push((what, here, there));
            }
        };
        note("processor", &self.cpu_model, &other.cpu_model);
        note("cores", &self.cores, &other.cores);
        note("kernel", &self.kernel, &other.kernel);
        differences
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{}, {} cores, Linux {}",
            self.cpu_model, self.cores, self.kernel
        )?;
        if let Some(mhz) = self.tsc_mhz {
            write!(out, ", TSC {mhz:.0} MHz")?;
        }
        let commit = self.commit.as_deref().unwrap_or("no commit");
        write!(out, "\n{}, {commit}", self.date)
    }
}

fn cpu_model(cpuinfo: &str) -> String {
    let value = |key: &str| {
        cpuinfo
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(known, _)| known.trim() == key)
            .map(|(_, value)| value.trim().to_owned())
    };
    value("model name")
        .or_else(|| value("CPU part"))
        .unwrap_or_else(|| "unknown".to_owned())
}

fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        process::capture(command.current_dir(crate::repository()).args(arguments)).ok()
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?.trim().to_owned();
    let changed = git(&["status", "--porcelain"]).is_none_or(|text| !text.trim().is_empty());
    Some(if changed { commit + "+changes" } else { commit })
}

/// The last word of the kernel's log on the time stamp counter; a refined one comes later.
fn tsc_mhz(log: &str) -> Option<f64> {
    log.lines()
        .filter_map(|line| line.split_once("tsc: ").map(|(_, said)| said))
        .filter_map(|said| said.split(" MHz").next().filter(|number| *number != said))
        .filter_map(|number| number.rsplit(' ').next()?.parse().ok())
        .next_back()
}

#[cfg(test)]
mod tests;
