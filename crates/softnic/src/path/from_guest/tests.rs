use proptest::prelude::*;
use vring::features::Features;

use super::*;
use crate::features::NetFeatures;
use crate::path::fixture::Guest;

fn plain() -> Offloads {
    Offloads::new(NetFeatures::VERSION_1)
}

fn with_header(frame: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1, 0, 0, 0, 0, 0, 34, 0, 6, 0, 0, 0];
    bytes.extend(frame);
    bytes
}

#[test]
fn frames_whose_length_cannot_be_are_told_and_given_back() {
    let (mut guest, queue, _) = Guest::new(Features::VERSION_1);
    let mut from = FromGuest::new(queue, plain());
    guest.send(&[0; 5], &[]);
    guest.send(&with_header(&[0; 13]), &[]);
    guest.send(&with_header(&vec![0; FRAME_MAX + 1]), &[]);
    guest.send(&with_header(&[0; 14]), &[]);
    let taken = from.take().unwrap();
    let empty = from.fronts(taken).iter().map(Front::is_empty);
    assert_eq!(empty.collect::<Vec<_>>(), [true, true, true, false]);
    from.give_back();
    assert_eq!(guest.sent(), 4);
}

#[test]
fn what_was_taken_does_not_change_under_the_judge() {
    let (mut guest, queue, _) = Guest::new(Features::VERSION_1);
    let mut from = FromGuest::new(queue, plain());
    guest.send(&with_header(&[7; 60]), &[]);
    from.take().unwrap();
    guest.scribble(9);
    let (front, _) = from.frame(0).unwrap();
    assert_eq!(front.head(), [7; 60]);
}

proptest! {
    #[test]
    fn a_frame_is_read_however_it_lies_in_buffers(
        len in 14usize..4_000,
        cuts in prop::collection::vec(1usize..700, 0..6),
    ) {
        let frame: Vec<u8> = (0..len).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
        let (mut guest, queue, _) = Guest::new(Features::VERSION_1);
        let mut from = FromGuest::new(queue, plain());
        guest.send(&with_header(&frame), &cuts);
        prop_assert_eq!(from.take().unwrap(), 1);
        let (front, rest) = from.frame(0).unwrap();
        prop_assert_eq!(front.len(), len);
        prop_assert_eq!(front.header.csum_start.get(), 34);
        prop_assert_eq!(front.head(), &frame[..len.min(super::super::front::HEAD_MAX)]);
        let mut whole = vec![0; len];
        prop_assert!(rest.read(0, &mut whole).is_some());
        prop_assert_eq!(whole, frame);
    }
}
