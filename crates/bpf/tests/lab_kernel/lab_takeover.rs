//! From one agent to the next, and to none: what is found, what goes on meanwhile, what is left.

use std::fs;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bpf::{AttachedPort, BpfEngine, FlowEngine, Hook, KernelVersion, OpenError, unload_everything};
use flow::{PortId, PortMode};
use wire::compose;

use crate::lab::{self, Guest, Lab, PacketSocket, UDP, lab};
use crate::lab_traffic::{exchange, udp_socket};

/// The hooks to go from and to, of those that the kernel has.
fn changes() -> Vec<(Hook, Hook)> {
    let (tcx, clsact) = (Hook::Tcx, Hook::Clsact);
    let has_tcx =
        bpf::supported().is_ok_and(|found| found.kernel >= KernelVersion { major: 6, minor: 6 });
    if has_tcx {
        vec![(tcx, tcx), (clsact, clsact), (tcx, clsact), (clsact, tcx)]
    } else {
        vec![(clsact, clsact)]
    }
}

fn open(lab: &Lab, hook: Hook) -> (BpfEngine, bpf::Takeover) {
    let mut config = lab.config();
    config.hook = hook;
    lab.open_with(&config)
}

fn installed(engine: &mut BpfEngine, guests: &[Guest; 2]) {
    let [from, to] = [&guests[0], &guests[1]].map(Guest::attachment);
    lab::install(
        engine,
        &[lab::pair(lab::key(1, 2, UDP, 4000, 5000), from, to)],
    );
}

/// How many programs are on the ingress of a device.
fn programs_on(lab: &Lab, guest: &Guest) -> usize {
    let device = format!("guest{}", guest.number);
    let filters = lab
        .host()
        .show(&format!("tc filter show dev {device} ingress"));
    let links = lab
        .pin_dir()
        .join("links")
        .join(guest.ifindex.to_string())
        .exists();
    filters.matches("direct-action").count() + usize::from(links)
}

#[test]
fn an_agent_finds_what_the_last_one_left_while_traffic_goes_on() {
    let name = "an_agent_finds_what_the_last_one_left_while_traffic_goes_on";
    for (before, after) in changes() {
        let Some(lab) = lab(name) else { return };
        let (mut engine, takeover) = open(&lab, before);
        assert!(takeover.fresh && takeover.ports.is_empty() && takeover.flows == 0);
        let guests = lab.two_guests(&mut engine);
        installed(&mut engine, &guests);
        let (asker, answerer) = (udp_socket(&guests[0], 4000), udp_socket(&guests[1], 5000));
        let (stop, mut exchanges) = (AtomicBool::new(false), 0_u64);
        let mut engine = Some(engine);
        thread::scope(|scope| {
            let traffic = scope.spawn(|| {
                let mut exchanges = 0;
                // A lost datagram would end this in a time-out.
                while !stop.load(Ordering::Relaxed) {
                    exchange(&asker, &answerer, b"still there");
                    exchanges += 1;
                }
                exchanges
            });
            for _ in 0..2 {
                drop(engine.take());
                let (next, takeover) = open(&lab, after);
                let expected = guests.each_ref().map(|guest| AttachedPort {
                    port: PortId(guest.number.into()),
                    ifindex: guest.ifindex,
                    mac: guest.attachment().mac,
                    mode: PortMode::Accelerated,
                });
                assert_eq!((takeover.ports, takeover.flows), (expected.to_vec(), 2));
                assert!(!takeover.fresh);
                engine = Some(next);
            }
            stop.store(true, Ordering::Relaxed);
            exchanges = traffic.join().unwrap();
        });
        let mut engine = engine.unwrap();
        let counted = lab::counters(&mut engine, lab::key(1, 2, UDP, 4000, 5000));
        assert_eq!(counted.packets, exchanges, "no datagram passed uncounted");
        let stats = engine.port_stats(PortId(1)).unwrap();
        assert_eq!(
            (stats.from_guest_packets, stats.to_guest_packets),
            (exchanges, exchanges)
        );
        for guest in &guests {
            assert_eq!(programs_on(&lab, guest), 1, "{before} to {after}");
            engine.attach(guest.attachment()).unwrap();
        }
        exchange(&asker, &answerer, b"attached again, mode and flows kept");
        let mut halves = Vec::new();
        engine.dump(&mut |half, _, active| halves.push((half.peer.is_some(), active)));
        assert_eq!(halves, [(true, true); 2]);
    }
}

#[test]
fn ports_whose_device_is_gone_are_forgotten_with_their_flows() {
    for (before, after) in changes() {
        let name = "ports_whose_device_is_gone_are_forgotten_with_their_flows";
        let Some(lab) = lab(name) else { return };
        let (mut engine, _) = open(&lab, before);
        let guests = lab.two_guests(&mut engine);
        installed(&mut engine, &guests);
        drop(engine);
        for guest in &guests {
            lab.host().ip(&format!("link del guest{}", guest.number));
        }
        let (_engine, takeover) = open(&lab, after);
        assert_eq!(
            (takeover.ports, takeover.flows, takeover.fresh),
            (vec![], 0, false)
        );
        assert_eq!(
            fs::read_dir(lab.pin_dir().join("links")).unwrap().count(),
            0
        );
    }
}

#[test]
fn another_size_makes_a_new_flow_map_and_keeps_the_ports() {
    let Some(lab) = lab("another_size_makes_a_new_flow_map_and_keeps_the_ports") else {
        return;
    };
    let mut engine = lab.open();
    let guests = lab.two_guests(&mut engine);
    installed(&mut engine, &guests);
    drop(engine);
    let mut config = lab.config();
    config.flows_max = NonZeroU32::new(2048).unwrap();
    let (mut engine, takeover) = lab.open_with(&config);
    assert_eq!(
        (takeover.ports.len(), takeover.flows, takeover.fresh),
        (2, 0, false)
    );
    installed(&mut engine, &guests);
    let (asker, answerer) = (udp_socket(&guests[0], 4000), udp_socket(&guests[1], 5000));
    exchange(&asker, &answerer, b"through the new map");
}

/// Without its maps the new agent cannot know the ports. Their frames must not fall through to the
/// host, nor be forwarded by what nobody owns any more.
#[test]
fn a_port_nobody_knows_any_more_is_closed() {
    let Some(lab) = lab("a_port_nobody_knows_any_more_is_closed") else {
        return;
    };
    let (mut engine, _) = open(&lab, changes()[0].0);
    if engine.hook() != Hook::Tcx {
        return;
    }
    let guests = lab.two_guests(&mut engine);
    installed(&mut engine, &guests);
    let (asker, answerer) = (udp_socket(&guests[0], 4000), udp_socket(&guests[1], 5000));
    exchange(&asker, &answerer, b"before");
    drop(engine);
    for map in fs::read_dir(lab.pin_dir().join("v2")).unwrap() {
        fs::remove_file(map.unwrap().path()).unwrap();
    }
    let (mut engine, takeover) = open(&lab, Hook::Tcx);
    assert!(takeover.fresh && takeover.ports.is_empty());
    let at_receiver = guests[1].packet_socket();
    let frame = compose::udp(
        &guests[0].source(4000),
        &guests[1].behind_router(5000),
        b"lost",
    );
    guests[0].packet_socket().send(&frame);
    for guest in &guests {
        lab::attach(&mut engine, guest.attachment());
    }
    installed(&mut engine, &guests);
    exchange(&asker, &answerer, b"after");
    assert!(
        at_receiver
            .drain()
            .iter()
            .all(|seen| !seen.frame.ends_with(b"lost"))
    );
}

#[test]
fn unloading_leaves_nothing_and_may_be_repeated() {
    for (hook, _) in changes() {
        let Some(lab) = lab("unloading_leaves_nothing_and_may_be_repeated") else {
            return;
        };
        let (mut engine, _) = open(&lab, hook);
        let guests = lab.two_guests(&mut engine);
        lab.exceptions(&mut engine);
        assert_eq!(programs_on(&lab, &guests[0]), 1);
        drop(engine);
        unload_everything(&lab.pin_dir()).unwrap();
        assert!(!lab.pin_dir().exists());
        assert_eq!(programs_on(&lab, &guests[0]), 0);
        unload_everything(&lab.pin_dir()).unwrap();
        // What the guest sends now meets the host's stack again, which is what down means.
        let host = PacketSocket::open(guests[0].ifindex);
        let frame = compose::udp(&guests[0].source(1), &guests[1].behind_router(2), b"down");
        guests[0].packet_socket().send(&frame);
        host.receive(|seen| seen.frame == frame);
    }
}

#[test]
fn a_directory_that_is_no_bpffs_is_refused_untouched() {
    let Some(lab) = lab("a_directory_that_is_no_bpffs_is_refused_untouched") else {
        return;
    };
    let elsewhere = tempfile::TempDir::new().unwrap();
    let mut config = lab.config();
    config.pin_dir = elsewhere.path().join("instance");
    let error = BpfEngine::open(&config).err().unwrap();
    assert!(matches!(error, OpenError::NotBpffs { .. }));
    assert!(error.to_string().contains("mount -t bpf"), "{error}");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}
