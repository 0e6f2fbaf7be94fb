use std::time::Duration;

use crate::{FlowKey, TcpState, Timeouts};

/// Which timeout a pair is under, and so which list it ages in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Class {
    /// A remembered drop. May be recycled.
    Drop,
    /// A TCP connection whose opener has had no answer. May be recycled.
    Unanswered,
    /// A TCP connection that was answered, the answer not yet acknowledged.
    Handshake,
    /// An open TCP connection.
    Established,
    /// A TCP connection after a FIN or a reset.
    Closing,
    /// What has no state.
    Idle,
    /// ICMP.
    Icmp,
}

impl Class {
    /// By number, as an entry stores it.
    pub(super) const ALL: [Class; 7] = [
        Class::Drop,
        Class::Unanswered,
        Class::Handshake,
        Class::Established,
        Class::Closing,
        Class::Idle,
        Class::Icmp,
    ];

    /// The class of a pair that is no remembered drop.
    pub(super) fn of(forward: &FlowKey, state: Option<TcpState>) -> Class {
        match state {
            Some(TcpState::SynSent) => Class::Unanswered,
            Some(TcpState::SynReceived) => Class::Handshake,
            Some(TcpState::Established) => Class::Established,
            Some(TcpState::Closing | TcpState::TimeWait | TcpState::Reset) => Class::Closing,
            None if forward.is_icmp() => Class::Icmp,
            None => Class::Idle,
        }
    }

    pub(super) fn timeout(self, timeouts: &Timeouts) -> Duration {
        match self {
            Class::Drop => timeouts.drop,
            Class::Unanswered | Class::Handshake => timeouts.tcp_handshake,
            Class::Established => timeouts.tcp_established,
            Class::Closing => timeouts.tcp_closing,
            Class::Idle => timeouts.idle,
            Class::Icmp => timeouts.icmp,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::PortId;

    #[test]
    fn classes_age_as_the_timeouts_say() {
        let timeouts = Timeouts::default();
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 4));
        let states = [
            TcpState::SynSent,
            TcpState::SynReceived,
            TcpState::Established,
            TcpState::Closing,
            TcpState::TimeWait,
            TcpState::Reset,
        ];
        for protocol in [1, 6, 17, 50, 58] {
            let key = FlowKey::new(PortId(1), address, address, protocol, 8, 0);
            for state in states.map(Some).into_iter().chain([None]) {
                let class = Class::of(&key, state);
                assert_eq!(class.timeout(&timeouts), timeouts.of(&key, state));
                assert_eq!(Class::ALL[class as usize], class);
            }
        }
        assert_eq!(Class::ALL[Class::Drop as usize], Class::Drop);
        assert_eq!(Class::Drop.timeout(&timeouts), timeouts.drop);
    }
}
