//! Fragments: the first one says which flow the others belong to.

use std::time::Duration;

use flow::DropReason;
use wire::compose::{self, Packet};

use crate::model::bench::{Bench, Talk, dropped, to, via_router};
use crate::model::rules::{Narrow, deny, nic_group};
use crate::model::world::World;

const IDENT: u32 = 7;

fn bench() -> Bench {
    Bench::new(World::of(&[0, 0]))
}

/// Three fragments of a datagram, of either family.
fn parts(talk: &Talk) -> Vec<Vec<u8>> {
    let parts = compose::fragments(&talk.ask_udp(&[0x5a; 1_000]), IDENT, 400);
    assert_eq!(parts.len(), 3);
    parts
}

#[test]
fn fragments_in_order_go_where_the_first_one_goes() {
    let mut bench = bench();
    for talk in [Talk::new(&bench, 1, 2), Talk::v6(&bench, 1, 2)] {
        for part in parts(&talk) {
            let sent = bench.send(1, &part);
            assert_eq!(sent.outcome, to(2));
            assert_eq!(
                sent.frame[12..],
                part[12..],
                "only Ethernet addresses change"
            );
        }
        let id = bench
            .switch
            .flows()
            .lookup(&talk.key(1, 17))
            .expect("the flow");
        let flow = bench.switch.flows().get(id).expect("the flow");
        assert_eq!(flow.counters().packets, 3, "all three are the flow's");
    }
    assert_eq!(
        bench.counters(1).first_packets,
        2,
        "one for each datagram's flow"
    );
    assert_eq!(bench.switch.fragments_len(), 2);
}

#[test]
fn a_fragment_before_the_first_is_dropped() {
    let mut bench = bench();
    let parts = parts(&Talk::new(&bench, 1, 2));
    assert_eq!(
        bench.outcome(1, &parts[1]),
        dropped(DropReason::FragmentWithoutFirst)
    );
    assert_eq!(bench.outcome(1, &parts[0]), to(2));
    assert_eq!(bench.outcome(1, &parts[1]), to(2), "retransmitted");
}

#[test]
fn the_first_fragment_is_remembered_for_its_time() {
    let mut bench = bench();
    let parts = parts(&Talk::new(&bench, 1, 2));
    bench.send(1, &parts[0]);
    bench.pass(Duration::from_millis(4_999));
    assert_eq!(bench.outcome(1, &parts[1]), to(2));
    bench.pass(Duration::from_millis(1));
    assert_eq!(
        bench.outcome(1, &parts[2]),
        dropped(DropReason::FragmentWithoutFirst)
    );
    bench.sweep();
    assert_eq!(bench.switch.fragments_len(), 0);
}

#[test]
fn fragments_of_what_is_refused_are_refused_for_the_same_reason() {
    let mut world = World::of(&[0, 0]);
    world.set_inbound(2, vec![nic_group(vec![deny("https", 100).port(443)])]);
    let mut bench = Bench::new(world);
    for part in parts(&Talk::new(&bench, 1, 2)) {
        assert_eq!(bench.outcome(1, &part), dropped(DropReason::NsgDenyInbound));
    }
}

#[test]
fn another_port_does_not_share_in_a_fragmented_packet() {
    let mut world = World::of(&[0, 0, 0]);
    world.nic(3).ip_forwarding = true;
    let mut bench = Bench::new(world);
    let parts = parts(&Talk::new(&bench, 1, 2));
    bench.send(1, &parts[0]);
    let stolen = Talk::relayed(&bench, 3, &parts[1]);
    assert_eq!(
        bench.outcome(3, &stolen),
        dropped(DropReason::FragmentWithoutFirst)
    );
}

#[test]
fn a_port_that_is_removed_takes_its_fragments_along() {
    let mut bench = bench();
    let parts = parts(&Talk::new(&bench, 1, 2));
    bench.send(1, &parts[0]);
    bench.switch.remove_port(flow::PortId(1));
    bench
        .switch
        .add_port(flow::PortId(1), flow::PortMode::Synthetic);
    assert_eq!(
        bench.outcome(1, &parts[1]),
        dropped(DropReason::FragmentWithoutFirst)
    );
}

#[test]
fn a_fragmented_echo_is_one_flow() {
    let mut bench = bench();
    let (src, dst) = (bench.end(1, 0), via_router(bench.end(2, 0)));
    let echo = Packet::new(&src, &dst, &[0; 1_000]).icmp_echo(true, 9, 1);
    for part in compose::fragments(&echo, IDENT, 400) {
        assert_eq!(bench.outcome(1, &part), to(2));
    }
    assert_eq!(bench.switch.flows().len(), 2, "the request and the reply");
}
