//! The resident memory of an agent that has guests and nothing to do.

use std::fs;
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::bench::clearway_bed::start;
use crate::bench::guard::Distance;
use crate::bench::interleave::{Better, Sample, Series, Side};
use crate::bench::rows::Bar;
use crate::bench::{Frame, Section};
use crate::clearway::Program;

const INSTANCE: &str = "bench-idle";
const CONTESTANT: &str = "agent";
const RESIDENT: &str = "resident memory, 100 guests";
const GUESTS: u32 = 100;
/// The first host of the guests' subnet that a guest may have.
const FIRST: u32 = Ipv4Addr::new(198, 18, 0, 4).to_bits();
const RESIDENT_MAX_MIB: f64 = 64.0;
/// Between looks; settled once two agree within this part.
const LOOK: Duration = Duration::from_secs(1);
const SETTLED: f64 = 0.01;
const SETTLING_MAX: Duration = Duration::from_secs(10);

/// Starts an agent, waits until it has settled, and looks.
pub(crate) fn run(frame: &mut Frame, program: &Program) -> Result<Section> {
    frame.progress.note("starting an agent with 100 guests");
    let instance = start(program, INSTANCE, &topology())?;
    let pid = instance.status()?.pid;
    let begun = Instant::now();
    let mut last = resident_mib(pid)?;
    loop {
        thread::sleep(LOOK);
        let now = resident_mib(pid)?;
        let moved = (now - last).abs() / now;
        last = now;
        if moved < SETTLED || begun.elapsed() > SETTLING_MAX {
            break;
        }
    }
    instance.remove()?;
    Ok(Section {
        title: "an idle agent",
        series: vec![Series {
            contestant: CONTESTANT.to_owned(),
            side: Side::Ours,
            name: RESIDENT.to_owned(),
            unit: "MiB".to_owned(),
            better: Better::Lower,
            samples: vec![Sample {
                value: last,
                distance: Distance::Unprobed,
            }],
        }],
        bars: vec![Bar::limit(RESIDENT, CONTESTANT, RESIDENT_MAX_MIB)],
        notes: Vec::new(),
    })
}

fn resident_mib(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the agent is gone")?;
    let kib = resident_kib(&status).context("the kernel does not say what is resident")?;
    Ok(kib as f64 / 1024.0)
}

/// `VmRSS` of proc(5), which is in kB, by which KiB is meant.
fn resident_kib(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn topology() -> Value {
    let guests: Map<String, Value> = (0..GUESTS)
        .map(|number| {
            let address = Ipv4Addr::from_bits(FIRST + number).to_string();
            let guest = json!({ "subnet": "bench/guests", "address": address });
            (format!("guest-{number}"), guest)
        })
        .collect();
    json!({
        "name": INSTANCE,
        "vnets": { "bench": {
            "addressSpace": "198.18.0.0/16",
            "subnets": { "guests": { "prefix": "198.18.0.0/24" } },
        } },
        "guests": guests,
    })
}

#[cfg(test)]
mod tests {
    use super::{GUESTS, resident_kib, topology};

    #[test]
    fn the_kernels_figure_is_found() {
        let status = "Name:\tclearway\nVmHWM:\t   21000 kB\nVmRSS:\t   20480 kB\nThreads:\t4\n";
        assert_eq!(resident_kib(status), Some(20480));
        assert_eq!(resident_kib("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn there_are_as_many_guests_as_the_name_says() {
        let document = topology();
        let guests = document["guests"].as_object().unwrap();
        assert_eq!(guests.len(), usize::try_from(GUESTS).unwrap());
        let addresses: std::collections::HashSet<_> = guests
            .values()
            .map(|guest| guest["address"].as_str())
            .collect();
        assert_eq!(addresses.len(), guests.len());
    }
}
