//! Load generators, started by benchmarks inside network namespaces as `cargo xtask load ...`.
//!
//! Each ends by printing one line of JSON. Servers listen on a port of the kernel's choice, say so
//! in a first line, and work until their standard input closes.

pub(crate) mod connect;
pub(crate) mod echo;
pub(crate) mod histogram;
pub(crate) mod server;
pub(crate) mod stream;
pub(crate) mod udp_rate;
pub(crate) mod udp_spray;

use std::io::{Write, stdout};
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Subcommand, ValueEnum};
use serde::Serialize;

use crate::bench::cpus;

/// Payload of a request: with headers, a small packet, but room for a sequence number.
const REQUEST_BYTES: u16 = 64;
/// Payload of a small datagram: the frame is 60 bytes, the least that Ethernet carries.
const DATAGRAM_BYTES: u16 = 18;

/// Arguments of `cargo xtask load`.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Send back whatever comes
    EchoServer {
        #[command(flatten)]
        serving: Serving,
        #[command(flatten)]
        manner: Manner,
    },
    /// Time round trips to an echo server
    RrClient {
        #[command(flatten)]
        asking: Asking,
        #[command(flatten)]
        manner: Manner,
        /// Payload, in bytes
        #[arg(long, default_value_t = REQUEST_BYTES)]
        size: u16,
    },
    /// Count datagrams
    UdpSink {
        #[command(flatten)]
        serving: Serving,
    },
    /// Send datagrams, as fast as one thread can or at a rate
    UdpBlast {
        #[command(flatten)]
        asking: Asking,
        /// Payload, in bytes
        #[arg(long, default_value_t = DATAGRAM_BYTES)]
        size: u16,
        #[command(flatten)]
        pace: udp_rate::Pace,
    },
    /// Send one datagram on each of many flows
    UdpSpray {
        /// Where to
        #[arg(long)]
        to: IpAddr,
        /// How many of its ports
        #[arg(long)]
        ports: u16,
        /// From how many sockets
        #[arg(long)]
        sockets: u16,
        /// Datagrams a second, at most
        #[arg(long)]
        rate: NonZeroU32,
    },
    /// Receive one stream, and note when what arrived
    StreamSink {
        #[command(flatten)]
        serving: Serving,
    },
    /// Send one stream as fast as it goes
    StreamSource {
        #[command(flatten)]
        asking: Asking,
    },
    /// Accept connections and close them
    AcceptServer {
        #[command(flatten)]
        serving: Serving,
    },
    /// Open connections and see them closed
    ConnectClient {
        #[command(flatten)]
        asking: Asking,
        /// Sockets at once
        #[arg(long)]
        sockets: NonZeroU16,
    },
}

/// What every server is told.
#[derive(clap::Args)]
pub(crate) struct Serving {
    /// Address to listen on
    #[arg(long)]
    bind: IpAddr,
    /// Processor to stay on
    #[arg(long)]
    cpu: Option<usize>,
}

/// What every client is told.
#[derive(clap::Args)]
pub(crate) struct Asking {
    /// Where the server listens
    #[arg(long)]
    to: SocketAddr,
    /// How long to go on
    #[arg(long, value_parser = seconds)]
    seconds: Duration,
    /// Processor to stay on
    #[arg(long)]
    cpu: Option<usize>,
}

/// How an exchange is done.
#[derive(Clone, Copy, clap::Args)]
pub(crate) struct Manner {
    #[arg(long, value_enum)]
    transport: Transport,
    #[arg(long, value_enum)]
    waiting: Waiting,
}

/// What carries requests and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    Tcp,
    Udp,
}

/// How an end waits for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Waiting {
    /// Asleep in the kernel, as ordinary programs do.
    Block,
    /// Asking again and again, as programs do that want the least latency.
    Spin,
}

impl Transport {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl Waiting {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Spin => "spin",
        }
    }
}

/// Runs `cargo xtask load`.
pub(crate) fn run(command: &Command) -> Result<ExitCode> {
    match command {
        Command::EchoServer { serving, manner } => {
            pin(serving.cpu)?;
            let stop = server::Stop::when_input_closes();
            report(&echo::serve(serving.bind, *manner, &stop)?)
        }
        Command::RrClient {
            asking,
            manner,
            size,
        } => {
            pin(asking.cpu)?;
            report(&echo::ask(asking.to, *manner, *size, asking.seconds)?)
        }
        Command::UdpSink { serving } => {
            pin(serving.cpu)?;
            report(&udp_rate::sink(
                serving.bind,
                &server::Stop::when_input_closes(),
            )?)
        }
        Command::UdpBlast { asking, size, pace } => {
            pin(asking.cpu)?;
            report(&udp_rate::blast(asking.to, *size, *pace, asking.seconds)?)
        }
        Command::UdpSpray {
            to,
            ports,
            sockets,
            rate,
        } => report(&udp_spray::spray(*to, *ports, *sockets, *rate)?),
        Command::StreamSink { serving } => {
            pin(serving.cpu)?;
            report(&stream::sink(
                serving.bind,
                &server::Stop::when_input_closes(),
            )?)
        }
        Command::StreamSource { asking } => {
            pin(asking.cpu)?;
            report(&stream::source(asking.to, asking.seconds)?)
        }
        Command::AcceptServer { serving } => {
            pin(serving.cpu)?;
            report(&connect::accept(
                serving.bind,
                &server::Stop::when_input_closes(),
            )?)
        }
        Command::ConnectClient { asking, sockets } => {
            pin(asking.cpu)?;
            report(&connect::open(asking.to, *sockets, asking.seconds)?)
        }
    }
}

/// Threads started later stay on the same processor, because they inherit it.
fn pin(cpu: Option<usize>) -> Result<()> {
    cpu.map_or(Ok(()), cpus::pin)
}

fn report(result: &impl Serialize) -> Result<ExitCode> {
    // Whoever wanted to know may be gone, which is an error and no panic.
    writeln!(stdout(), "{}", serde_json::to_string(result)?)?;
    Ok(ExitCode::SUCCESS)
}

fn seconds(text: &str) -> Result<Duration> {
    let length = Duration::try_from_secs_f64(text.parse()?)?;
    if length.is_zero() || length > Duration::from_secs(3600) {
        bail!("not between 0 and 3600 seconds");
    }
    Ok(length)
}

#[cfg(test)]
mod tests;
