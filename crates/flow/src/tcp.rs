use std::fmt;

use wire::TcpFlags;

/// How far a TCP connection has come, as far as its flags tell.
///
/// The state is a function of the flags seen in each direction and nothing else. So an engine needs
/// only to collect flags, the switch and the kernel cannot disagree, and a restarted agent reads
/// the state off the entries it finds. The tracker is advisory: it chooses timeouts, it drops
/// nothing (SEMANTICS part 3, C9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TcpState {
    /// The opener's SYN was seen.
    SynSent,
    /// And the answer's SYN.
    SynReceived,
    /// And the opener's acknowledgement.
    Established,
    /// One side has sent its FIN.
    Closing,
    /// Both have.
    TimeWait,
    /// One side sent a reset.
    Reset,
}

impl TcpState {
    /// The state that these flags, collected per direction, amount to. `forward` is the direction
    /// that opened. More flags never make for an earlier state.
    ///
    /// An acknowledgement answers as a SYN does: the flags an engine collected need not go back to
    /// the connection's first packet, and a connection found half-way is an open one.
    pub fn of(forward: TcpFlags, reverse: TcpFlags) -> TcpState {
        let both = forward | reverse;
        if both.contains(TcpFlags::RST) {
            TcpState::Reset
        } else if forward.contains(TcpFlags::FIN) && reverse.contains(TcpFlags::FIN) {
            TcpState::TimeWait
        } else if both.contains(TcpFlags::FIN) {
            TcpState::Closing
        } else if !reverse.intersects(TcpFlags::SYN | TcpFlags::ACK) {
            TcpState::SynSent
        } else if !forward.contains(TcpFlags::ACK) {
            TcpState::SynReceived
        } else {
            TcpState::Established
        }
    }
}

/// Those of `seen` that the state of a connection depends on ([`TcpState::of`]), seen in the
/// direction that opened it or in the other.
pub fn telling_flags(seen: TcpFlags, forward: bool) -> TcpFlags {
    let telling = TcpFlags::ACK | TcpFlags::FIN | TcpFlags::RST;
    // Every connection begins with a SYN; what tells is that it was answered.
    let telling = if forward {
        telling
    } else {
        telling | TcpFlags::SYN
    };
    TcpFlags(seen.0 & telling.0)
}

impl fmt::Display for TcpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            TcpState::SynSent => "syn-sent",
            TcpState::SynReceived => "syn-received",
            TcpState::Established => "established",
            TcpState::Closing => "closing",
            TcpState::TimeWait => "time-wait",
            TcpState::Reset => "reset",
        })
    }
}

#[cfg(test)]
mod tests;
