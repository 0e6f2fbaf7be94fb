//! The table against a naive model of it: any sequence of operations gives the same entries,
//! states, counters and lengths, keeps the limits, and lets nothing go that should stay.

#[path = "table_model/oracle.rs"]
mod oracle;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use flow::{
    Counters, DropReason, Encap, EngineCounters, FlowKey, FlowPair, FlowTable, Half, Limits,
    Offload, PortId, Refusal, Stamp, TcpFlags, Tick, Timeouts, Transposition, Verdict,
};
use oracle::Oracle;
use proptest::prelude::*;
use wire::{MacAddr, Vni};

/// Few keys at few ports, so that they meet again.
const KEYS: usize = 24;
const PORTS: u16 = 3;

/// Limits of which now the table's and now the ports' are reached first.
fn limits() -> impl Strategy<Value = Limits> {
    (8u32..14, 3u32..10).prop_map(|(flows_max, flows_per_port_max)| Limits {
        flows_max: NonZeroU32::new(flows_max).expect("not zero"),
        flows_per_port_max: NonZeroU32::new(flows_per_port_max).expect("not zero"),
        ports_max: PORTS,
    })
}

#[derive(Clone, Debug)]
enum Op {
    Insert {
        forward: usize,
        reverse: Option<usize>,
        transposition: Transposition,
    },
    Record {
        key: usize,
        bytes: u16,
        flags: TcpFlags,
    },
    Update {
        key: usize,
        transposition: Transposition,
        stamp: u32,
    },
    Replace {
        key: usize,
        transposition: Transposition,
        stamp: u32,
    },
    Remove {
        key: usize,
    },
    RemovePort {
        port: PortId,
    },
    Offload {
        key: usize,
        offload: Offload,
    },
    Absorb {
        key: usize,
        counters: Counters,
    },
    Observe {
        key: usize,
        flags: TcpFlags,
        ago_s: u64,
    },
    Expire {
        budget: usize,
        engine: HashMap<usize, (TcpFlags, u64)>,
    },
    Pass {
        time: Duration,
    },
}

fn key(number: usize) -> FlowKey {
    let number = u16::try_from(number).expect("few");
    let protocol = [6, 6, 17, 1][usize::from(number / PORTS) % 4];
    let address = |last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
    let guest = PortId(1 + number % PORTS);
    // Some come off the uplink, and count at their guests all the same.
    let port = if number % 4 == 3 {
        guest.from_uplink()
    } else {
        guest
    };
    FlowKey::new(port, address(4), address(5), protocol, number, 80)
}

fn transpositions() -> impl Strategy<Value = Transposition> {
    let encap = |host| Encap {
        outer_src: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        outer_dst: IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)),
        vni: Vni::MAX,
        dst_port: 4789,
    };
    let allowed = prop_oneof![
        (1..=PORTS).prop_map(|port| (Verdict::Deliver(PortId(port)), None)),
        (1u8..4).prop_map(move |host| (Verdict::Uplink, Some(encap(host)))),
        Just((Verdict::Uplink, None)),
    ];
    let allowed = (allowed, any::<(bool, u16, [u8; 6], [u8; 6])>());
    let allowed = allowed.prop_map(|((verdict, encap), (decrement_ttl, mtu, dst, src))| {
        let (eth_dst, eth_src) = (MacAddr(dst), MacAddr(src));
        Transposition {
            verdict,
            eth_dst,
            eth_src,
            decrement_ttl,
            mtu,
            encap,
        }
    });
    let dropped = prop::sample::select(DropReason::ALL).prop_map(Transposition::drop);
    prop_oneof![3 => allowed, 1 => dropped]
}

fn flags() -> impl Strategy<Value = TcpFlags> {
    let (syn, ack) = (TcpFlags::SYN, TcpFlags::ACK);
    let likely = vec![
        TcpFlags(0),
        syn,
        syn | ack,
        ack,
        ack,
        ack | TcpFlags::FIN,
        TcpFlags::RST,
    ];
    prop::sample::select(likely)
}

fn offloads() -> impl Strategy<Value = Offload> {
    let refused = [None, Some(Refusal::TableFull), Some(Refusal::System(28))];
    let mut all = vec![
        Offload::Deferred,
        Offload::Installed,
        Offload::Active,
        Offload::Active,
    ];
    all.extend(refused.map(Offload::NotOffloaded));
    prop::sample::select(all)
}

fn times() -> impl Strategy<Value = Duration> {
    prop_oneof![
        6 => (0u64..12_000).prop_map(Duration::from_millis),
        2 => (10u64..130).prop_map(Duration::from_secs),
        1 => (3_000u64..9_000).prop_map(Duration::from_secs),
    ]
}

fn ops() -> impl Strategy<Value = Op> {
    let key = 0..KEYS;
    let budget = prop_oneof![0usize..4, Just(usize::MAX)];
    let engine = prop::collection::hash_map(key.clone(), (flags(), 0u64..20), 0..KEYS);
    let counters = (0u64..9, 0u64..900, flags()).prop_map(|(packets, bytes, tcp_flags)| Counters {
        packets,
        bytes,
        tcp_flags,
        last_seen: Tick(0),
    });
    let decided = || (0..KEYS, transpositions(), 0u32..9);
    prop_oneof![
        8 => (key.clone(), prop::option::weighted(0.7, key.clone()), transpositions())
            .prop_map(|(forward, reverse, transposition)| {
                Op::Insert { forward, reverse, transposition }
            }),
        8 => (key.clone(), 0u16..1500, flags())
            .prop_map(|(key, bytes, flags)| Op::Record { key, bytes, flags }),
        2 => decided()
            .prop_map(|(key, transposition, stamp)| Op::Update { key, transposition, stamp }),
        2 => decided()
            .prop_map(|(key, transposition, stamp)| Op::Replace { key, transposition, stamp }),
        1 => key.clone().prop_map(|key| Op::Remove { key }),
        1 => (0..=PORTS + 1).prop_map(|port| Op::RemovePort { port: PortId(port) }),
        3 => (key.clone(), offloads()).prop_map(|(key, offload)| Op::Offload { key, offload }),
        2 => (key.clone(), counters).prop_map(|(key, counters)| Op::Absorb { key, counters }),
        1 => (key, flags(), 0u64..20)
            .prop_map(|(key, flags, ago_s)| Op::Observe { key, flags, ago_s }),
        5 => (budget, engine).prop_map(|(budget, engine)| Op::Expire { budget, engine }),
        5 => times().prop_map(|time| Op::Pass { time }),
    ]
}

fn stamp(number: u32) -> Stamp {
    Stamp {
        policy: number,
        path: 1,
        mapping_slot: number / 2,
        mapping_version: 3,
    }
}

fn pair(forward: usize, reverse: Option<usize>, transposition: Transposition) -> FlowPair {
    let (forward, reverse) = (
        key(forward),
        reverse.map(key).filter(|&peer| peer != key(forward)),
    );
    let half = |key, peer, forward| Half {
        key,
        transposition,
        stamp: stamp(0),
        peer,
        forward,
    };
    FlowPair {
        forward: half(forward, reverse, true),
        reverse: reverse.map(|key| half(key, Some(forward), false)),
    }
}

/// The pair in the table that the key is in, with new decisions for both directions.
fn redecided(
    oracle: &Oracle,
    key: FlowKey,
    transposition: Transposition,
    stamp: Stamp,
) -> FlowPair {
    let entry = oracle.get(&key);
    let forward = entry.map_or(key, |entry| {
        if entry.half.forward {
            key
        } else {
            entry.half.peer.unwrap_or(key)
        }
    });
    let reverse = oracle.get(&forward).and_then(|entry| entry.half.peer);
    let half = |key, peer, forward| Half {
        key,
        transposition,
        stamp,
        peer,
        forward,
    };
    FlowPair {
        forward: half(forward, reverse, true),
        reverse: reverse.map(|key| half(key, Some(forward), false)),
    }
}

fn step(table: &mut FlowTable, oracle: &mut Oracle, op: Op) {
    let now = oracle.now;
    let mut removed = Vec::new();
    match op {
        Op::Insert {
            forward,
            reverse,
            transposition,
        } => {
            let pair = pair(forward, reverse, transposition);
            let outcome = table.insert(&pair, now, &mut removed);
            assert!(removed.len() <= FlowTable::REMOVED_PER_INSERT_MAX);
            oracle.insert(&pair, outcome.map(|_| ()), &removed);
            if let Ok(id) = outcome {
                assert_eq!(table.lookup(&pair.forward.key), Some(id));
            }
        }
        Op::Record {
            key: number,
            bytes,
            flags,
        } => {
            if let Some(id) = table.lookup(&key(number)) {
                table.record(id, bytes.into(), flags, now);
                oracle.record(&key(number), bytes.into(), flags);
            }
        }
        Op::Update {
            key: number,
            transposition,
            stamp: number_of_stamp,
        } => {
            if let Some(id) = table.lookup(&key(number)) {
                let outcome = table.update(id, &transposition, stamp(number_of_stamp));
                let decided = oracle.update(&key(number), transposition, stamp(number_of_stamp));
                assert_eq!(outcome.is_ok(), decided);
            }
        }
        Op::Replace {
            key: number,
            transposition,
            stamp: number_of_stamp,
        } => {
            let pair = redecided(oracle, key(number), transposition, stamp(number_of_stamp));
            let outcome = table.replace_halves(&pair);
            assert_eq!(outcome.is_ok(), oracle.replace_halves(&pair));
        }
        Op::Remove { key: number } => {
            if let Some(id) = table.lookup(&key(number)) {
                assert!(table.remove(id, &mut removed));
                oracle.removed_on_request(|half| half.key == key(number), &removed);
            }
        }
        Op::RemovePort { port } => {
            table.remove_port(port, &mut removed);
            oracle.removed_on_request(|half| half.key.owner() == port, &removed);
        }
        Op::Offload {
            key: number,
            offload,
        } => {
            if let Some(id) = table.lookup(&key(number)) {
                assert!(table.set_offload(id, offload));
                oracle.set_offload(&key(number), offload);
            }
        }
        Op::Absorb {
            key: number,
            counters,
        } => {
            let last = EngineCounters {
                key: key(number),
                counters,
            };
            assert_eq!(table.absorb(&last), oracle.absorb(&last));
        }
        Op::Observe {
            key: number,
            flags: tcp_flags,
            ago_s,
        } => {
            let last_seen = ago(now, ago_s);
            let counters = Counters {
                tcp_flags,
                last_seen,
                packets: 99,
                bytes: 99,
            };
            let reading = EngineCounters {
                key: key(number),
                counters,
            };
            assert_eq!(table.observe(&reading), oracle.observe(&reading));
        }
        Op::Expire { budget, engine } => {
            let mut asked = Vec::new();
            let confirm = &mut |asked_key: &FlowKey| {
                let known = engine
                    .iter()
                    .find(|&(&number, _)| key(number) == *asked_key);
                let answer = known.map(|(_, &(tcp_flags, ago_s))| Counters {
                    tcp_flags,
                    last_seen: ago(now, ago_s),
                    packets: 99,
                    bytes: 99,
                });
                asked.push((*asked_key, answer));
                answer
            };
            let timeouts = Timeouts::default();
            let done = table.expire(now, &timeouts, budget, confirm, &mut removed);
            oracle.expire(&timeouts, budget, done, &asked, &removed);
        }
        Op::Pass { time } => oracle.now = now + time,
    }
}

fn ago(now: Tick, seconds: u64) -> Tick {
    Tick(now.0.saturating_sub(seconds * 1_000_000_000))
}

fn same(table: &FlowTable, oracle: &Oracle) {
    assert_eq!(table.len() as usize, oracle.len());
    assert_eq!(table.is_empty(), oracle.len() == 0);
    assert_eq!(table.iter().count(), oracle.len());
    for port in (0..=PORTS + 1).map(PortId) {
        assert_eq!(table.port_len(port), oracle.port_len(port));
        assert_eq!(table.port_drops(port), oracle.port_drops(port));
    }
    for key in (0..KEYS).map(key) {
        let entry = table
            .lookup(&key)
            .map(|id| table.get(id).expect("just looked up"));
        let expected = oracle.get(&key);
        assert_eq!(entry.is_some(), expected.is_some(), "{key:?}");
        if let (Some(entry), Some(expected)) = (entry, expected) {
            assert_eq!(entry.half(), expected.half);
            assert_eq!(entry.counters(), expected.counters);
            assert_eq!(entry.offload(), expected.offload);
            assert_eq!(entry.tcp_state(), oracle.tcp_state(&key));
            assert_eq!(table.tcp_state(entry.id()), entry.tcp_state());
            assert_eq!(entry.created().0 >> 27, expected.created.0 >> 27);
            let peer = entry
                .peer()
                .and_then(|id| table.get(id))
                .map(|peer| *peer.key());
            assert_eq!(peer, expected.half.peer);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_table_does_as_the_model(
        seed: u64,
        limits in limits(),
        ops in prop::collection::vec(ops(), 1..120),
    ) {
        let mut table = FlowTable::with_limits(limits, seed);
        let mut oracle = Oracle::new(limits);
        for op in ops {
            step(&mut table, &mut oracle, op);
            same(&table, &oracle);
        }
    }
}
