use proptest::prelude::*;
use vring::features::Features;
use wire::checksum::{L4Check, prepare_partial_l4, verify_l4};
use wire::compose::{self, Packet};
use wire::virtio_net::{Gso as Segments, GsoType, HeaderForm, PartialChecksum};
use wire::{Kind, TcpFlags, dissect};

use super::*;
use crate::features::NetFeatures;
use crate::offload::Offloads;
use crate::path::fixture::Guest;
use crate::path::fixture::world::{end, mac, switch};

const A: PortId = PortId(1);
const B: PortId = PortId(2);
/// A guest without rings.
const C: PortId = PortId(3);
const NOW: Tick = Tick(1 << 40);

/// What a driver of today negotiates.
const MODERN: NetFeatures = NetFeatures(
    NetFeatures::VERSION_1.0
        | NetFeatures::MRG_RXBUF.0
        | NetFeatures::CSUM.0
        | NetFeatures::GUEST_CSUM.0
        | NetFeatures::HOST_TSO4.0
        | NetFeatures::HOST_TSO6.0
        | NetFeatures::GUEST_TSO4.0
        | NetFeatures::GUEST_TSO6.0,
);

/// One that takes frames only as they are on a wire.
const PLAIN: NetFeatures = NetFeatures(NetFeatures::VERSION_1.0 | NetFeatures::MRG_RXBUF.0);

#[derive(Default)]
struct Heard {
    delivered: Vec<(PortId, PortId, Offload, Vec<u8>)>,
    ended: Vec<DropReason>,
}

impl Beyond for Heard {
    fn deliver(&mut self, sender: PortId, to: PortId, offload: &Offload, frame: &[u8]) {
        self.delivered.push((sender, to, *offload, frame.to_vec()));
    }

    fn depart(&mut self, _: PortId, _: &Encap, _: u16, _: &Offload, _: &[u8]) {
        panic!("there is no other host");
    }

    fn ended(&mut self, _: PortId, reason: DropReason, _: &[u8]) {
        self.ended.push(reason);
    }
}

/// Two guests with rings, and the switch between them.
struct Lab {
    a: Guest,
    b: Guest,
    forwarder: Forwarder,
    switch: Switch,
    heard: Heard,
}

impl Lab {
    fn new(b_negotiated: NetFeatures) -> Lab {
        let mut forwarder = Forwarder::default();
        let mut guest = |port, negotiated| {
            let (mut guest, sends, receives) = Guest::new(Features::VERSION_1);
            guest.post(200, 2_048);
            let offloads = Offloads::new(negotiated);
            *forwarder.port(port) = RingPort {
                from_guest: vec![Some(FromGuest::new(sends, offloads))],
                to_guest: vec![Some(ToGuest::new(receives, offloads))],
            };
            guest
        };
        Lab {
            a: guest(A, MODERN),
            b: guest(B, b_negotiated),
            forwarder,
            switch: switch(),
            heard: Heard::default(),
        }
    }

    /// A sends a frame of which so much is left to devices.
    fn send(&mut self, header: VirtioNetHeader, frame: &[u8]) {
        let mut bytes = vec![0; 12];
        header.emit(HeaderForm::Long, &mut bytes).unwrap();
        bytes.extend(frame);
        self.a.send(&bytes, &[]);
        let served = self
            .forwarder
            .serve(A, 0, &mut self.switch, &mut self.heard, NOW);
        assert_eq!(served.unwrap().frames, 1);
        assert_eq!(self.a.sent(), 1);
        self.forwarder.show(|_, _| {});
    }

    fn counted(&self, reason: DropReason) -> u64 {
        self.switch.port(A).unwrap().counters.drops.packets(reason)
    }
}

/// Buffers put together to frames with their headers.
fn frames(buffers: Vec<Vec<u8>>) -> Vec<(VirtioNetHeader, Vec<u8>)> {
    let mut buffers = buffers.into_iter();
    let mut frames = Vec::new();
    while let Some(first) = buffers.next() {
        let header = VirtioNetHeader::parse(&first, HeaderForm::Long).unwrap();
        let mut frame = first[12..].to_vec();
        for _ in 1..header.num_buffers.get() {
            frame.extend(buffers.next().unwrap());
        }
        frames.push((header, frame));
    }
    frames
}

/// A TCP segment from A to B whose checksum, and cutting, is left to devices.
fn super_segment(v6: bool, payload: &[u8], size: u16) -> (VirtioNetHeader, Vec<u8>) {
    let (a, b) = (end(1, v6, false), end(2, v6, true));
    let mut frame = Packet::new(&a, &b, payload).tcp(TcpFlags::ACK, 1, 1);
    let Kind::Ip(packet) = dissect(&frame).unwrap().kind else {
        panic!("an IP packet");
    };
    prepare_partial_l4(&mut frame, &packet).unwrap();
    let start = packet.l4_offset;
    let kind = if v6 { GsoType::TcpV6 } else { GsoType::TcpV4 };
    let gso = size.try_into().ok().map(|size| Segments {
        kind,
        size,
        ecn: false,
    });
    let checksum = Some(PartialChecksum {
        start,
        field: start + 16,
    });
    let offload = Offload { checksum, gso };
    (VirtioNetHeader::of(&offload, start + 20), frame)
}

/// A connection that segments belong to.
fn open(lab: &mut Lab, v6: bool) {
    let (a, b) = (end(1, v6, false), end(2, v6, true));
    let syn = Packet::new(&a, &b, b"").tcp(TcpFlags::SYN, 0, 0);
    lab.send(VirtioNetHeader::default(), &syn);
    assert_eq!(lab.b.received().len(), 1, "{:?}", lab.heard.ended);
}

fn as_received(mut frame: Vec<u8>) -> Vec<u8> {
    frame[..6].copy_from_slice(&mac(2).0);
    frame[6..12].copy_from_slice(&vswitch::router_mac().0);
    frame
}

#[test]
fn datagrams_of_any_length_arrive_with_the_router_as_their_sender() {
    let mut lab = Lab::new(MODERN);
    for len in [0, 18, 200, 202, 203, 1_400, 8_000] {
        let payload: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let frame = compose::udp(&end(1, false, false), &end(2, false, true), &payload);
        lab.send(VirtioNetHeader::default(), &frame);
        let received = frames(lab.b.received());
        assert_eq!(received.len(), 1, "{len}: {:?}", lab.heard.ended);
        assert_eq!(received[0].1, as_received(frame));
    }
    assert_eq!(lab.switch.flows().len(), 2);
}

#[test]
fn a_super_segment_goes_uncut_to_a_guest_that_takes_it() {
    for v6 in [false, true] {
        let mut lab = Lab::new(MODERN);
        open(&mut lab, v6);
        let (header, frame) = super_segment(v6, &[0x5a; 60_000], 1_400);
        lab.send(header, &frame);
        let received = frames(lab.b.received());
        assert_eq!(received.len(), 1, "{:?}", lab.heard.ended);
        let (told, arrived) = &received[0];
        assert_eq!(*arrived, as_received(frame));
        let told = told.check(arrived.len()).unwrap();
        assert_eq!(Ok(told), header.check(arrived.len()));
    }
}

#[test]
fn it_is_cut_for_a_guest_that_does_not() {
    for v6 in [false, true] {
        let mut lab = Lab::new(PLAIN);
        open(&mut lab, v6);
        let payload: Vec<u8> = (0..20_000)
            .map(|at| u8::try_from(at % 253).unwrap())
            .collect();
        let (header, frame) = super_segment(v6, &payload, 1_400);
        lab.send(header, &frame);
        let received = frames(lab.b.received());
        assert_eq!(received.len(), payload.len().div_ceil(1_400));
        let mut joined: Vec<u8> = Vec::new();
        for (told, arrived) in received {
            assert_eq!(told.check(arrived.len()), Ok(Offload::default()));
            let Kind::Ip(packet) = dissect(&arrived).unwrap().kind else {
                panic!("an IP packet");
            };
            assert_eq!(verify_l4(&arrived, &packet), Ok(L4Check::Valid));
            joined.extend(&arrived[packet.l4_offset + 20..]);
        }
        assert_eq!(joined, payload);
    }
}

#[test]
fn a_checksum_is_finished_for_a_guest_that_wants_it() {
    let mut lab = Lab::new(PLAIN);
    open(&mut lab, false);
    let (header, frame) = super_segment(false, b"hello", 0);
    lab.send(header, &frame);
    let received = frames(lab.b.received());
    let Kind::Ip(packet) = dissect(&received[0].1).unwrap().kind else {
        panic!("an IP packet");
    };
    assert_eq!(verify_l4(&received[0].1, &packet), Ok(L4Check::Valid));
}

#[test]
fn no_checksum_is_written_over_what_was_judged() {
    let mut lab = Lab::new(PLAIN);
    open(&mut lab, false);
    let (mut header, frame) = super_segment(false, b"hello", 0);
    // The source address.
    header.csum_start = 26.into();
    header.csum_offset = 0.into();
    lab.send(header, &frame);
    assert!(lab.b.received().is_empty());
    assert_eq!(lab.heard.ended, [DropReason::Malformed]);
    assert_eq!(lab.counted(DropReason::Malformed), 1);
}

#[test]
fn what_rules_deny_ends_and_is_heard_of() {
    let mut lab = Lab::new(MODERN);
    let far = compose::Endpoint {
        port: 666,
        ..end(2, false, true)
    };
    for _ in 0..2 {
        let frame = compose::udp(&end(1, false, false), &far, b"no");
        lab.send(VirtioNetHeader::default(), &frame);
    }
    assert!(lab.b.received().is_empty());
    assert_eq!(lab.heard.ended, [DropReason::NsgDenyInbound; 2]);
    assert_eq!(lab.counted(DropReason::NsgDenyInbound), 2);
}

#[test]
fn the_switch_answers_who_asks() {
    let mut lab = Lab::new(MODERN);
    let asked = [10, 0, 0, 2].into();
    let question = compose::arp_request(&end(1, false, false), asked);
    lab.send(VirtioNetHeader::default(), &question);
    let answers = frames(lab.a.received());
    assert_eq!(answers.len(), 1, "{:?}", lab.heard.ended);
    assert_eq!(answers[0].1[..6], mac(1).0);
}

#[test]
fn a_guest_that_offers_no_buffer_loses_its_own_frames() {
    let mut lab = Lab::new(MODERN);
    let frame = compose::udp(&end(1, false, false), &end(2, false, true), b"one of many");
    for _ in 0..203 {
        lab.send(VirtioNetHeader::default(), &frame);
    }
    assert_eq!(lab.b.received().len(), 200);
    assert_eq!(lab.counted(DropReason::NoReceiveBuffer), 3);
    assert_eq!(lab.heard.ended, [DropReason::NoReceiveBuffer; 3]);
}

#[test]
fn a_frame_for_a_guest_of_another_kind_leaves_whole() {
    let mut lab = Lab::new(MODERN);
    let payload = [0x77; 1_200];
    let frame = compose::udp(&end(1, false, false), &end(3, false, true), &payload);
    for _ in 0..2 {
        lab.send(VirtioNetHeader::default(), &frame);
    }
    for (sender, to, offload, arrived) in &lab.heard.delivered {
        assert_eq!((*sender, *to, *offload), (A, C, Offload::default()));
        assert_eq!(arrived[12..], frame[12..]);
    }
    assert_eq!(lab.heard.delivered.len(), 2);
}

#[test]
fn a_frame_whose_length_cannot_be_is_counted() {
    let mut lab = Lab::new(MODERN);
    lab.send(VirtioNetHeader::default(), &[0; 3]);
    assert_eq!(lab.counted(DropReason::Malformed), 1);
}

proptest! {
    /// The equality of all paths: whatever a guest sends, and however it lies in buffers, what comes
    /// of it is what the switch makes of the whole frame.
    #[test]
    fn rings_do_as_the_switch_does(
        sent in prop::collection::vec(
            (
                any::<bool>(),
                any::<bool>(),
                prop_oneof![3 => 0usize..64, 1 => 180usize..260, 1 => 1_000usize..3_000],
                prop::collection::vec((0usize..80, any::<u8>()), 0..3),
                prop::collection::vec(1usize..200, 0..4),
            ),
            1..24,
        ),
    ) {
        let mut lab = Lab::new(MODERN);
        let mut twin = switch();
        for (v6, tcp, len, changes, cuts) in sent {
            let payload = vec![0x33; len];
            let (near, far) = (end(1, v6, false), end(2, v6, true));
            let shape = Packet::new(&near, &far, &payload);
            let mut frame = if tcp { shape.tcp(TcpFlags::SYN, 0, 0) } else { shape.udp() };
            for (at, value) in changes {
                if let Some(byte) = frame.get_mut(at) {
                    *byte = value;
                }
            }
            let mut bytes = vec![0; 12];
            bytes.extend(&frame);
            lab.a.send(&bytes, &cuts);
            lab.forwarder.serve(A, 0, &mut lab.switch, &mut lab.heard, NOW).unwrap();
            lab.forwarder.show(|_, _| {});
            let outcome = twin.process(A, &mut frame, None, NOW);

            let arrived = frames(lab.b.received());
            let answered = frames(lab.a.received());
            match outcome {
                Outcome::Deliver(B) => prop_assert_eq!(&arrived[0].1, &frame),
                Outcome::Deliver(A) => prop_assert_eq!(&answered[0].1, &frame),
                _ => prop_assert!(arrived.is_empty()),
            }
            if let Some(reply) = twin.reply() {
                prop_assert_eq!(&answered[0].1, reply);
            }
            for port in [A, B] {
                let (ours, theirs) = (lab.switch.port(port), twin.port(port));
                prop_assert_eq!(ours.unwrap().counters, theirs.unwrap().counters);
            }
        }
        prop_assert_eq!(lab.switch.flows().len(), twin.flows().len());
    }
}
