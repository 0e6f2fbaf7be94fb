//! Where a workload runs: two guests that reach each other over the path to be measured.

use std::net::IpAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::inside::inside;
use crate::process;

/// How long a fresh path may take until it carries packets.
const SETTLING: Duration = Duration::from_secs(5);

/// Two network namespaces, and how the client reaches the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Testbed {
    /// Name of the namespace of the client, as `ip netns` lists it.
    pub(crate) client: String,
    /// Name of the namespace of the server.
    pub(crate) server: String,
    /// The server's address, as the client sees it.
    pub(crate) server_addr: IpAddr,
}

/// A path that stands for as long as the value lives.
pub(crate) trait Bed {
    /// Its two ends.
    fn testbed(&self) -> &Testbed;
}

impl Testbed {
    /// Waits until the server answers the client's echo requests, which also fills neighbour tables.
    pub(crate) fn wait_until_connected(&self) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < SETTLING {
            if process::succeeds_quietly(&mut self.ping()) {
                return Ok(());
            }
        }
        bail!(
            "{} does not answer within {} s",
            self.server_addr,
            SETTLING.as_secs()
        )
    }

    fn ping(&self) -> Command {
        let mut command = inside(&self.client, "ping");
        command
            .args(["-n", "-q", "-c1", "-W1"])
            .arg(self.server_addr.to_string());
        command
    }
}
