//! Which processors a measurement runs on.

use anyhow::{Context, Result, bail};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// One processor for the side under test, another for the side that makes the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cpus {
    pub(crate) server: usize,
    /// The same as `server` where there is only one.
    pub(crate) client: usize,
}

impl Cpus {
    /// The first two processors this process may use, normally 0 and 1.
    pub(crate) fn detect() -> Result<Self> {
        let allowed = sched_getaffinity(None).context("cannot read the processor affinity")?;
        let mut usable = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
        let Some(server) = usable.next() else {
            bail!("no processor may be used")
        };
        Ok(Self {
            server,
            client: usable.next().unwrap_or(server),
        })
    }
}

/// Keeps the calling thread on processor `cpu`.
pub(crate) fn pin(cpu: usize) -> Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        bail!("no processor {cpu}");
    }
    let mut only = CpuSet::new();
    only.set(cpu);
    sched_setaffinity(None, &only).with_context(|| format!("cannot stay on processor {cpu}"))
}
