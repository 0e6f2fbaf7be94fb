use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use flow::DropReason;
use vswitch::{Outcome, router_mac};
use wire::compose::{self, Endpoint};
use wire::dhcpv4::{Dhcpv4Repr, Dhcpv4View, Dhcpv4Writer, MessageType, option};
use wire::{L4, MacAddr};

use super::{GATEWAY, GUEST, Told, bench, guest, world};
use crate::model::bench::{Bench, dropped, to, via_router};
use crate::model::rules::{deny, nic_group};
use crate::model::world::{mac, v4, v6};

const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

/// What a client says.
pub(super) struct Client {
    pub(super) head: Dhcpv4Repr,
    pub(super) options: Vec<(u8, Vec<u8>)>,
}

impl Client {
    pub(super) fn says(kind: MessageType) -> Client {
        Client {
            head: Dhcpv4Repr {
                reply: false,
                xid: 0xc1ea_40a1,
                broadcast: false,
                client_address: NOBODY,
                your_address: NOBODY,
                client_mac: mac(1),
            },
            options: vec![(option::MESSAGE_TYPE, vec![kind as u8])],
        }
    }

    pub(super) fn with(mut self, code: u8, value: &[u8]) -> Client {
        self.options.push((code, value.to_vec()));
        self
    }

    pub(super) fn has(mut self, address: Ipv4Addr) -> Client {
        self.head.client_address = address;
        self
    }

    pub(super) fn message(&self) -> Vec<u8> {
        let mut out = vec![0; 1_400];
        let mut writer = Dhcpv4Writer::new(&mut out, &self.head).expect("room");
        for (code, value) in &self.options {
            writer.option(*code, value).expect("room");
        }
        let len = writer.finish();
        out.truncate(len);
        out
    }

    /// To everybody, as a client without address sends.
    fn to_all(&self) -> Vec<u8> {
        to_all(&self.message())
    }

    /// To the gateway, as a client that renews sends.
    pub(super) fn to_gateway(&self) -> Vec<u8> {
        let server = via_router(Endpoint {
            ip: GATEWAY.into(),
            port: 67,
            ..guest(NOBODY, 0)
        });
        compose::udp(&guest(GUEST, 68), &server, &self.message())
    }
}

pub(super) fn to_all(message: &[u8]) -> Vec<u8> {
    let all = Endpoint {
        mac: MacAddr::BROADCAST,
        ip: Ipv4Addr::BROADCAST.into(),
        port: 67,
    };
    compose::udp(&guest(NOBODY, 68), &all, message)
}

/// Sends what must have an answer.
#[track_caller]
fn ask(bench: &mut Bench, frame: &[u8]) -> Told {
    let sent = bench.send(1, frame);
    assert_eq!(sent.outcome, Outcome::Answered);
    let told = Told::read(sent.reply.expect("an answer"));
    assert_eq!(told.from, router_mac());
    assert_eq!(told.ip.src, IpAddr::V4(GATEWAY));
    assert_eq!(
        told.ip.l4,
        L4::Udp {
            sport: 67,
            dport: 68
        }
    );
    told
}

fn kind_of(told: &Told) -> (MessageType, Ipv4Addr) {
    let view = Dhcpv4View::new(told.datagram()).expect("well formed");
    (view.message_type().expect("one"), view.your_address())
}

fn options_of(told: &Told) -> Vec<(u8, Vec<u8>)> {
    let view = Dhcpv4View::new(told.datagram()).expect("well formed");
    let options = view.options();
    options
        .map(|(code, value)| (code, value.to_vec()))
        .collect()
}

#[test]
fn a_new_guest_is_told_all_that_its_nic_has() {
    let mut bench = bench();
    let discover = Client::says(MessageType::Discover)
        .with(option::CLIENT_ID, &[1, 2, 0, 0, 0, 0, 1])
        .with(option::PARAMETER_LIST, &[1, 3, 6, 26, 28, 121, 119]);
    let offer = ask(&mut bench, &discover.to_all());
    assert_eq!((offer.to, offer.ip.dst), (mac(1), GUEST.into()));
    assert_eq!(kind_of(&offer), (MessageType::Offer, GUEST));
    let expected = vec![
        (option::MESSAGE_TYPE, vec![2]),
        (option::SERVER_ID, vec![10, 0, 0, 254]),
        (option::CLIENT_ID, vec![1, 2, 0, 0, 0, 0, 1]),
        (option::LEASE_TIME, vec![0, 1, 0x51, 0x80]),
        (option::RENEWAL_TIME, vec![0, 0, 0xa8, 0xc0]),
        (option::REBINDING_TIME, vec![0, 1, 0x27, 0x50]),
        (option::SUBNET_MASK, vec![255, 255, 255, 0]),
        (option::CLASSLESS_ROUTES, vec![0, 10, 0, 0, 254]),
        (option::ROUTER, vec![10, 0, 0, 254]),
        (option::INTERFACE_MTU, vec![0x05, 0x78]),
        (option::BROADCAST_ADDRESS, vec![10, 0, 0, 255]),
        (option::DNS_SERVERS, vec![10, 0, 9, 53, 10, 0, 9, 54]),
    ];
    assert_eq!(options_of(&offer), expected);

    let request = Client::says(MessageType::Request)
        .with(option::SERVER_ID, &GATEWAY.octets())
        .with(option::REQUESTED_ADDRESS, &GUEST.octets());
    let ack = ask(&mut bench, &request.to_all());
    assert_eq!(kind_of(&ack), (MessageType::Ack, GUEST));
    let view = Dhcpv4View::new(ack.datagram()).expect("well formed");
    assert_eq!(view.xid(), 0xc1ea_40a1);
    assert_eq!(view.client_mac(), mac(1));
    assert_eq!(bench.counters(1).answered, 2);
    assert_eq!(bench.counters(2).to_guest_packets, 0);
}

#[test]
fn what_was_not_asked_for_is_not_told() {
    let mut bench = bench();
    let discover = Client::says(MessageType::Discover).with(option::PARAMETER_LIST, &[6]);
    let codes: Vec<u8> = options_of(&ask(&mut bench, &discover.to_all()))
        .into_iter()
        .map(|(code, _)| code)
        .collect();
    assert_eq!(codes, [53, 54, 51, 58, 59, 1, 6]);
}

#[test]
fn a_client_that_hears_no_unicast_is_told_by_broadcast() {
    let mut bench = bench();
    let mut discover = Client::says(MessageType::Discover);
    discover.head.broadcast = true;
    let offer = ask(&mut bench, &discover.to_all());
    assert_eq!(
        (offer.to, offer.ip.dst),
        (MacAddr::BROADCAST, Ipv4Addr::BROADCAST.into())
    );
    let view = Dhcpv4View::new(offer.datagram()).expect("well formed");
    assert!(view.broadcast() && view.your_address() == GUEST);
}

#[test]
fn renewals_are_answered_whatever_the_rules_say() {
    let mut world = world();
    world.set_outbound(1, vec![nic_group(vec![deny("everything", 100)])]);
    let mut bench = Bench::new(world);
    let renew = Client::says(MessageType::Request).has(GUEST);
    let mut rebind = Client::says(MessageType::Request).has(GUEST);
    rebind.head.broadcast = true;
    for frame in [renew.to_gateway(), rebind.to_all(), rebind.to_gateway()] {
        let ack = ask(&mut bench, &frame);
        assert_eq!(kind_of(&ack), (MessageType::Ack, GUEST));
        assert_eq!((ack.to, ack.ip.dst), (mac(1), GUEST.into()));
    }
    assert_eq!(bench.switch.flows().len(), 0, "that is no flow");
}

#[test]
fn who_asks_for_another_address_is_refused_by_broadcast() {
    let mut bench = bench();
    let other = Ipv4Addr::new(10, 0, 0, 77);
    let starting = |address: Ipv4Addr| {
        Client::says(MessageType::Request).with(option::REQUESTED_ADDRESS, &address.octets())
    };
    assert_eq!(
        kind_of(&ask(&mut bench, &starting(GUEST).to_all())).0,
        MessageType::Ack
    );
    let selecting = starting(other).with(option::SERVER_ID, &GATEWAY.octets());
    let renewing = Client::says(MessageType::Request).has(other);
    let contradicting = starting(GUEST).has(other);
    for wrong in [starting(other), selecting, renewing, contradicting] {
        let wrong = wrong.with(option::CLIENT_ID, &[0, 9]);
        let nak = ask(&mut bench, &wrong.to_all());
        assert_eq!(kind_of(&nak), (MessageType::Nak, NOBODY));
        assert_eq!(
            (nak.to, nak.ip.dst),
            (MacAddr::BROADCAST, Ipv4Addr::BROADCAST.into())
        );
        let codes = [option::MESSAGE_TYPE, option::SERVER_ID, option::CLIENT_ID];
        let told: Vec<u8> = options_of(&nak).into_iter().map(|(code, _)| code).collect();
        assert_eq!(told, codes, "and is told nothing else");
    }
}

#[test]
fn a_configured_guest_is_told_the_rest() {
    let mut bench = bench();
    let ack = ask(
        &mut bench,
        &Client::says(MessageType::Inform).has(GUEST).to_all(),
    );
    assert_eq!(kind_of(&ack), (MessageType::Ack, NOBODY));
    assert_eq!(ack.ip.dst, IpAddr::V4(GUEST));
    let told: Vec<u8> = options_of(&ack).into_iter().map(|(code, _)| code).collect();
    assert_eq!(told, [53, 54, 1, 121, 3, 26, 28, 6], "but no lease");
}

#[test]
fn only_the_first_nic_of_a_guest_has_a_default_route() {
    let mut world = world();
    world.nic(1).primary = false;
    let mut bench = Bench::new(world);
    let offer = ask(&mut bench, &Client::says(MessageType::Discover).to_all());
    let told: Vec<u8> = options_of(&offer)
        .into_iter()
        .map(|(code, _)| code)
        .collect();
    assert!(
        !told.contains(&option::ROUTER) && !told.contains(&option::CLASSLESS_ROUTES),
        "{told:?}"
    );
    assert!(told.contains(&option::SUBNET_MASK));
}

#[test]
fn an_answer_is_no_longer_than_its_client_takes() {
    let mut world = world();
    world.nic(1).dns_servers = (1..=20).map(|last| v4(0, 9, last)).collect();
    let mut bench = Bench::new(world);
    let name = [7; 255];
    let mut lens = Vec::new();
    for takes in [None, Some(100_u16), Some(620), Some(u16::MAX)] {
        let mut discover = Client::says(MessageType::Discover).with(option::CLIENT_ID, &name);
        if let Some(takes) = takes {
            discover = discover.with(option::MAX_MESSAGE_SIZE, &takes.to_be_bytes());
        }
        let offer = ask(&mut bench, &discover.to_all());
        let limit = takes.unwrap_or(576).clamp(576, 1_400);
        assert!(offer.ip.l3_len <= usize::from(limit), "{takes:?}");
        let options = options_of(&offer);
        let value = |code| options.iter().find(|(found, _)| *found == code);
        assert_eq!(value(option::CLIENT_ID).expect("echoed").1, name);
        assert!(value(option::SUBNET_MASK).is_some());
        lens.push(value(option::DNS_SERVERS).map_or(0, |(_, servers)| servers.len()));
    }
    assert_eq!(lens[0], lens[1], "no client takes less than 576 bytes");
    assert!(lens[1] < lens[2] && lens[2] < 80, "{lens:?}");
    assert_eq!(lens[3], 80);
}

#[test]
fn what_wants_no_answer_has_none() {
    let mut bench = bench();
    let says = Client::says;
    let other_server = Ipv4Addr::new(10, 0, 0, 253).octets();
    let mut bootp = says(MessageType::Discover);
    bootp.options.clear();
    let mut answer = says(MessageType::Ack);
    answer.head.reply = true;
    let mut relayed = says(MessageType::Discover).message();
    relayed[24..28].copy_from_slice(&[10, 0, 0, 9]);
    let mut token_ring = says(MessageType::Discover).message();
    token_ring[1] = 6;
    let cases = [
        says(MessageType::Release).has(GUEST).to_gateway(),
        says(MessageType::Decline)
            .with(option::REQUESTED_ADDRESS, &GUEST.octets())
            .to_all(),
        says(MessageType::Offer).to_all(),
        says(MessageType::Request).to_all(),
        says(MessageType::Request)
            .with(option::SERVER_ID, &other_server)
            .with(option::REQUESTED_ADDRESS, &GUEST.octets())
            .to_all(),
        says(MessageType::Inform)
            .has(Ipv4Addr::new(10, 0, 0, 2))
            .to_all(),
        bootp.to_all(),
        answer.to_all(),
        to_all(&relayed),
        to_all(&token_ring),
    ];
    for (index, frame) in cases.iter().enumerate() {
        let sent = bench.send(1, frame);
        let unanswered = dropped(DropReason::UnansweredConfiguration);
        assert_eq!((sent.outcome, sent.reply), (unanswered, None), "{index}");
        bench.pass(Duration::from_millis(70));
    }
    let [first, ..] = &compose::fragments(&says(MessageType::Discover).to_all(), 7, 200)[..] else {
        panic!("some fragments")
    };
    let sent = bench.outcome(1, first);
    assert_eq!(sent, dropped(DropReason::UnansweredConfiguration));
}

#[test]
fn who_speaks_for_others_is_dropped_as_spoofing() {
    let mut bench = bench();
    let mut discover = Client::says(MessageType::Discover);
    discover.head.client_mac = mac(2);
    let spoofed = bench.outcome(1, &discover.to_all());
    assert_eq!(spoofed, dropped(DropReason::SpoofedMac));
    let mut frame = Client::says(MessageType::Discover).to_all();
    let all = Endpoint {
        mac: MacAddr::BROADCAST,
        ip: Ipv4Addr::BROADCAST.into(),
        port: 67,
    };
    let message = frame.split_off(42);
    let foreign = compose::udp(&guest(Ipv4Addr::new(10, 0, 0, 2), 68), &all, &message);
    assert_eq!(bench.outcome(1, &foreign), dropped(DropReason::SpoofedIp));
    let cut = bench.outcome(1, &to_all(&message[..200]));
    assert_eq!(cut, dropped(DropReason::Malformed));
}

#[test]
fn a_nic_without_ipv4_has_nothing_to_tell() {
    let mut world = world();
    let nic = world.nic(1);
    nic.addresses = vec![v6(0, 0, 1)];
    nic.subnets.remove(0);
    let mut bench = Bench::new(world);
    let sent = bench.outcome(1, &Client::says(MessageType::Discover).to_all());
    assert_eq!(sent, dropped(DropReason::UnansweredConfiguration));
}

#[test]
fn a_server_of_the_tenants_own_is_a_guest_like_any_other() {
    let mut bench = bench();
    let relay = Endpoint {
        port: 67,
        ..bench.end(2, 0)
    };
    let frame = compose::udp(
        &guest(GUEST, 68),
        &via_router(relay),
        &Client::says(MessageType::Inform).message(),
    );
    assert_eq!(bench.outcome(1, &frame), to(2));
}

#[test]
fn questions_are_answered_at_a_bounded_rate() {
    let mut bench = bench();
    let frame = Client::says(MessageType::Discover).to_all();
    let outcomes: Vec<Outcome> = (0..200).map(|_| bench.outcome(1, &frame)).collect();
    let answered = outcomes.iter().filter(|one| **one == Outcome::Answered);
    let count = answered.count();
    assert!(
        (4..=10).contains(&count),
        "{count} in a fifteenth of a second"
    );
    assert_eq!(outcomes[199], dropped(DropReason::ExceptionRateLimited));
    bench.pass(Duration::from_millis(70));
    assert_eq!(bench.outcome(1, &frame), Outcome::Answered);
}
