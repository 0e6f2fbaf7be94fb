//! Where [floods](super::flood) of new flows run: a server behind a router that filters.
//!
//! The client's network has a route for the floods' destinations that leads to the server, which so
//! receives packets for any of them. Both contestants hold the same 1,000 rules.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use anyhow::Result;
use serde_json::{Value, json};

use super::clearway_bed::start;
use super::flood::{self, DESTINATIONS_PREFIX};
use super::kernel_peers::load;
use super::namespace::{Namespace, join};
use super::nft_rules::{Family, forward_chain};
use super::security_group::{self, Access};
use super::testbed::{Bed, Testbed};
use crate::clearway::{Instance, Program, ServedBy};

/// Rules that flows are spread over; two more let the server's own address be reached, and nothing
/// else: 1,000 in all.
pub(crate) const BLOCKS: u32 = 998;
const INSTANCE: &str = "bench-new";
const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 4);
const CLIENT_ROUTER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 4);
const SERVER_ROUTER: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 1);
/// Between the first rule's priority and that of the last, with all flood rules before.
const SERVER_PRIORITY: u32 = 4000;
/// Flows forgotten soon, so that one burst's are gone before the next: the same for both.
const IDLE_SECONDS: &str = "1";
/// As many as the agent has room for.
const FLOWS_PER_NIC: u32 = 1 << 20;
/// No limit before that of the machine.
const FIRST_PACKETS_PER_SECOND: u32 = 100_000_000;
/// Directions that may be left when the next burst begins: of the connected testbed itself.
const IDLE_FLOWS: usize = 100;

/// What a bed of new flows can tell besides.
pub(crate) trait FlowBed: Bed {
    /// Whether the flows of earlier bursts are forgotten.
    fn is_idle(&self) -> Result<bool>;
    /// What was dropped so far, by reason, as far as the path itself counts it.
    fn drops(&self) -> Result<Vec<(String, u64)>>;
}

/// Routing with nftables and connection tracking.
#[derive(Debug)]
pub(crate) struct KernelRouting {
    testbed: Testbed,
    _guests: [Namespace; 2],
    _host: Namespace,
}

impl KernelRouting {
    /// Builds the path and waits until it carries packets.
    pub(crate) fn open() -> Result<Self> {
        let guests = [Namespace::create("client")?, Namespace::create("server")?];
        let host = Namespace::create("host")?;
        let ends = [(CLIENT, CLIENT_ROUTER), (SERVER, SERVER_ROUTER)];
        for ((guest, port), (address, router)) in guests.iter().zip(["client", "server"]).zip(ends)
        {
            join(guest, "eth0", &host, port)?;
            guest.ip(&["addr", "add", &format!("{address}/24"), "dev", "eth0"])?;
            guest.ip(&["route", "add", "default", "via", &router.to_string()])?;
            host.ip(&["addr", "add", &format!("{router}/24"), "dev", port])?;
        }
        host.set("net/ipv4/ip_forward", "1")?;
        let server = SERVER.to_string();
        host.ip(&["route", "add", DESTINATIONS_PREFIX, "via", &server])?;
        let rest = format!("ip daddr {SERVER} accept\n  drop");
        load(
            &host,
            &forward_chain(Family::Inet, flood::rules(BLOCKS), &rest),
        )?;
        host.set("net/netfilter/nf_conntrack_udp_timeout", IDLE_SECONDS)?;
        let testbed = Testbed {
            client: guests[0].name().to_owned(),
            server: guests[1].name().to_owned(),
            server_addr: IpAddr::V4(SERVER),
        };
        testbed.wait_until_connected()?;
        Ok(Self {
            testbed,
            _guests: guests,
            _host: host,
        })
    }
}

impl Bed for KernelRouting {
    fn testbed(&self) -> &Testbed {
        &self.testbed
    }
}

impl FlowBed for KernelRouting {
    /// The kernel forgets lazily and makes room when it must; a bed lives for one search.
    fn is_idle(&self) -> Result<bool> {
        Ok(true)
    }

    fn drops(&self) -> Result<Vec<(String, u64)>> {
        Ok(Vec::new())
    }
}

/// Clearway, accelerated, with a user-defined route to an appliance, which is the server.
#[derive(Debug)]
pub(crate) struct ClearwayRouting {
    testbed: Testbed,
    instance: Rc<Instance>,
}

impl ClearwayRouting {
    /// Starts an agent and waits until the path carries packets.
    pub(crate) fn open(program: &Program) -> Result<Self> {
        let instance = start(program, INSTANCE, &topology())?;
        let testbed = Testbed {
            client: instance.netns("client"),
            server: instance.netns("server"),
            server_addr: IpAddr::V4(SERVER),
        };
        for guest in ["client", "server"] {
            instance.expect_served_by(guest, ServedBy::Accelerated)?;
        }
        testbed.wait_until_connected()?;
        Ok(Self {
            testbed,
            instance: Rc::new(instance),
        })
    }
}

impl Bed for ClearwayRouting {
    fn testbed(&self) -> &Testbed {
        &self.testbed
    }
}

impl FlowBed for ClearwayRouting {
    fn is_idle(&self) -> Result<bool> {
        Ok(self.instance.status()?.flows <= IDLE_FLOWS)
    }

    fn drops(&self) -> Result<Vec<(String, u64)>> {
        let mut reasons: Vec<(String, u64)> = Vec::new();
        for row in self.instance.drops()? {
            match reasons.iter_mut().find(|(reason, _)| *reason == row.reason) {
                Some((_, packets)) => *packets += row.packets,
                None => reasons.push((row.reason, row.packets)),
            }
        }
        Ok(reasons)
    }
}

fn topology() -> Value {
    let mut group = security_group::rules(flood::rules(BLOCKS), Access::Deny);
    group.push(json!({
        "name": "server", "priority": SERVER_PRIORITY, "direction": "Inbound", "access": "Allow",
        "destination": format!("{SERVER}/32"),
    }));
    json!({
        "name": "bench-new",
        "host": {
            "flowsPerNic": FLOWS_PER_NIC,
            "exceptionsPerSecond": FIRST_PACKETS_PER_SECOND,
            "timeouts": { "idle": format!("{IDLE_SECONDS}s") },
        },
        "vnets": { "bench": {
            "addressSpace": "198.18.0.0/16",
            "subnets": {
                "clients": { "prefix": "198.18.0.0/24", "routeTable": "to-server" },
                "servers": { "prefix": "198.18.1.0/24", "nsg": "rules" },
            },
        } },
        "routeTables": { "to-server": { "routes": [{
            "name": "flows",
            "prefix": DESTINATIONS_PREFIX,
            "nextHopType": "VirtualAppliance",
            "nextHopIpAddress": SERVER.to_string(),
        }] } },
        "nsgs": { "rules": { "rules": group } },
        "guests": {
            "client": { "subnet": "bench/clients", "address": CLIENT.to_string() },
            "server": {
                "subnet": "bench/servers", "address": SERVER.to_string(), "ipForwarding": true,
            },
        },
    })
}

#[cfg(test)]
mod tests;
