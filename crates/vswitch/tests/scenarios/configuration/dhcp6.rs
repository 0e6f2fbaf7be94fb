use std::net::{IpAddr, Ipv6Addr};
use std::slice::from_ref;

use flow::DropReason;
use vswitch::{Outcome, router_mac};
use wire::compose::{self, Endpoint};
use wire::dhcpv6::{ALL_AGENTS, Dhcpv6View, Dhcpv6Writer, message, option};
use wire::{EmitError, L4, MacAddr};

use super::{GUEST6, LINK_LOCAL, ROUTER, Told, bench, guest, world};
use crate::model::bench::{Bench, dropped, to, via_router};
use crate::model::world::{mac, v4, v6};

const ID: &[u8] = &[0, 3, 0, 1, 2, 0, 0, 0, 0, 1];
const DAY: [u8; 4] = [0, 1, 0x51, 0x80];

pub(super) fn server_id() -> Vec<u8> {
    [&[0, 3, 0, 1][..], &router_mac().0].concat()
}

type Options = Vec<(u16, Vec<u8>)>;

pub(super) fn message_of(kind: u8, options: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![0; 1_400];
    let write = |out: &mut [u8]| -> Result<usize, EmitError> {
        let mut writer = Dhcpv6Writer::new(out, kind, [7, 8, 9])?;
        for (code, value) in options {
            writer.option(*code, value)?;
        }
        Ok(writer.finish())
    };
    let len = write(&mut out).expect("room");
    out.truncate(len);
    out
}

/// To all servers, from the link-local address.
pub(super) fn to_all(message: &[u8]) -> Vec<u8> {
    let all = Endpoint {
        mac: MacAddr::of_ipv6_multicast(ALL_AGENTS),
        ip: ALL_AGENTS.into(),
        port: 547,
    };
    compose::udp(&guest(LINK_LOCAL, 546), &all, message)
}

pub(super) fn says(kind: u8, options: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let client = (option::CLIENT_ID, ID.to_vec());
    let wants = (option::OPTION_REQUEST, vec![0, 23, 0, 24]);
    to_all(&message_of(kind, &[&[client, wants], options].concat()))
}

fn to_us(kind: u8, options: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let server = (option::SERVER_ID, server_id());
    says(kind, &[&[server], options].concat())
}

/// An association with these addresses.
pub(super) fn association(id: u8, addresses: &[Ipv6Addr]) -> (u16, Vec<u8>) {
    let mut value = vec![0; 12];
    value[3] = id;
    for address in addresses {
        value.extend([0, 5, 0, 24]);
        value.extend(address.octets());
        value.extend([0; 8]);
    }
    (option::IA_NA, value)
}

/// What the NIC's association is, with these identifier and addresses and their valid lifetimes.
fn leased(id: u8, addresses: &[(Ipv6Addr, [u8; 4])]) -> (u16, Vec<u8>) {
    let (code, mut value) = association(id, &[]);
    value[4..].copy_from_slice(&[0, 0, 0xa8, 0xc0, 0, 1, 0x0e, 0]);
    for (address, seconds) in addresses {
        value.extend([0, 5, 0, 24]);
        value.extend(address.octets());
        value.extend([*seconds, *seconds].concat());
    }
    (code, value)
}

fn refused(code: u16, id: u8, status: u8) -> (u16, Vec<u8>) {
    let head = if code == option::IA_TA { 4 } else { 12 };
    let mut value = vec![0; head];
    value[3] = id;
    value.extend([0, 13, 0, 2, 0, status]);
    (code, value)
}

fn dns() -> (u16, Vec<u8>) {
    let IpAddr::V6(server) = v6(0, 9, 53) else {
        panic!("an address of IPv6")
    };
    (option::DNS_SERVERS, server.octets().to_vec())
}

/// Sends what must have an answer: its type, and its options after the two identifiers.
#[track_caller]
fn ask(bench: &mut Bench, frame: &[u8]) -> (u8, Options) {
    let sent = bench.send(1, frame);
    assert_eq!(sent.outcome, Outcome::Answered);
    let told = Told::read(sent.reply.expect("an answer"));
    assert_eq!((told.from, told.to), (router_mac(), mac(1)));
    assert_eq!(
        (told.ip.src, told.ip.dst),
        (ROUTER.into(), LINK_LOCAL.into())
    );
    let ports = L4::Udp {
        sport: 547,
        dport: 546,
    };
    assert_eq!(told.ip.l4, ports);
    assert!(told.ip.l3_len <= 1_280);
    let view = Dhcpv6View::new(told.datagram()).expect("well formed");
    assert_eq!(view.transaction(), [7, 8, 9]);
    let options = view.options();
    let mut options: Options = options
        .map(|(code, value)| (code, value.to_vec()))
        .collect();
    if options[0].0 == option::CLIENT_ID {
        assert_eq!(options.remove(0).1, ID);
    }
    assert_eq!(options.remove(0), (option::SERVER_ID, server_id()));
    (view.message_type(), options)
}

#[test]
fn a_new_guest_gets_its_addresses_in_four_messages_or_in_two() {
    let mut bench = bench();
    let wants = association(5, &[]);
    let lease = leased(5, &[(GUEST6, DAY)]);
    let (kind, options) = ask(&mut bench, &says(message::SOLICIT, from_ref(&wants)));
    assert_eq!(kind, message::ADVERTISE);
    let preference = (option::PREFERENCE, vec![255]);
    assert_eq!(options, [preference, lease.clone(), dns()]);

    let (kind, options) = ask(&mut bench, &to_us(message::REQUEST, from_ref(&wants)));
    assert_eq!(kind, message::REPLY);
    assert_eq!(options, [lease.clone(), dns()]);

    let rapid = (option::RAPID_COMMIT, vec![]);
    let (kind, options) = ask(&mut bench, &says(message::SOLICIT, &[rapid.clone(), wants]));
    assert_eq!(kind, message::REPLY);
    assert_eq!(options, [rapid, lease, dns()]);
}

#[test]
fn a_guest_that_goes_on_keeps_its_own_addresses_and_loses_others() {
    let mut bench = bench();
    let other: Ipv6Addr = "fd00::77".parse().expect("an address");
    let has = association(5, &[GUEST6, other]);
    for frame in [
        to_us(message::RENEW, from_ref(&has)),
        says(message::REBIND, &[has]),
    ] {
        let (kind, options) = ask(&mut bench, &frame);
        assert_eq!(kind, message::REPLY);
        let lease = leased(5, &[(GUEST6, DAY), (other, [0; 4])]);
        assert_eq!(options, [lease, dns()]);
    }
    // A wish is not an address it has.
    let wish = to_us(message::REQUEST, &[association(5, &[other])]);
    assert_eq!(ask(&mut bench, &wish).1[0], leased(5, &[(GUEST6, DAY)]));
}

#[test]
fn all_addresses_go_to_the_first_association_and_nothing_to_others() {
    let mut world = world();
    world.nic(1).addresses.push(v6(0, 0, 9));
    let mut bench = Bench::new(world);
    let temporary = (option::IA_TA, vec![0, 0, 0, 2]);
    let prefix = (option::IA_PD, association(3, &[]).1);
    let wants = [association(1, &[]), temporary, prefix, association(4, &[])];
    let both = leased(1, &[(GUEST6, DAY), ("fd00::9".parse().expect("one"), DAY)]);
    let (_, options) = ask(&mut bench, &to_us(message::REQUEST, &wants));
    let expected = [
        both.clone(),
        refused(option::IA_TA, 2, 2),
        refused(option::IA_PD, 3, 6),
        refused(option::IA_NA, 4, 2),
        dns(),
    ];
    assert_eq!(options, expected);
    let (_, options) = ask(&mut bench, &to_us(message::RENEW, &wants));
    let expected = [
        both,
        refused(option::IA_TA, 2, 3),
        refused(option::IA_PD, 3, 3),
        refused(option::IA_NA, 4, 3),
        dns(),
    ];
    assert_eq!(options, expected);
}

#[test]
fn addresses_are_right_for_the_link_when_they_are_the_nics() {
    let mut bench = bench();
    let status = |code: u8| (option::STATUS, vec![0, code]);
    let other: Ipv6Addr = "fd00::77".parse().expect("an address");
    for (addresses, code) in [
        (&[GUEST6][..], 0),
        (&[GUEST6, other], 4),
        (&["2001:db8::1".parse().expect("an address")], 4),
    ] {
        let confirm = says(message::CONFIRM, &[association(1, addresses)]);
        assert_eq!(
            ask(&mut bench, &confirm),
            (message::REPLY, vec![status(code)])
        );
    }
    for kind in [message::RELEASE, message::DECLINE] {
        let frame = to_us(kind, &[association(1, &[GUEST6])]);
        assert_eq!(ask(&mut bench, &frame), (message::REPLY, vec![status(0)]));
    }
}

#[test]
fn a_guest_with_addresses_is_told_the_rest() {
    let mut bench = bench();
    let wants = (option::OPTION_REQUEST, vec![0, 23]);
    let nameless = to_all(&message_of(message::INFORMATION_REQUEST, &[wants]));
    let all = (message::REPLY, vec![dns()]);
    assert_eq!(ask(&mut bench, &nameless), all);
    assert_eq!(
        ask(&mut bench, &says(message::INFORMATION_REQUEST, &[])),
        all
    );
    assert_eq!(
        ask(&mut bench, &to_us(message::INFORMATION_REQUEST, &[])),
        all
    );
    let wants_nothing = to_all(&message_of(message::INFORMATION_REQUEST, &[]));
    assert_eq!(ask(&mut bench, &wants_nothing).1, []);
}

#[test]
fn what_breaks_the_rules_of_identifiers_has_no_answer() {
    let mut bench = bench();
    let client = |len: usize| (option::CLIENT_ID, vec![1; len]);
    let ia = association(1, &[GUEST6]);
    let stranger = (option::SERVER_ID, vec![0, 3, 0, 1, 9, 9, 9, 9, 9, 9]);
    let cases = [
        says(message::REQUEST, from_ref(&ia)),
        says(message::RENEW, &[stranger.clone(), ia.clone()]),
        says(message::INFORMATION_REQUEST, from_ref(&stranger)),
        says(message::INFORMATION_REQUEST, from_ref(&ia)),
        to_us(message::SOLICIT, from_ref(&ia)),
        to_us(message::REBIND, from_ref(&ia)),
        to_us(message::CONFIRM, from_ref(&ia)),
        says(message::CONFIRM, &[association(1, &[])]),
        says(message::ADVERTISE, from_ref(&ia)),
        says(message::REPLY, &[]),
        says(12, &[]),
        to_all(&message_of(message::SOLICIT, from_ref(&ia))),
        to_all(&message_of(message::SOLICIT, &[client(2), ia.clone()])),
        to_all(&message_of(message::SOLICIT, &[client(131), ia])),
    ];
    for (index, frame) in cases.iter().enumerate() {
        let sent = bench.send(1, frame);
        let unanswered = dropped(DropReason::UnansweredConfiguration);
        assert_eq!((sent.outcome, sent.reply), (unanswered, None), "{index}");
        bench.pass(std::time::Duration::from_millis(70));
    }
    let short = says(message::SOLICIT, &[(option::IA_NA, vec![0; 11])]);
    assert_eq!(bench.outcome(1, &short), dropped(DropReason::Malformed));
}

#[test]
fn more_than_fits_is_not_answered_in_part() {
    let mut world = world();
    let nic = world.nic(1);
    nic.addresses.extend((10..110).map(|last| v6(0, 0, last)));
    nic.dns_servers = (1..=20).map(|last| v6(0, 9, last)).collect();
    let mut bench = Bench::new(world);
    // The longest identifier, all addresses that are told of, and all servers.
    let longest = (option::CLIENT_ID, vec![1; 130]);
    let wants = (option::OPTION_REQUEST, vec![0, 23]);
    let rapid = (option::RAPID_COMMIT, vec![]);
    let solicit = [longest, wants, rapid, association(1, &[])];
    let sent = bench.send(1, &to_all(&message_of(message::SOLICIT, &solicit)));
    assert_eq!(sent.outcome, Outcome::Answered);
    let told = Told::read(sent.reply.expect("an answer"));
    let view = Dhcpv6View::new(told.datagram()).expect("well formed");
    let servers = view.options().first(option::DNS_SERVERS);
    assert_eq!(servers.map(<[u8]>::len), Some(320));
    let lease = view.options().first(option::IA_NA).expect("a lease");
    assert_eq!(lease.len(), 12 + 24 * 28);

    let many: Vec<_> = (0..60).map(|id| association(id, &[])).collect();
    let sent = bench.send(1, &says(message::SOLICIT, &many));
    let unanswered = dropped(DropReason::UnansweredConfiguration);
    assert_eq!((sent.outcome, sent.reply), (unanswered, None));
}

#[test]
fn who_speaks_from_anothers_address_is_dropped() {
    let mut bench = bench();
    let mut frame = says(message::SOLICIT, &[association(1, &[])]);
    let other: Ipv6Addr = "fd00::2".parse().expect("an address");
    frame[22..38].copy_from_slice(&other.octets());
    assert_eq!(bench.outcome(1, &frame), dropped(DropReason::SpoofedIp));
}

#[test]
fn without_ipv6_there_is_no_answer_and_another_server_is_no_business_of_ours() {
    let mut world = world();
    world.nic(1).addresses = vec![v4(0, 0, 1)];
    let frame = says(message::SOLICIT, &[association(1, &[])]);
    assert_eq!(
        Bench::new(world).outcome(1, &frame),
        dropped(DropReason::UnansweredConfiguration)
    );
    let mut bench = bench();
    let server = via_router(Endpoint {
        port: 547,
        ..bench.end6(2, 0)
    });
    let frame = compose::udp(&guest(GUEST6, 546), &server, &[1, 2, 3, 4]);
    assert_eq!(bench.outcome(1, &frame), to(2));
    let router = via_router(guest(ROUTER, 547));
    let relayed = compose::udp(&guest(LINK_LOCAL, 546), &router, &[12, 2, 3, 4]);
    assert_eq!(
        bench.outcome(1, &relayed),
        dropped(DropReason::UnansweredConfiguration)
    );
}
