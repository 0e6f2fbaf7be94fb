//! Clearway between two guests, on both of its paths.
//!
//! One agent has two pairs of guests in one subnet, whose security group has as many rules as the
//! filter of the [bridge](super::kernel_peers) and the very same ones. One pair is served by the
//! flow engine, the other is not accelerated: so both paths stand at once and can take turns.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::nft_rules::rules;
use super::security_group::{self, Access};
use super::testbed::{Bed, Testbed};
use crate::clearway::{Instance, Program, ServedBy};

/// The agent's instance, apart from any that a user may have.
const INSTANCE: &str = "bench";
/// Within the addresses that rules leave out.
const NETWORK: &str = "198.18.0.0/16";

/// One of the two pairs; the agent ends with the last of them.
#[derive(Debug)]
pub(crate) struct ClearwayBed {
    testbed: Testbed,
    _instance: Rc<Instance>,
}

impl ClearwayBed {
    /// Starts the agent and waits until both paths carry packets: the synthetic
    /// one and the accelerated one, in this order.
    pub(crate) fn open_both(program: &Program, rules: u32) -> Result<[Self; 2]> {
        let instance = start(program, INSTANCE, &topology(rules))?;
        let instance = Rc::new(instance);
        let open = |path: ServedBy| {
            let [client, server] = names(path);
            let testbed = Testbed {
                client: instance.netns(&client),
                server: instance.netns(&server),
                server_addr: IpAddr::V4(addresses(path)[1]),
            };
            // As asked for, or the figures would be of something else.
            for guest in [&client, &server] {
                instance.expect_served_by(guest, path)?;
            }
            testbed.wait_until_connected()?;
            anyhow::Ok(Self {
                testbed,
                _instance: Rc::clone(&instance),
            })
        };
        Ok([open(ServedBy::Synthetic)?, open(ServedBy::Accelerated)?])
    }
}

impl Bed for ClearwayBed {
    fn testbed(&self) -> &Testbed {
        &self.testbed
    }
}

/// Starts an agent with a topology.
pub(crate) fn start(program: &Program, name: &'static str, topology: &Value) -> Result<Instance> {
    let mut file = tempfile::Builder::new()
        .prefix("clearway-bench")
        .suffix(".json")
        .tempfile()?;
    file.write_all(topology.to_string().as_bytes())?;
    let started = Instance::start(program.clone(), name, file.path());
    let (instance, _) = started.with_context(|| format!("cannot start the agent {name}"))?;
    Ok(instance)
}

/// Client and server.
fn names(path: ServedBy) -> [String; 2] {
    ["client", "server"].map(|role| format!("{}-{role}", path.name()))
}

fn addresses(path: ServedBy) -> [Ipv4Addr; 2] {
    let first = match path {
        ServedBy::Synthetic => 11,
        ServedBy::Accelerated => 21,
    };
    [first, first + 1].map(|host| Ipv4Addr::new(198, 18, 0, host))
}

/// The document: one subnet, a group of `rules` rules of which the last allows everything, and the
/// pairs.
fn topology(count: u32) -> Value {
    let mut guests = Map::new();
    for path in [ServedBy::Synthetic, ServedBy::Accelerated] {
        for (name, address) in names(path).into_iter().zip(addresses(path)) {
            let guest = json!({
                "subnet": "bench/guests",
                "address": address,
                "acceleratedNetworking": path == ServedBy::Accelerated,
            });
            guests.insert(name, guest);
        }
    }
    json!({
        "name": "bench",
        "vnets": { "bench": {
            "addressSpace": NETWORK,
            "subnets": { "guests": { "prefix": "198.18.0.0/24", "nsg": "rules" } },
        } },
        "nsgs": { "rules": { "rules": security_group::rules(rules(count), Access::Allow) } },
        "guests": guests,
    })
}

#[cfg(test)]
mod tests;
