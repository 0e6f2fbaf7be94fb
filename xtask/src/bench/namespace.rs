//! Network namespaces that vanish with the value that stands for them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, bail};

use super::inside::inside;
use crate::process;

/// Every name begins with this, then the number of the process that owns it.
const PREFIX: &str = "clearway-bench";
/// Where `ip netns` keeps the names.
const NAMES: &str = "/run/netns";

/// A network namespace of ours.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// A new one, empty but for its loopback device; `role` is part of its name.
    ///
    /// IPv6 is off in it, because router solicitations of fresh devices would be counted as load.
    pub(crate) fn create(role: &str) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if !process::is_root() {
            bail!("making network namespaces needs root");
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}-{}-{number}-{role}", std::process::id());
        ip(&["netns", "add", &name])?;
        let namespace = Self { name };
        if Path::new("/proc/sys/net/ipv6").is_dir() {
            namespace.set("net/ipv6/conf/all/disable_ipv6", "1")?;
            namespace.set("net/ipv6/conf/default/disable_ipv6", "1")?;
        }
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Its name, as `ip netns` lists it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` in it.
    pub(crate) fn ip(&self, arguments: &[&str]) -> Result<()> {
        let mut all = vec!["-n", self.name()];
        all.extend(arguments);
        ip(&all)
    }

    /// Sets the kernel parameter at `path` below `/proc/sys`.
    pub(crate) fn set(&self, path: &str, value: &str) -> Result<()> {
        let script = "printf %s \"$2\" > \"/proc/sys/$1\"";
        process::capture(inside(self.name(), "sh").args(["-c", script, "sh", path, value]))
            .map(drop)
    }

    /// Reads the kernel parameter at `path` below `/proc/sys`.
    pub(crate) fn get(&self, path: &str) -> Result<String> {
        let file = format!("/proc/sys/{path}");
        Ok(process::capture(inside(self.name(), "cat").arg(file))?
            .trim()
            .to_owned())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = ip(&["netns", "del", &self.name]) {
            eprintln!("cannot remove a network namespace: {error:#}");
        }
    }
}

/// Joins two namespaces with a pair of devices, both up.
pub(crate) fn join(
    one: &Namespace,
    one_device: &str,
    other: &Namespace,
    device: &str,
) -> Result<()> {
    ip(&[
        "link",
        "add",
        one_device,
        "netns",
        one.name(),
        "type",
        "veth",
        "peer",
        "name",
        device,
        "netns",
        other.name(),
    ])?;
    one.ip(&["link", "set", one_device, "up"])?;
    other.ip(&["link", "set", device, "up"])
}

/// Removes namespaces of earlier benchmarks that were killed before they could.
pub(crate) fn remove_abandoned() {
    for entry in fs::read_dir(NAMES).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let alive = |pid: u32| Path::new(&format!("/proc/{pid}")).exists();
        if is_abandoned(&name, alive) {
            // Two benchmarks may sweep at once; the second finds it gone.
            let _ = ip(&["netns", "del", &name]);
        }
    }
}

fn is_abandoned(name: &str, alive: impl Fn(u32) -> bool) -> bool {
    let owner = name
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.strip_prefix('-'))
        .and_then(|rest| rest.split('-').next())
        .and_then(|pid| pid.parse().ok());
    owner.is_some_and(|pid| !alive(pid))
}

fn ip(arguments: &[&str]) -> Result<()> {
    let mut command: Command = process::tool("ip");
    process::capture(command.args(arguments)).map(drop)
}

#[cfg(test)]
mod tests;
