//! An agent with as many guests as are asked for.

use std::io::Write;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::agent_api::{AgentApi, Prepared};
use super::document::{self, Size, topology};
use crate::bench::testbed::Testbed;
use crate::bench::workload::{Transport, Waiting, Workload};
use crate::clearway::{Instance, Program};

/// The agent's instance, apart from any that a user may have.
const INSTANCE: &str = "scale";
/// How long round trips are timed.
const TRIPS: Duration = Duration::from_secs(1);

/// The agent, and its guests.
pub(crate) struct Bed {
    pub(crate) api: AgentApi,
    /// What the topology is changed to, and back.
    pub(crate) variants: [Prepared; 2],
    /// From nothing to all NICs, as a user sees it.
    pub(crate) up: Duration,
    variant: usize,
    instance: Instance,
}

/// How long a change of policy took to be seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Applied {
    /// From the request to its answer.
    pub(crate) answered: Duration,
    /// From the request until the agent says that all NICs have the generation.
    pub(crate) visible: Duration,
}

impl Bed {
    pub(crate) fn start(program: &Program, size: Size) -> Result<Self> {
        let mut file = tempfile::Builder::new()
            .prefix("clearway-scale")
            .suffix(".json")
            .tempfile()?;
        file.write_all(topology(size, 0).to_string().as_bytes())?;
        let begun = Instant::now();
        let (instance, _) = Instance::start(program.clone(), INSTANCE, file.path())
            .context("cannot start an agent")?;
        Ok(Self {
            api: AgentApi::of(INSTANCE),
            variants: [0, 1].map(|variant| Prepared::new(&topology(size, variant))),
            up: begun.elapsed(),
            variant: 0,
            instance,
        })
    }

    /// Two guests, by number.
    pub(crate) fn between(&self, client: u32, server: u32) -> Result<Testbed> {
        let testbed = Testbed {
            client: self.instance.netns(&document::guest(client)),
            server: self.instance.netns(&document::guest(server)),
            server_addr: IpAddr::V4(document::address(server)),
        };
        testbed.wait_until_connected()?;
        Ok(testbed)
    }

    /// Changes one rule of the group that all NICs have.
    pub(crate) fn change(&mut self) -> Result<Applied> {
        self.variant = 1 - self.variant;
        change(&self.api, &self.variants[self.variant])
    }

    /// The middle of the times of datagrams there and back, in microseconds.
    pub(crate) fn round_trip_us(&self, testbed: &Testbed) -> Result<f64> {
        let asking = Workload::RequestResponse {
            transport: Transport::Udp,
            waiting: Waiting::Block,
        };
        let figures = asking.run(testbed, TRIPS)?;
        let middle = figures.iter().find(|figure| figure.name.ends_with("p50"));
        middle.map(|figure| figure.value).context("no middle")
    }

    /// Resident memory of the agent, in MiB.
    pub(crate) fn resident_mib(&self) -> Result<f64> {
        let status = self.api.status()?;
        let bytes = status["residentBytes"].as_f64().context("no memory")?;
        Ok(bytes / f64::from(1 << 20))
    }

    /// Removes everything; how long that took.
    pub(crate) fn remove(self) -> Result<Duration> {
        let begun = Instant::now();
        self.instance.remove()?;
        Ok(begun.elapsed())
    }
}

/// Applies a variant, and waits until it is seen.
pub(crate) fn change(api: &AgentApi, variant: &Prepared) -> Result<Applied> {
    let begun = Instant::now();
    let generation = api.apply(variant)?;
    let answered = begun.elapsed();
    while api.generation()? < generation {}
    Ok(Applied {
        answered,
        visible: begun.elapsed(),
    })
}
