mod ageing;
mod entries;
mod full;
mod hits;
mod marked;

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use wire::{MacAddr, Vni};

use super::*;
use crate::{DropReason, Family, TcpFlags, Tick, Timeouts, Transposition, Verdict};

const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;
const SYN_ACK: TcpFlags = TcpFlags(SYN.0 | ACK.0);

/// A table, a clock and what has left the table.
struct Bench {
    table: FlowTable,
    now: Tick,
    removed: Vec<Removed>,
}

impl Bench {
    fn new(flows_max: u32, flows_per_port_max: u32) -> Bench {
        Bench {
            table: FlowTable::with_limits(limits(flows_max, flows_per_port_max), 1),
            now: Tick(0),
            removed: Vec::new(),
        }
    }

    fn insert(&mut self, pair: &FlowPair) -> Result<FlowId, InsertError> {
        self.table.insert(pair, self.now, &mut self.removed)
    }

    fn pass(&mut self, seconds: f64) {
        self.now = self.now + Duration::from_secs_f64(seconds);
    }

    fn record(&mut self, key: &FlowKey, flags: TcpFlags) {
        let id = self.table.lookup(key).expect("in the table");
        self.table.record(id, 100, flags, self.now);
    }

    /// The opener's SYN, the answer's, and the acknowledgement.
    fn establish(&mut self, pair: &FlowPair) {
        self.record(&pair.forward.key, SYN);
        self.record(&pair.reverse.expect("two directions").key, SYN_ACK);
        self.record(&pair.forward.key, ACK);
    }

    fn expire(&mut self) {
        let timeouts = Timeouts::default();
        let ask = &mut |_: &FlowKey| panic!("nothing is in an engine");
        assert!(
            self.table
                .expire(self.now, &timeouts, usize::MAX, ask, &mut self.removed)
        );
    }

    fn holds(&self, key: &FlowKey) -> bool {
        self.table.lookup(key).is_some()
    }

    /// The keys that left since the last call, and why.
    fn left(&mut self) -> Vec<(FlowKey, Removal)> {
        self.removed
            .drain(..)
            .map(|removed| (removed.half.key, removed.why))
            .collect()
    }
}

fn limits(flows_max: u32, flows_per_port_max: u32) -> Limits {
    Limits {
        flows_max: NonZeroU32::new(flows_max).expect("not zero"),
        flows_per_port_max: NonZeroU32::new(flows_per_port_max).expect("not zero"),
        ports_max: 9,
    }
}

fn key(port: u16, protocol: u8, source_port: u16) -> FlowKey {
    let address = |last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
    FlowKey::new(
        PortId(port),
        address(4),
        address(5),
        protocol,
        source_port,
        443,
    )
}

fn allow(to: u16) -> Transposition {
    Transposition {
        verdict: Verdict::Deliver(PortId(to)),
        eth_dst: MacAddr([2, 0, 0, 0, 0, 1]),
        eth_src: MacAddr([2, 0, 0, 0, 0, 2]),
        decrement_ttl: true,
        mtu: 1400,
        encap: None,
    }
}

fn uplink(host: u32) -> Transposition {
    let encap = Encap {
        outer_src: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        outer_dst: IpAddr::V4(Ipv4Addr::from(host)),
        vni: Vni::MAX,
        dst_port: 4789,
    };
    Transposition {
        verdict: Verdict::Uplink,
        encap: Some(encap),
        ..allow(0)
    }
}

fn stamp(number: u32) -> Stamp {
    Stamp {
        policy: number,
        path: number + 1,
        mapping_slot: number + 2,
        mapping_version: number + 3,
    }
}

fn pair_of(forward: FlowKey, reverse: FlowKey) -> FlowPair {
    FlowPair {
        forward: Half {
            key: forward,
            transposition: allow(reverse.port().0),
            stamp: stamp(10),
            peer: Some(reverse),
            forward: true,
        },
        reverse: Some(Half {
            key: reverse,
            transposition: allow(forward.port().0),
            stamp: stamp(20),
            peer: Some(forward),
            forward: false,
        }),
    }
}

/// A connection from port 1 to port 2.
fn pair(protocol: u8, source_port: u16) -> FlowPair {
    pair_between(1, 2, protocol, source_port)
}

fn pair_between(from: u16, to: u16, protocol: u8, source_port: u16) -> FlowPair {
    let forward = key(from, protocol, source_port);
    pair_of(forward, forward.reversed_at(PortId(to)))
}

fn drop_at(port: u16, source_port: u16) -> FlowPair {
    FlowPair {
        forward: Half {
            key: key(port, 17, source_port),
            transposition: Transposition::drop(DropReason::NsgDenyOutbound),
            stamp: stamp(30),
            peer: None,
            forward: true,
        },
        reverse: None,
    }
}

#[test]
fn an_entry_takes_at_most_128_bytes_all_in() {
    let entries = 1 << 17;
    let limits = Limits {
        ports_max: 128,
        ..limits(entries, entries)
    };
    let table = FlowTable::with_limits(limits, 1);
    assert!(
        table.memory_bytes() <= 128 * entries as usize,
        "{}",
        table.memory_bytes()
    );
}

#[test]
fn the_seed_chooses_the_hash_and_nothing_else_does() {
    let packed = PackedKey::of(&key(1, 6, 1));
    let hash = |seed| FlowTable::with_limits(limits(1, 1), seed).hash_key(&packed);
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
}

#[test]
fn keys_of_both_families_are_found() {
    let mut bench = Bench::new(8, 8);
    let v6 = |last| IpAddr::V6(std::net::Ipv6Addr::from(last));
    let forward = FlowKey::new(PortId(1), v6(4), v6(5), 6, 1, 2);
    assert_eq!(forward.family(), Family::V6);
    bench
        .insert(&pair_of(forward, forward.reversed_at(PortId(2))))
        .expect("room");
    bench.insert(&pair(6, 1)).expect("room");
    assert!(bench.holds(&forward) && bench.holds(&key(1, 6, 1)));
    assert!(!bench.holds(&forward.at(PortId(3))));
}
