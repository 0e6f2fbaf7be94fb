//! Many flows of one datagram each.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The first port that is sent to.
const PORT_FIRST: u16 = 10_000;
/// How often the clock is looked at.
const BURST: u32 = 64;

/// What was sent.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Sprayed {
    pub(crate) datagrams: u64,
    pub(crate) seconds: f64,
}

/// Sends a datagram from each of so many sockets to each of so many ports, not faster than `rate` a
/// second. Whoever is there may answer or not; nobody listens. Each source port is the same the next
/// time, and so are the flows.
pub(crate) fn spray(to: IpAddr, ports: u16, sockets: u16, rate: NonZeroU32) -> Result<Sprayed> {
    let any: IpAddr = match to {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let sources = (0..sockets).map(|number| {
        let port = PORT_FIRST
            .checked_add(number)
            .context("too many sockets for the ports there are")?;
        UdpSocket::bind((any, port)).with_context(|| format!("cannot bind port {port}"))
    });
    let sources = sources.collect::<Result<Vec<_>>>()?;
    let last = PORT_FIRST
        .checked_add(ports)
        .context("too many ports to send to")?;
    let begun = Instant::now();
    let mut sent: u32 = 0;
    for source in &sources {
        for port in PORT_FIRST..last {
            // What the kernel has no room for is lost, as it would be on the way.
            let _ = source.send_to(b"x", SocketAddr::new(to, port));
            sent += 1;
            if sent.is_multiple_of(BURST) {
                let due = Duration::from_secs_f64(f64::from(sent) / f64::from(rate.get()));
                std::thread::sleep(due.saturating_sub(begun.elapsed()));
            }
        }
    }
    Ok(Sprayed {
        datagrams: u64::from(sent),
        seconds: begun.elapsed().as_secs_f64(),
    })
}
