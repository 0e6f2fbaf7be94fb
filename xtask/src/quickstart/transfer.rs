//! A TCP transfer under way, and what is known of it afterwards.

use std::io::Read;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::address_of;
use super::promises::Promises;
use crate::bench::inside::{Server, load};
use crate::clearway::Instance;
use crate::load::stream::{Arrived, Streamed, monotonic_ns};
use crate::process;

/// What the sender may take beyond its time.
const GRACE: Duration = Duration::from_secs(20);
/// Left out after a turn before progress is asked for: what was on its way then still arrives.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// web-1 sends to client-1, whose subnet has no group: any port will do.
pub(super) const SENDER: &str = "web-1";
const RECEIVER: &str = "client-1";

/// One connection that carries as much as it can.
pub(super) struct Transfer {
    sink: Server,
    source: Child,
    turns: Vec<(&'static str, u64)>,
}

/// How a transfer ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    sent: Option<u64>,
    arrived: Arrived,
    /// What was done during it, and when.
    turns: Vec<(&'static str, u64)>,
    ended: u64,
}

impl Transfer {
    /// Begins one that sends for `length`.
    pub(super) fn start(instance: &Instance, length: Duration) -> Result<Self> {
        let words = |words: &[&str]| -> Vec<String> {
            words.iter().map(|word| (*word).to_owned()).collect()
        };
        let bind = words(&["stream-sink", "--bind", address_of(RECEIVER)?]);
        let sink = Server::start(&instance.netns(RECEIVER), &bind)?;
        let to = sink.address().to_string();
        let seconds = length.as_secs_f64().to_string();
        let send = words(&["stream-source", "--to", &to, "--seconds", &seconds]);
        let source = load(&instance.netns(SENDER), &send)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a transfer")?;
        Ok(Self {
            sink,
            source,
            turns: vec![("it began", monotonic_ns())],
        })
    }

    /// Lets it go on for `length`.
    pub(super) fn go_on_for(&self, length: Duration) {
        thread::sleep(length);
    }

    /// Notes that something was done: `what` completes "after ...".
    pub(super) fn turn(&mut self, what: &'static str) {
        self.turns.push((what, monotonic_ns()));
    }

    /// Waits for its end.
    pub(super) fn finish(mut self) -> Result<Outcome> {
        let succeeded = process::wait_within(&mut self.source, GRACE);
        let ended = monotonic_ns();
        let mut text = String::new();
        if let Some(mut stdout) = self.source.stdout.take() {
            stdout.read_to_string(&mut text)?;
        }
        // A sender that was stuck or lost its connection has said so on our standard error.
        let sent = match succeeded {
            Ok(true) => Some(serde_json::from_str::<Streamed>(&text)?.bytes),
            _ => None,
        };
        Ok(Outcome {
            sent,
            arrived: self.sink.finish()?,
            turns: self.turns,
            ended,
        })
    }
}

impl Outcome {
    /// Holds the promise that the transfer outlived `what`, and says how it fared.
    pub(super) fn hold(&self, what: &str, promises: &mut Promises) {
        let promise = format!(
            "a transfer outlives {what}: {:.1} GB by one connection, never silent for more than \
             {:.1} ms",
            self.arrived.bytes as f64 / 1e9,
            self.arrived.largest_gap_ns as f64 / 1e6
        );
        match self.check() {
            Ok(()) => promises.hold(&promise, true, String::new),
            Err(error) => promises.hold(&promise, false, || error.to_string()),
        }
    }

    fn check(&self) -> Result<()> {
        let Some(sent) = self.sent else {
            bail!("the sender lost its connection");
        };
        if !self.arrived.complete || sent != self.arrived.bytes {
            bail!("{sent} bytes were sent and {} arrived", self.arrived.bytes);
        }
        let ends = self.turns.iter().skip(1).map(|(_, time)| *time);
        for ((what, begun), end) in self.turns.iter().zip(ends.chain([self.ended])) {
            let begun = begun + u64::try_from(ON_ITS_WAY.as_nanos())?;
            if self.arrived.bytes_between(begun, end) == 0 {
                bail!("nothing arrived after {what}");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
