use wire::compose::{self, Endpoint};

use super::*;

fn header(flags: u8, gso_type: u8, numbers: [u16; 4]) -> VnetHeader {
    let mut header = [0; VNET_HEADER_LEN];
    (header[0], header[1]) = (flags, gso_type);
    for (at, number) in NUMBERS.into_iter().zip(numbers) {
        header[at..at + 2].copy_from_slice(&number.to_ne_bytes());
    }
    header
}

fn datagram() -> Vec<u8> {
    let mac = |last| wire::MacAddr([2, 0, 0, 0, 0, last]);
    compose::udp(
        &Endpoint::new(mac(1), "10.0.0.4", 1_000),
        &Endpoint::new(mac(2), "10.0.0.5", 53),
        b"question",
    )
}

#[test]
fn a_checksum_is_written_where_the_packet_has_one_and_nowhere_else() {
    let frame = datagram();
    let fits = header(NEEDS_CSUM, 0, [42, 0, 34, 6]);
    let offload = checked(&fits, &frame).expect("it is UDP's");
    assert!(offload.checksum.is_some() && offload.gso.is_none());
    // Over the source address, over the Ethernet header, past the end.
    for (start, offset) in [(26, 0), (0, 6), (34, 16), (65_000, 6), (34, 65_535)] {
        let odd = header(NEEDS_CSUM, 0, [42, 0, start, offset]);
        assert_eq!(checked(&odd, &frame), Err(DropReason::Malformed), "{start}");
    }
}

#[test]
fn a_super_segment_is_what_the_packet_can_be() {
    let frame = datagram();
    let udp = header(NEEDS_CSUM, 5, [42, 4, 34, 6]);
    assert!(checked(&udp, &frame).expect("UDP segments").gso.is_some());
    let tcp = header(NEEDS_CSUM, 1, [42, 4, 34, 6]);
    let nothing = header(NEEDS_CSUM, 5, [42, 0, 34, 6]);
    let finished = header(0, 5, [42, 4, 0, 0]);
    for odd in [tcp, nothing, finished] {
        assert_eq!(checked(&odd, &frame), Err(DropReason::Malformed), "{odd:?}");
    }
}

#[test]
fn what_is_no_packet_has_nothing_for_devices_to_do() {
    let mut frame = datagram();
    assert_eq!(checked(&[0; VNET_HEADER_LEN], &frame), Ok(PLAIN));
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    assert_eq!(checked(&[0; VNET_HEADER_LEN], &frame), Ok(PLAIN));
    let asks = header(NEEDS_CSUM, 0, [42, 0, 34, 6]);
    assert_eq!(checked(&asks, &frame), Err(DropReason::Malformed));
}

#[test]
fn sctp_is_finished_by_devices_too() {
    let mut frame = datagram();
    frame[23] = 132;
    frame[24..26].fill(0);
    let sum = wire::checksum::Sum::of(&frame[14..34]).finish();
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    let asks = |offset| header(NEEDS_CSUM, 0, [42, 0, 34, offset]);
    assert!(checked(&asks(8), &frame).is_ok());
    assert_eq!(checked(&asks(6), &frame), Err(DropReason::Malformed));
}

#[test]
fn an_inner_frame_keeps_what_is_its_own() {
    let tcp = header(NEEDS_CSUM, 1, [104, 1_400, 84, 16]);
    assert_eq!(
        inner_header(&tcp, 50, 60_000),
        header(NEEDS_CSUM, 1, [54, 1_400, 34, 16])
    );
    // The checksum of the outer UDP header is of no more use.
    let outer = header(NEEDS_CSUM, 0, [84, 0, 34, 6]);
    assert_eq!(inner_header(&outer, 50, 100), [0; VNET_HEADER_LEN]);
    let valid = header(2, 0, [0, 0, 0, 0]);
    assert_eq!(inner_header(&valid, 50, 100), [0; VNET_HEADER_LEN]);
}
