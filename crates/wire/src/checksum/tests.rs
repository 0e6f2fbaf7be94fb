use proptest::prelude::*;

use super::*;
use crate::{TcpFlags, compose, fixtures::*};

/// Word by word, as RFC 1071 section 4.1 writes it.
fn naive(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        let word = [pair[0], pair.get(1).copied().unwrap_or(0)];
        sum += u32::from(u16::from_be_bytes(word));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}

#[test]
fn example_of_rfc_1071_section_3() {
    let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
    assert_eq!(Sum::of(&bytes).folded(), 0xddf2);
    assert_eq!(Sum::of(&bytes).finish(), 0x220d);
}

#[test]
fn example_of_rfc_1624_section_4() {
    assert_eq!(update_u16(0xdd2f, 0x5555, 0x3285), 0x0000);
}

#[test]
fn sum_of_the_largest_frame_does_not_overflow() {
    assert_eq!(
        Sum::of(&vec![0xff; 65535 + 18]).folded(),
        naive(&vec![0xff; 65535 + 18])
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn sum_equals_the_naive_one(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(Sum::of(&bytes).folded(), naive(&bytes));
    }

    #[test]
    fn parts_combine_to_the_whole(
        bytes in prop::collection::vec(any::<u8>(), 1..100),
        at in any::<prop::sample::Index>(),
    ) {
        let at = at.index(bytes.len());
        let (head, tail) = bytes.split_at(at);
        let combined = Sum::of(head).combine(Sum::of(tail), at);
        prop_assert_eq!(combined.folded(), naive(&bytes));
    }

    #[test]
    fn update_keeps_the_data_valid(
        mut words in prop::collection::vec(any::<u16>(), 1..40),
        at in any::<prop::sample::Index>(),
        new in any::<u16>(),
    ) {
        let bytes = |words: &[u16]| -> Vec<u8> {
            words.iter().flat_map(|word| word.to_be_bytes()).collect()
        };
        let checksum = Sum::of(&bytes(&words)).finish();
        let at = at.index(words.len());
        let old = core::mem::replace(&mut words[at], new);
        let updated = update_u16(checksum, old, new);
        prop_assert_eq!(Sum::of(&bytes(&words)).and(Sum::of_word(updated)).finish(), 0);
        prop_assert_eq!(updated, update(checksum, Sum::of_word(old), Sum::of_word(new)));
    }

    #[test]
    fn a_flipped_bit_is_noticed(
        payload in prop::collection::vec(any::<u8>(), 1..64),
        at in any::<prop::sample::Index>(),
        bit in 0u32..8,
    ) {
        for (a, b) in both() {
            for mut frame in [
                compose::tcp(&a, &b, TcpFlags::ACK, &payload),
                compose::udp(&a, &b, &payload),
                compose::echo_request(&a, &b, 7, &payload),
            ] {
                let found = packet(&frame);
                prop_assert_eq!(verify_l4(&frame, &found), Ok(L4Check::Valid));
                let at = frame.len() - 1 - at.index(payload.len());
                frame[at] ^= 1 << bit;
                prop_assert_eq!(verify_l4(&frame, &found), Ok(L4Check::Invalid));
                prop_assert_eq!(fill_l4(&mut frame, &found), Ok(true));
                prop_assert!(checksums_hold(&frame));
            }
        }
    }
}

#[test]
fn udp_zero_is_absent_and_never_written() {
    for (a, b) in both() {
        let mut frame = compose::udp(&a, &b, &[0, 0]);
        let found = packet(&frame);
        // Choosing the complement as payload makes the computed checksum zero.
        let checksum = u16::from_be_bytes([frame[found.l4_offset + 6], frame[found.l4_offset + 7]]);
        let end = frame.len();
        frame[end - 2..].copy_from_slice(&checksum.to_be_bytes());
        assert_eq!(fill_l4(&mut frame, &found), Ok(true));
        assert_eq!(frame[found.l4_offset + 6..][..2], [0xff, 0xff]);
        assert_eq!(verify_l4(&frame, &found), Ok(L4Check::Valid));
        frame[found.l4_offset + 6..][..2].fill(0);
        assert_eq!(verify_l4(&frame, &found), Ok(L4Check::Absent));
    }
}

#[test]
fn a_fragment_or_other_protocol_has_no_checksum() {
    let (a, b) = v4();
    let first = compose::fragments(&compose::udp(&a, &b, &[1; 40]), 9, 16).swap_remove(0);
    let mut esp = compose::Packet::new(&a, &b, &[0; 16]).ip(crate::ip::protocol::ESP, &[]);
    for frame in [&mut first.clone(), &mut esp] {
        let (found, before) = (packet(frame), frame.clone());
        assert_eq!(verify_l4(frame, &found), Ok(L4Check::Absent));
        assert_eq!(fill_l4(frame, &found), Ok(false));
        assert_eq!(*frame, before);
    }
}

#[test]
fn offsets_of_another_frame_are_an_error() {
    for (a, b) in both() {
        let frame = compose::tcp(&a, &b, TcpFlags::ACK, &[1; 100]);
        let found = packet(&frame);
        for len in 0..frame.len() {
            let mut cut = frame[..len].to_vec();
            assert!(verify_l4(&cut, &found).is_err());
            assert!(fill_l4(&mut cut, &found).is_err());
            assert_eq!(cut, frame[..len]);
        }
    }
}
