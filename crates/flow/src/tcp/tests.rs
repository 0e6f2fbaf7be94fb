use proptest::prelude::*;

use super::*;

const SYN_ACK: TcpFlags = TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0);
const FIN_ACK: TcpFlags = TcpFlags(TcpFlags::FIN.0 | TcpFlags::ACK.0);
const NONE: TcpFlags = TcpFlags(0);

#[test]
fn states_of_the_flags_seen() {
    let ended = SYN_ACK | FIN_ACK;
    let table = [
        (NONE, NONE, TcpState::SynSent),
        (TcpFlags::SYN, NONE, TcpState::SynSent),
        // Data before the answer, as an opener in a hurry or an attacker sends it.
        (SYN_ACK, NONE, TcpState::SynSent),
        (TcpFlags::SYN, SYN_ACK, TcpState::SynReceived),
        // A simultaneous open (RFC 9293, 3.5).
        (TcpFlags::SYN, TcpFlags::SYN, TcpState::SynReceived),
        (SYN_ACK, SYN_ACK, TcpState::Established),
        // Found half-way.
        (TcpFlags::ACK, TcpFlags::ACK, TcpState::Established),
        (ended, SYN_ACK, TcpState::Closing),
        (SYN_ACK, ended, TcpState::Closing),
        (ended, ended, TcpState::TimeWait),
        (
            TcpFlags::SYN,
            TcpFlags::RST | TcpFlags::ACK,
            TcpState::Reset,
        ),
        (ended | TcpFlags::RST, ended, TcpState::Reset),
    ];
    for (forward, reverse, state) in table {
        assert_eq!(
            TcpState::of(forward, reverse),
            state,
            "{forward:?} {reverse:?}"
        );
    }
}

#[test]
fn only_a_syn_without_ack_opens() {
    assert!(TcpFlags::SYN.opens());
    assert!(!SYN_ACK.opens());
    assert!(!TcpFlags::ACK.opens());
}

proptest! {
    #[test]
    fn more_flags_never_make_for_an_earlier_state(
        forward: u8, reverse: u8, more_forward: u8, more_reverse: u8,
    ) {
        let (forward, reverse) = (TcpFlags(forward), TcpFlags(reverse));
        let before = TcpState::of(forward, reverse);
        let more = (TcpFlags(more_forward), TcpFlags(more_reverse));
        let after = TcpState::of(forward | more.0, reverse | more.1);
        prop_assert!(after >= before, "{before} became {after}");
    }
}
