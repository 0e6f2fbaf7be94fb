//! The stories behind the golden traces.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use policy::input::{Layer, NextHop};
use vswitch::router_mac;
use wire::TcpFlags;
use wire::compose::{self, Endpoint, Packet};
use wire::icmp_reply::{IcmpError, Responder, icmp_error};

use super::Timed;
use crate::model::afar::{Afar, congested};
use crate::model::bench::{Bench, Talk, via_router};
use crate::model::rules::{Narrow, allow, deny, nic_group, set};
use crate::model::world::{World, remote, v4};

/// A change of policy, and when.
pub(super) type Change = (Duration, fn(&mut World));

pub(super) struct Story {
    pub(super) name: &'static str,
    pub(super) world: fn() -> World,
    /// What guests send, in a world as it is at first.
    pub(super) tell: fn(&Bench) -> Vec<Timed>,
    pub(super) changes: &'static [Change],
}

pub(super) const STORIES: &[Story] = &[
    Story {
        name: "arp_and_nd",
        world: two,
        tell: arp_and_nd,
        changes: &[],
    },
    Story {
        name: "tcp_lifecycle",
        world: two_with_groups,
        tell: tcp_lifecycle,
        changes: &[],
    },
    Story {
        name: "appliance",
        world: with_appliance,
        tell: appliance,
        changes: &[],
    },
    Story {
        name: "path_mtu",
        world: small,
        tell: path_mtu,
        changes: &[],
    },
    Story {
        name: "spoofing",
        world: two,
        tell: spoofing,
        changes: &[],
    },
    Story {
        name: "policy_changes",
        world: two,
        tell: policy_changes,
        changes: &[
            (Duration::from_millis(25), close),
            (Duration::from_millis(55), |world| {
                world.add_route(1, "10.0.0.2/32", NextHop::None)
            }),
            (Duration::from_millis(75), |world| {
                world.clear_user_routes(1)
            }),
            (Duration::from_millis(95), World::reevaluate),
        ],
    },
    Story {
        name: "uplink",
        world: with_remote,
        tell: uplink,
        changes: &[],
    },
];

const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;
const SYN_ACK: TcpFlags = TcpFlags(SYN.0 | ACK.0);
const FIN_ACK: TcpFlags = TcpFlags(TcpFlags::FIN.0 | ACK.0);

/// Ten milliseconds from each to the next.
fn timed(frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<Timed> {
    (0..)
        .step_by(10)
        .map(Duration::from_millis)
        .zip(frames)
        .collect()
}

fn two() -> World {
    World::of(&[0, 0])
}

fn two_with_groups() -> World {
    let mut world = two();
    let https = allow("https", 100).proto(6).port(443);
    let echo = allow("ping", 110).proto(1).proto(58);
    world.set_inbound(
        2,
        vec![nic_group(vec![https, echo, deny("DenyAllInBound", 65_500)])],
    );
    let rules = vec![
        deny("smtp", 100).port(25),
        allow("AllowVnetOutBound", 65_000),
    ];
    world.set_outbound(1, vec![set("subnet", Layer::SubnetGroup, rules)]);
    world
}

fn with_appliance() -> World {
    let mut world = World::of(&[0, 0, 0]);
    world.nic(2).ip_forwarding = true;
    world.nic(2).decrement_ttl = true;
    let hop = NextHop::Appliance(v4(0, 0, 2));
    world.add_route(1, "10.0.0.3/32", hop);
    world.add_route(3, "10.0.0.1/32", hop);
    world
}

fn small() -> World {
    let mut world = two();
    world.nic(2).mtu = 1_280;
    world.nic(1).decrement_ttl = true;
    world
}

fn with_remote() -> World {
    let mut world = two();
    world.map(0, v4(0, 1, 1), Some(remote(9, 0)));
    world
}

fn close(world: &mut World) {
    world.set_inbound(2, vec![nic_group(vec![deny("DenyAllInBound", 65_500)])]);
}

fn arp_and_nd(bench: &Bench) -> Vec<Timed> {
    let (one, one6) = (bench.end(1, 0), bench.end6(1, 0));
    let two = |last| Ipv4Addr::new(10, 0, 0, last);
    let probe = Endpoint {
        ip: Ipv4Addr::UNSPECIFIED.into(),
        ..one
    };
    let liar = Endpoint {
        ip: two(2).into(),
        ..one
    };
    let IpAddr::V6(neighbour) = bench.end6(2, 0).ip else {
        panic!("an end of IPv6")
    };
    let IpAddr::V6(own) = one6.ip else {
        panic!("an end of IPv6")
    };
    let nobody = Endpoint {
        ip: std::net::Ipv6Addr::UNSPECIFIED.into(),
        ..one6
    };
    timed([
        compose::arp_request(&probe, two(1)),
        compose::arp_reply(&one, &one),
        compose::arp_request(&one, two(2)),
        compose::arp_request(&liar, two(9)),
        compose::neighbour_solicit(&nobody, own),
        compose::neighbour_solicit(&one6, neighbour),
    ])
}

fn tcp_lifecycle(bench: &Bench) -> Vec<Timed> {
    let talk = Talk::new(bench, 1, 2);
    let mail = Talk {
        server: bench.end(2, 25),
        ..talk
    };
    let telnet = Talk {
        server: bench.end(2, 23),
        ..talk
    };
    let data = Packet::new(
        &talk.client,
        &via_router(talk.server),
        b"GET / HTTP/1.1\r\n\r\n",
    );
    timed([
        talk.ask(ACK),
        mail.syn(),
        telnet.syn(),
        telnet.syn(),
        talk.syn(),
        talk.answer(SYN_ACK),
        talk.ask(ACK),
        data.tcp(ACK, 1, 1),
        talk.answer(ACK),
        talk.ask(FIN_ACK),
        talk.answer(FIN_ACK),
        talk.ask(ACK),
    ])
}

fn appliance(bench: &Bench) -> Vec<Timed> {
    let talk = Talk::new(bench, 1, 3);
    let relayed = |frame: &[u8]| Talk::relayed(bench, 2, frame);
    let (src, dst) = (talk.client, via_router(talk.server));
    let last_hop = Packet {
        ttl: 1,
        ..Packet::new(&src, &dst, b"traceroute")
    }
    .udp();
    let mut frames = Vec::new();
    for (ask, answer) in [(SYN, SYN_ACK), (ACK, ACK)] {
        frames.extend([talk.ask(ask), relayed(&talk.ask(ask))]);
        frames.extend([talk.answer(answer), relayed(&talk.answer(answer))]);
    }
    frames.extend([last_hop.clone(), relayed(&last_hop)]);
    timed(frames)
}

fn path_mtu(bench: &Bench) -> Vec<Timed> {
    let (talk, talk6) = (Talk::new(bench, 1, 2), Talk::v6(bench, 1, 2));
    let fragments = compose::fragments(&talk.ask_udp(&[0x5a; 1_400]), 7, 1_000);
    let mut frames = vec![
        talk.ask_udp(&[0; 1_400]),
        talk6.ask_udp(&[0; 1_400]),
        talk.ask_udp(&[0; 1_200]),
        talk6.ask_udp(&[0; 1_200]),
        fragments[1].clone(),
    ];
    frames.extend(fragments);
    timed(frames)
}

fn spoofing(bench: &Bench) -> Vec<Timed> {
    let talk = Talk::new(bench, 1, 2);
    let with = |at: usize, bytes: &[u8]| {
        let mut frame = talk.ask_udp(b"odd");
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        frame
    };
    let from = |ip| Talk {
        client: Endpoint { ip, ..talk.client },
        ..talk
    };
    let about = with(6, &router_mac().0);
    let responder = Responder {
        mac: bench.end(2, 0).mac,
        ip: talk.server.ip,
    };
    let mut error = vec![0; 600];
    let len = icmp_error(&about, IcmpError::HostUnreachable, responder, &mut error).expect("due");
    error.truncate(len);
    timed([
        from(v4(0, 0, 9)).ask_udp(b"?"),
        from(Ipv4Addr::LOCALHOST.into()).ask_udp(b"?"),
        with(6, &[2, 9, 9, 9, 9, 9]),
        with(0, &[2, 9, 9, 9, 9, 9]),
        with(0, &[0xff; 6]),
        with(0, &[1, 0, 0x5e, 0, 0, 1]),
        with(12, &[0x81, 0x00]),
        with(24, &[0x00, 0x00]),
        error,
        talk.ask_udp(b"?"),
        talk.answer_udp(b"!"),
    ])
}

fn policy_changes(bench: &Bench) -> Vec<Timed> {
    let talk = Talk::new(bench, 1, 2);
    let late = Talk {
        client: bench.end(1, 40_001),
        ..talk
    };
    timed([
        talk.syn(),
        talk.answer(SYN_ACK),
        talk.ask(ACK),
        late.syn(),
        talk.ask(ACK),
        talk.answer(ACK),
        talk.ask(ACK),
        talk.answer(ACK),
        talk.ask(ACK),
        talk.answer(ACK),
        talk.ask(ACK),
    ])
}

fn uplink(bench: &Bench) -> Vec<Timed> {
    let server = Afar::new(9, 0, v4(0, 1, 1), 443);
    let talk = Talk {
        server: server.end,
        ..Talk::new(bench, 1, 2)
    };
    let client = Afar::new(9, 0, v4(0, 1, 1), 40_000);
    let called = bench.end(2, 443);
    let answers = Talk {
        client: called,
        server: client.end,
    };
    let capable = Packet {
        dscp_ecn: 0b10,
        ..Packet::new(&server.end, &talk.client, b"slowly")
    };
    let stranger = Afar { host: 7, ..client };
    let unknown = Afar { vnet: 9, ..client };
    timed([
        talk.ask(ACK),
        talk.syn(),
        server.tcp(&talk.client, SYN_ACK),
        talk.ask(ACK),
        congested(server.wrap(&capable.tcp(ACK, 1, 1))),
        congested(server.tcp(&talk.client, ACK)),
        talk.ask_udp(b"?"),
        client.tcp(&called, SYN),
        answers.ask(SYN_ACK),
        client.tcp(&called, ACK),
        client.udp(&called, &[0; 1_600]),
        answers.ask_udp(&[0; 1_440]),
        stranger.tcp(&called, SYN),
        unknown.tcp(&called, SYN),
    ])
}
