use std::time::Duration;

use crate::{FlowKey, TcpState};

/// How long a flow may be idle before it is forgotten, by what it is.
///
/// Established connections get hours because a long-lived idle session that loses its entry is
/// lost; handshakes get seconds because they are what an attacker makes (SEMANTICS part 3, C8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A connection that has not been answered or acknowledged.
    pub tcp_handshake: Duration,
    /// An open connection.
    pub tcp_established: Duration,
    /// After a FIN or a reset: long enough for late segments and retransmissions.
    pub tcp_closing: Duration,
    /// UDP, and protocols without state.
    pub idle: Duration,
    /// ICMP echo.
    pub icmp: Duration,
    /// A remembered drop.
    pub drop: Duration,
    /// Fragments of a packet whose first fragment was seen.
    pub fragment: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            tcp_handshake: Duration::from_secs(5),
            tcp_established: Duration::from_secs(8_000),
            tcp_closing: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            icmp: Duration::from_secs(30),
            drop: Duration::from_secs(10),
            fragment: Duration::from_secs(5),
        }
    }
}

impl Timeouts {
    /// The timeout of an allowed flow. `state` is its TCP state, if it is TCP.
    pub fn of(&self, key: &FlowKey, state: Option<TcpState>) -> Duration {
        match state {
            Some(TcpState::SynSent | TcpState::SynReceived) => self.tcp_handshake,
            Some(TcpState::Established) => self.tcp_established,
            Some(TcpState::Closing | TcpState::TimeWait | TcpState::Reset) => self.tcp_closing,
            None if key.is_icmp() => self.icmp,
            None => self.idle,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::PortId;

    #[test]
    fn what_is_open_waits_longest_and_what_attackers_make_waits_least() {
        let timeouts = Timeouts::default();
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 4));
        let of = |protocol, state| {
            timeouts.of(
                &FlowKey::new(PortId(1), address, address, protocol, 0, 0),
                state,
            )
        };
        let handshake = of(6, Some(TcpState::SynSent));
        assert_eq!(handshake, of(6, Some(TcpState::SynReceived)));
        let closing = of(6, Some(TcpState::Closing));
        assert_eq!(closing, of(6, Some(TcpState::TimeWait)));
        assert_eq!(closing, of(6, Some(TcpState::Reset)));
        let ordered = [handshake, closing, of(1, None), of(17, None)];
        assert!(ordered.is_sorted());
        assert!(of(6, Some(TcpState::Established)) > ordered[3]);
        assert_eq!(of(17, None), of(50, None));
    }
}
