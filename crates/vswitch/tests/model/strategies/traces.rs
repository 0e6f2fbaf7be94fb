//! Random traces: packets, changes of policy, and time.

use std::time::Duration;

use flow::TcpFlags;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::{VNETS, routes, sets};
use crate::model::ops::{Edit, Inside, Odd, Op, Order, Place, Shape, Tunnel, What, Who, Wrapping};

/// What packets are sent from and to.
pub(super) const PORTS: [u16; 3] = [80, 443, 40_000];

/// Some connections to begin with, and then anything.
pub(crate) fn traces(len: usize) -> impl Strategy<Value = Vec<Op>> {
    (vec(first_packets(), 2..8), vec(ops(), 0..len)).prop_map(|(mut trace, rest)| {
        trace.extend(rest);
        trace
    })
}

/// Connections with one address, which is now here and now there.
pub(crate) fn moving_traces(len: usize) -> impl Strategy<Value = Vec<Op>> {
    let pick = || 0usize..6;
    let mover = Who::Remote(0);
    let shape = |source| {
        plain().prop_map(move |shape| Shape {
            v6: false,
            source,
            ..shape
        })
    };
    let afar = |what: BoxedStrategy<Inside>| {
        what.prop_map(|what| {
            Op::Afar(Tunnel {
                what,
                wrapping: Wrapping::PLAIN,
            })
        })
        .boxed()
    };
    let from_afar = (0usize..3, shape(None)).prop_map(move |(to, shape)| Inside::Fresh {
        from: mover,
        to,
        shape,
    });
    let again_afar = (pick(), flags()).prop_map(|(pick, flags)| Inside::Again { pick, flags });
    let answer_afar =
        (pick(), flags(), prop::bool::weighted(0.3)).prop_map(|(pick, flags, straight)| {
            Inside::Answer {
                pick,
                flags,
                straight,
            }
        });
    let relay_afar = pick().prop_map(|pick| Inside::Relay { pick });
    let place = prop_oneof![
        4 => nic().prop_map(Place::Nic),
        4 => (8u8..11, Just(false)).prop_map(|(host, by_sender)| Place::Host { host, by_sender }),
        1 => Just(Place::Nowhere),
    ];
    let moves = (place, any::<bool>()).prop_map(move |(place, alone)| Edit::Move {
        who: mover,
        v6: false,
        place,
        alone,
    });
    let op = prop_oneof![
        3 => (nic(), shape(None)).prop_map(move |(from, shape)| Op::Fresh { from, to: mover, shape }),
        2 => (nic(), nic(), shape(Some(mover)))
            .prop_map(|(from, to, shape)| Op::Fresh { from, to: Who::Other(to), shape }),
        4 => afar(from_afar.boxed()),
        6 => afar(again_afar.boxed()),
        6 => afar(answer_afar.boxed()),
        1 => afar(relay_afar.boxed()),
        8 => (pick(), flags()).prop_map(|(pick, flags)| Op::Answer { pick, flags }),
        8 => (pick(), flags()).prop_map(|(pick, flags)| Op::Again { pick, flags }),
        3 => pick().prop_map(|pick| Op::Relay { pick }),
        10 => moves.prop_map(Op::Edit).boxed(),
        1 => edits().prop_map(Op::Edit).boxed(),
        1 => times().prop_map(Op::Pass),
        1 => Just(Op::Sweep),
    ];
    vec(op, 4..len)
}

fn first_packets() -> impl Strategy<Value = Op> {
    let first = (nic(), nic(), plain());
    first.prop_map(|(from, to, shape)| Op::Fresh {
        from,
        to: Who::Other(to),
        shape,
    })
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        24 => conversation().boxed(),
        12 => tunnels().prop_map(Op::Afar).boxed(),
        3 => (nic(), who(), shape()).prop_map(|(from, to, shape)| Op::Fresh { from, to, shape }).boxed(),
        2 => strays().boxed(),
        5 => edits().prop_map(Op::Edit).boxed(),
        1 => (nic(), prop::bool::weighted(0.8)).prop_map(|(nic, up)| Op::SetUp { nic, up }),
        1 => prop::bool::weighted(0.9).prop_map(Op::SetUplink),
        2 => times().prop_map(Op::Pass),
        1 => Just(Op::Sweep),
    ]
}

fn nic() -> impl Strategy<Value = usize> {
    0usize..6
}

/// What belongs to what was sent before, mostly.
fn conversation() -> impl Strategy<Value = Op> {
    let pick = || 0usize..12;
    prop_oneof![
        3 => first_packets(),
        6 => (pick(), flags()).prop_map(|(pick, flags)| Op::Answer { pick, flags }),
        6 => (pick(), flags()).prop_map(|(pick, flags)| Op::Again { pick, flags }),
        4 => pick().prop_map(|pick| Op::Relay { pick }),
        1 => pick().prop_map(|pick| Op::Complain { pick }),
    ]
}

/// Packets that are likely to get through.
fn plain() -> impl Strategy<Value = Shape> {
    let what = prop_oneof![
        3 => Just(What::Tcp(TcpFlags::SYN)),
        3 => Just(What::Udp),
        1 => Just(What::Echo { request: true }),
    ];
    (what, any::<bool>(), port(), port()).prop_map(|(what, v6, source, destination)| Shape {
        what,
        v6,
        ports: (source, destination),
        len: 20,
        ttl: 64,
        ecn: 0,
        gso: None,
        source: None,
    })
}

/// What other hosts send: mostly what belongs to what was sent there.
fn tunnels() -> impl Strategy<Value = Tunnel> {
    let pick = || 0usize..12;
    let afar = || {
        prop_oneof![
            6 => (0..VNETS).prop_map(Who::Remote),
            1 => (0..VNETS).prop_map(Who::Floating),
            1 => nic().prop_map(Who::Nic),
            1 => who(),
        ]
    };
    let size = select(vec![64u16, 400, 1_400]);
    let fresh = (afar(), nic(), plain());
    let what = prop_oneof![
        4 => fresh.prop_map(|(from, to, shape)| Inside::Fresh { from, to, shape }).boxed(),
        2 => (afar(), nic(), shape()).prop_map(|(from, to, shape)| Inside::Fresh { from, to, shape }).boxed(),
        2 => (afar(), who(), nic(), plain())
            .prop_map(|(from, to, nic, shape)| Inside::Through { from, to, nic, shape }),
        6 => (pick(), flags()).prop_map(|(pick, flags)| Inside::Again { pick, flags }),
        8 => (pick(), flags(), prop::bool::weighted(0.3))
            .prop_map(|(pick, flags, straight)| Inside::Answer { pick, flags, straight }),
        2 => pick().prop_map(|pick| Inside::Relay { pick }),
        1 => pick().prop_map(|pick| Inside::Complain { pick }),
        1 => (afar(), nic(), shape(), size)
            .prop_map(|(from, to, shape, size)| Inside::Fragments { from, to, shape, size }),
        1 => (nic(), vec(any::<u8>(), 8..90)).prop_map(|(nic, bytes)| Inside::Raw { nic, bytes }),
    ];
    (what, wrappings())
        .prop_map(|(what, wrapping)| Tunnel { what, wrapping })
        .boxed()
}

fn wrappings() -> impl Strategy<Value = Wrapping> {
    let vnet = option::weighted(0.1, prop_oneof![4 => 0..VNETS, 1 => Just(u8::MAX)]);
    let host = option::weighted(0.1, select(vec![7u8, 8, 10]));
    let macs = [[0xff; 6], [1, 0, 0x5e, 0, 0, 1], [2, 9, 9, 9, 9, 9]];
    let mac = option::weighted(0.05, select(macs.map(wire::MacAddr).to_vec()));
    let gso = option::weighted(0.05, select(vec![500, 1_440, 9_000]));
    let mangled = option::weighted(0.05, (0usize..120, any::<u8>()));
    let (over_v6, congested) = (prop::bool::weighted(0.03), prop::bool::weighted(0.1));
    (vnet, host, mac, over_v6, congested, gso, mangled).prop_map(
        |(vnet, host, mac, over_v6, congested, gso, mangled)| Wrapping {
            vnet,
            host,
            mac,
            over_v6,
            congested,
            gso,
            mangled,
        },
    )
}

fn shape() -> impl Strategy<Value = Shape> {
    let what = prop_oneof![
        3 => flags().prop_map(What::Tcp),
        2 => Just(What::Udp),
        1 => any::<bool>().prop_map(|request| What::Echo { request }),
        1 => Just(What::Esp),
        1 => Just(What::IcmpOther),
        1 => Just(What::ForTheLink),
    ];
    let len = select(vec![0, 100, 1_220, 1_440, 1_460, 3_000]);
    let ttl = select(vec![1, 1, 2, 64, 64]);
    let gso = option::weighted(0.1, select(vec![500, 1_440, 1_480, 9_000]));
    let source = option::weighted(0.3, who());
    let fields = (ttl, 0u8..4);
    (
        what,
        any::<bool>(),
        (port(), port()),
        len,
        fields,
        gso,
        source,
    )
        .prop_map(|(what, v6, ports, len, (ttl, ecn), gso, source)| Shape {
            what,
            v6,
            ports,
            len,
            ttl,
            ecn,
            gso,
            source,
        })
}

fn port() -> impl Strategy<Value = u16> {
    select(PORTS.to_vec())
}

fn flags() -> impl Strategy<Value = TcpFlags> {
    let (syn, ack) = (TcpFlags::SYN, TcpFlags::ACK);
    let likely = vec![
        syn,
        syn | ack,
        ack,
        ack,
        ack | TcpFlags::FIN,
        TcpFlags::RST,
        TcpFlags(0),
        TcpFlags(0xff),
    ];
    select(likely)
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![
        6 => nic().prop_map(Who::Other),
        2 => nic().prop_map(Who::Nic),
        3 => (0..VNETS).prop_map(Who::Floating),
        2 => (0..VNETS).prop_map(Who::Remote),
        1 => (0..VNETS).prop_map(Who::Unmapped),
        1 => Just(Who::Platform),
        1 => Just(Who::Internet),
        1 => Just(Who::Nobody),
    ]
}

fn strays() -> impl Strategy<Value = Op> {
    let order = select(vec![
        Order::First,
        Order::First,
        Order::LastFirst,
        Order::WithoutFirst,
    ]);
    let odd = select(vec![
        Odd::Vlan,
        Odd::Broadcast,
        Odd::BroadcastIp,
        Odd::Multicast,
        Odd::OtherDestination,
        Odd::SpoofedMac,
        Odd::NeighbourAdvert,
    ]);
    let sender = || option::weighted(0.3, who());
    prop_oneof![
        (nic(), 0usize..12).prop_map(|(from, pick)| Op::ComplainWithoutCause { from, pick }),
        (
            nic(),
            who(),
            shape(),
            select(vec![64u16, 400, 1_400]),
            order
        )
            .prop_map(|(from, to, shape, size, order)| Op::Fragments {
                from,
                to,
                shape,
                size,
                order
            }),
        (
            nic(),
            sender(),
            who(),
            prop::bool::weighted(0.2),
            prop::bool::weighted(0.2)
        )
            .prop_map(|(from, sender, target, probing, reply)| Op::Arp {
                from,
                sender,
                target,
                probing,
                reply
            }),
        (nic(), sender(), who(), prop::bool::weighted(0.2)).prop_map(
            |(from, sender, target, probing)| Op::Solicit {
                from,
                sender,
                target,
                probing
            }
        ),
        (
            nic(),
            who(),
            shape(),
            0usize..80,
            any::<u8>(),
            0usize..1_500
        )
            .prop_map(|(from, to, shape, at, xor, cut)| Op::Mangled {
                from,
                to,
                shape,
                at,
                xor,
                cut
            }),
        (nic(), odd).prop_map(|(from, odd)| Op::Odd { from, odd }),
        (nic(), vec(any::<u8>(), 0..90)).prop_map(|(from, bytes)| Op::Raw { from, bytes }),
    ]
}

fn edits() -> impl Strategy<Value = Edit> {
    let place = prop_oneof![
        4 => nic().prop_map(Place::Nic),
        2 => (8u8..11, prop::bool::weighted(0.3))
            .prop_map(|(host, by_sender)| Place::Host { host, by_sender }),
        1 => Just(Place::Nowhere),
    ];
    let moves = prop_oneof![
        4 => (0..VNETS).prop_map(Who::Floating),
        2 => nic().prop_map(Who::Nic),
        4 => (0..VNETS).prop_map(Who::Remote),
        1 => (0..VNETS).prop_map(Who::Unmapped),
    ];
    prop_oneof![
        4 => (nic(), any::<bool>(), sets(), prop::bool::weighted(0.3)).prop_map(
            |(nic, outbound, sets, reevaluate)| Edit::Rules { nic, outbound, sets, reevaluate }
        ),
        3 => (nic(), routes()).prop_map(|(nic, routes)| Edit::Routes { nic, routes }),
        1 => (nic(), any::<bool>()).prop_map(|(nic, on)| Edit::Forwarding { nic, on }),
        1 => (nic(), select(vec![1_280, 1_500])).prop_map(|(nic, mtu)| Edit::Mtu { nic, mtu }),
        5 => (moves, any::<bool>(), place, any::<bool>()).prop_map(
            |(who, v6, place, alone)| Edit::Move { who, v6, place, alone }
        ),
        1 => option::weighted(0.7, select(vec![1_280, 1_450])).prop_map(Edit::Uplink),
        1 => Just(Edit::Nothing),
    ]
}

fn times() -> impl Strategy<Value = Duration> {
    prop_oneof![
        4 => (1u64..900).prop_map(Duration::from_millis),
        3 => (1u64..15).prop_map(Duration::from_secs),
        1 => (30u64..300).prop_map(Duration::from_secs),
    ]
}
