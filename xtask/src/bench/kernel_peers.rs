//! The kernel's own paths between two guests: what anyone gets without Clearway.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::inside::inside;
use super::namespace::{Namespace, join};
use super::nft_rules::{Family, ruleset};
use super::testbed::{Bed, Testbed};
use crate::process;

/// Rules in the filter, unless told otherwise: the most a cloud's security group has.
pub(crate) const RULES_DEFAULT: u32 = 1000;
const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
const BRIDGE: &str = "br0";
const BRIDGE_CALLS_IP: &str = "net/bridge/bridge-nf-call-iptables";
const CONNECTIONS: &str = "net/netfilter/nf_conntrack_count";

/// A pair of devices and nothing between them: the least the kernel can do.
#[derive(Debug)]
pub(crate) struct RawVeth {
    testbed: Testbed,
    _guests: [Namespace; 2],
}

impl RawVeth {
    /// Builds the path and waits until it carries packets.
    pub(crate) fn open() -> Result<Self> {
        let guests = [Namespace::create("client")?, Namespace::create("server")?];
        join(&guests[0], "eth0", &guests[1], "eth0")?;
        let testbed = addressed(&guests)?;
        testbed.wait_until_connected()?;
        Ok(Self {
            testbed,
            _guests: guests,
        })
    }
}

impl Bed for RawVeth {
    fn testbed(&self) -> &Testbed {
        &self.testbed
    }
}

/// A bridge between the guests, with connection tracking and a filter: what hosts run today.
#[derive(Debug)]
pub(crate) struct KernelBridge {
    testbed: Testbed,
    _guests: [Namespace; 2],
    _host: Namespace,
}

impl KernelBridge {
    /// Builds the path with a filter of `rules` rules, or without any filter for 0.
    ///
    /// # Errors
    /// Also when packets turn out not to pass the filter, which would make its figures worthless.
    pub(crate) fn open(rules: u32) -> Result<Self> {
        let guests = [Namespace::create("client")?, Namespace::create("server")?];
        let host = Namespace::create("host")?;
        add_bridge(&host)?;
        for (guest, port) in guests.iter().zip(["client", "server"]) {
            join(guest, "eth0", &host, port)?;
            enslave(&host, port)?;
        }
        if rules == 0 {
            bypass_ip_hooks(&host)?;
        } else {
            filter(&host, rules)?;
        }
        let testbed = addressed(&guests)?;
        testbed.wait_until_connected()?;
        if rules > 0 && !tracks_connections(&host) {
            bail!("bridged packets do not pass the filter");
        }
        Ok(Self {
            testbed,
            _guests: guests,
            _host: host,
        })
    }
}

impl Bed for KernelBridge {
    fn testbed(&self) -> &Testbed {
        &self.testbed
    }
}

/// Makes the bridge of a host.
pub(crate) fn add_bridge(host: &Namespace) -> Result<()> {
    host.ip(&["link", "add", BRIDGE, "type", "bridge"])?;
    host.ip(&["link", "set", BRIDGE, "up"])
}

/// Makes a device a port of the bridge.
pub(crate) fn enslave(host: &Namespace, port: &str) -> Result<()> {
    host.ip(&["link", "set", port, "master", BRIDGE])
}

/// Gives client and server their addresses.
pub(crate) fn addressed(guests: &[Namespace; 2]) -> Result<Testbed> {
    for (guest, address) in guests.iter().zip([CLIENT, SERVER]) {
        guest.ip(&["addr", "add", &format!("{address}/24"), "dev", "eth0"])?;
    }
    Ok(Testbed {
        client: guests[0].name().to_owned(),
        server: guests[1].name().to_owned(),
        server_addr: IpAddr::V4(SERVER),
    })
}

/// A bridge without a filter should not pay for one that other software has asked for.
fn bypass_ip_hooks(host: &Namespace) -> Result<()> {
    if has_bridge_netfilter() {
        host.set(BRIDGE_CALLS_IP, "0")
    } else {
        Ok(())
    }
}

/// Loads a filter of `count` rules where bridged packets and their connections can be seen: the IP hooks by way of
/// `br_netfilter`, or else the bridge's own hooks, whose connection tracking not every kernel has.
pub(crate) fn filter(host: &Namespace, count: u32) -> Result<()> {
    if !has_bridge_netfilter() {
        process::succeeds_quietly(process::tool("modprobe").arg("br_netfilter"));
    }
    let family = if has_bridge_netfilter() {
        host.set(BRIDGE_CALLS_IP, "1")?;
        Family::Inet
    } else {
        Family::Bridge
    };
    load(host, &ruleset(family, count))
}

/// Whether bridged packets of `host` have passed the filter, once there were some.
pub(crate) fn tracks_connections(host: &Namespace) -> bool {
    host.get(CONNECTIONS).is_ok_and(|count| count != "0")
}

/// Has nft load a ruleset.
pub(crate) fn load(host: &Namespace, ruleset: &str) -> Result<()> {
    let nft = process::find("nft").context("nft is not installed")?;
    let nft = nft.to_str().context("the path of nft is no text")?;
    process::feed(inside(host.name(), nft).args(["-f", "-"]), ruleset)
}

fn has_bridge_netfilter() -> bool {
    Path::new("/proc/sys").join(BRIDGE_CALLS_IP).exists()
}

#[cfg(test)]
mod tests;
