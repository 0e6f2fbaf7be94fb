//! Throughput of one TCP stream, by `iperf3`.

use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::cpus::Cpus;
use super::inside::inside;
use super::testbed::Testbed;
use crate::process;

/// How long the server may take until it listens.
const STARTING: Duration = Duration::from_secs(3);
const RETRY: Duration = Duration::from_millis(50);
/// What a client may take beyond the time it was given.
const GRACE: Duration = Duration::from_secs(10);

/// What one stream carried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stream {
    /// As the receiver counted.
    pub(crate) bits_per_second: f64,
    pub(crate) bytes: f64,
}

/// Runs one stream from the client to the server, for `length` rounded up to whole seconds.
pub(crate) fn tcp_stream(testbed: &Testbed, cpus: Cpus, length: Duration) -> Result<Stream> {
    let mut server = inside(&testbed.server, "iperf3");
    server.args([
        "--server",
        "--one-off",
        "--affinity",
        &cpus.server.to_string(),
    ]);
    let server = server
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start the iperf3 server")?;
    let _server = Stopped(server);

    let seconds = length.as_secs_f64().ceil().max(1.0);
    let begun = Instant::now();
    loop {
        let mut client = inside(&testbed.client, "iperf3");
        client
            .args(["--json", "--client", &testbed.server_addr.to_string()])
            .args(["--time", &format!("{seconds:.0}")])
            .args(["--affinity", &cpus.client.to_string()]);
        let limit = Duration::from_secs_f64(seconds) + GRACE;
        let result = process::capture_within(&mut client, limit).and_then(|text| stream_of(&text));
        match result {
            // The server needs a moment until it listens.
            Err(error) if begun.elapsed() < STARTING && is_refusal(&error) => thread::sleep(RETRY),
            result => return result,
        }
    }
}

fn is_refusal(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains("unable to connect to server")
}

fn stream_of(json: &str) -> Result<Stream> {
    let report: Value = serde_json::from_str(json).context("iperf3 reports no JSON")?;
    if let Some(error) = report["error"].as_str() {
        bail!("iperf3: {error}");
    }
    let received = &report["end"]["sum_received"];
    let number = |key: &str| {
        received[key]
            .as_f64()
            .with_context(|| format!("iperf3 has no {key}"))
    };
    Ok(Stream {
        bits_per_second: number("bits_per_second")?,
        bytes: number("bytes")?,
    })
}

/// A child that ends with its value.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        // Either fails only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests;
