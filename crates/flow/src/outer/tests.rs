use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use wire::{MacAddr, Vni};

use super::*;
use crate::{encapsulate, encapsulate_ip};

fn ends(v6: bool) -> (IpAddr, IpAddr) {
    if v6 {
        let address = |last| Ipv6Addr::new(0x2001, 0xdb8, 0, 7, 0xffff, 0, 0, last).into();
        (address(1), address(2))
    } else {
        let address = |last| Ipv4Addr::new(192, 0, 2, last).into();
        (address(1), address(255))
    }
}

fn encap((outer_src, outer_dst): (IpAddr, IpAddr), vni: u32) -> Encap {
    Encap {
        outer_src,
        outer_dst,
        vni: Vni::new(vni & 0x00ff_ffff).expect("masked"),
        dst_port: 4789,
    }
}

const LINK: UnderlayLink = UnderlayLink {
    src: MacAddr([2, 0, 0, 0, 0, 1]),
    dst: MacAddr([2, 0, 0, 0, 0, 2]),
};

proptest! {
    /// One more way to the same bytes.
    #[test]
    fn it_writes_what_encapsulate_writes(
        v6: bool,
        vni: u32,
        source_port: u16,
        class: [u8; 2],
        ethertype in prop::sample::select(vec![[8_u8, 0], [0x86, 0xdd], [8, 6]]),
        len in 14_usize..200,
        spare in 0_usize..20,
    ) {
        let encap = encap(ends(v6), vni);
        let mut frame = vec![0xa5; len];
        frame[12..14].copy_from_slice(&ethertype);
        frame.iter_mut().skip(14).zip(class).for_each(|(byte, class)| *byte = class);
        let mut buffer = vec![0; HEADROOM + spare];
        let start = buffer.len();
        buffer.extend_from_slice(&frame);
        let mut expected = [0; 400];

        let at = push_in_place(&encap, Some(LINK), source_port, &mut buffer, start).unwrap();
        let whole = encapsulate(&encap, LINK, source_port, &frame, &mut expected).unwrap();
        prop_assert_eq!(&buffer[at..], &expected[..whole]);

        let at = push_in_place(&encap, None, source_port, &mut buffer, start).unwrap();
        let whole = encapsulate_ip(&encap, source_port, &frame, &mut expected).unwrap();
        prop_assert_eq!(&buffer[at..], &expected[..whole]);
    }
}

#[test]
fn the_room_it_needs_is_the_headers_own() {
    for (v6, ip) in [(false, 20), (true, 40)] {
        let encap = encap(ends(v6), 5_000);
        for (link, need) in [(None, ip + 16), (Some(LINK), 14 + ip + 16)] {
            let mut buffer = [0; 200];
            assert_eq!(
                push_in_place(&encap, link, 50_000, &mut buffer, need),
                Ok(0)
            );
            let mut buffer = [7; 200];
            let refused = push_in_place(&encap, link, 50_000, &mut buffer, need - 1);
            let too_small = EmitError::BufferTooSmall {
                need,
                have: need - 1,
            };
            assert_eq!(refused, Err(too_small.into()));
            assert_eq!(buffer, [7; 200]);
        }
    }
    assert_eq!(HEADROOM, 70);
    let beyond = push_in_place(&encap(ends(false), 1), None, 1, &mut [0; 60], 61);
    assert!(beyond.is_err(), "the frame begins past the buffer");
}

#[test]
fn a_frame_longer_than_ip_can_say_is_refused() {
    for (v6, longest) in [(false, 65_535 - 36), (true, 65_535 - 16)] {
        let encap = encap(ends(v6), 5_000);
        let mut buffer = vec![0; HEADROOM + longest + 1];
        let mut push = |len| {
            let buffer = &mut buffer[..HEADROOM + len];
            push_in_place(&encap, Some(LINK), 50_000, buffer, HEADROOM)
        };
        assert!(push(longest).is_ok());
        assert!(matches!(
            push(longest + 1),
            Err(PushError::Emit(EmitError::PayloadTooLong { max, .. })) if max == longest
        ));
    }
}

#[test]
fn ends_of_two_families_are_no_tunnel() {
    let mixed = encap((ends(false).0, ends(true).1), 5_000);
    let pushed = push_in_place(&mixed, None, 50_000, &mut [0; 200], HEADROOM);
    assert!(matches!(pushed, Err(PushError::MixedFamilies { .. })));
}
