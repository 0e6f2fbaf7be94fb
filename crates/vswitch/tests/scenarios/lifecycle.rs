//! Ports that come and go, and a switch that begins anew with flows that others kept.

use flow::{Counters, DropReason, FlowKey, Half, PortId, PortMode, TcpFlags, TcpState};
use policy::input::NextHop;
use wire::TcpFlags as Flags;

use crate::model::bench::{Bench, Talk, dropped, to};
use crate::model::rules::{deny, nic_group};
use crate::model::world::World;

const ACK: Flags = Flags::ACK;
const SYN_ACK: Flags = Flags(Flags::SYN.0 | ACK.0);

fn connected() -> (Bench, Talk) {
    let mut bench = Bench::new(World::of(&[0, 0, 0]));
    let talk = Talk::new(&bench, 1, 2);
    bench.send(1, &talk.syn());
    bench.send(2, &talk.answer(SYN_ACK));
    bench.send(1, &talk.ask(ACK));
    (bench, talk)
}

/// What an engine that has all flows reports of them.
fn dump(bench: &Bench) -> Vec<(Half, Counters)> {
    bench
        .switch
        .flows()
        .iter()
        .map(|entry| (entry.half(), entry.counters()))
        .collect()
}

#[test]
fn a_port_without_a_device_receives_nothing_and_forgets_nothing() {
    let (mut bench, talk) = connected();
    bench.switch.set_down(PortId(2));
    assert_eq!(
        bench.outcome(1, &talk.ask(ACK)),
        dropped(DropReason::PortDown)
    );
    let new = Talk {
        client: bench.end(1, 40_001),
        ..talk
    };
    assert_eq!(bench.outcome(1, &new.syn()), dropped(DropReason::PortDown));
    bench.switch.add_port(PortId(2), PortMode::Accelerated);
    assert_eq!(bench.outcome(1, &talk.ask(ACK)), to(2));
    assert_eq!(bench.outcome(2, &talk.answer(ACK)), to(1));
    let view = bench.switch.port(PortId(2)).expect("attached");
    assert!(view.up);
    assert_eq!((view.mode, view.flows), (PortMode::Accelerated, 2));
    assert_eq!(view.counters.from_guest_packets, 2, "its counters go on");
    bench.switch.set_mode(PortId(2), PortMode::Synthetic);
    assert_eq!(
        bench.switch.port(PortId(2)).expect("attached").mode,
        PortMode::Synthetic
    );
}

#[test]
fn a_removed_port_takes_its_flows_along_and_those_to_it() {
    let (mut bench, talk) = connected();
    let bystander = Talk::new(&bench, 1, 3);
    bench.send(1, &bystander.ask_udp(b"?"));
    bench.switch.remove_port(PortId(2));
    assert!(bench.switch.port(PortId(2)).is_none());
    assert_eq!(bench.switch.flows().len(), 2, "the bystanders'");
    assert_eq!(
        bench.outcome(2, &talk.answer(ACK)),
        dropped(DropReason::PortDown)
    );
    assert_eq!(
        bench.outcome(1, &talk.ask(ACK)),
        dropped(DropReason::TcpNoConnection)
    );
    assert_eq!(bench.outcome(3, &bystander.answer_udp(b"!")), to(1));
    bench.switch.add_port(PortId(2), PortMode::Synthetic);
    assert_eq!(
        bench.counters(2).from_guest_packets,
        0,
        "another NIC, other counters"
    );
}

#[test]
fn after_a_restart_connections_are_where_they_were() {
    let (old, talk) = connected();
    let mut new = Bench::new(World::of(&[0, 0, 0]));
    let adopted = new.switch.adopt(dump(&old), new.now);
    assert_eq!(adopted.orphans, []);
    assert_eq!(adopted.stamps.len(), 2);
    for (key, stamp) in adopted.stamps {
        let id = new.switch.flows().lookup(&key).expect("adopted");
        assert_eq!(new.switch.flows().get(id).expect("adopted").stamp(), stamp);
    }
    let id = new.switch.flows().lookup(&talk.key(1, 6)).expect("adopted");
    assert_eq!(
        new.switch.flows().tcp_state(id),
        Some(TcpState::Established)
    );
    assert!(
        new.switch
            .flows()
            .get(id)
            .expect("adopted")
            .offload()
            .in_engine()
    );
    assert_eq!(new.outcome(1, &talk.ask(ACK)), to(2));
    assert_eq!(new.outcome(2, &talk.answer(ACK)), to(1));
    let (one, two) = (new.counters(1), new.counters(2));
    assert_eq!((one.first_packets, one.resimulations), (0, 0));
    assert_eq!((two.first_packets, two.resimulations), (0, 0));
}

#[test]
fn what_is_half_there_is_an_orphan() {
    let (old, talk) = connected();
    let key = talk.key(1, 6);
    let answer = key.reversed_at(PortId(2));
    for missing in [key, answer] {
        let left = dump(&old)
            .into_iter()
            .filter(|(half, _)| half.key != missing);
        let mut new = Bench::new(World::of(&[0, 0, 0]));
        let adopted = new.switch.adopt(left, new.now);
        let expected = if missing == key { answer } else { key };
        assert_eq!(adopted.orphans, [expected]);
        assert!(new.switch.flows().is_empty());
    }
}

#[test]
fn flows_of_ports_that_are_gone_are_orphans() {
    let (old, talk) = connected();
    let key = talk.key(1, 6);
    for gone in [1, 2] {
        let mut new = Bench::new(World::of(&[0, 0, 0]));
        new.switch.remove_port(PortId(gone));
        let orphans = sorted(new.switch.adopt(dump(&old), new.now).orphans);
        assert_eq!(
            orphans,
            sorted(vec![key, key.reversed_at(PortId(2))]),
            "both halves"
        );
        assert!(new.switch.flows().is_empty());
    }
}

#[test]
fn halves_that_do_not_name_each_other_are_orphans() {
    let (old, talk) = connected();
    let key = talk.key(1, 6);
    let stranger = key.reversed_at(PortId(3));
    // An engine that was interrupted between two halves may hold three.
    let mut halves = dump(&old);
    let (answer, counters) = halves
        .iter()
        .find(|(half, _)| !half.forward)
        .copied()
        .expect("the answer's half");
    halves.push((
        Half {
            key: stranger,
            ..answer
        },
        counters,
    ));
    let mut new = Bench::new(World::of(&[0, 0, 0]));
    let adopted = new.switch.adopt(halves, new.now);
    assert_eq!(adopted.orphans, [stranger]);
    assert_eq!(new.switch.flows().len(), 2);
}

#[test]
fn a_connection_whose_way_has_changed_meanwhile_follows_on_its_next_packet() {
    let (old, talk) = connected();
    let mut world = World::of(&[0, 0, 0]);
    world.add_route(1, "10.0.0.2/32", NextHop::None);
    world.input.nics[0].path_generation = 5;
    let mut new = Bench::new(world);
    let adopted = new.switch.adopt(dump(&old), new.now);
    assert_eq!((adopted.orphans.len(), adopted.stamps.len()), (0, 0));
    assert_eq!(new.outcome(1, &talk.ask(ACK)), dropped(DropReason::NoRoute));
}

#[test]
fn a_restart_does_not_make_up_for_a_re_evaluation() {
    let (old, talk) = connected();
    let mut world = World::of(&[0, 0, 0]);
    world.set_inbound(2, vec![nic_group(vec![deny("nobody", 100)])]);
    for nic in &mut world.input.nics {
        (nic.path_generation, nic.reevaluate_generation) = (5, 5);
    }
    let mut new = Bench::new(world);
    assert_eq!(new.switch.adopt(dump(&old), new.now).stamps, []);
    assert_eq!(
        new.outcome(1, &talk.ask(ACK)),
        dropped(DropReason::NsgDenyInbound)
    );
}

#[test]
fn what_an_engine_reports_counts_as_seen() {
    let (mut bench, talk) = connected();
    let key = talk.key(1, 6);
    let counters = Counters {
        packets: 10,
        bytes: 1_000,
        tcp_flags: TcpFlags::FIN | TcpFlags::ACK,
        last_seen: bench.now,
    };
    let reading = flow::EngineCounters { key, counters };
    bench.switch.observe(&reading);
    let id = bench.switch.flows().lookup(&key).expect("there");
    assert_eq!(bench.switch.flows().tcp_state(id), Some(TcpState::Closing));
    assert!(
        !bench.switch.absorb(&reading),
        "the entry was never in an engine"
    );
    bench
        .switch
        .flows_mut()
        .set_offload(id, flow::Offload::Active);
    let before = bench
        .switch
        .flows()
        .get(id)
        .expect("there")
        .counters()
        .packets;
    assert!(bench.switch.absorb(&reading));
    let after = bench
        .switch
        .flows()
        .get(id)
        .expect("there")
        .counters()
        .packets;
    assert_eq!(after, before + 10);
}

fn sorted(mut keys: Vec<FlowKey>) -> Vec<FlowKey> {
    keys.sort_by_key(|key| format!("{key:?}"));
    keys
}
