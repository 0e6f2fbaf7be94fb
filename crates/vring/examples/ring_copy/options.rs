//! The command line.

use crate::lane::Case;

pub(crate) struct Options {
    /// Packets of each measurement.
    pub(crate) packets: u64,
    /// Measurements of each case, of which the median counts.
    pub(crate) rounds: usize,
    /// Descriptors of each queue.
    pub(crate) size: u16,
    pub(crate) two_threads: bool,
    pub(crate) json: bool,
    only: Option<String>,
}

const USAGE: &str = "usage: ring_copy [--threads 1|2] [--packets N] [--rounds N] [--size N] \
                     [--only FORMAT/ORDER/BYTES/BATCH] [--json]";

impl Options {
    pub(crate) fn from_arguments(
        mut arguments: impl Iterator<Item = String>,
    ) -> Result<Self, String> {
        let mut options = Self {
            packets: 4_000_000,
            rounds: 3,
            size: 256,
            two_threads: false,
            json: false,
            only: None,
        };
        while let Some(name) = arguments.next() {
            if name == "--json" {
                options.json = true;
                continue;
            }
            let value = arguments.next().ok_or(USAGE)?;
            let number = || value.parse::<u64>().ok().filter(|number| *number > 0);
            let wrong = || format!("{name} {value}\n{USAGE}");
            match name.as_str() {
                "--threads" => match value.as_str() {
                    "1" => options.two_threads = false,
                    "2" => options.two_threads = true,
                    _ => return Err(wrong()),
                },
                "--packets" => options.packets = number().ok_or_else(wrong)?,
                "--rounds" => {
                    let rounds = number().and_then(|rounds| usize::try_from(rounds).ok());
                    options.rounds = rounds.ok_or_else(wrong)?;
                }
                "--size" => {
                    let size = number().and_then(|size| u16::try_from(size).ok());
                    options.size = size.ok_or_else(wrong)?;
                }
                "--only" => options.only = Some(value),
                _ => return Err(wrong()),
            }
        }
        if options.cases().is_empty() {
            return Err(format!("no such case\n{USAGE}"));
        }
        Ok(options)
    }

    /// Every combination, or the one that was asked for.
    pub(crate) fn cases(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for len in [64, 1500] {
            for packed in [false, true] {
                for in_order in [false, true] {
                    cases.extend([32, 64].map(|batch| Case {
                        packed,
                        in_order,
                        len,
                        batch,
                    }));
                }
            }
        }
        if let Some(only) = &self.only {
            cases.retain(|case| case.name() == *only);
        }
        cases
    }
}
