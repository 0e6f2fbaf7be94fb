//! [`FlowEngine`] over the kernel's map: what goes in comes out, and what does not fit leaves
//! nothing behind.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use bpf::{BpfEngine, FlowEngine, Outcome};
use flow::{
    DropReason, Encap, FlowKey, FlowPair, Half, InstallError, PortId, Refusal, Stamp,
    Transposition, Verdict,
};
use wire::{Vni, compose};

use crate::lab::{self, Guest, Lab, TCP, UDP, lab};

fn bench(test: &str, flows_max: u32) -> Option<(BpfEngine, [Guest; 2], Lab)> {
    let lab = lab(test)?;
    let mut config = lab.config();
    config.flows_max = NonZeroU32::new(flows_max).unwrap();
    let (mut engine, _) = lab.open_with(&config);
    let guests = lab.two_guests(&mut engine);
    Some((engine, guests, lab))
}

fn pairs(guests: &[Guest; 2], count: u16) -> Vec<FlowPair> {
    let [from, to] = [&guests[0], &guests[1]].map(Guest::attachment);
    (0..count)
        .map(|port| lab::pair(lab::key(1, 2, UDP, port, 53), from, to))
        .collect()
}

fn install(engine: &mut BpfEngine, pairs: &[FlowPair]) -> Vec<InstallError> {
    let mut refused = Vec::new();
    engine.install(pairs, &mut refused);
    refused
}

/// Everything that is in, by the key as users read it.
fn dump(engine: &mut BpfEngine) -> BTreeMap<String, (Half, bool)> {
    let mut all = BTreeMap::new();
    engine.dump(&mut |half, counters, active| {
        assert_eq!(counters.packets, 0);
        assert_eq!(all.insert(format!("{:?}", half.key), (*half, active)), None);
    });
    all
}

#[test]
fn what_is_installed_is_dumped_and_removed() {
    let Some((mut engine, guests, _lab)) = bench("what_is_installed_is_dumped_and_removed", 8192)
    else {
        return;
    };
    let pairs = pairs(&guests, 2000);
    let forward: Vec<FlowKey> = pairs.iter().map(|pair| pair.forward.key).collect();
    assert_eq!(install(&mut engine, &pairs[..1000]), []);
    engine.activate(&forward[..1000]);
    assert_eq!(install(&mut engine, &pairs[1000..]), []);
    let found = dump(&mut engine);
    assert_eq!(found.len(), 4000);
    for (number, pair) in pairs.iter().enumerate() {
        for half in [pair.forward, pair.reverse.unwrap()] {
            let key = format!("{:?}", half.key);
            assert_eq!(found[&key], (half, number < 1000));
        }
    }
    let (mut last, unknown) = (Vec::new(), lab::key(1, 2, TCP, 1, 1));
    engine.remove(&[&forward[..], &[unknown]].concat(), &mut last);
    assert_eq!(last.len(), 2000, "unknown keys have no counters");
    assert_eq!(dump(&mut engine).len(), 2000);
    let mut read = Vec::new();
    engine.read(&[forward[0], pairs[0].reverse.unwrap().key], &mut read);
    assert_eq!(read.len(), 1);
}

#[test]
fn pairs_that_do_not_fit_are_refused_whole() {
    let Some((mut engine, guests, _lab)) = bench("pairs_that_do_not_fit_are_refused_whole", 101)
    else {
        return;
    };
    let pairs = pairs(&guests, 60);
    let refused = install(&mut engine, &pairs);
    assert_eq!(refused.len(), 10);
    assert!(
        refused
            .iter()
            .all(|error| error.refusal == Refusal::TableFull)
    );
    let found = dump(&mut engine);
    assert_eq!(found.len(), 100, "half a pair would make it 101");
    // Replacing what is in needs no room, and a single drop still has some.
    assert_eq!(install(&mut engine, &pairs[..50]), []);
    let drop = Half {
        transposition: Transposition::drop(DropReason::NoRoute),
        peer: None,
        ..pairs[55].forward
    };
    assert_eq!(
        install(
            &mut engine,
            &[FlowPair {
                forward: drop,
                reverse: None
            }]
        ),
        []
    );
    assert_eq!(dump(&mut engine).len(), 101);
}

#[test]
fn what_the_engine_cannot_do_is_refused_with_the_reason() {
    let Some((mut engine, guests, _lab)) =
        bench("what_the_engine_cannot_do_is_refused_with_the_reason", 64)
    else {
        return;
    };
    let good = pairs(&guests, 5);
    let encap = Encap {
        outer_src: [192, 0, 2, 1].into(),
        outer_dst: [192, 0, 2, 2].into(),
        vni: Vni::new(7).unwrap(),
        dst_port: 4789,
    };
    let mut uplink = good[0];
    uplink.forward.transposition.verdict = Verdict::Uplink;
    uplink.forward.transposition.encap = Some(encap);
    let mut nowhere = good[1];
    nowhere.reverse.as_mut().unwrap().transposition.verdict = Verdict::Deliver(PortId(9));
    let mut slot = good[2];
    slot.forward.stamp = Stamp {
        mapping_slot: 65_536,
        ..Stamp::default()
    };
    let mut stranger = good[4];
    stranger.forward.peer = Some(good[0].forward.key);
    // An older pair of the same keys must not survive the refusal.
    assert_eq!(install(&mut engine, &good), []);
    let refused = install(&mut engine, &[uplink, nowhere, slot, good[3], stranger]);
    let refusals: Vec<_> = refused
        .iter()
        .map(|error| (error.key, error.refusal))
        .collect();
    assert_eq!(
        refusals,
        [
            (uplink.forward.key, Refusal::Encapsulation),
            (nowhere.reverse.unwrap().key, Refusal::NoDevice),
            (slot.forward.key, Refusal::System(libc::ERANGE)),
            (stranger.forward.key, Refusal::System(libc::EINVAL)),
        ]
    );
    assert_eq!(dump(&mut engine).len(), 2);
}

#[test]
fn detaching_a_port_takes_its_entries_out() {
    let Some((mut engine, guests, lab)) = bench("detaching_a_port_takes_its_entries_out", 64)
    else {
        return;
    };
    let third = Guest::new(lab.host(), 3);
    lab::attach(&mut engine, third.attachment());
    let [first, second, third] = [&guests[0], &guests[1], &third].map(Guest::attachment);
    let one_two = lab::pair(lab::key(1, 2, UDP, 1, 1), first, second);
    let two_three = lab::pair(lab::key(2, 3, UDP, 1, 1), second, third);
    assert_eq!(install(&mut engine, &[one_two, two_three]), []);
    engine.detach(PortId(1)).unwrap();
    let left = dump(&mut engine);
    assert_eq!(left.len(), 2);
    assert!(left.values().all(|(half, _)| half.key.port() != PortId(1)));
    assert_eq!(
        install(&mut engine, &[one_two])[0].refusal,
        Refusal::NoDevice
    );
    engine.detach(PortId(1)).unwrap();
}

#[test]
fn nothing_of_a_detached_port_acts_for_the_next_of_its_number() {
    let name = "nothing_of_a_detached_port_acts_for_the_next_of_its_number";
    let Some((mut engine, guests, _lab)) = bench(name, 4096) else {
        return;
    };
    let first = guests[0].attachment();
    let pairs = pairs(&guests, 1000);
    let keys: Vec<FlowKey> = pairs.iter().map(|pair| pair.forward.key).collect();
    assert_eq!(install(&mut engine, &pairs[1..]), []);
    engine.activate(&keys);
    // One that is installed while the port goes, and activated when it is another's.
    assert_eq!(install(&mut engine, &pairs[..1]), []);
    for _ in 0..2 {
        engine.detach(PortId(1)).unwrap();
        lab::attach(&mut engine, first);
        engine.activate(&keys[..1]);
        let frame = |source| {
            compose::udp(
                &guests[0].source(source),
                &guests[1].behind_router(53),
                b"x",
            )
        };
        for source in [0, 1, 999] {
            let run = engine.test_run(first.ifindex, &frame(source)).unwrap();
            assert_eq!(run.outcome, Some(Outcome::Exception));
        }
    }
    // What nobody has taken out goes by and by, and what it counted can be had until then.
    let mut last = Vec::new();
    engine.remove(&keys[..10], &mut last);
    assert_eq!(last.len(), 10);
    engine.heartbeat(lab::now()).unwrap();
    engine.remove(&keys, &mut last);
    assert_eq!(last.len(), 10);
    assert_eq!(install(&mut engine, &pairs), [], "there is room again");
    engine.activate(&keys);
    assert_eq!(dump(&mut engine).len(), 2000);
}

#[test]
fn a_detached_device_may_be_attached_at_once() {
    let name = "a_detached_device_may_be_attached_at_once";
    let Some((mut engine, guests, _lab)) = bench(name, 64) else {
        return;
    };
    for _ in 0..50 {
        engine.detach(PortId(1)).unwrap();
        engine.attach(guests[0].attachment()).unwrap();
    }
}

#[test]
fn attachments_are_checked() {
    let Some((mut engine, guests, _lab)) = bench("attachments_are_checked", 64) else {
        return;
    };
    let first = guests[0].attachment();
    for port in [PortId(0), PortId::UPLINK, PortId(4095)] {
        assert!(
            engine
                .attach(bpf::PortAttachment { port, ..first })
                .is_err()
        );
    }
    let taken = engine.attach(bpf::PortAttachment {
        port: PortId(3),
        ..first
    });
    assert!(matches!(
        taken,
        Err(bpf::AttachError::DeviceTaken {
            port: PortId(1),
            ..
        })
    ));
    let absent = bpf::PortAttachment {
        port: PortId(3),
        ifindex: 0x7fff_ffff,
        ..first
    };
    assert!(matches!(
        engine.attach(absent),
        Err(bpf::AttachError::NoDevice(..))
    ));
    assert_eq!(
        engine.set_mode(PortId(3), flow::PortMode::Accelerated),
        Err(Refusal::NoDevice)
    );
    assert!(engine.set_exception_device(first.ifindex).is_err());
}
