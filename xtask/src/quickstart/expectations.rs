//! What `examples/quickstart.yaml` allows and denies, as its rules say.

use std::fmt;

/// The guests, and the address that the example gives each.
pub(super) const ADDRESSES: [(&str, &str); 4] = [
    ("client-1", "10.0.2.4"),
    ("db-1", "10.1.1.4"),
    ("nva-1", "10.0.100.4"),
    ("web-1", "10.0.1.4"),
];
/// Where web-1 serves a page.
pub(super) const HTTP_PORT: u16 = 80;
/// Where web-1 and client-1 have iperf3.
pub(super) const IPERF_PORT: u16 = 5201;
/// Where db-1 has what stands for its database.
pub(super) const DATABASE_PORT: u16 = 5432;

/// A kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Traffic {
    /// An echo request, answered.
    Ping,
    /// A page fetched.
    Http,
    /// A connection that carries a megabyte.
    Tcp { port: u16 },
    /// Datagrams one way, beside the connection that controls them on the same port.
    Udp { port: u16 },
    /// Datagrams to some port that no rule names, and back.
    UdpEcho,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Allowed,
    /// Nothing comes back, not even a refusal.
    Denied,
}

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expectation {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    pub(super) traffic: Traffic,
    pub(super) verdict: Verdict,
    /// The rule that decides: `group/rule`, or a default rule's name.
    pub(super) rule: &'static str,
}

/// Everything that is tried, on each path.
pub(super) const EXPECTATIONS: [Expectation; 15] = [
    allowed("client-1", "web-1", Traffic::Ping, "web/allow-ping"),
    allowed("client-1", "web-1", Traffic::Http, "web/allow-http"),
    allowed("client-1", "web-1", tcp(IPERF_PORT), "web/allow-iperf-tcp"),
    allowed("client-1", "web-1", udp(IPERF_PORT), "web/allow-iperf-udp"),
    denied("client-1", "web-1", tcp(8080), "web/deny-rest"),
    denied("client-1", "web-1", Traffic::UdpEcho, "web/deny-rest"),
    // The client's subnet has no group.
    allowed("web-1", "client-1", Traffic::UdpEcho, "AllowVnetInBound"),
    allowed("db-1", "client-1", tcp(IPERF_PORT), "AllowVnetInBound"),
    // By way of the appliance, there and back.
    allowed("web-1", "db-1", tcp(DATABASE_PORT), "db/allow-web-servers"),
    denied("web-1", "db-1", tcp(22), "db/deny-rest"),
    denied("web-1", "db-1", Traffic::Ping, "db/deny-rest"),
    denied("db-1", "web-1", Traffic::Http, "web/deny-rest"),
    // The client is no web server.
    denied("client-1", "db-1", tcp(DATABASE_PORT), "db/deny-rest"),
    denied("client-1", "db-1", Traffic::Ping, "db/deny-rest"),
    // The appliance forwards, but may not use what only the client may.
    denied("nva-1", "web-1", tcp(IPERF_PORT), "web/deny-rest"),
];

const fn tcp(port: u16) -> Traffic {
    Traffic::Tcp { port }
}

const fn udp(port: u16) -> Traffic {
    Traffic::Udp { port }
}

const fn allowed(
    from: &'static str,
    to: &'static str,
    traffic: Traffic,
    rule: &'static str,
) -> Expectation {
    Expectation {
        from,
        to,
        traffic,
        verdict: Verdict::Allowed,
        rule,
    }
}

const fn denied(
    from: &'static str,
    to: &'static str,
    traffic: Traffic,
    rule: &'static str,
) -> Expectation {
    Expectation {
        from,
        to,
        traffic,
        verdict: Verdict::Denied,
        rule,
    }
}

impl Expectation {
    /// Whether the appliance forwards it: what passes between the subnets of web-1 and db-1.
    pub(super) fn passes_appliance(&self) -> bool {
        matches!((self.from, self.to), ("web-1", "db-1") | ("db-1", "web-1"))
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ping => out.write_str("ping"),
            Self::Http => write!(out, "http {HTTP_PORT}"),
            Self::Tcp { port } => write!(out, "tcp {port}"),
            Self::Udp { port } => write!(out, "udp {port}"),
            Self::UdpEcho => out.write_str("udp, any"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
        })
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} -> {}, {}", self.from, self.to, self.traffic)
    }
}
