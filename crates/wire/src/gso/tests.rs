use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use proptest::prelude::*;

use super::*;
use crate::{
    compose::{self, Packet},
    fixtures::*,
    options::HeaderOptions,
    tcp::TcpRepr,
};

fn cut(frame: &[u8], payload_max: u16) -> Result<Vec<Vec<u8>>, SegmentError> {
    let mut frames = Vec::new();
    let mut scratch = vec![0xaa; 66_000];
    let payload_max = NonZeroU16::new(payload_max).unwrap();
    let count = segment(frame, &packet(frame), payload_max, &mut scratch, |frame| {
        frames.push(frame.to_vec());
    })?;
    assert_eq!(count, frames.len());
    Ok(frames)
}

fn super_segment(v6: bool, flags: TcpFlags, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let (a, b) = both()[usize::from(v6)];
    let shape = Packet {
        ident: 0xfffe,
        ..Packet::new(&a, &b, payload)
    };
    shape.tcp_as(&TcpRepr {
        src_port: a.port,
        dst_port: b.port,
        sequence,
        acknowledgement: 77,
        flags,
        window: 1000,
        urgent: 0,
        options: HeaderOptions::new(&[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]).unwrap(),
    })
}

fn identification(frame: &[u8]) -> Option<u16> {
    match SlicedPacket::from_ethernet(frame).unwrap().net {
        Some(NetSlice::Ipv4(ip)) => Some(ip.header().identification()),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn tcp_parts_are_the_whole(
        v6: bool,
        sequence: u32,
        payload in prop::collection::vec(any::<u8>(), 0..6000),
        payload_max in 50u16..2000,
    ) {
        let flags = TcpFlags::ACK | TcpFlags::PSH | TcpFlags::FIN | TcpFlags::CWR;
        let whole = super_segment(v6, flags, sequence, &payload);
        let frames = cut(&whole, payload_max).unwrap();
        let mut sent = Vec::new();
        for (index, frame) in frames.iter().enumerate() {
            prop_assert!(checksums_hold(frame));
            let sliced = SlicedPacket::from_ethernet(frame).unwrap();
            let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("not TCP") };
            let at = u32::try_from(sent.len()).unwrap();
            prop_assert_eq!(tcp.sequence_number(), sequence.wrapping_add(at));
            prop_assert_eq!(tcp.acknowledgment_number(), 77);
            prop_assert_eq!(tcp.options(), &[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
            let (first, last) = (index == 0, index + 1 == frames.len());
            let bits = (tcp.cwr(), tcp.psh(), tcp.fin(), tcp.ack());
            prop_assert_eq!(bits, (first, last, last, true));
            prop_assert!(tcp.payload().len() <= usize::from(payload_max));
            let nth = u16::try_from(index).unwrap();
            prop_assert_eq!(identification(frame), (!v6).then_some(0xfffe_u16.wrapping_add(nth)));
            sent.extend_from_slice(tcp.payload());
        }
        prop_assert_eq!(sent, payload);
    }

    #[test]
    fn udp_parts_are_datagrams(
        v6: bool,
        payload in prop::collection::vec(any::<u8>(), 0..6000),
        payload_max in 50u16..2000,
    ) {
        let (a, b) = both()[usize::from(v6)];
        let frames = cut(&compose::udp(&a, &b, &payload), payload_max).unwrap();
        let mut sent = Vec::new();
        for frame in &frames {
            prop_assert!(checksums_hold(frame));
            let sliced = SlicedPacket::from_ethernet(frame).unwrap();
            let Some(TransportSlice::Udp(udp)) = sliced.transport else { panic!("not UDP") };
            prop_assert_eq!(usize::from(udp.length()), 8 + udp.payload().len());
            sent.extend_from_slice(udp.payload());
        }
        prop_assert_eq!(sent, payload);
    }
}

#[test]
fn the_largest_super_segment_is_cut() {
    for v6 in [false, true] {
        let payload = vec![0x5a; 65535 - 52];
        let frames = cut(&super_segment(v6, TcpFlags::ACK, 0, &payload), 1448).unwrap();
        assert_eq!(frames.len(), payload.len().div_ceil(1448));
        assert!(frames.iter().all(|frame| checksums_hold(frame)));
    }
}

#[test]
fn padding_and_offloaded_checksums_do_not_matter() {
    let mut whole = super_segment(false, TcpFlags::ACK, 0, &[1; 100]);
    let expected = cut(&whole, 60).unwrap();
    let found = packet(&whole);
    crate::checksum::prepare_partial_l4(&mut whole, &found).unwrap();
    whole.resize(whole.len() + 7, 0xee);
    assert_eq!(cut(&whole, 60).unwrap(), expected);
}

#[test]
fn what_cannot_be_cut_is_refused() {
    for flag in [TcpFlags::SYN, TcpFlags::RST] {
        let flags = flag | TcpFlags::ACK;
        let whole = super_segment(false, flags, 0, &[1; 100]);
        assert_eq!(cut(&whole, 60), Err(SegmentError::Flags { flags }));
        assert_eq!(cut(&whole, 100).unwrap().len(), 1, "one frame is no cut");
    }
    let (a, b) = v4();
    let echo = compose::echo_request(&a, &b, 1, &[0; 100]);
    assert_eq!(cut(&echo, 60), Err(SegmentError::Protocol { proto: 1 }));
    let fragment = compose::fragments(&compose::udp(&a, &b, &[0; 100]), 1, 64).swap_remove(0);
    assert_eq!(cut(&fragment, 60), Err(SegmentError::Fragment));
    let udp = compose::udp(&a, &b, &[0; SEGMENTS_MAX + 1]);
    let count = SEGMENTS_MAX + 1;
    assert_eq!(
        cut(&udp, 1),
        Err(SegmentError::TooManySegments {
            count,
            max: SEGMENTS_MAX
        })
    );
    let udp = compose::udp(&a, &b, &[0; SEGMENTS_MAX]);
    assert_eq!(cut(&udp, 1).unwrap().len(), SEGMENTS_MAX);
}

#[test]
fn a_small_scratch_or_a_foreign_packet_is_an_error() {
    let whole = super_segment(true, TcpFlags::ACK, 0, &[1; 100]);
    let found = packet(&whole);
    let payload_max = NonZeroU16::new(60).unwrap();
    let mut never = |_: &[u8]| panic!("nothing may come out");
    let need = whole.len() - 40;
    let result = segment(
        &whole,
        &found,
        payload_max,
        &mut vec![0; need - 1],
        &mut never,
    );
    assert_eq!(
        result,
        Err(SegmentError::ScratchTooSmall {
            need,
            have: need - 1
        })
    );
    for len in 0..whole.len() {
        let result = segment(
            &whole[..len],
            &found,
            payload_max,
            &mut [0; 200],
            &mut never,
        );
        assert!(matches!(result, Err(SegmentError::Parse(_))));
    }
}
