//! Tries one kind of traffic between two guests, and says what became of it.
//!
//! Denied means silence: a refusal comes from the other guest, so the packets were let through. An
//! outcome that is neither is an error, for it says nothing about the policy.

use std::ffi::OsStr;
use std::fs;
use std::net::IpAddr;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::expectations::{Expectation, HTTP_PORT, Traffic, Verdict};
use super::{TOPOLOGY, address_of};
use crate::bench::inside::{Server, run_client};
use crate::clearway::Instance;
use crate::load::echo;
use crate::process;

/// How long silence has to last to be a denial, where one is expected.
const SILENCE: Duration = Duration::from_secs(1);
/// The same where an answer is expected, on a machine that may be busy.
const PATIENCE: Duration = Duration::from_secs(4);
/// For how long datagrams are sent.
const ECHO: Duration = Duration::from_millis(250);
/// An iperf3 server serves one client, and is not done with the last one at once.
const BUSY: Duration = Duration::from_secs(3);
const RETRY: Duration = Duration::from_millis(50);

/// Tries it.
pub(super) fn try_out(instance: &Instance, expected: &Expectation) -> Result<Verdict> {
    let to = address_of(expected.to)?;
    let patience = match expected.verdict {
        Verdict::Allowed => PATIENCE,
        Verdict::Denied => SILENCE,
    };
    let from = expected.from;
    match expected.traffic {
        Traffic::Ping => ping(instance, from, to, patience),
        Traffic::Http => http(instance, from, to, patience),
        Traffic::Tcp { port } => iperf(instance, from, to, port, &["-n", "1M"], patience),
        Traffic::Udp { port } => {
            let datagrams = ["-u", "-b", "20M", "-l", "1000", "-n", "500K"];
            iperf(instance, from, to, port, &datagrams, patience)
        }
        Traffic::UdpEcho => udp_echo(instance, expected, to.parse()?),
    }
    .with_context(|| format!("cannot tell what becomes of {expected}"))
}

fn ping(instance: &Instance, from: &str, to: &str, patience: Duration) -> Result<Verdict> {
    let mut command = instance.exec(from, "ping");
    let seconds = patience.as_secs().max(1).to_string();
    command.args(["-n", "-q", "-c", "1", "-W", &seconds, to]);
    let output = output_of(&mut command)?;
    // ping(8): 0 with an answer, 1 without any, 2 for anything else.
    match output.status.code() {
        Some(0) => Ok(Verdict::Allowed),
        Some(1) => Ok(Verdict::Denied),
        _ => bail!("ping says: {}", said(&output)),
    }
}

fn http(instance: &Instance, from: &str, to: &str, patience: Duration) -> Result<Verdict> {
    let seconds = patience.as_secs_f64().to_string();
    let file = crate::repository().join(TOPOLOGY);
    let page = file.file_name().and_then(OsStr::to_str);
    let page = page.context("the name of the example is no text")?;
    let mut command = instance.exec(from, "curl");
    command
        .args(["--silent", "--show-error", "--noproxy", "*"])
        .args(["--max-time", "10", "--connect-timeout", &seconds])
        .arg(format!("http://{to}:{HTTP_PORT}/{page}"));
    let output = output_of(&mut command)?;
    // curl(1): 7 is a refusal, 28 a timeout.
    match output.status.code() {
        Some(0) if output.stdout == fs::read(&file)? => Ok(Verdict::Allowed),
        Some(0) => bail!("another page than the one served"),
        Some(7) => Ok(Verdict::Allowed),
        Some(28) => Ok(Verdict::Denied),
        _ => bail!("curl says: {}", said(&output)),
    }
}

fn iperf(
    instance: &Instance,
    from: &str,
    to: &str,
    port: u16,
    amount: &[&str],
    patience: Duration,
) -> Result<Verdict> {
    let begun = Instant::now();
    loop {
        let mut command = instance.exec(from, "iperf3");
        command
            .args(["--json", "--client", to, "--port", &port.to_string()])
            .args(["--connect-timeout", &patience.as_millis().to_string()])
            .args(amount);
        let output = output_of(&mut command)?;
        match outcome_of(&String::from_utf8_lossy(&output.stdout))? {
            Outcome::Busy if begun.elapsed() < BUSY => thread::sleep(RETRY),
            Outcome::Busy => bail!("the iperf3 server stays busy"),
            Outcome::Decided(verdict) => return Ok(verdict),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Decided(Verdict),
    Busy,
}

/// What a report of iperf3 says about the path.
fn outcome_of(json: &str) -> Result<Outcome> {
    let report: Value = serde_json::from_str(json).context("iperf3 reports no JSON")?;
    if let Some(error) = report["error"].as_str() {
        return match error {
            _ if error.contains("busy") => Ok(Outcome::Busy),
            _ if error.contains("timed out") => Ok(Outcome::Decided(Verdict::Denied)),
            _ if error.contains("refused") => Ok(Outcome::Decided(Verdict::Allowed)),
            _ => bail!("iperf3 says: {error}"),
        };
    }
    let end = &report["end"];
    let arrived = match (&end["sum_received"], &end["sum"]) {
        // Datagrams: iperf3 counts them where they arrive.
        (_, sum) if sum["packets"].is_number() => {
            sum["packets"].as_f64().unwrap_or(0.0) - sum["lost_packets"].as_f64().unwrap_or(0.0)
        }
        (received, _) => received["bytes"]
            .as_f64()
            .context("iperf3 counts no bytes")?,
    };
    let verdict = if arrived > 0.0 {
        Verdict::Allowed
    } else {
        Verdict::Denied
    };
    Ok(Outcome::Decided(verdict))
}

fn udp_echo(instance: &Instance, expected: &Expectation, to: IpAddr) -> Result<Verdict> {
    let how = ["--transport", "udp", "--waiting", "block"];
    let mut serve = vec![
        "echo-server".to_owned(),
        "--bind".to_owned(),
        to.to_string(),
    ];
    serve.extend(how.map(str::to_owned));
    let server = Server::start(&instance.netns(expected.to), &serve)?;
    let mut ask = vec![
        "rr-client".to_owned(),
        "--to".to_owned(),
        server.address().to_string(),
        "--seconds".to_owned(),
        ECHO.as_secs_f64().to_string(),
    ];
    ask.extend(how.map(str::to_owned));
    let trips: echo::Trips = run_client(&instance.netns(expected.from), &ask, ECHO)?;
    Ok(if trips.count > 0 {
        Verdict::Allowed
    } else {
        Verdict::Denied
    })
}

fn output_of(command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", process::shown(command)))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

#[cfg(test)]
mod tests;
