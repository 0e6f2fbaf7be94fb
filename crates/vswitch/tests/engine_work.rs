//! What flow engines are told: exactly what changed, in an order that they can follow.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use flow::{Counters, DropReason, FlowKey, FlowPair, Half, Offload, PortId, TcpFlags};
use policy::input::NextHop;
use proptest::prelude::*;
use proptest::sample::select;
use vswitch::{EngineWork, Limits};

use crate::model::bench::{Bench, ROOMY, Talk, dropped, to};
use crate::model::rules::{deny, nic_group};
use crate::model::world::World;

fn bench() -> Bench {
    Bench::new(World::of(&[0, 0]))
}

/// An engine does all that it is told.
fn obey(bench: &mut Bench, work: &EngineWork) {
    for pair in &work.install {
        for half in halves(pair) {
            assert!(
                bench
                    .switch
                    .flows_mut()
                    .set_offload_of(&half.key, Offload::Active)
            );
        }
    }
}

fn halves(pair: &FlowPair) -> impl Iterator<Item = Half> {
    std::iter::once(pair.forward).chain(pair.reverse)
}

fn other(talk: &Talk, number: u16) -> Talk {
    let mut other = *talk;
    other.client.port = 50_000 + number;
    other
}

#[test]
fn what_was_put_off_is_offered_with_the_next_packet_of_either_direction() {
    let mut bench = Bench::new(World::of(&[0, 0, 0]));
    let refusing = vec![nic_group(vec![deny("none", 100)])];
    bench.edit(|world| world.set_inbound(3, refusing));
    let (asked, answered, refused) = (
        Talk::new(&bench, 1, 2),
        other(&Talk::new(&bench, 1, 2), 1),
        Talk::new(&bench, 1, 3),
    );
    for talk in [&asked, &answered, &refused] {
        bench.send(1, &talk.ask_udp(b"?"));
    }
    let work = bench.work();
    assert_eq!(work.install.len(), 3);
    for pair in &work.install {
        let flows = bench.switch.flows_mut();
        assert!(flows.set_offload_of(&pair.forward.key, Offload::Deferred));
    }
    assert!(bench.work().install.is_empty());

    bench.send(1, &asked.ask_udp(b"?"));
    bench.send(2, &answered.answer_udp(b"!"));
    bench.send(1, &refused.ask_udp(b"?"));
    let offered = bench.work().install;
    assert_eq!(offered, work.install, "each as it was decided");
    // Once is enough, whether the engine took them or not.
    bench.send(1, &asked.ask_udp(b"?"));
    assert!(bench.work().install.is_empty());
}

#[test]
fn a_connection_is_installed_once_in_both_directions() {
    let mut bench = bench();
    let talk = Talk::new(&bench, 1, 2);
    for _ in 0..3 {
        bench.send(1, &talk.ask_udp(b"?"));
        bench.send(2, &talk.answer_udp(b"!"));
    }
    let work = bench.work();
    let key = talk.key(1, 17);
    assert_eq!((work.install.len(), &work.remove[..]), (1, &[][..]));
    let pair = work.install[0];
    assert_eq!((pair.forward.key, pair.forward.forward), (key, true));
    let reverse = pair.reverse.expect("the answer's half");
    assert_eq!(
        (reverse.key, reverse.forward),
        (key.reversed_at(PortId(2)), false)
    );
    assert_eq!(
        (pair.forward.peer, reverse.peer),
        (Some(reverse.key), Some(key))
    );
    let work = bench.work();
    assert!(work.install.is_empty(), "told once");
}

#[test]
fn a_refusal_is_installed_by_itself_and_comes_back_with_its_reason() {
    let mut world = World::of(&[0, 0]);
    world.set_inbound(2, vec![nic_group(vec![deny("nobody", 100)])]);
    let mut bench = Bench::new(world);
    let talk = Talk::new(&bench, 1, 2);
    let frame = talk.ask_udp(b"?");
    bench.send(1, &frame);
    let work = bench.work();
    let key = talk.key(1, 17);
    assert_eq!(
        (work.install[0].forward.key, work.install[0].reverse),
        (key, None)
    );
    obey(&mut bench, &work);
    bench.pass(Duration::from_secs(30));
    bench.sweep();
    let work = bench.work();
    assert_eq!(work.remove, [key]);
    let counted = Counters {
        packets: 7,
        bytes: 420,
        ..Counters::default()
    };
    bench
        .switch
        .count_engine_drops(&key, DropReason::NsgDenyInbound, &counted);
    assert_eq!(
        bench.counters(1).drops.packets(DropReason::NsgDenyInbound),
        1 + 7
    );
    let bytes = u64::try_from(frame.len()).expect("short") + 420;
    assert_eq!(
        bench.counters(1).drops.bytes(DropReason::NsgDenyInbound),
        bytes
    );
}

#[test]
fn a_new_connection_on_an_old_tuple_takes_the_old_one_out_and_comes_in_its_place() {
    let mut bench = bench();
    let talk = Talk::new(&bench, 1, 2);
    bench.send(1, &talk.syn());
    let work = bench.work();
    obey(&mut bench, &work);
    bench.send(1, &talk.syn());
    let work = bench.work();
    let key = talk.key(1, 6);
    assert_eq!(work.remove, [key, key.reversed_at(PortId(2))]);
    assert_eq!((work.install.len(), work.install[0].forward.key), (1, key));
}

#[test]
fn what_is_gone_before_an_engine_heard_of_it_is_not_mentioned() {
    let limits = Limits {
        flows_max: NonZeroU32::new(4).expect("not zero"),
        ..ROOMY
    };
    let mut bench = Bench::with_limits(World::of(&[0, 0]), limits);
    let talk = Talk::new(&bench, 1, 2);
    for number in 0..10 {
        assert_eq!(
            bench.outcome(1, &other(&talk, number).syn()),
            to(2),
            "the oldest makes room"
        );
    }
    let work = bench.work();
    let installed: Vec<FlowKey> = work.install.iter().map(|pair| pair.forward.key).collect();
    assert_eq!(
        installed,
        [8, 9].map(|number| other(&talk, number).key(1, 6))
    );
    assert!(work.remove.is_empty());
}

#[test]
fn what_makes_room_in_an_engine_is_taken_out() {
    let limits = Limits {
        flows_max: NonZeroU32::new(2).expect("not zero"),
        ..ROOMY
    };
    let mut bench = Bench::with_limits(World::of(&[0, 0]), limits);
    let talk = Talk::new(&bench, 1, 2);
    bench.send(1, &talk.syn());
    let work = bench.work();
    obey(&mut bench, &work);
    bench.send(1, &other(&talk, 1).syn());
    let work = bench.work();
    let key = talk.key(1, 6);
    assert_eq!(work.remove, [key, key.reversed_at(PortId(2))]);
    assert_eq!(work.install[0].forward.key, other(&talk, 1).key(1, 6));
}

#[test]
fn a_connection_that_follows_a_change_is_taken_out_and_put_in_anew() {
    let mut bench = bench();
    let talk = Talk::new(&bench, 1, 2);
    let key = talk.key(1, 17);
    bench.send(1, &talk.ask_udp(b"?"));
    let work = bench.work();
    obey(&mut bench, &work);
    bench.edit(|world| world.add_route(1, "10.0.0.2/32", NextHop::None));
    assert_eq!(
        bench.outcome(1, &talk.ask_udp(b"?")),
        dropped(DropReason::NoRoute)
    );
    let work = bench.work();
    assert_eq!(work.remove, [key, key.reversed_at(PortId(2))]);
    let pair = work.install[0];
    assert_eq!(
        pair.forward.transposition.drop_reason(),
        Some(DropReason::NoRoute)
    );
    assert_eq!(
        pair.reverse.expect("kept").transposition.drop_reason(),
        None
    );
    obey(&mut bench, &work);

    bench.edit(|world| world.clear_user_routes(1));
    assert_eq!(bench.outcome(1, &talk.ask_udp(b"?")), to(2));
    let work = bench.work();
    assert_eq!(work.remove, [key, key.reversed_at(PortId(2))]);
    assert_eq!(work.install[0].forward.transposition.drop_reason(), None);
}

#[test]
fn what_no_engine_has_is_not_taken_out_of_one() {
    let mut bench = bench();
    let talk = Talk::new(&bench, 1, 2);
    bench.send(1, &talk.ask_udp(b"?"));
    bench.work();
    bench.edit(World::advance_paths);
    bench.send(1, &talk.ask_udp(b"?"));
    let work = bench.work();
    assert_eq!((work.remove.len(), work.install.len()), (0, 1));
    bench.switch.remove_port(PortId(1));
    assert!(bench.work().remove.is_empty());
}

#[test]
fn before_a_flow_ends_by_age_the_engine_is_asked() {
    let mut bench = bench();
    let talk = Talk::new(&bench, 1, 2);
    bench.send(1, &talk.ask_udp(b"?"));
    let work = bench.work();
    obey(&mut bench, &work);
    bench.pass(Duration::from_secs(200));
    let seen = Counters {
        last_seen: bench.now,
        ..Counters::default()
    };
    let mut asked = Vec::new();
    let done = bench.switch.sweep(bench.now, &mut |key| {
        asked.push(*key);
        Some(seen)
    });
    assert!(done);
    let key = talk.key(1, 17);
    assert_eq!(asked, [key, key.reversed_at(PortId(2))]);
    assert_eq!(bench.switch.flows().len(), 2, "the engine has seen it");
    bench.pass(Duration::from_secs(300));
    bench.sweep();
    assert_eq!(bench.work().remove.len(), 2);
}

/// An engine that does as it is told, and nothing else.
#[derive(Default)]
struct Obedient(HashMap<FlowKey, Half>);

impl Obedient {
    fn follow(&mut self, bench: &mut Bench) {
        let work = bench.work();
        for key in &work.remove {
            assert!(
                self.0.remove(key).is_some(),
                "{key:?} was not in the engine"
            );
        }
        self.0.extend(
            work.install
                .iter()
                .flat_map(halves)
                .map(|half| (half.key, half)),
        );
        obey(bench, &work);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Send {
        from: u8,
        to: u8,
        number: u16,
        flags: Option<TcpFlags>,
    },
    Block {
        from: u8,
    },
    Unblock {
        from: u8,
    },
    Reevaluate {
        to: u8,
        deny: bool,
    },
    RemovePort {
        port: u8,
    },
    Pass(u64),
    Flush,
}

fn steps() -> impl Strategy<Value = Step> {
    let port = || 1u8..=3;
    let flags = select(vec![
        None,
        Some(TcpFlags::SYN),
        Some(TcpFlags::SYN | TcpFlags::ACK),
        Some(TcpFlags::ACK),
        Some(TcpFlags::RST),
    ]);
    prop_oneof![
        20 => (port(), port(), 0u16..6, flags)
            .prop_map(|(from, to, number, flags)| Step::Send { from, to, number, flags }),
        1 => port().prop_map(|from| Step::Block { from }),
        1 => port().prop_map(|from| Step::Unblock { from }),
        1 => (port(), any::<bool>()).prop_map(|(to, deny)| Step::Reevaluate { to, deny }),
        1 => port().prop_map(|port| Step::RemovePort { port }),
        2 => (1u64..40).prop_map(Step::Pass),
        6 => Just(Step::Flush),
    ]
}

fn take(bench: &mut Bench, step: &Step) {
    match *step {
        Step::Send {
            from,
            to,
            number,
            flags,
        } => {
            let talk = other(&Talk::new(bench, from, to), number);
            // Half of the packets are answers to the other half.
            let turned = Talk {
                client: talk.server,
                server: talk.client,
            };
            let talk = if from < to { talk } else { turned };
            let (ask, frame) = match flags {
                None => (talk.ask_udp(b"?"), talk.answer_udp(b"!")),
                Some(TcpFlags(bits)) => (
                    talk.ask(wire::TcpFlags(bits)),
                    talk.answer(wire::TcpFlags(bits)),
                ),
            };
            bench.send(from.min(to), &ask);
            bench.send(from.max(to), &frame);
        }
        Step::Block { from } => {
            bench.edit(|world| world.add_route(from, "10.0.0.0/16", NextHop::None))
        }
        Step::Unblock { from } => bench.edit(|world| world.clear_user_routes(from)),
        Step::Reevaluate { to, deny: all } => bench.edit(|world| {
            let group = nic_group(vec![deny("nobody", 100)]);
            world.set_inbound(to, if all { vec![group] } else { Vec::new() });
            world.reevaluate();
        }),
        Step::RemovePort { port } => {
            bench.switch.remove_port(PortId(port.into()));
            bench
                .switch
                .add_port(PortId(port.into()), flow::PortMode::Accelerated);
        }
        Step::Pass(seconds) => {
            bench.pass(Duration::from_secs(seconds));
            bench.sweep();
        }
        Step::Flush => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever happens between two batches, after each the engine has what the table has.
    #[test]
    fn an_obedient_engine_has_what_the_table_has(
        steps in prop::collection::vec(steps(), 1..60),
        flows_max in 2u32..24,
    ) {
        let flows_max = NonZeroU32::new(flows_max).expect("not zero");
        let limits = Limits { flows_max, ..ROOMY };
        let mut bench = Bench::with_limits(World::of(&[0, 0, 0]), limits);
        let mut engine = Obedient::default();
        for step in &steps {
            take(&mut bench, step);
            if let Step::Flush = step {
                engine.follow(&mut bench);
                let table = bench.switch.flows().iter().map(|entry| (*entry.key(), entry.half()));
                prop_assert_eq!(&engine.0, &table.collect::<HashMap<_, _>>());
            }
        }
    }
}
