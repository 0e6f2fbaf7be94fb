//! Flows in the engine, made by traffic.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Scale;
use super::bed::Bed;
use super::document::Size;
use crate::bench::inside::run_client;
use crate::bench::interleave::Better;
use crate::bench::workload::{UdpFlow, Workload};
use crate::load::udp_spray::Sprayed;

const SIZES: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];
const SIZES_QUICK: [u32; 3] = [100, 1_000, 10_000];
/// Ports of a server that one socket sends to.
const PORTS: u32 = 50_000;
/// Attempts to make those flows whose first packets were lost before the agent.
const ATTEMPTS: usize = 20;
/// First packets a second; more than the agent takes would be lost.
const RATE: u32 = 60_000;
/// For all flows to be seen by the agent, once they were sent.
const SPRAY: Duration = Duration::from_secs(120);
/// `BPF_MAP_TYPE_HASH` (Linux uapi `bpf.h`).
const HASH: u64 = 1;
const SAMPLE: Duration = Duration::from_secs(2);

pub(crate) fn grow(scale: &mut Scale) -> Result<()> {
    let sizes: &[u32] = if scale.quick { &SIZES_QUICK } else { &SIZES };
    let most = sizes.iter().copied().max().unwrap_or_default();
    let size = Size {
        nics: 4,
        rules: 100,
        // Two directions of each, and room for what is measured.
        flows: Some(2 * most + 10_000),
    };
    let bed = Bed::start(&scale.program()?, size)?;
    let measured = bed.between(2, 3)?;
    let empty = bed.resident_mib()?;
    let pid = bed.api.status()?["pid"].as_u64().context("no process")?;
    let empty_map = map_bytes(pid)?;
    for &flows in sizes {
        scale.progress.note(&format!("{flows} flows in the engine"));
        fill(&bed, flows)?;
        let mut put = |name: &str, unit: &str, better, value: f64| {
            scale.put(
                "flows in the engine",
                name,
                unit,
                better,
                u64::from(flows),
                value,
            );
        };
        put(
            "UDP round trip, p50",
            "µs",
            Better::Lower,
            bed.round_trip_us(&measured)?,
        );
        let rate = Workload::UdpRate {
            flow: UdpFlow::Established,
        };
        let received = rate.run(&measured, SAMPLE)?;
        let received = received.first().context("no figure")?.value;
        put("UDP 18 B, received", "k/s", Better::Higher, received);
        let directions = 2.0 * f64::from(flows);
        let resident = (bed.resident_mib()? - empty).max(0.0) * f64::from(1 << 20);
        put(
            "agent, per direction",
            "B",
            Better::Lower,
            resident / directions,
        );
        let kernel = map_bytes(pid)?.saturating_sub(empty_map);
        put(
            "kernel, per direction",
            "B",
            Better::Lower,
            kernel as f64 / directions,
        );
    }
    bed.remove().map(drop)
}

/// Makes so many flows from the first guest to the second, however often it has to ask.
fn fill(bed: &Bed, flows: u32) -> Result<()> {
    let testbed = bed.between(0, 1)?;
    let sockets = flows.div_ceil(PORTS);
    let ports = flows / sockets;
    for _ in 0..ATTEMPTS {
        let words = [
            "udp-spray",
            "--to",
            &testbed.server_addr.to_string(),
            "--ports",
            &ports.to_string(),
            "--sockets",
            &sockets.to_string(),
            "--rate",
            &RATE.to_string(),
        ];
        let words = words.map(str::to_owned);
        let _: Sprayed = run_client(&testbed.client, &words, SPRAY)?;
        std::thread::sleep(Duration::from_millis(500));
        let held = bed.api.status()?["flows"].as_u64().context("no flows")?;
        if held >= u64::from(2 * ports * sockets) {
            return Ok(());
        }
    }
    bail!("{flows} flows are not to be had in {ATTEMPTS} attempts")
}

/// The memory that the kernel says the flow map has: the hash table with most room among a process'
/// eBPF maps (`map_type`, `max_entries` and `memlock` in `/proc/PID/fdinfo`).
fn map_bytes(pid: u64) -> Result<u64> {
    let folder = format!("/proc/{pid}/fdinfo");
    let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))?;
    // Descriptors come and go meanwhile.
    let texts = entries.filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok());
    let largest = texts
        .filter(|text| field(text, "map_type:") == Some(HASH))
        .max_by_key(|text| field(text, "max_entries:"));
    let bytes = largest.and_then(|text| field(&text, "memlock:"));
    bytes.context("the agent has no flow map")
}

fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.trim().parse().ok()
}
