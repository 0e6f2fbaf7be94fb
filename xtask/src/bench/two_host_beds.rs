//! Two guests on two hosts, joined by VXLAN (RFC 7348).
//!
//! A host is a network namespace; a veth pair with an MTU of 1,550 bytes joins them, so that the
//! guests of both contestants have the 1,500 bytes that they have on one host: VXLAN over IPv4 takes
//! 50.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::clearway_bed::start;
use super::kernel_peers::{add_bridge, addressed, enslave, filter, tracks_connections};
use super::namespace::{Namespace, join};
use super::nft_rules::rules;
use super::security_group::{self, Access};
use super::testbed::{Bed, Testbed};
use crate::clearway::{Instance, Program, ServedBy};

const INSTANCES: [&str; 2] = ["bench-a", "bench-b"];
const UPLINK: &str = "uplink";
const UPLINK_MTU: &str = "1550";
const VNI: u32 = 5001;
const VXLAN_PORT: &str = "4789";
/// Client and server.
const GUESTS: [&str; 2] = ["client", "server"];
const MACS: [&str; 2] = ["02:c1:ea:00:00:0b", "02:c1:ea:00:00:0c"];
const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 18, 0, 11), Ipv4Addr::new(198, 18, 0, 12)];
const PROVIDERS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)];

/// An agent on each of two hosts.
#[derive(Debug)]
pub(crate) struct ClearwayHosts {
    testbed: Testbed,
    // Removed before the hosts they are on.
    _instances: [Instance; 2],
    _hosts: [Namespace; 2],
}

impl ClearwayHosts {
    /// Starts both agents and waits until the accelerated path carries packets.
    pub(crate) fn open(program: &Program, count: u32) -> Result<Self> {
        let hosts = hosts()?;
        let agent = |index: usize| {
            let program = program.on_host(hosts[index].name());
            start(&program, INSTANCES[index], &topology(index, count))
        };
        let instances = [agent(0)?, agent(1)?];
        for (instance, guest) in instances.iter().zip(GUESTS) {
            instance.expect_served_by(guest, ServedBy::Accelerated)?;
        }
        let testbed = Testbed {
            client: instances[0].netns(GUESTS[0]),
            server: instances[1].netns(GUESTS[1]),
            server_addr: IpAddr::V4(ADDRESSES[1]),
        };
        testbed.wait_until_connected()?;
        Ok(Self {
            testbed,
            _instances: instances,
            _hosts: hosts,
        })
    }
}

impl Bed for ClearwayHosts {
    fn testbed(&self) -> &Testbed {
        &self.testbed
    }
}

/// On each host a bridge with a VXLAN device, connection tracking and a filter.
#[derive(Debug)]
pub(crate) struct KernelVxlan {
    testbed: Testbed,
    _guests: [Namespace; 2],
    _hosts: [Namespace; 2],
}

impl KernelVxlan {
    /// Builds the path with a filter of `count` rules on each host.
    ///
    /// # Errors
    /// Also when packets turn out not to pass a filter, which would make its figures worthless.
    pub(crate) fn open(count: u32) -> Result<Self> {
        let hosts = hosts()?;
        let guests = [Namespace::create(GUESTS[0])?, Namespace::create(GUESTS[1])?];
        for (index, (host, guest)) in hosts.iter().zip(&guests).enumerate() {
            add_bridge(host)?;
            add_vxlan(host, PROVIDERS[index], PROVIDERS[1 - index])?;
            enslave(host, "vxlan0")?;
            join(guest, "eth0", host, "guest")?;
            enslave(host, "guest")?;
            filter(host, count)?;
        }
        let testbed = addressed(&guests)?;
        testbed.wait_until_connected()?;
        if !hosts.iter().all(tracks_connections) {
            bail!("bridged packets do not pass the filters");
        }
        Ok(Self {
            testbed,
            _guests: guests,
            _hosts: hosts,
        })
    }
}

impl Bed for KernelVxlan {
    fn testbed(&self) -> &Testbed {
        &self.testbed
    }
}

/// Two hosts that reach each other.
fn hosts() -> Result<[Namespace; 2]> {
    let hosts = [Namespace::create("host-a")?, Namespace::create("host-b")?];
    join(&hosts[0], UPLINK, &hosts[1], UPLINK)?;
    for (host, provider) in hosts.iter().zip(PROVIDERS) {
        host.ip(&["link", "set", UPLINK, "mtu", UPLINK_MTU])?;
        host.ip(&["addr", "add", &format!("{provider}/24"), "dev", UPLINK])?;
    }
    Ok(hosts)
}

fn add_vxlan(host: &Namespace, local: Ipv4Addr, remote: Ipv4Addr) -> Result<()> {
    let (vni, local, remote) = (VNI.to_string(), local.to_string(), remote.to_string());
    host.ip(&[
        "link", "add", "vxlan0", "type", "vxlan", "id", &vni, "local", &local, "remote", &remote,
        "dstport", VXLAN_PORT, "dev", UPLINK,
    ])?;
    host.ip(&["link", "set", "vxlan0", "up"])
}

/// The document of one host: its guest, and where the other one's is.
fn topology(index: usize, count: u32) -> Value {
    let other = 1 - index;
    json!({
        "name": INSTANCES[index],
        "vnets": { "bench": {
            "addressSpace": "198.18.0.0/16",
            "vni": VNI,
            "subnets": { "guests": { "prefix": "198.18.0.0/24", "nsg": "rules" } },
        } },
        "nsgs": { "rules": { "rules": security_group::rules(rules(count), Access::Allow) } },
        "uplink": { "interface": UPLINK, "providerAddress": PROVIDERS[index].to_string() },
        "guests": { GUESTS[index]: {
            "subnet": "bench/guests",
            "address": ADDRESSES[index].to_string(),
            "mac": MACS[index],
        } },
        "mappings": [{
            "vnet": "bench",
            "address": ADDRESSES[other].to_string(),
            "provider": PROVIDERS[other].to_string(),
            "mac": MACS[other],
        }],
    })
}

#[cfg(test)]
mod tests;
