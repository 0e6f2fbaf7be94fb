//! A batch that was looked ahead is processed as its frames would be one by one.

use flow::PortId;
use proptest::prelude::*;
use wire::TcpFlags;
use wire::compose::{self, Packet};

use crate::model::afar::{Afar, Arrived, congested};
use crate::model::bench::{Bench, Sent, Talk, via_router};
use crate::model::rules::{deny, nic_group};
use crate::model::world::{World, remote, v4};

/// Guest 1 is served by 2, refused by 3, and talks to somebody on another host.
fn bench() -> Bench {
    let mut world = World::of(&[0, 0, 0]);
    world.nic(1).decrement_ttl = true;
    world.nic(2).mtu = 1_280;
    world.set_inbound(3, vec![nic_group(vec![deny("nobody", 100)])]);
    world.map(0, v4(0, 1, 1), Some(remote(9, 0)));
    Bench::new(world)
}

#[derive(Clone, Debug)]
enum Frame {
    /// What the guest behind a port sends.
    Of(u8, Vec<u8>),
    /// What comes off the uplink.
    Uplink(Vec<u8>),
}

/// Of every kind, some of several flows.
fn frames(bench: &Bench) -> Vec<Frame> {
    let mut frames = Vec::new();
    let refused = Talk::new(bench, 1, 3);
    for port in 40_000..40_004 {
        for mut talk in [Talk::new(bench, 1, 2), Talk::v6(bench, 1, 2)] {
            talk.client.port = port;
            let aged = Packet {
                ttl: 1,
                ..Packet::new(&talk.client, &via_router(talk.server), b"")
            };
            let asked = [
                talk.syn(),
                talk.ask(TcpFlags::ACK),
                talk.ask(TcpFlags::ACK | TcpFlags::FIN),
                talk.ask_udp(b"hello"),
                talk.ask_udp(&[0; 1_300]),
                compose::echo_request(&talk.client, &via_router(talk.server), port, b"ping"),
                aged.udp(),
            ];
            frames.extend(asked.map(|frame| Frame::Of(1, frame)));
            let answered = [
                talk.answer(TcpFlags::SYN | TcpFlags::ACK),
                talk.answer_udp(b""),
            ];
            frames.extend(answered.map(|frame| Frame::Of(2, frame)));
        }
        let mut away = Talk::new(bench, 1, 2);
        away.client.port = port;
        away.server.ip = v4(0, 1, 1);
        let afar = Afar::new(9, 0, v4(0, 1, 1), 443);
        let back = afar.udp(&away.client, b"hello");
        let marked = congested(back.clone());
        frames.extend([away.ask_udp(b"hello"), away.syn()].map(|frame| Frame::Of(1, frame)));
        frames.extend([back, marked].map(Frame::Uplink));
    }
    let arp = compose::arp_request(&refused.client, std::net::Ipv4Addr::new(10, 0, 0, 2));
    let mut mangled = refused.ask_udp(b"");
    mangled[24] ^= 1;
    let mut cut = refused.ask_udp(b"");
    cut.truncate(30);
    let odd = [refused.ask_udp(b"hello"), refused.syn(), arp, mangled, cut];
    frames.extend(odd.map(|frame| Frame::Of(1, frame)));
    frames
}

#[derive(Clone, Debug)]
enum Step {
    /// The frames with these numbers, in one batch.
    Batch(Vec<prop::sample::Index>),
    NewPaths,
    NewRules,
    Attached(bool),
    Minute,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let batch = prop::collection::vec(any::<prop::sample::Index>(), 1..80);
    let step = prop_oneof![
        6 => batch.prop_map(Step::Batch),
        1 => Just(Step::NewPaths),
        1 => Just(Step::NewRules),
        1 => any::<bool>().prop_map(Step::Attached),
        1 => Just(Step::Minute),
    ];
    prop::collection::vec(step, 1..12)
}

#[derive(Debug, PartialEq, Eq)]
enum Done {
    Sent(Sent),
    Arrived(Arrived),
}

fn process(bench: &mut Bench, frame: &Frame) -> Done {
    match frame {
        Frame::Of(port, bytes) => Done::Sent(bench.send(*port, bytes)),
        Frame::Uplink(bytes) => Done::Arrived(bench.arrive(bytes)),
    }
}

/// All frames of one kind are looked at; those of the other kind come in between and use up hints
/// that are not theirs.
fn look_ahead(bench: &mut Bench, batch: &[&Frame]) {
    if let Some(Frame::Uplink(_)) = batch.first() {
        let frames = batch.iter().filter_map(|frame| match frame {
            Frame::Uplink(bytes) => Some(&bytes[..]),
            Frame::Of(..) => None,
        });
        bench.switch.look_ahead_uplink(frames);
    } else {
        let frames = batch.iter().filter_map(|frame| match frame {
            Frame::Of(port, bytes) => Some((PortId((*port).into()), &bytes[..])),
            Frame::Uplink(_) => None,
        });
        bench.switch.look_ahead(frames);
    }
}

fn change(bench: &mut Bench, step: &Step) {
    match step {
        Step::Batch(_) => {}
        Step::NewPaths => bench.edit(World::advance_paths),
        Step::NewRules => bench.edit(World::reevaluate),
        Step::Attached(true) => bench.switch.add_port(PortId(2), flow::PortMode::Synthetic),
        Step::Attached(false) => bench.switch.set_down(PortId(2)),
        Step::Minute => {
            bench.pass(std::time::Duration::from_secs(60));
            bench.sweep();
        }
    }
}

fn state(bench: &Bench) -> Vec<String> {
    let entries = bench
        .switch
        .flows()
        .iter()
        .map(|entry| format!("{entry:?}"));
    let ports = [PortId(1), PortId(2), PortId(3), PortId::UPLINK];
    let ports = ports.map(|port| format!("{:?}", bench.switch.port(port)));
    entries.chain(ports).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn it_changes_nothing_but_the_time_it_takes(steps in steps()) {
        let (mut one_by_one, mut batched) = (bench(), bench());
        let frames = frames(&one_by_one);
        for step in &steps {
            if let Step::Batch(picks) = step {
                let batch: Vec<&Frame> = picks.iter().map(|pick| pick.get(&frames)).collect();
                look_ahead(&mut batched, &batch);
                for frame in batch {
                    let expected = process(&mut one_by_one, frame);
                    prop_assert_eq!(process(&mut batched, frame), expected);
                }
            }
            change(&mut one_by_one, step);
            change(&mut batched, step);
        }
        prop_assert_eq!(state(&batched), state(&one_by_one));
    }
}

#[test]
fn more_frames_than_one_look_ahead_is_for_are_no_error() {
    let mut bench = bench();
    let talk = Talk::new(&bench, 1, 2);
    let frame = talk.ask_udp(b"hello");
    let many = std::iter::repeat_n((PortId(1), &frame[..]), 3 * vswitch::Switch::AHEAD_MAX);
    bench.switch.look_ahead(many);
    for _ in 0..3 * vswitch::Switch::AHEAD_MAX {
        assert_eq!(bench.outcome(1, &frame), crate::model::bench::to(2));
    }
    assert_eq!(bench.counters(1).first_packets, 1);
}
