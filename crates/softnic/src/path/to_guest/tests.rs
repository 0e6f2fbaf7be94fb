use proptest::prelude::*;
use vring::features::Features;
use wire::virtio_net::VirtioNetHeader;

use super::*;
use crate::features::NetFeatures;
use crate::path::fixture::Guest;

fn offloads(short: bool, mergeable: bool) -> Offloads {
    let mut features = NetFeatures(0);
    if !short {
        features = features | NetFeatures::VERSION_1;
    }
    if mergeable {
        features = features | NetFeatures::MRG_RXBUF;
    }
    Offloads::new(features)
}

fn frame(len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| u8::try_from(at * 13 % 251).unwrap())
        .collect()
}

fn deliver(to: &mut ToGuest, frame: &[u8]) -> Result<(), Undelivered> {
    let mut front = Front::default();
    front.set(VirtioNetHeader::default(), frame);
    to.deliver(&mut front, Rest::Host(frame))
}

#[test]
fn a_guest_without_buffers_gets_nothing_and_the_next_frame_all_the_same() {
    let (mut guest, _, queue) = Guest::new(Features::VERSION_1);
    let mut to = ToGuest::new(queue, offloads(false, false));
    assert_eq!(deliver(&mut to, &frame(60)), Err(Undelivered::NoBuffers));
    guest.post(1, 2048);
    assert_eq!(deliver(&mut to, &frame(60)), Ok(()));
    assert_eq!(deliver(&mut to, &frame(60)), Err(Undelivered::NoBuffers));
    to.flush();
    assert_eq!(guest.received()[0][12..], frame(60));
}

#[test]
fn a_frame_that_fits_no_buffer_leaves_it_to_the_next() {
    let (mut guest, _, queue) = Guest::new(Features::VERSION_1);
    let mut to = ToGuest::new(queue, offloads(false, false));
    guest.post(1, 1526);
    assert_eq!(deliver(&mut to, &frame(1515)), Err(Undelivered::TooLong));
    assert_eq!(deliver(&mut to, &frame(1514)), Ok(()));
    to.flush();
    assert_eq!(guest.received()[0].len(), 12 + 1514);
}

#[test]
fn the_longest_frame_takes_the_buffers_it_takes_and_none_is_lost() {
    let (mut guest, _, queue) = Guest::new(Features::VERSION_1);
    let mut to = ToGuest::new(queue, offloads(false, true));
    guest.post(60, 1536);
    assert_eq!(deliver(&mut to, &frame(100)), Ok(()));
    assert_eq!(deliver(&mut to, &frame(FRAME_MAX)), Ok(()));
    // 60 less 1 less 43.
    assert_eq!(
        deliver(&mut to, &frame(FRAME_MAX)),
        Err(Undelivered::NoBuffers)
    );
    guest.post(60, 1536);
    assert_eq!(deliver(&mut to, &frame(FRAME_MAX)), Ok(()));
    to.flush();
    let received = guest.received();
    assert_eq!(received.len(), 1 + 2 * 43);
    assert_eq!(received[1][10..12], [43, 0]);
    let whole: Vec<u8> = received[1..44].concat();
    assert_eq!(whole[12..], frame(FRAME_MAX));
}

#[test]
fn what_is_in_stock_goes_back_with_the_queue() {
    let (mut guest, _, queue) = Guest::new(Features::VERSION_1);
    let mut to = ToGuest::new(queue, offloads(false, false));
    guest.post(10, 2048);
    deliver(&mut to, &frame(60)).unwrap();
    let (queue, _) = to.into_queue();
    assert_eq!(guest.received().len(), 1);
    let mut to = ToGuest::new(queue, offloads(false, false));
    for _ in 0..9 {
        deliver(&mut to, &frame(60)).unwrap();
    }
    assert_eq!(deliver(&mut to, &frame(60)), Err(Undelivered::NoBuffers));
    to.flush();
    assert_eq!(guest.received().len(), 9);
}

proptest! {
    /// Whatever the buffers, what a guest gets is the frame, in order, with the header it negotiated.
    #[test]
    fn frames_arrive_as_they_are(
        packed: bool,
        short: bool,
        in_order: bool,
        buffer in 64usize..2_200,
        lens in prop::collection::vec(14usize..9_000, 1..8),
    ) {
        let mut features = Features::VERSION_1;
        if packed {
            features = features | Features::RING_PACKED;
        }
        if in_order {
            features = features | Features::IN_ORDER;
        }
        let (mut guest, _, queue) = Guest::new(features);
        let form = if short { HeaderForm::Short } else { HeaderForm::Long };
        let mut to = ToGuest::new(queue, offloads(short, !short));
        let most = if short { 1 } else { STOCK };
        guest.post(200, buffer);
        let (mut arrived, mut expected, mut used) = (Vec::new(), Vec::new(), 0);
        for len in lens {
            let takes = (form.header_len() + len).div_ceil(buffer);
            match deliver(&mut to, &frame(len)) {
                Ok(()) => {
                    expected.push(frame(len));
                    used += takes;
                }
                Err(Undelivered::TooLong) => prop_assert!(takes > most),
                Err(Undelivered::NoBuffers) => prop_assert!(used + takes > 200),
                Err(other) => prop_assert!(false, "{other:?}"),
            }
        }
        to.flush();
        let mut buffers = guest.received().into_iter();
        while let Some(first) = buffers.next() {
            let mut whole = first[form.header_len()..].to_vec();
            let more = if short { 0 } else { usize::from(u16::from_le_bytes([first[10], first[11]])) - 1 };
            for _ in 0..more {
                whole.extend(buffers.next().unwrap());
            }
            arrived.push(whole);
        }
        prop_assert_eq!(arrived, expected);
    }
}
