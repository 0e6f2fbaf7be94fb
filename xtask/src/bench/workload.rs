//! What a path is asked to carry, and what is measured meanwhile.

use std::num::NonZeroU16;
use std::time::Duration;

use anyhow::{Result, bail};

use super::cpu_time;
use super::cpus::Cpus;
use super::inside::{Server, run_client};
use super::interleave::Measurement;
use super::iperf;
use super::testbed::Testbed;
pub(crate) use crate::load::{Transport, Waiting};
use crate::load::{connect, echo, udp_rate};

/// A kind of traffic between a testbed's two guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    /// One TCP stream as fast as it goes, with the offloads that the devices have.
    TcpThroughput,
    /// Datagrams with 18 bytes of payload (60-byte frames), one system call each, as fast as one
    /// sender goes.
    UdpRate { flow: UdpFlow },
    /// 64 bytes there and back, one request at a time.
    RequestResponse {
        transport: Transport,
        /// Whether the ends sleep until something arrives. Sleeping measures the scheduler and its
        /// interrupts as well; spinning measures the path alone.
        waiting: Waiting,
    },
    /// TCP connections opened and closed, by this many sockets at once.
    ConnectRate { sockets: NonZeroU16 },
}

/// What a filter that tracks connections makes of one-way datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UdpFlow {
    /// The first was answered, so the rest belong to an established connection.
    Established,
    /// None is answered: a kernel's filter takes each for new and walks all its rules.
    Unanswered,
}

impl Workload {
    /// A short name, which the names of its measurements begin with.
    pub(crate) fn name(self) -> String {
        match self {
            Self::TcpThroughput => "tcp throughput".to_owned(),
            Self::UdpRate {
                flow: UdpFlow::Established,
            } => "udp 18 B".to_owned(),
            Self::UdpRate {
                flow: UdpFlow::Unanswered,
            } => "udp 18 B unanswered".to_owned(),
            Self::RequestResponse { transport, waiting } => {
                format!("{} 64 B {}", transport.name(), waiting.name())
            }
            Self::ConnectRate { sockets } => format!("tcp connect x{sockets}"),
        }
    }

    /// Runs for about `length` and returns what was measured.
    ///
    /// The server is kept on the first processor and the client on the second. Processor time is
    /// that of the whole machine, because much of a packet's work happens in interrupts.
    ///
    /// # Errors
    /// When a generator cannot run, or nothing at all got through.
    pub(crate) fn run(self, testbed: &Testbed, length: Duration) -> Result<Vec<Measurement>> {
        let cpus = Cpus::detect()?;
        match self {
            Self::TcpThroughput => self.tcp_throughput(testbed, cpus, length),
            Self::UdpRate { flow } => self.udp_rate(testbed, cpus, length, flow),
            Self::RequestResponse { transport, waiting } => {
                self.request_response(testbed, cpus, length, transport, waiting)
            }
            Self::ConnectRate { sockets } => self.connect_rate(testbed, cpus, length, sockets),
        }
    }

    fn tcp_throughput(
        self,
        testbed: &Testbed,
        cpus: Cpus,
        length: Duration,
    ) -> Result<Vec<Measurement>> {
        let busy = cpu_time::busy()?;
        let stream = iperf::tcp_stream(testbed, cpus, length)?;
        let busy = cpu_time::busy()?.saturating_sub(busy);
        if stream.bytes <= 0.0 {
            bail!("no byte got through");
        }
        let name = self.name();
        Ok(vec![
            Measurement::higher(name.clone(), "Gbit/s", stream.bits_per_second / 1e9),
            Measurement::lower(
                format!("{name}, cpu"),
                "ms/GB",
                busy.as_secs_f64() * 1e3 / (stream.bytes / 1e9),
            ),
        ])
    }

    fn udp_rate(
        self,
        testbed: &Testbed,
        cpus: Cpus,
        length: Duration,
        flow: UdpFlow,
    ) -> Result<Vec<Measurement>> {
        let sink = Server::start(
            &testbed.server,
            &words(&[
                "udp-sink",
                "--bind",
                &testbed.server_addr.to_string(),
                "--cpu",
                &cpus.server.to_string(),
            ]),
        )?;
        let mut arguments = client_words("udp-blast", &sink, cpus, length);
        if flow == UdpFlow::Established {
            arguments.push("--greet".to_owned());
        }
        let busy = cpu_time::busy()?;
        let sent: udp_rate::Sent = run_client(&testbed.client, &arguments, length)?;
        let received: udp_rate::Received = sink.finish()?;
        let busy = cpu_time::busy()?.saturating_sub(busy);
        if received.datagrams == 0 {
            bail!("no datagram got through");
        }
        let name = self.name();
        let (received, seconds) = (received.datagrams as f64, sent.seconds);
        Ok(vec![
            Measurement::higher(format!("{name}, received"), "k/s", received / seconds / 1e3),
            Measurement::lower(
                format!("{name}, lost"),
                "%",
                100.0 * (1.0 - received / sent.datagrams as f64).max(0.0),
            ),
            Measurement::lower(
                format!("{name}, cpu"),
                "us/packet",
                busy.as_secs_f64() * 1e6 / received,
            ),
        ])
    }

    fn request_response(
        self,
        testbed: &Testbed,
        cpus: Cpus,
        length: Duration,
        transport: Transport,
        waiting: Waiting,
    ) -> Result<Vec<Measurement>> {
        let how = ["--transport", transport.name(), "--waiting", waiting.name()];
        let mut arguments = words(&[
            "echo-server",
            "--bind",
            &testbed.server_addr.to_string(),
            "--cpu",
            &cpus.server.to_string(),
        ]);
        arguments.extend(words(&how));
        let server = Server::start(&testbed.server, &arguments)?;
        let mut arguments = client_words("rr-client", &server, cpus, length);
        arguments.extend(words(&how));
        let busy = cpu_time::busy()?;
        let trips: echo::Trips = run_client(&testbed.client, &arguments, length)?;
        let busy = cpu_time::busy()?.saturating_sub(busy);
        if trips.count == 0 {
            bail!("no answer came back");
        }
        let name = self.name();
        let microseconds =
            |what: &str, ns: f64| Measurement::lower(format!("{name}, {what}"), "us", ns / 1e3);
        let mut measurements = vec![
            microseconds("p50", trips.p50_ns),
            microseconds("p99", trips.p99_ns),
            microseconds("p99.9", trips.p999_ns),
            microseconds("jitter", trips.jitter_ns),
            Measurement::lower(
                format!("{name}, p99.9/p50"),
                "times",
                trips.p999_ns / trips.p50_ns,
            ),
        ];
        if waiting == Waiting::Block {
            // A spinning end is always busy, so its processor time would say nothing.
            let cost = busy.as_secs_f64() * 1e9 / trips.count as f64;
            measurements.push(microseconds("cpu each", cost));
        }
        Ok(measurements)
    }

    fn connect_rate(
        self,
        testbed: &Testbed,
        cpus: Cpus,
        length: Duration,
        sockets: NonZeroU16,
    ) -> Result<Vec<Measurement>> {
        let server = Server::start(
            &testbed.server,
            &words(&[
                "accept-server",
                "--bind",
                &testbed.server_addr.to_string(),
                "--cpu",
                &cpus.server.to_string(),
            ]),
        )?;
        let mut arguments = client_words("connect-client", &server, cpus, length);
        arguments.extend(words(&["--sockets", &sockets.to_string()]));
        let opened: connect::Opened = run_client(&testbed.client, &arguments, length)?;
        if opened.connections == 0 {
            bail!("no connection came about");
        }
        let name = self.name();
        let rate = opened.connections as f64 / opened.seconds;
        Ok(vec![
            Measurement::higher(format!("{name}, opened"), "k/s", rate / 1e3),
            Measurement::lower(format!("{name}, p99"), "us", opened.p99_ns / 1e3),
            Measurement::lower(format!("{name}, failed"), "count", opened.failures as f64),
        ])
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn client_words(command: &str, server: &Server, cpus: Cpus, length: Duration) -> Vec<String> {
    words(&[
        command,
        "--to",
        &server.address().to_string(),
        "--cpu",
        &cpus.client.to_string(),
        "--seconds",
        &length.as_secs_f64().to_string(),
    ])
}
