//! Arbitrary bytes never cause a panic, and what is accepted keeps its promises.
//!
//! Each target runs under bolero, with random bytes here and with a coverage-guided engine under
//! `cargo bolero test`, and over the committed files in `tests/corpus`. Those are composed frames:
//! the test that replays them also fails when composing yields other bytes than before.
//! `UPDATE_CORPUS=1` rewrites them.

use std::{fs, net::Ipv4Addr, num::NonZeroU16, path::PathBuf, time::Duration};

use wire::{
    Kind, MacAddr, TcpFlags, Vni,
    arp::{ArpRepr, ArpView},
    checksum, compose,
    compose::{Endpoint, Packet},
    dissect, gso,
    icmp_reply::{self, IcmpError, Responder},
    icmpv4::{Icmpv4Repr, Icmpv4View},
    icmpv6::{Icmpv6Repr, Icmpv6View},
    ipv4::{Ipv4Repr, Ipv4View},
    ipv6::{self, Ipv6Repr, Ipv6View},
    pcap, rewrite,
    tcp::{TcpRepr, TcpView},
    udp::{UdpRepr, UdpView},
    virtio_net::{self, HeaderForm, VirtioNetHeader},
    vxlan::{self, VxlanEncap, VxlanRepr, VxlanView},
};

/// The data path's functions over a frame.
fn fuzz_frame(frame: &[u8]) {
    let mut out = [0; 2048];
    for ip in ["10.0.0.1", "fd00::1"] {
        let responder = Responder {
            mac: MacAddr([2; 6]),
            ip: ip.parse().unwrap(),
        };
        if let Ok(len) = icmp_reply::icmp_error(frame, IcmpError::NoRoute, responder, &mut out) {
            let reply = dissect(&out[..len]).expect("an answer is well formed");
            assert!(matches!(reply.kind, Kind::Ip(_)));
        }
    }
    let _ = icmp_reply::arp_reply(frame, MacAddr([2; 6]), &mut out);
    let _ = icmp_reply::neighbour_advert(frame, MacAddr([2; 6]), false, &mut out);
    if let Ok((_, inner)) = vxlan::pop_vxlan(frame) {
        let _ = dissect(&frame[inner]);
    }
    let Ok(wire::Dissection {
        kind: Kind::Ip(packet),
        ..
    }) = dissect(frame)
    else {
        return;
    };
    assert!(packet.l3_offset < packet.l4_offset);
    assert!(packet.l4_offset <= packet.l3_offset + packet.l3_len);
    assert!(packet.l3_offset + packet.l3_len <= frame.len());
    let mut edited = frame.to_vec();
    if let Ok(true) = checksum::fill_l4(&mut edited, &packet) {
        assert_ne!(
            checksum::verify_l4(&edited, &packet),
            Ok(checksum::L4Check::Absent)
        );
    }
    if let Some(ttl) = rewrite::decrement_ttl(&mut edited, &packet) {
        let Ok(wire::Dissection {
            kind: Kind::Ip(after),
            ..
        }) = dissect(&edited)
        else {
            panic!("a hop made the packet illegal");
        };
        assert_eq!(after.ttl, ttl);
    }
    let payload_max = NonZeroU16::new(16).unwrap();
    let mut scratch = vec![0; frame.len()];
    let _ = gso::segment(frame, &packet, payload_max, &mut scratch, |part| {
        dissect(part).expect("a part of a legal packet is one");
    });
}

/// Each view alone, at the start of the bytes: what is parsed can be emitted and parsed again.
fn fuzz_views(bytes: &[u8]) {
    let mut out = [0; 128];
    if let Ok(repr) = ArpView::new(bytes).and_then(ArpRepr::parse) {
        repr.emit(&mut out).unwrap();
        assert_eq!(ArpView::new(&out).and_then(ArpRepr::parse), Ok(repr));
    }
    if let Ok(repr) = Ipv4View::new(bytes).and_then(Ipv4Repr::parse) {
        let len = repr.emit(&mut out).unwrap();
        assert_eq!(
            Ipv4View::quoted(&out[..len]).and_then(Ipv4Repr::parse),
            Ok(repr)
        );
    }
    if let Ok(repr) = Ipv6View::new(bytes).map(Ipv6Repr::parse) {
        let len = repr.emit(&mut out).unwrap();
        assert_eq!(Ipv6View::quoted(&out[..len]).map(Ipv6Repr::parse), Ok(repr));
    }
    if let Ok(repr) = TcpView::new(bytes).and_then(TcpRepr::parse) {
        let len = repr.emit(&mut out).unwrap();
        assert_eq!(TcpView::new(&out[..len]).and_then(TcpRepr::parse), Ok(repr));
    }
    if let Ok(repr) = UdpView::new(bytes).map(UdpRepr::parse) {
        let len = repr.emit(&mut out).unwrap();
        assert_eq!(
            UdpView::of_first_fragment(&out[..len]).map(UdpRepr::parse),
            Ok(repr)
        );
    }
    if let Ok(repr) = Icmpv4View::new(bytes).and_then(Icmpv4Repr::parse) {
        let len = repr.emit(&mut out).unwrap();
        assert_eq!(
            Icmpv4View::new(&out[..len]).and_then(Icmpv4Repr::parse),
            Ok(repr)
        );
    }
    if let Ok(repr) = Icmpv6View::new(bytes).and_then(Icmpv6Repr::parse) {
        let len = repr.emit(&mut out).unwrap();
        assert_eq!(
            Icmpv6View::new(&out[..len]).and_then(Icmpv6Repr::parse),
            Ok(repr)
        );
    }
    if let Ok(repr) = VxlanView::new(bytes).map(VxlanRepr::parse) {
        let len = repr.emit(&mut out).unwrap();
        assert_eq!(VxlanView::new(&out[..len]).map(VxlanRepr::parse), Ok(repr));
    }
    let [next_header, chain @ ..] = bytes else {
        return;
    };
    if let Ok(extensions) = ipv6::walk_extensions(*next_header, chain) {
        assert!(extensions.len <= chain.len());
    }
}

/// A virtio-net header and the frame behind it.
fn fuzz_virtio_net(bytes: &[u8]) {
    for form in [HeaderForm::Short, HeaderForm::Long] {
        let Ok(header) = VirtioNetHeader::parse(bytes, form) else {
            continue;
        };
        let mut frame = bytes[form.header_len()..].to_vec();
        let checked = header.check(frame.len());
        let finished = virtio_net::finish_checksum(&mut frame, &header);
        if let Ok(offload) = checked {
            finished.expect("a checked header is safe to act on");
            if let Ok(wire::Dissection {
                kind: Kind::Ip(packet),
                ..
            }) = dissect(&frame)
            {
                let _ = offload.check_packet(&packet);
            }
        }
    }
}

/// A trace.
fn fuzz_pcap(bytes: &[u8]) {
    let Ok(reader) = pcap::Reader::new(bytes) else {
        return;
    };
    let total: usize = reader
        .map(|record| record.map_or(0, |record| record.frame.len()))
        .sum();
    assert!(total <= bytes.len());
}

/// Runs a target under bolero.
macro_rules! fuzz {
    ($name:ident, $target:expr) => {
        #[test]
        fn $name() {
            bolero::check!()
                .with_iterations(4000)
                .with_max_len(512)
                .for_each($target);
        }
    };
}

fuzz!(frames_never_panic, fuzz_frame);
fuzz!(views_never_panic, fuzz_views);
fuzz!(virtio_net_never_panics, fuzz_virtio_net);
fuzz!(traces_never_panic, fuzz_pcap);

type Target = fn(&[u8]);

/// The committed files: folder and name, the target that reads it, and its bytes.
fn corpus() -> Vec<(&'static str, Target, Vec<u8>)> {
    let a4 = Endpoint::new(MacAddr([2, 0, 0, 0, 0, 0xa]), "10.0.0.4", 40000);
    let b4 = Endpoint::new(MacAddr([2, 0, 0, 0, 0, 0xb]), "10.0.0.5", 443);
    let a6 = Endpoint {
        ip: "fd00::4".parse().unwrap(),
        ..a4
    };
    let b6 = Endpoint {
        ip: "fd00::5".parse().unwrap(),
        ..b4
    };
    let syn = compose::tcp(&a4, &b4, TcpFlags::SYN, b"");
    let udp6 = compose::udp(&a6, &b6, &[0x55; 64]);
    let mut frames: Vec<(&'static str, Target, Vec<u8>)> = vec![
        (
            "frame/arp.bin",
            fuzz_frame,
            compose::arp_request(&a4, Ipv4Addr::new(10, 0, 0, 1)),
        ),
        (
            "frame/solicit.bin",
            fuzz_frame,
            compose::neighbour_solicit(&a6, "fd00::1".parse().unwrap()),
        ),
        ("frame/syn_v4.bin", fuzz_frame, syn.clone()),
        ("frame/udp_v6.bin", fuzz_frame, udp6.clone()),
        (
            "frame/echo_v4.bin",
            fuzz_frame,
            compose::echo_request(&a4, &b4, 7, b"ping"),
        ),
        (
            "frame/fragment_v6.bin",
            fuzz_frame,
            compose::fragments(&udp6, 9, 40).swap_remove(1),
        ),
        ("frame/options_v6.bin", fuzz_frame, options_v6(&a6, &b6)),
        (
            "frame/error_v4.bin",
            fuzz_frame,
            error_about(&syn, "10.0.0.1"),
        ),
        (
            "frame/error_v6.bin",
            fuzz_frame,
            error_about(&udp6, "fd00::1"),
        ),
        (
            "frame/vxlan_v4.bin",
            fuzz_frame,
            tunnelled(&syn, "192.0.2.1", "192.0.2.2"),
        ),
        (
            "frame/vxlan_v6.bin",
            fuzz_frame,
            tunnelled(&syn, "2001:db8::1", "2001:db8::2"),
        ),
        ("virtio/partial.bin", fuzz_virtio_net, partial(&syn)),
        ("pcap/two_frames.pcap", fuzz_pcap, trace(&[&syn, &udp6])),
    ];
    for (name, offset) in [("view/ipv4.bin", 14), ("view/tcp.bin", 34)] {
        frames.push((name, fuzz_views, syn[offset..].to_vec()));
    }
    frames
}

fn options_v6(a: &Endpoint, b: &Endpoint) -> Vec<u8> {
    let hop_by_hop = [60, 0, 1, 4, 0, 0, 0, 0];
    let destination = [17, 0, 1, 4, 0, 0, 0, 0];
    let udp = [0x9c, 0x40, 1, 0xbb, 0, 8, 0, 0];
    Packet::new(a, b, b"").ip(0, &[hop_by_hop, destination, udp].concat())
}

fn error_about(frame: &[u8], from: &str) -> Vec<u8> {
    let responder = Responder {
        mac: MacAddr([2, 0, 0, 0, 0, 1]),
        ip: from.parse().unwrap(),
    };
    let mut out = vec![0; 1500];
    let error = IcmpError::PacketTooBig { mtu: 1400 };
    let len = icmp_reply::icmp_error(frame, error, responder, &mut out).unwrap();
    out.truncate(len);
    out
}

fn tunnelled(frame: &[u8], from: &str, to: &str) -> Vec<u8> {
    let encap = VxlanEncap {
        outer_src_mac: MacAddr([2, 0, 0, 0, 1, 1]),
        outer_dst_mac: MacAddr([2, 0, 0, 0, 1, 2]),
        outer_src: from.parse().unwrap(),
        outer_dst: to.parse().unwrap(),
        vni: Vni::new(5001).unwrap(),
        src_port: 50000,
        dst_port: vxlan::PORT,
        dscp_ecn: 0,
        ttl: 64,
        ip_id: 1,
        dont_fragment: true,
    };
    let mut out = vec![0; frame.len() + encap.overhead()];
    vxlan::push_vxlan(frame, &encap, &mut out).unwrap();
    out
}

fn partial(frame: &[u8]) -> Vec<u8> {
    let header = VirtioNetHeader {
        flags: virtio_net::NEEDS_CSUM,
        csum_start: 34.into(),
        csum_offset: 16.into(),
        ..VirtioNetHeader::default()
    };
    let mut bytes = vec![0; 12];
    header.emit(HeaderForm::Long, &mut bytes).unwrap();
    bytes.extend_from_slice(frame);
    bytes
}

fn trace(frames: &[&[u8]]) -> Vec<u8> {
    let mut writer = pcap::Writer::new(Vec::new(), 65535).unwrap();
    for (at, frame) in (1..).zip(frames) {
        writer.write(Duration::from_secs(at), frame).unwrap();
    }
    writer.into_inner()
}

#[test]
fn the_corpus_is_current_and_replays() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let update = std::env::var_os("UPDATE_CORPUS").is_some();
    for (name, target, bytes) in corpus() {
        let path = folder.join(name);
        if update {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        let committed = fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            committed, bytes,
            "{name} differs; UPDATE_CORPUS=1 rewrites it"
        );
        target(&committed);
    }
}

#[test]
fn damaged_corpus_files_are_survived() {
    for (_, target, bytes) in corpus() {
        for len in 0..bytes.len() {
            target(&bytes[..len]);
        }
        for at in 0..bytes.len() {
            for damage in [0x01, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= damage;
                target(&damaged);
            }
        }
    }
}
