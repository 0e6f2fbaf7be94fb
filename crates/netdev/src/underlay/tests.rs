use std::net::{IpAddr, UdpSocket};

use rustix::io::Errno;

use super::*;
use crate::{
    addr::Address as LinkAddress,
    fixture::{PATIENCE, VethPair, link_name, require_root},
    sysctl::{self, Scope, Setting},
};

/// A UDP datagram from its IP header on, `payload` behind it; without checksums but IPv4's own,
/// which the kernel fills in.
fn packet(from: IpAddr, to: IpAddr, port: u16, payload: &[u8]) -> Vec<u8> {
    let udp_len = u16::try_from(8 + payload.len()).unwrap();
    let mut packet = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let total = (20 + udp_len).to_be_bytes();
            let head = [0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, 17, 0, 0];
            [&head[..], &from.octets(), &to.octets()].concat()
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let len = udp_len.to_be_bytes();
            let head = [0x60, 0, 0, 0, len[0], len[1], 17, 64];
            [&head[..], &from.octets(), &to.octets()].concat()
        }
        _ => unreachable!("one family"),
    };
    let ports = [50_000_u16.to_be_bytes(), port.to_be_bytes()].concat();
    packet.extend([&ports[..], &udp_len.to_be_bytes(), &[0, 0], payload].concat());
    packet
}

fn push(batch: &mut UnderlayBatch, to: IpAddr, packet: &[u8]) -> Result<(), BatchFull> {
    let pushed = batch.push(to, packet.len(), |room| {
        room.copy_from_slice(packet);
        Ok::<_, ()>(packet.len())
    })?;
    pushed.expect("it was written");
    Ok(())
}

async fn addressed(a: &str, b: &str) -> (VethPair, IpAddr, IpAddr) {
    let pair = VethPair::new().await;
    let ends = [
        (&pair.a, "va", pair.a_index, a),
        (&pair.b, "vb", pair.b_index, b),
    ];
    for (end, name, index, address) in ends {
        for scope in [Scope::All, Scope::Default] {
            sysctl::write(&end.namespace, &[(Setting::DisableIpv6(scope), 0)]).unwrap();
        }
        let link = link_name(name);
        let quiet = [(Setting::DisableIpv6(Scope::Link(&link)), 0)];
        sysctl::write(&end.namespace, &quiet).unwrap();
        let address = LinkAddress {
            no_dad: true,
            ..LinkAddress::from(address.parse::<ipnet::IpNet>().unwrap())
        };
        end.netlink().add_address(index, &address).await.unwrap();
    }
    let ip = |text: &str| text.split('/').next().unwrap().parse().unwrap();
    (pair, ip(a), ip(b))
}

#[tokio::test]
async fn packets_of_both_families_find_their_way() {
    require_root!();
    for (a, b) in [
        ("192.0.2.1/24", "192.0.2.2/24"),
        ("fd00::1/64", "fd00::2/64"),
    ] {
        let (pair, near, far) = addressed(a, b).await;
        let server = pair
            .b
            .run(|| UdpSocket::bind(SocketAddr::new(far, 4_000)).unwrap());
        // Linux takes a zero checksum over IPv6 only where it is asked to (RFC 6935).
        if far.is_ipv6() {
            const UDP_NO_CHECK6_RX: i32 = 102;
            socket::set_option(server.as_fd(), libc::SOL_UDP, UDP_NO_CHECK6_RX, 1).unwrap();
        }
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        let sender = pair
            .a
            .run(|| UnderlaySender::open(near, pair.a_index).unwrap());
        let mut batch = UnderlayBatch::with_capacity(100, 1 << 20);
        for number in 0..40_u8 {
            push(&mut batch, far, &packet(near, far, 4_000, &[number; 33])).unwrap();
        }
        assert_eq!(batch.len(), 40);
        let sent = batch.send(&sender, |refused| panic!("{refused:?}"));
        assert_eq!((sent, batch.is_empty()), (40, true));
        for number in 0..40_u8 {
            let mut bytes = [0; 100];
            let (len, peer) = server.recv_from(&mut bytes).unwrap();
            assert_eq!(&bytes[..len], [number; 33]);
            assert_eq!(peer, SocketAddr::new(near, 50_000));
        }
    }
}

#[tokio::test]
async fn what_the_link_does_not_take_is_told_and_the_rest_goes() {
    require_root!();
    let (pair, near, far) = addressed("192.0.2.1/24", "192.0.2.2/24").await;
    let server = pair
        .b
        .run(|| UdpSocket::bind(SocketAddr::new(far, 4_000)).unwrap());
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let sender = pair
        .a
        .run(|| UnderlaySender::open(near, pair.a_index).unwrap());
    let mut batch = UnderlayBatch::with_capacity(10, 1 << 16);
    push(&mut batch, far, &packet(near, far, 4_000, &[1; 1_472])).unwrap();
    push(&mut batch, far, &packet(near, far, 4_000, &[2; 1_473])).unwrap();
    push(&mut batch, far, &packet(near, far, 4_000, &[4])).unwrap();
    let mut refused = Vec::new();
    let sent = batch.send(&sender, |packet| refused.push((packet.index, packet.why)));
    assert_eq!(sent, 2);
    assert_eq!(refused, [(1, Refusal::TooLong)]);
    for expected in [1, 4] {
        let mut bytes = [0; 2_000];
        server.recv_from(&mut bytes).unwrap();
        assert_eq!(bytes[0], expected);
    }
    pair.a.netlink().delete_link(pair.a_index).await.unwrap();
    push(&mut batch, far, &packet(near, far, 4_000, &[5])).unwrap();
    assert_eq!(batch.send(&sender, |_| {}), 0);
}

#[tokio::test]
async fn a_reserved_port_is_nobody_elses() {
    require_root!();
    let (pair, near, _) = addressed("192.0.2.1/24", "192.0.2.2/24").await;
    let reserve = |address: IpAddr| {
        let reserved = pair.a.run(|| reserve_port(address, 4_789));
        reserved.map_err(|error| Errno::from_io_error(&error).unwrap())
    };
    let held = reserve(near).unwrap();
    assert_eq!(reserve(near).unwrap_err(), Errno::ADDRINUSE);
    assert_eq!(
        reserve("192.0.2.9".parse().unwrap()).unwrap_err(),
        Errno::ADDRNOTAVAIL
    );
    drop(held);
    reserve(near).unwrap();
}

#[test]
fn a_batch_has_limits() {
    let to: IpAddr = "192.0.2.1".parse().unwrap();
    let mut batch = UnderlayBatch::with_capacity(2, 100);
    assert_eq!(push(&mut batch, to, &[0; 101]), Err(BatchFull { len: 101 }));
    push(&mut batch, to, &[0; 60]).unwrap();
    assert_eq!(push(&mut batch, to, &[0; 60]), Err(BatchFull { len: 60 }));
    assert_eq!(batch.push(to, 40, |_| Err("no")), Ok(Err("no")));
    // What was not written takes no room, and what was written short takes no more than it is.
    assert_eq!(batch.push(to, 40, |_| Ok::<_, ()>(4)), Ok(Ok(())));
    assert_eq!(push(&mut batch, to, &[0; 1]), Err(BatchFull { len: 1 }));
    batch.clear();
    assert!(batch.is_empty());
    push(&mut batch, to, &[0; 100]).unwrap();
}
