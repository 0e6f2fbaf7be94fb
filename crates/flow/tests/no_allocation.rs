//! After it is made, the table takes no memory, whatever happens to it.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use flow::{
    Counters, DropReason, Encap, EngineCounters, FlowKey, FlowPair, FlowTable, Half, Limits,
    Offload, PortId, Removed, Stamp, TcpFlags, Tick, Timeouts, Transposition, Verdict,
};
use wire::{MacAddr, Vni};

const FLOWS_MAX: u32 = 512;

fn pair(number: u32) -> FlowPair {
    let [.., high, low] = number.to_be_bytes();
    let source_port = u16::from_be_bytes([high, low]);
    let address = |last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
    let (from, to) = (PortId(1 + source_port % 7), PortId(1 + source_port % 5));
    let protocol = [6, 17, 1][usize::from(source_port % 3)];
    let key = FlowKey::new(from, address(4), address(5), protocol, source_port, 80);
    let encap = Encap {
        outer_src: address(1),
        outer_dst: IpAddr::V4(Ipv4Addr::from(number % 300)),
        vni: Vni::MAX,
        dst_port: 4789,
    };
    let transposition = Transposition {
        verdict: Verdict::Uplink,
        eth_dst: MacAddr([2; 6]),
        eth_src: MacAddr([4; 6]),
        decrement_ttl: false,
        mtu: 1500,
        encap: Some(encap),
    };
    let answer = key.reversed_at(to);
    let stamp = Stamp::default();
    if number.is_multiple_of(11) {
        let transposition = Transposition::drop(DropReason::NoRoute);
        let forward = Half {
            key,
            transposition,
            stamp,
            peer: None,
            forward: true,
        };
        return FlowPair {
            forward,
            reverse: None,
        };
    }
    FlowPair {
        forward: Half {
            key,
            transposition,
            stamp,
            peer: Some(answer),
            forward: true,
        },
        reverse: Some(Half {
            key: answer,
            transposition,
            stamp,
            peer: Some(key),
            forward: false,
        }),
    }
}

/// Ten times as many flows as there is room for, through every operation.
fn exercise(table: &mut FlowTable, removed: &mut Vec<Removed>) -> (u32, u32) {
    let (mut inserted, mut refused) = (0, 0);
    let timeouts = Timeouts::default();
    for number in 0..10 * FLOWS_MAX {
        removed.clear();
        let now = Tick(0) + Duration::from_millis(u64::from(number) * 20);
        let pair = pair(number);
        match table.insert(&pair, now, removed) {
            Ok(id) => {
                inserted += 1;
                table.record(id, 60, TcpFlags::SYN, now);
                let _ = table.update(id, &pair.forward.transposition, Stamp::default());
                table.set_offload(id, Offload::Active);
                let counters = Counters {
                    tcp_flags: TcpFlags::ACK,
                    ..Counters::default()
                };
                table.absorb(&EngineCounters {
                    key: pair.forward.key,
                    counters,
                });
                if number.is_multiple_of(17) {
                    table.remove(id, removed);
                }
            }
            Err(_) => refused += 1,
        }
        assert!(removed.len() <= FlowTable::REMOVED_PER_INSERT_MAX);
        let confirm = &mut |_: &FlowKey| Some(Counters::default());
        table.expire(now, &timeouts, 3, confirm, removed);
    }
    (inserted, refused)
}

#[test]
fn the_table_allocates_when_it_is_made_and_never_again() {
    let limits = Limits {
        flows_max: NonZeroU32::new(FLOWS_MAX).expect("not zero"),
        flows_per_port_max: NonZeroU32::new(FLOWS_MAX / 3).expect("not zero"),
        ports_max: 8,
    };
    let mut table = None;
    let made = allocation_counter::measure(|| table = Some(FlowTable::with_limits(limits, 7)));
    let mut table = table.expect("just made");
    assert!(made.bytes_total > 0, "the counter counts");
    let own = u64::try_from(table.memory_bytes() - size_of::<FlowTable>()).expect("small");
    assert_eq!(
        u64::try_from(made.bytes_current),
        Ok(own),
        "memory_bytes tells the truth"
    );

    let mut removed = Vec::with_capacity(64);
    let mut outcome = (0, 0);
    let used = allocation_counter::measure(|| outcome = exercise(&mut table, &mut removed));
    assert_eq!(used.count_total, 0);
    assert!(
        outcome.0 > FLOWS_MAX && outcome.1 > 0,
        "full, and recycled: {outcome:?}"
    );
}
