//! Whether an agent that lives long grows.

use std::time::{Duration, Instant};

use rustix::process::Pid;

/// What an agent may take more at the end of its life than at its first quarter: allocators keep
/// what was needed once, and what was needed most may come late.
const GROWTH_BYTES: u64 = 8 << 20;
const GROWTH_DESCRIPTORS: usize = 4;

/// An agent's memory and descriptors, as long as it lives.
pub(super) struct Memory {
    life: Option<(Pid, Instant)>,
    samples: Vec<Sample>,
    longest: Option<Lifetime>,
}

#[derive(Clone, Copy)]
struct Sample {
    age: Duration,
    resident: u64,
    descriptors: usize,
    flows: u32,
}

/// How an agent was at the first quarter of its life, and at its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetime {
    pub(super) age: Duration,
    pub(super) resident: [u64; 2],
    pub(super) descriptors: [usize; 2],
    pub(super) flows_most: u32,
}

impl Memory {
    pub(super) fn new() -> Memory {
        Memory {
            life: None,
            samples: Vec::new(),
            longest: None,
        }
    }

    /// Looks at the agent; another one than before begins another life.
    pub(super) fn look(&mut self, agent: Pid, flows: u32) {
        if self.life.is_none_or(|(known, _)| known != agent) {
            self.end_life();
            self.life = Some((agent, Instant::now()));
        }
        let born = self.life.map_or_else(Instant::now, |(_, born)| born);
        let folder = format!("/proc/{}", agent.as_raw_nonzero());
        let status = std::fs::read_to_string(format!("{folder}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = resident.and_then(|text| text.trim().strip_suffix(" kB"));
        self.samples.push(Sample {
            age: born.elapsed(),
            resident: kibibytes
                .and_then(|text| text.trim().parse::<u64>().ok())
                .unwrap()
                << 10,
            descriptors: std::fs::read_dir(format!("{folder}/fd")).unwrap().count(),
            flows,
        });
    }

    /// The longest life so far, which must not have grown.
    pub(super) fn longest(mut self) -> Lifetime {
        self.end_life();
        let life = self.longest.expect("an agent lived");
        let [early, late] = life.resident;
        assert!(late <= early + GROWTH_BYTES, "{life:?}");
        let [early, late] = life.descriptors;
        assert!(late <= early + GROWTH_DESCRIPTORS, "{life:?}");
        life
    }

    fn end_life(&mut self) {
        let samples = std::mem::take(&mut self.samples);
        let Some(age) = samples.last().map(|sample| sample.age) else {
            return;
        };
        if self.longest.is_some_and(|longest| longest.age >= age) {
            return;
        }
        let around = |share: [f64; 2]| {
            let [from, to] = share.map(|share| age.mul_f64(share));
            let mut there: Vec<Sample> = samples
                .iter()
                .filter(|sample| (from..=to).contains(&sample.age))
                .copied()
                .collect();
            there.sort_by_key(|sample| sample.resident);
            there.get(there.len() / 2).copied()
        };
        // The middle of what was seen around a quarter, and at the end.
        let last = samples.last().copied();
        let (early, late) = (around([0.2, 0.3]).or(last), around([0.9, 1.0]).or(last));
        if let (Some(early), Some(late)) = (early, late) {
            self.longest = Some(Lifetime {
                age,
                resident: [early.resident, late.resident],
                descriptors: [early.descriptors, late.descriptors],
                flows_most: samples.iter().map(|sample| sample.flows).max().unwrap_or(0),
            });
        }
    }
}
