use wire::virtio_net::HeaderForm;

use super::{Offloads, ReceiveBuffers, Segmentation};
use crate::features::NetFeatures;

const SEGMENTS: [Segmentation; 4] = [
    Segmentation::Tcp4,
    Segmentation::Tcp6,
    Segmentation::Udp4,
    Segmentation::Udp6,
];

#[test]
fn nothing_negotiated_means_finished_frames_of_the_mtu() {
    let none = Offloads::new(NetFeatures::VERSION_1);
    assert!(!none.partial_checksum_to_guest() && !none.partial_checksum_from_guest());
    for kind in SEGMENTS {
        assert!(!none.segment_to_guest(kind, false) && !none.segment_from_guest(kind, false));
    }
    assert_eq!(none.receive_buffers(), ReceiveBuffers::Small);
}

#[test]
fn each_bit_allows_its_kind_of_segment_only() {
    let bits = [
        (NetFeatures::GUEST_TSO4, Segmentation::Tcp4),
        (NetFeatures::GUEST_TSO6, Segmentation::Tcp6),
        (NetFeatures::GUEST_USO4, Segmentation::Udp4),
        (NetFeatures::GUEST_USO6, Segmentation::Udp6),
    ];
    for (bit, allowed) in bits {
        let offloads = Offloads::new(NetFeatures::GUEST_CSUM | bit);
        for kind in SEGMENTS {
            assert_eq!(offloads.segment_to_guest(kind, false), kind == allowed);
            assert!(!offloads.segment_to_guest(kind, true));
            assert!(!offloads.segment_from_guest(kind, false));
        }
        assert_eq!(offloads.receive_buffers(), ReceiveBuffers::Big);
    }
}

#[test]
fn segments_need_the_checksum_feature() {
    let offloads = Offloads::new(NetFeatures::GUEST_TSO4 | NetFeatures::HOST_TSO4);
    assert!(!offloads.segment_to_guest(Segmentation::Tcp4, false));
    assert!(!offloads.segment_from_guest(Segmentation::Tcp4, false));
    assert_eq!(offloads.receive_buffers(), ReceiveBuffers::Small);
}

#[test]
fn congestion_marks_need_their_own_feature_and_tcp() {
    let all = Offloads::new(NetFeatures::OFFLOADS | NetFeatures::UDP_OFFLOADS);
    assert!(all.segment_to_guest(Segmentation::Tcp6, true));
    assert!(all.segment_from_guest(Segmentation::Tcp4, true));
    assert!(all.segment_from_guest(Segmentation::Udp6, false));
    let marks_only = NetFeatures::CSUM | NetFeatures::HOST_ECN | NetFeatures::HOST_USO;
    assert!(!Offloads::new(marks_only).segment_from_guest(Segmentation::Udp4, true));
}

#[test]
fn header_has_a_count_unless_legacy_without_merging() {
    let form = |features| Offloads::new(features).header_form();
    assert_eq!(form(NetFeatures(0)), HeaderForm::Short);
    assert_eq!(form(NetFeatures::MRG_RXBUF), HeaderForm::Long);
    assert_eq!(form(NetFeatures::VERSION_1), HeaderForm::Long);
}

#[test]
fn merging_wins_over_big_buffers() {
    let merging = NetFeatures::OFFLOADS | NetFeatures::MRG_RXBUF;
    assert_eq!(
        Offloads::new(merging).receive_buffers(),
        ReceiveBuffers::Mergeable
    );
}
