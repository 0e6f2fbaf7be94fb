use proptest::prelude::*;

use super::*;
use crate::checksum::{L4Check, fill_l4, verify_l4};
use crate::{Kind, dissect};

/// Bit by bit, as the polynomial has it.
fn naive(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |register, byte| {
        (0..8).fold(register ^ u32::from(*byte), |register, _| {
            (register >> 1) ^ (POLYNOMIAL & 0u32.wrapping_sub(register & 1))
        })
    })
}

/// Ethernet, IPv4 and an SCTP packet with these bytes after its common header.
fn sctp(chunks: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + HEADER_LEN + chunks.len()).unwrap();
    let mut frame = vec![0x02; 12];
    frame.extend([0x08, 0x00, 0x45, 0]);
    frame.extend(len.to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, 132, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([0x13, 0x88, 0x01, 0xbb, 1, 2, 3, 4, 0xde, 0xad, 0, 0]);
    frame.extend(chunks);
    let sum = crate::checksum::Sum::of(&frame[14..34]).finish();
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

#[test]
fn examples_of_rfc_3720_appendix_b_4() {
    for (bytes, crc) in [
        ([0u8; 32], 0x8a91_36aa),
        ([0xff; 32], 0x62a8_ab43),
        (
            std::array::from_fn(|at| u8::try_from(at).unwrap()),
            0x46dd_794e,
        ),
    ] {
        assert_eq!(!update(u32::MAX, &bytes), crc, "{bytes:02x?}");
    }
}

#[test]
fn a_packet_is_filled_as_its_receiver_checks_it() {
    let mut frame = sctp(&[
        0, 3, 0, 20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, b'p', b'i', b'n', b'g',
    ]);
    let Kind::Ip(packet) = dissect(&frame).unwrap().kind else {
        panic!("an IP packet");
    };
    assert_eq!(verify_l4(&frame, &packet), Ok(L4Check::Invalid));
    assert_eq!(fill_l4(&mut frame, &packet), Ok(true));
    assert_eq!(verify_l4(&frame, &packet), Ok(L4Check::Valid));
    frame[40] ^= 1;
    assert_eq!(verify_l4(&frame, &packet), Ok(L4Check::Invalid));
}

#[test]
fn a_packet_without_room_for_the_field_has_none() {
    let mut frame = sctp(&[]);
    let Kind::Ip(mut packet) = dissect(&frame).unwrap().kind else {
        panic!("an IP packet");
    };
    packet.l3_len -= 1;
    let before = frame.clone();
    assert_eq!(fill_l4(&mut frame, &packet), Ok(false));
    assert_eq!(frame, before);
    assert_eq!(verify_l4(&frame, &packet), Ok(L4Check::Absent));
}

proptest! {
    #[test]
    fn eight_bytes_at_a_time_is_bit_by_bit(bytes: Vec<u8>) {
        prop_assert_eq!(!update(u32::MAX, &bytes), naive(&bytes));
    }
}
