use proptest::prelude::*;

use super::*;
use crate::{TcpFlags, checksum::prepare_partial_l4, compose, fixtures::*};

/// The header a guest writes before `frame` when it leaves the checksum to us.
fn partial(frame: &[u8]) -> VirtioNetHeader {
    let found = packet(frame);
    let offset = if matches!(found.l4, L4::Tcp { .. }) {
        16
    } else {
        6
    };
    VirtioNetHeader {
        flags: NEEDS_CSUM,
        csum_start: u16::try_from(found.l4_offset).unwrap().into(),
        csum_offset: offset.into(),
        ..VirtioNetHeader::default()
    }
}

#[test]
fn fields_lie_where_the_specification_puts_them() {
    let bytes = [1, 0x81, 0x36, 0, 0xa8, 5, 0x22, 0, 0x10, 0, 2, 0];
    let header = VirtioNetHeader::parse(&bytes, HeaderForm::Long).unwrap();
    let expected = VirtioNetHeader {
        flags: NEEDS_CSUM,
        gso_type: GSO_ECN | GsoType::TcpV4 as u8,
        hdr_len: 54.into(),
        gso_size: 1448.into(),
        csum_start: 34.into(),
        csum_offset: 16.into(),
        num_buffers: 2.into(),
    };
    assert_eq!(header, expected);
    let short = VirtioNetHeader::parse(&bytes, HeaderForm::Short).unwrap();
    assert_eq!(
        short,
        VirtioNetHeader {
            num_buffers: 0.into(),
            ..expected
        }
    );
    for form in [HeaderForm::Short, HeaderForm::Long] {
        let mut out = [0xaa; 12];
        assert_eq!(header.emit(form, &mut out), Ok(form.header_len()));
        assert_eq!(out[..form.header_len()], bytes[..form.header_len()]);
        assert!(out[form.header_len()..].iter().all(|&byte| byte == 0xaa));
        let need = form.header_len();
        let error = VirtioNetError::Truncated {
            need,
            have: need - 1,
        };
        assert_eq!(VirtioNetHeader::parse(&bytes[..need - 1], form), Err(error));
        assert_eq!(header.emit(form, &mut out[..need - 1]), Err(error));
    }
}

#[test]
fn nothing_asked_nothing_done() {
    let header = VirtioNetHeader {
        flags: DATA_VALID | 0xf0,
        ..VirtioNetHeader::default()
    };
    assert_eq!(
        header.check(60),
        Ok(Offload {
            checksum: None,
            gso: None
        })
    );
    let mut frame = [7; 60];
    finish_checksum(&mut frame, &header).unwrap();
    assert_eq!(frame, [7; 60]);
}

#[test]
fn every_gso_type() {
    let base = VirtioNetHeader {
        flags: NEEDS_CSUM,
        csum_start: 34.into(),
        csum_offset: 16.into(),
        gso_size: 1448.into(),
        ..VirtioNetHeader::default()
    };
    let accepted: Vec<u8> = (0..=255)
        .filter(|&gso_type| VirtioNetHeader { gso_type, ..base }.check(3000).is_ok())
        .collect();
    assert_eq!(accepted, [0, 1, 4, 5, 0x81, 0x84]);
    let header = VirtioNetHeader {
        gso_type: 0x84,
        ..base
    };
    let size = 1448.try_into().unwrap();
    let gso = Some(Gso {
        kind: GsoType::TcpV6,
        size,
        ecn: true,
    });
    assert_eq!(header.check(3000).unwrap().gso, gso);
    let error = VirtioNetHeader {
        gso_size: 0.into(),
        ..header
    }
    .check(3000);
    assert_eq!(error, Err(VirtioNetError::ZeroGsoSize));
    let error = VirtioNetHeader { flags: 0, ..header }.check(3000);
    assert_eq!(error, Err(VirtioNetError::GsoWithoutChecksum));
}

#[test]
fn offsets_outside_the_frame_are_refused() {
    let at = |start: u16, offset: u16| VirtioNetHeader {
        flags: NEEDS_CSUM,
        csum_start: start.into(),
        csum_offset: offset.into(),
        ..VirtioNetHeader::default()
    };
    assert!(at(34, 16).check(52).is_ok());
    let outside = |field, frame_len| Err(VirtioNetError::ChecksumOutside { field, frame_len });
    assert_eq!(at(34, 16).check(51), outside(50, 51));
    assert_eq!(at(0xffff, 0xffff).check(100), outside(0x1fffe, 100));
    let mut frame = [1; 51];
    assert!(finish_checksum(&mut frame, &at(34, 16)).is_err());
    assert_eq!(frame, [1; 51]);
    let long = VirtioNetHeader {
        hdr_len: 61.into(),
        ..VirtioNetHeader::default()
    };
    let error = VirtioNetError::HeaderLength {
        hdr_len: 61,
        frame_len: 60,
    };
    assert_eq!(long.check(60), Err(error));
}

#[test]
fn a_partial_checksum_is_finished() {
    for (a, b) in both() {
        for whole in [
            compose::tcp(&a, &b, TcpFlags::ACK, b"odd"),
            compose::udp(&a, &b, b"payload"),
        ] {
            let (mut frame, header) = (whole.clone(), partial(&whole));
            let found = packet(&frame);
            assert_eq!(prepare_partial_l4(&mut frame, &found), Ok(true));
            assert_ne!(frame, whole);
            header
                .check(frame.len())
                .unwrap()
                .check_packet(&found)
                .unwrap();
            finish_checksum(&mut frame, &header).unwrap();
            assert_eq!(frame, whole);
        }
    }
}

#[test]
fn a_checksum_cannot_be_aimed_at_another_field() {
    let (a, b) = v4();
    let frame = compose::tcp(&a, &b, TcpFlags::ACK, &[0; 100]);
    let found = packet(&frame);
    let honest = partial(&frame);
    for start in 0..120u16 {
        for offset in 0..30u16 {
            let (csum_start, csum_offset) = (start.into(), offset.into());
            let offload = VirtioNetHeader {
                csum_start,
                csum_offset,
                ..honest
            }
            .check(frame.len())
            .unwrap();
            let fits = offload.check_packet(&found).is_ok();
            assert_eq!(fits, (start, offset) == (34, 16), "{start} + {offset}");
        }
    }
}

#[test]
fn a_super_segment_must_be_what_it_says() {
    let kinds = [GsoType::TcpV4, GsoType::TcpV6, GsoType::UdpL4];
    let fitting = |frame: &[u8]| {
        let header = partial(frame);
        kinds.map(|kind| {
            let (gso_type, gso_size) = (kind as u8, 100.into());
            let header = VirtioNetHeader {
                gso_type,
                gso_size,
                ..header
            };
            header
                .check(frame.len())
                .unwrap()
                .check_packet(&packet(frame))
                .is_ok()
        })
    };
    let [(a4, b4), (a6, b6)] = both();
    assert_eq!(
        fitting(&compose::tcp(&a4, &b4, TcpFlags::ACK, &[0; 300])),
        [true, false, false]
    );
    assert_eq!(
        fitting(&compose::tcp(&a6, &b6, TcpFlags::ACK, &[0; 300])),
        [false, true, false]
    );
    assert_eq!(
        fitting(&compose::udp(&a4, &b4, &[0; 300])),
        [false, false, true]
    );
    assert_eq!(
        fitting(&compose::udp(&a6, &b6, &[0; 300])),
        [false, false, true]
    );
    let echo = compose::echo_request(&a4, &b4, 1, &[0; 300]);
    assert_eq!(fitting(&echo), [false, false, false]);
}

proptest! {
    /// What a fast path lets through is what the full dissection lets through.
    #[test]
    fn plain_packets_are_held_against_the_same(
        v6: bool,
        segment: bool,
        flags in 0u8..4,
        gso_type in prop::sample::select(vec![0u8, 1, 4, 5, 0x81, 0x84]),
        start in prop::sample::select(vec![34u16, 54, 14, 0]),
        offset in prop::sample::select(vec![16u16, 6, 0]),
    ) {
        let (a, b) = if v6 { crate::fixtures::v6() } else { v4() };
        let shape = compose::Packet::new(&a, &b, b"hello");
        let frame = if segment { shape.tcp(TcpFlags::ACK, 1, 1) } else { shape.udp() };
        let header = VirtioNetHeader {
            flags,
            gso_type,
            gso_size: 100.into(),
            csum_start: start.into(),
            csum_offset: offset.into(),
            ..VirtioNetHeader::default()
        };
        let Ok(offload) = header.check(frame.len()) else {
            return Ok(());
        };
        let crate::Kind::Ip(packet) = crate::dissect(&frame).unwrap().kind else {
            panic!("an IP packet");
        };
        let plain = crate::dissect::plain(&frame).unwrap();
        prop_assert_eq!(offload.check_plain(&plain), offload.check_packet(&packet));
        let written = VirtioNetHeader::of(&offload, frame.len());
        prop_assert_eq!(written.check(frame.len()), Ok(offload));
    }
}
