use proptest::prelude::*;

use super::*;

fn message(level: i32, kind: i32, payload: &[u8]) -> Vec<u8> {
    let len = mem::size_of::<libc::cmsghdr>() + payload.len();
    let mut bytes = [
        &len.to_ne_bytes()[..],
        &level.to_ne_bytes(),
        &kind.to_ne_bytes(),
        payload,
    ]
    .concat();
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

fn auxdata(status: u32, tci: u16, tpid: u16) -> Vec<u8> {
    let mut payload = vec![0; mem::size_of::<libc::tpacket_auxdata>()];
    payload[..4].copy_from_slice(&status.to_ne_bytes());
    payload[16..18].copy_from_slice(&tci.to_ne_bytes());
    payload[18..20].copy_from_slice(&tpid.to_ne_bytes());
    message(libc::SOL_PACKET, libc::PACKET_AUXDATA, &payload)
}

#[test]
fn a_tag_counts_only_if_the_kernel_says_so() {
    let both = libc::TP_STATUS_VLAN_VALID | libc::TP_STATUS_VLAN_TPID_VALID;
    let vlan = |status| parse_control(&auxdata(status, 0x6064, 0x88a8)).vlan;
    assert_eq!(
        vlan(both),
        Some(Vlan {
            tpid: 0x88a8,
            tci: 0x6064
        })
    );
    assert_eq!(
        vlan(libc::TP_STATUS_VLAN_VALID),
        Some(Vlan {
            tpid: 0x8100,
            tci: 0x6064
        })
    );
    assert_eq!(vlan(0), None);
}

#[test]
fn all_messages_are_read() {
    let stamp = [&7_i64.to_ne_bytes()[..], &9_i64.to_ne_bytes()].concat();
    let control = [
        message(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &stamp),
        message(1234, 5, b"unknown"),
        auxdata(libc::TP_STATUS_VLAN_VALID, 100, 0),
    ]
    .concat();
    let ancillary = parse_control(&control);
    assert_eq!(ancillary.timestamp, Some(Duration::new(7, 9)));
    assert_eq!(
        ancillary.vlan,
        Some(Vlan {
            tpid: 0x8100,
            tci: 100
        })
    );
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..CONTROL_LEN)) {
        parse_control(&bytes);
    }

    #[test]
    fn a_cut_message_says_nothing(cut in 0_usize..16 + 20) {
        let control = auxdata(libc::TP_STATUS_VLAN_VALID, 100, 0);
        prop_assert_eq!(parse_control(&control[..cut]), Ancillary::default());
    }

    #[test]
    fn any_length_is_survived(len in any::<usize>()) {
        let mut control = auxdata(libc::TP_STATUS_VLAN_VALID, 100, 0);
        control[..8].copy_from_slice(&len.to_ne_bytes());
        parse_control(&control);
    }
}

#[test]
fn no_socket_listens_to_every_link() {
    let error = bind_to_link(io::stdin().as_fd(), 0).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
}
