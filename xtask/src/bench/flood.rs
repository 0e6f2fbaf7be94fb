//! New flows, one way: each packet another 5-tuple, spread evenly over the rules of a filter.
//!
//! The sender is the example `new_flows` of the crate `netdev`, in the sending guest: raw frames in
//! batches, past the guest's own stack. The receiving guest counts what reaches its interface, after
//! the whole path and before its own stack, by a rule at the interface's ingress that counts and
//! drops: so neither guest's stack is measured, and nothing answers. The count is exact.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use super::cpus::Cpus;
use super::examples;
use super::inside::inside;
use super::nft_rules::Rule;
use super::testbed::Testbed;
use crate::process;

/// Where the flows go: one block of addresses for each rule.
pub(crate) const DESTINATIONS: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 0);
pub(crate) const DESTINATIONS_PREFIX: &str = "198.19.0.0/16";
const BLOCK_SIZE: u32 = 64;
const BLOCK_PREFIX: u32 = 26;
/// The destination port of all flows; every rule's range has it.
const PORT: u16 = 15_000;
/// What a client may take beyond the time it was given.
const GRACE: Duration = Duration::from_secs(10);
/// The count is final once it has stood still for so long.
const SETTLED: Duration = Duration::from_millis(100);
const SETTLING_MAX: Duration = Duration::from_secs(3);
/// The receiving guest's only interface, in every testbed.
const LINK: &str = "eth0";
const TABLE: &str = "clearway_bench_count";

/// Sends and counts on one path.
#[derive(Debug)]
pub(crate) struct Flood {
    program: PathBuf,
    testbed: Testbed,
    way: Way,
    /// How many rules the flows are spread over.
    blocks: u32,
    /// The number of the next packet, so that no flow comes twice.
    next: u64,
}

/// How the sending guest reaches the destinations.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Way {
    link: String,
    source: Ipv4Addr,
    source_mac: String,
    next_hop_mac: String,
}

/// What came of one burst.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Burst {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) seconds: f64,
    /// The part of that time for which the sender had its processor; it never sleeps.
    pub(crate) sender_share: f64,
}

/// What the sender reports.
#[derive(Debug, Deserialize)]
struct Sent {
    sent: u64,
    /// Packets that the device did not take; they have had their numbers.
    refused: u64,
    seconds: f64,
    processor: f64,
}

impl Burst {
    /// Packets that left, a second.
    pub(crate) fn rate(&self) -> f64 {
        self.sent as f64 / self.seconds
    }

    pub(crate) fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }
}

impl Flood {
    /// Prepares both guests of a testbed that is connected; flows are spread over `blocks` rules.
    pub(crate) fn prepare(testbed: &Testbed, blocks: u32) -> Result<Self> {
        let program = examples::build("netdev", "new_flows")?;
        let way = way(testbed)?;
        count_and_drop(testbed)?;
        Ok(Self {
            program,
            testbed: testbed.clone(),
            way,
            blocks,
            next: 0,
        })
    }

    /// Sends for `length` at `rate` packets a second, or as fast as one processor can.
    pub(crate) fn burst(&mut self, rate: f64, length: Duration) -> Result<Burst> {
        let cpu = Cpus::detect()?.client;
        let program = self.program.to_str().context("the path is no text")?;
        let mut command = inside(&self.testbed.client, program);
        let mut option = |name: &str, value: &dyn ToString| {
            command.arg(name).arg(value.to_string());
        };
        option("--link", &self.way.link);
        option("--source", &self.way.source);
        option("--source-mac", &self.way.source_mac);
        option("--next-hop-mac", &self.way.next_hop_mac);
        option("--destination", &DESTINATIONS);
        option("--blocks", &self.blocks);
        option("--block-size", &BLOCK_SIZE);
        option("--port", &PORT);
        option("--rate", &rate);
        option("--seconds", &length.as_secs_f64());
        option("--first", &self.next);
        option("--cpu", &cpu);
        let before = self.count()?;
        let text = process::capture_within(&mut command, length + GRACE)?;
        let sent: Sent = serde_json::from_str(&text)
            .with_context(|| format!("the sender of new flows reports {text}"))?;
        let received = self.settled_count()? - before;
        self.next += sent.sent + sent.refused;
        Ok(Burst {
            sent: sent.sent,
            received,
            seconds: sent.seconds,
            sender_share: sent.processor / sent.seconds,
        })
    }

    fn settled_count(&self) -> Result<u64> {
        let begun = Instant::now();
        let mut last = self.count()?;
        loop {
            thread::sleep(SETTLED);
            let now = self.count()?;
            if now == last || begun.elapsed() > SETTLING_MAX {
                return Ok(now);
            }
            last = now;
        }
    }

    /// Packets of the flood that have reached the receiving guest's interface.
    fn count(&self) -> Result<u64> {
        let mut command = nft(&self.testbed.server)?;
        command.args(["-j", "list", "counter", "netdev", TABLE, "arrived"]);
        let text = process::capture(&mut command)?;
        let answer: Value = serde_json::from_str(&text).context("nft lists no JSON")?;
        counted(&answer).context("nft lists no counter")
    }
}

/// The rules that the flows of a flood are spread over, `blocks` in all: an address block each,
/// from networks and to port ranges of several sizes.
pub(crate) fn rules(blocks: u32) -> impl Iterator<Item = Rule> {
    (0..blocks).map(|number| {
        let first = DESTINATIONS.to_bits() + number * BLOCK_SIZE;
        let ports = u32::from(PORT);
        Rule {
            protocol: "udp",
            accepts: true,
            source: format!("198.18.0.0/{}", 16 + number % 9),
            destination: format!("{}/{BLOCK_PREFIX}", Ipv4Addr::from_bits(first)),
            source_ports: None,
            destination_ports: format!("{}-{}", ports - number % 1000, ports + number % 7000),
        }
    })
}

/// Asks the sending guest's kernel, which has talked to the server already.
fn way(testbed: &Testbed) -> Result<Way> {
    let ip = |arguments: &[&str]| -> Result<Value> {
        let mut command = process::tool("ip");
        command.args(["-n", &testbed.client, "-j"]).args(arguments);
        Ok(serde_json::from_str(&process::capture(&mut command)?)?)
    };
    let route = ip(&["route", "get", &DESTINATIONS.to_string()])?;
    let next_hop = route[0]["gateway"]
        .as_str()
        .context("the flows have no next hop")?
        .to_owned();
    let link = route[0]["dev"].as_str().context("a route has no device")?;
    let source = route[0]["prefsrc"].as_str().context("no source address")?;
    let neighbours = ip(&["neigh", "show", &next_hop])?;
    let next_hop_mac = neighbours[0]["lladdr"].as_str();
    let devices = ip(&["link", "show", link])?;
    Ok(Way {
        link: link.to_owned(),
        source: source.parse()?,
        source_mac: text(devices[0]["address"].as_str())?,
        next_hop_mac: text(next_hop_mac)?,
    })
}

fn text(found: Option<&str>) -> Result<String> {
    found.map(str::to_owned).context("there is no MAC address")
}

fn count_and_drop(testbed: &Testbed) -> Result<()> {
    let script = format!(
        "table netdev {TABLE} {{\n counter arrived {{ }}\n chain ingress {{\n  \
         type filter hook ingress device {LINK} priority 0; policy accept;\n  \
         ip daddr {DESTINATIONS_PREFIX} udp dport {PORT} counter name arrived drop\n }}\n}}\n"
    );
    process::feed(nft(&testbed.server)?.args(["-f", "-"]), &script)
}

fn nft(netns: &str) -> Result<std::process::Command> {
    let nft = process::find("nft").context("nft is not installed")?;
    let nft = nft.to_str().context("the path of nft is no text")?;
    Ok(inside(netns, nft))
}

/// The packets of the only counter in what nft lists.
fn counted(answer: &Value) -> Option<u64> {
    let listed = answer["nftables"].as_array()?;
    listed
        .iter()
        .find_map(|entry| entry["counter"]["packets"].as_u64())
}

#[cfg(test)]
mod tests;
