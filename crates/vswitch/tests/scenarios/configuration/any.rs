//! Whatever is asked, nothing breaks, and an answer gives only what the NIC has.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use vswitch::Outcome;
use wire::dhcpv4::{Dhcpv4View, MessageType, option as option4};
use wire::dhcpv6::{Association, Dhcpv6View, option as option6};

use super::dhcp4::Client;
use super::{GUEST, GUEST6, LINK_LOCAL, Told, bench, dhcp4, dhcp6, router};

/// Bytes that are written over a message, at places relative to its length.
fn damage() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)
}

fn damaged(mut bytes: Vec<u8>, damage: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    for (at, byte) in damage {
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
    }
    bytes
}

/// Sends; what was answered, if anything was.
fn ask(frame: &[u8]) -> Option<Told> {
    let mut bench = bench();
    let sent = bench.send(1, frame);
    match sent.outcome {
        Outcome::Answered => Some(Told::read(sent.reply.expect("an answer"))),
        Outcome::Dropped(_) => {
            assert_eq!(sent.reply, None);
            None
        }
        other => panic!("{other:?}"),
    }
}

fn assert_own_v4(told: &Told) {
    let view = Dhcpv4View::new(told.datagram()).expect("well formed");
    let own = |address: Ipv4Addr| address.is_unspecified() || address == GUEST;
    assert!(own(view.your_address()) && own(view.client_address()));
    let to = told.ip.dst;
    assert!(to == IpAddr::V4(GUEST) || to == IpAddr::V4(Ipv4Addr::BROADCAST));
}

fn assert_own_v6(told: &Told) {
    let view = Dhcpv6View::new(told.datagram()).expect("well formed");
    for (code, value) in view.options() {
        if code != option6::IA_NA {
            continue;
        }
        let lease = Association::parse(value).expect("well formed");
        let lifetimes = value[12..].chunks(28).map(|one| one.get(24..28));
        for (address, valid) in lease.addresses().zip(lifetimes) {
            let gone = valid == Some(&[0; 4][..]);
            assert!(address == GUEST6 || gone, "{address}");
        }
    }
}

fn code4() -> impl Strategy<Value = u8> {
    prop_oneof![
        Just(option4::REQUESTED_ADDRESS),
        Just(option4::SERVER_ID),
        Just(option4::CLIENT_ID),
        Just(option4::OVERLOAD),
        Just(option4::MAX_MESSAGE_SIZE),
        Just(option4::PARAMETER_LIST),
        any::<u8>(),
    ]
}

fn option_of_v6() -> impl Strategy<Value = (u16, Vec<u8>)> {
    let address = prop_oneof![Just(GUEST6), any::<u128>().prop_map(Ipv6Addr::from_bits)];
    let addresses = prop::collection::vec(address, 0..4);
    prop_oneof![
        Just((option6::CLIENT_ID, vec![0, 3, 0, 1, 2, 0, 0, 0, 0, 1])),
        Just((option6::SERVER_ID, dhcp6::server_id())),
        Just((option6::RAPID_COMMIT, vec![])),
        (any::<u8>(), addresses).prop_map(|(id, has)| dhcp6::association(id, &has)),
        (0_u16..32, prop::collection::vec(any::<u8>(), 0..60)),
    ]
}

proptest! {
    #[test]
    fn dhcp(
        kind in 1_u8..=8,
        has in prop_oneof![Just(GUEST), Just(Ipv4Addr::UNSPECIFIED), any::<u32>().prop_map(Ipv4Addr::from_bits)],
        broadcast: bool,
        options in prop::collection::vec((code4(), prop::collection::vec(any::<u8>(), 0..40)), 0..8),
        damage in damage(),
    ) {
        let mut client = Client::says(MessageType::Discover);
        client.options[0].1[0] = kind;
        client.head.client_address = has;
        client.head.broadcast = broadcast;
        client.options.extend(options);
        let message = damaged(client.message(), &damage);
        if let Some(told) = ask(&dhcp4::to_all(&message)) {
            assert_own_v4(&told);
        }
    }

    #[test]
    fn dhcpv6(
        kind in 0_u8..14,
        options in prop::collection::vec(option_of_v6(), 0..8),
        damage in damage(),
    ) {
        let message = damaged(dhcp6::message_of(kind, &options), &damage);
        if let Some(told) = ask(&dhcp6::to_all(&message)) {
            assert_own_v6(&told);
        }
    }

    #[test]
    fn bytes_of_any_kind(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for frame in [dhcp4::to_all(&bytes), dhcp6::to_all(&bytes)] {
            prop_assert!(ask(&frame).is_none());
        }
        if let Some(told) = ask(&router::solicit(LINK_LOCAL, &bytes)) {
            prop_assert_eq!(told.ip.dst, IpAddr::V6(LINK_LOCAL));
        }
    }

    #[test]
    fn damaged_frames(
        which in 0_usize..3,
        damage in damage(),
        cut in any::<prop::sample::Index>(),
    ) {
        let request = Client::says(MessageType::Request).with(option4::REQUESTED_ADDRESS, &GUEST.octets());
        let solicit = dhcp6::message_of(1, &[dhcp6::association(1, &[GUEST6])]);
        let frame = match which {
            0 => dhcp4::to_all(&request.message()),
            1 => dhcp6::to_all(&solicit),
            _ => router::solicit(LINK_LOCAL, &[1, 1, 2, 0, 0, 0, 0, 1]),
        };
        let mut frame = damaged(frame, &damage);
        frame.truncate(14 + cut.index(frame.len()));
        let mut bench = bench();
        let sent = bench.send(1, &frame);
        prop_assert_eq!(sent.outcome == Outcome::Answered, sent.reply.is_some());
    }
}
