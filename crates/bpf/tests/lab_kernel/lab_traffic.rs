//! Frames of real guests: sockets in network namespaces, a TAP device, an exception device.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use bpf::{BpfEngine, Hook, OpenError};
use flow::{FlowKey, PortId, TcpFlags};
use wire::compose;

use crate::lab::{self, Guest, Lab, PATIENCE, PacketSocket, TCP, Tap, UDP, lab};

/// Runs a test once per hook that the kernel has.
fn with_each_hook(test: &str, check: impl Fn(Lab, BpfEngine)) {
    for hook in [Hook::Tcx, Hook::Clsact] {
        let Some(lab) = lab(test) else { return };
        let mut config = lab.config();
        config.hook = hook;
        match BpfEngine::open(&config) {
            Ok((engine, _)) => {
                assert_eq!(engine.hook(), hook);
                check(lab, engine);
            }
            Err(error @ OpenError::Hook { .. }) => lab::skipped(test, &error.to_string()),
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn install(engine: &mut BpfEngine, guests: &[Guest; 2], protocol: u8) {
    let [from, to] = [&guests[0], &guests[1]].map(Guest::attachment);
    let key = lab::key(1, 2, protocol, 4000, 5000);
    lab::install(engine, &[lab::pair(key, from, to)]);
}

pub(crate) fn udp_socket(guest: &Guest, port: u16) -> UdpSocket {
    udp_socket_at(guest, (guest.ipv4(), port).into())
}

fn udp_socket_at(guest: &Guest, address: SocketAddr) -> UdpSocket {
    let socket = guest.namespace.run(|| UdpSocket::bind(address).unwrap());
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// A datagram there, an answer back.
pub(crate) fn exchange(asker: &UdpSocket, answerer: &UdpSocket, payload: &[u8]) {
    let to = answerer.local_addr().unwrap();
    asker.send_to(payload, to).unwrap();
    let mut buffer = [0; 2048];
    let (length, from) = answerer.recv_from(&mut buffer).unwrap();
    assert_eq!(
        (&buffer[..length], from),
        (payload, asker.local_addr().unwrap())
    );
    answerer.send_to(b"answer", from).unwrap();
    let (length, from) = asker.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from), (&b"answer"[..], to));
}

#[test]
fn datagrams_pass_between_guests_and_counters_tell() {
    with_each_hook(
        "datagrams_pass_between_guests_and_counters_tell",
        |lab, mut engine| {
            let guests = lab.two_guests(&mut engine);
            install(&mut engine, &guests, UDP);
            let (asker, answerer) = (udp_socket(&guests[0], 4000), udp_socket(&guests[1], 5000));
            for _ in 0..10 {
                exchange(&asker, &answerer, b"question");
            }
            let there = lab::counters(&mut engine, lab::key(1, 2, UDP, 4000, 5000));
            assert_eq!((there.packets, there.bytes), (10, 10 * (14 + 20 + 8 + 8)));
            let back = lab::counters(&mut engine, lab::key(2, 1, UDP, 5000, 4000));
            assert_eq!((back.packets, back.bytes), (10, 10 * (14 + 20 + 8 + 6)));
            for port in [1, 2] {
                let stats = engine.port_stats(PortId(port)).unwrap();
                assert_eq!((stats.from_guest_packets, stats.to_guest_packets), (10, 10));
            }
        },
    );
}

#[test]
fn ipv6_datagrams_pass_with_one_hop_less() {
    with_each_hook(
        "ipv6_datagrams_pass_with_one_hop_less",
        |lab, mut engine| {
            let guests = lab.two_guests(&mut engine);
            guests.iter().for_each(Guest::enable_ipv6);
            let [from, to] = guests.each_ref().map(Guest::attachment);
            let [src, dst] = guests.each_ref().map(|guest| IpAddr::from(guest.ipv6()));
            let key = FlowKey::new(PortId(1), src, dst, UDP, 4000, 5000);
            let mut pair = lab::pair(key, from, to);
            pair.forward.transposition.decrement_ttl = true;
            lab::install(&mut engine, &[pair]);
            let asker = udp_socket_at(&guests[0], (src, 4000).into());
            let answerer = udp_socket_at(&guests[1], (dst, 5000).into());
            let at_receiver = guests[1].packet_socket();
            exchange(&asker, &answerer, b"question");
            let seen = at_receiver.receive(|seen| seen.frame.ends_with(b"question"));
            assert_eq!(seen.frame[21], 63);
            assert_eq!(lab::counters(&mut engine, key).packets, 1);
        },
    );
}

/// A TCP connection from the first guest to the second, the test being the switch that forwards
/// its SYN.
fn connect(lab: &Lab, engine: &mut BpfEngine, guests: &[Guest; 2]) -> (TcpStream, TcpStream) {
    let exceptions = lab.exceptions(engine);
    install(engine, guests, TCP);
    let to_receiver = PacketSocket::open(guests[1].ifindex);
    let receiver = SocketAddr::from((guests[1].ipv4(), 5000));
    let listener = guests[1]
        .namespace
        .run(|| TcpListener::bind(receiver).unwrap());
    let from = SocketAddr::from((guests[0].ipv4(), 4000));
    thread::scope(|scope| {
        let connecting = scope.spawn(|| {
            guests[0]
                .namespace
                .run(|| lab::connect_from(from, receiver))
        });
        let syn = exceptions.receive(|seen| seen.frame.len() > 47 && seen.frame[47] == 2);
        assert_eq!(syn.tag, Some(1));
        let mut frame = syn.frame;
        frame[..6].copy_from_slice(&guests[1].attachment().mac.0);
        // The guest left the checksum to its device, and nobody is one here.
        lab::fill_checksum(&mut frame);
        to_receiver.send(&frame);
        let (accepted, _) = listener.accept().unwrap();
        (connecting.join().unwrap(), accepted)
    })
}

#[test]
fn a_connection_passes_in_super_segments_and_its_end_is_told() {
    let name = "a_connection_passes_in_super_segments_and_its_end_is_told";
    with_each_hook(name, |lab, mut engine| {
        const BYTES: usize = 4 << 20;
        let guests = lab.two_guests(&mut engine);
        let (mut sender, mut receiver) = connect(&lab, &mut engine, &guests);
        let data: Vec<u8> = (0..=250).cycle().take(BYTES).collect();
        let received = thread::scope(|scope| {
            let reading = scope.spawn(|| {
                let mut all = Vec::new();
                receiver.read_to_end(&mut all).unwrap();
                all
            });
            sender.write_all(&data).unwrap();
            sender.shutdown(Shutdown::Write).unwrap();
            reading.join().unwrap()
        });
        assert!(received == data);
        let key = lab::key(1, 2, TCP, 4000, 5000);
        let there = lab::counters(&mut engine, key);
        assert!(there.bytes > BYTES as u64);
        let mean = there.bytes / there.packets;
        assert!(
            mean > 1514,
            "segments were cut before they reached the engine: {mean} bytes each"
        );
        let mut told = Vec::new();
        engine.poll_events(&mut |key, flags| told.push((key, flags.contains(TcpFlags::FIN))));
        let answer = key.reversed_at(PortId(2));
        assert_eq!(
            told,
            [(answer, false), (key, true)],
            "the answer, and the end"
        );
        drop((sender, receiver));
    });
}

#[test]
fn exceptions_arrive_as_sent_with_their_port_and_go_no_further() {
    let name = "exceptions_arrive_as_sent_with_their_port_and_go_no_further";
    with_each_hook(name, |lab, mut engine| {
        let guests = lab.two_guests(&mut engine);
        let exceptions = lab.exceptions(&mut engine);
        for guest in &guests {
            let frame = compose::udp(&guest.source(1), &guests[0].behind_router(2), b"unknown");
            guest.packet_socket().send(&frame);
            let seen = exceptions.receive(|seen| seen.frame == frame);
            assert_eq!(seen.tag, Some(guest.number.into()));
            for length in [14, 15, 33, 34, frame.len() - 1] {
                guest.packet_socket().send(&frame[..length]);
                exceptions.receive(|seen| seen.frame == frame[..length]);
            }
            // One for the host's own stack, if it were let in.
            let mut to_host = frame.clone();
            to_host[..6].fill(0xff);
            guest.packet_socket().send(&to_host);
            exceptions.receive(|seen| seen.frame == to_host);
        }
        let snmp = lab
            .host()
            .run(|| std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap());
        let received = snmp
            .lines()
            .filter(|line| line.starts_with("Ip:"))
            .nth(1)
            .unwrap();
        assert_eq!(
            received.split(' ').nth(3),
            Some("0"),
            "the host's stack saw a packet"
        );
        for guest in &guests {
            let stats = engine.port_stats(PortId(guest.number.into())).unwrap();
            assert!(stats.exceptions >= 2);
        }
    });
}

/// The kernel takes the outer tag out of the frame before the program sees it. The switch must see
/// it again, as the EtherType that it refuses.
#[test]
fn tags_of_a_guest_are_found_in_the_frame() {
    with_each_hook(
        "tags_of_a_guest_are_found_in_the_frame",
        |lab, mut engine| {
            let guests = lab.two_guests(&mut engine);
            let exceptions = lab.exceptions(&mut engine);
            install(&mut engine, &guests, UDP);
            let plain = compose::udp(
                &guests[0].source(4000),
                &guests[1].behind_router(5000),
                b"tagged",
            );
            let tags: [&[u8]; 3] = [
                &[0x81, 0, 0, 5],
                &[0x88, 0xa8, 0x20, 6],
                &[0x88, 0xa8, 0, 6, 0x81, 0, 0, 5],
            ];
            for tag in tags {
                let mut frame = plain.clone();
                frame.splice(12..12, tag.iter().copied());
                guests[0].packet_socket().send(&frame);
                let seen = exceptions.receive(|seen| seen.frame.ends_with(b"tagged"));
                assert_eq!((seen.tag, &seen.frame), (Some(1), &frame));
            }
            // A tag of zeroes is one too.
            let mut frame = plain.clone();
            frame.splice(12..12, [0x81, 0, 0, 0]);
            guests[0].packet_socket().send(&frame);
            assert_eq!(
                exceptions
                    .receive(|seen| seen.frame.ends_with(b"tagged"))
                    .frame,
                frame
            );
        },
    );
}

#[test]
fn a_tap_guest_sends_and_receives() {
    with_each_hook("a_tap_guest_sends_and_receives", |lab, mut engine| {
        let guest = Guest::new(lab.host(), 1);
        let mut tap = Tap::new(lab.host(), 2);
        lab::attach(&mut engine, guest.attachment());
        lab::attach(&mut engine, tap.attachment());
        let key = lab::key(1, 2, UDP, 4000, 5000);
        lab::install(
            &mut engine,
            &[lab::pair(key, guest.attachment(), tap.attachment())],
        );
        let socket = udp_socket(&guest, 4000);
        socket.send_to(b"to the tap", "10.0.0.2:5000").unwrap();
        let received = tap.receive();
        assert_eq!(&received[..6], &tap.attachment().mac.0);
        assert_eq!(&received[42..], b"to the tap");

        let source = compose::Endpoint::new(tap.attachment().mac, "10.0.0.2", 5000);
        tap.send(&compose::udp(
            &source,
            &guest.behind_router(4000),
            b"from the tap",
        ));
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"from the tap");
    });
}

#[test]
fn exceptions_follow_the_device_they_are_sent_to() {
    with_each_hook(
        "exceptions_follow_the_device_they_are_sent_to",
        |lab, mut engine| {
            let guests = lab.two_guests(&mut engine);
            let first = lab.exceptions(&mut engine);
            lab.host().ip("link add other type veth peer name rehto");
            lab.host().ip("link set other up");
            let ifindex = lab.host().ifindex("other");
            let second = PacketSocket::open(ifindex);
            engine.set_exception_device(ifindex).unwrap();
            first.drain();
            let frame = compose::udp(&guests[0].source(1), &guests[1].behind_router(2), b"moved");
            guests[0].packet_socket().send(&frame);
            assert_eq!(second.receive(|seen| seen.frame == frame).tag, Some(1));
            assert!(first.drain().iter().all(|seen| seen.frame != frame));
        },
    );
}
