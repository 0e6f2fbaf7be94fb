use std::net::IpAddr;

use flow::{Encap, UnderlayLink, encapsulate};
use proptest::prelude::*;
use wire::MacAddr;

use super::*;

/// A frame of these bytes in a tunnel.
fn tunnelled(outer: [IpAddr; 2], vni: u32, inner: &[u8]) -> Vec<u8> {
    let [outer_src, outer_dst] = outer;
    let encap = Encap {
        outer_src,
        outer_dst,
        vni: Vni::new(vni).expect("24 bits"),
        dst_port: wire::vxlan::PORT,
    };
    let link = UnderlayLink {
        src: MacAddr([2; 6]),
        dst: MacAddr([4; 6]),
    };
    let mut frame = vec![0; encap.overhead() + inner.len()];
    let len = encapsulate(&encap, link, 50_000, inner, &mut frame);
    assert_eq!(len, Ok(frame.len()));
    frame
}

proptest! {
    #[test]
    fn where_a_frame_is_read_its_guess_is_right(
        v4: [u8; 4], v6: [u8; 16], vni in 0..1_u32 << 24,
        inner in prop::collection::vec(any::<u8>(), 14..80), broken in any::<prop::sample::Index>(),
        with: u8,
    ) {
        for outer in [[IpAddr::from(v4); 2], [IpAddr::from(v6); 2]] {
            let mut frame = tunnelled(outer, vni, &inner);
            let (tunnel, bytes) = Tunnelled::guess(&frame).expect("all headers are there");
            let read = Tunnelled::of(&frame).expect("as most are");
            prop_assert_eq!(tunnel, read.tunnel);
            prop_assert_eq!(bytes, &frame[read.inner]);
            *broken.get_mut(&mut frame) = with;
            if let Some(read) = Tunnelled::of(&frame) {
                let (tunnel, bytes) = Tunnelled::guess(&frame).expect("what is read is guessed");
                prop_assert_eq!(tunnel, read.tunnel);
                prop_assert!(bytes.starts_with(&frame[read.inner]));
            }
        }
    }
}
