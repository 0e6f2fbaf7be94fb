//! The uplink of an instance: attached, moved, let go, and handed to the next agent.

use std::fs;

use bpf::{AttachError, Hook, UplinkAttachment, unload_everything};
use flow::{FlowEngine, PortId, PortMode, Refusal};
use wire::compose;

use crate::lab::far::VXLAN_PORT;
use crate::lab::{self, Far, Guest, Lab, UDP, lab};

/// How many programs of ours are on the uplink.
fn programs_on_uplink(lab: &Lab, far: &Far) -> usize {
    let filters = lab.host().show("tc filter show dev uplink ingress");
    let pin = format!("uplink-{}", far.ifindex);
    let link = lab.pin_dir().join("links").join(pin);
    filters.matches("direct-action").count() + usize::from(link.exists())
}

#[test]
fn an_uplink_is_attached_once_and_leaves_nothing() {
    for hook in [Hook::Auto, Hook::Clsact] {
        let Some(lab) = lab("an_uplink_is_attached_once_and_leaves_nothing") else {
            return;
        };
        let mut config = lab.config();
        config.hook = hook;
        let (mut engine, takeover) = lab.open_with(&config);
        assert_eq!(takeover.uplink, None);
        let far = Far::new(&lab, false);
        assert_eq!(engine.uplink_device(), None);
        for _ in 0..3 {
            engine.attach_uplink(far.attachment()).unwrap();
            assert_eq!(programs_on_uplink(&lab, &far), 1);
        }
        assert_eq!(engine.uplink_device(), Some(far.ifindex));
        for _ in 0..2 {
            engine.detach_uplink().unwrap();
            assert_eq!(programs_on_uplink(&lab, &far), 0);
        }
        assert_eq!(engine.uplink_device(), None);
        engine.attach_uplink(far.attachment()).unwrap();
        drop(engine);
        unload_everything(&lab.pin_dir()).unwrap();
        assert!(!lab.pin_dir().exists());
        assert_eq!(programs_on_uplink(&lab, &far), 0);
    }
}

#[test]
fn an_uplink_is_a_device_of_its_own() {
    let Some(lab) = lab("an_uplink_is_a_device_of_its_own") else {
        return;
    };
    let mut engine = lab.open();
    let guests = lab.two_guests(&mut engine);
    lab.exceptions(&mut engine);
    let far = Far::new(&lab, false);
    let good = far.attachment();
    let at = |ifindex| UplinkAttachment { ifindex, ..good };
    let taken = engine.attach_uplink(at(guests[0].ifindex));
    assert!(matches!(
        taken,
        Err(AttachError::DeviceTaken {
            port: PortId(1),
            ..
        })
    ));
    let exceptions = lab.host().ifindex("exceptions");
    let taken = engine.attach_uplink(at(exceptions));
    assert!(matches!(taken, Err(AttachError::ExceptionDevice(_))));
    let absent = engine.attach_uplink(at(0x7fff_ffff));
    assert!(matches!(absent, Err(AttachError::NoDevice(..))));
    assert_eq!(engine.uplink_device(), None);
    let zero = UplinkAttachment {
        vxlan_port: 0,
        ..good
    };
    assert!(matches!(
        engine.attach_uplink(zero),
        Err(AttachError::VxlanPort)
    ));

    engine.attach_uplink(good).unwrap();
    let third = Guest::new(lab.host(), 3).attachment();
    let guest = bpf::PortAttachment {
        ifindex: far.ifindex,
        ..third
    };
    let taken = engine.attach(guest);
    assert!(matches!(
        taken,
        Err(AttachError::DeviceTaken {
            port: PortId::UPLINK,
            ..
        })
    ));
    assert!(engine.set_exception_device(far.ifindex).is_err());
}

#[test]
fn flows_need_the_uplink_they_were_made_for() {
    let Some(lab) = lab("flows_need_the_uplink_they_were_made_for") else {
        return;
    };
    let mut engine = lab.open();
    let guests = lab.two_guests(&mut engine);
    let far = Far::new(&lab, false);
    let pair = far.pair(lab::key(1, 3, UDP, 4000, 5000));
    let mut refused = Vec::new();
    let mut install = |engine: &mut bpf::BpfEngine| {
        engine.install(&[pair], &mut refused);
        refused.pop().map(|error| error.refusal)
    };
    let cannot = Some(Refusal::Encapsulation);
    assert_eq!(install(&mut engine), cannot, "no uplink");
    let other_port = UplinkAttachment {
        vxlan_port: VXLAN_PORT + 1,
        ..far.attachment()
    };
    engine.attach_uplink(other_port).unwrap();
    assert_eq!(install(&mut engine), cannot, "another port");
    far.attach(&mut engine);
    assert_eq!(install(&mut engine), None);
    engine.activate(&[]);
    let frame = compose::udp(&guests[0].source(4000), &Guest::far(5000), b"x");
    let outcome = |engine: &bpf::BpfEngine| {
        let run = engine.test_run(guests[0].ifindex, &frame).unwrap();
        run.outcome.unwrap()
    };
    assert_eq!(outcome(&engine), bpf::Outcome::Uplink);
    engine.detach_uplink().unwrap();
    assert_eq!(outcome(&engine), bpf::Outcome::Exception);
    let mut halves = Vec::new();
    engine.dump(&mut |half, _, active| halves.push((*half, active)));
    assert_eq!(halves.len(), 2, "they are still told");
    for half in [pair.forward, pair.reverse.unwrap()] {
        assert!(halves.contains(&(half, true)));
    }
    // Another device is the same uplink.
    lab.host().ip("link add other type veth peer name rehto");
    let other = UplinkAttachment {
        ifindex: lab.host().ifindex("other"),
        ..far.attachment()
    };
    engine.attach_uplink(other).unwrap();
    let run = engine.test_run(guests[0].ifindex, &frame).unwrap();
    let verdict = bpf::TestVerdict::Redirect {
        ifindex: other.ifindex,
    };
    assert_eq!(run.verdict, verdict);
}

#[test]
fn the_next_agent_finds_the_uplink_and_its_flows() {
    for hook in [Hook::Auto, Hook::Clsact] {
        let Some(lab) = lab("the_next_agent_finds_the_uplink_and_its_flows") else {
            return;
        };
        let mut config = lab.config();
        config.hook = hook;
        let (mut engine, _) = lab.open_with(&config);
        let guests = lab.two_guests(&mut engine);
        let far = Far::new(&lab, false);
        far.attach(&mut engine);
        let pair = far.pair(lab::key(1, 3, UDP, 4000, 5000));
        lab::install(&mut engine, &[pair]);
        // What nobody activated is nobody's afterwards.
        let mut refused = Vec::new();
        let unused = far.pair(lab::key(1, 3, UDP, 4001, 5000));
        engine.install(&[unused], &mut refused);
        let mode = PortMode::Synthetic;
        engine.set_mode(PortId::UPLINK, mode).unwrap();
        drop(engine);

        let (mut engine, takeover) = lab.open_with(&config);
        assert_eq!(takeover.uplink, Some(far.attachment()));
        assert_eq!((takeover.ports.len(), takeover.flows), (2, 2));
        assert_eq!(programs_on_uplink(&lab, &far), 1);
        engine.attach_uplink(far.attachment()).unwrap();
        let frame = compose::udp(&guests[0].source(4000), &Guest::far(5000), b"x");
        let outcome = |engine: &bpf::BpfEngine| {
            let run = engine.test_run(guests[0].ifindex, &frame).unwrap();
            run.outcome.unwrap()
        };
        assert_eq!(
            outcome(&engine),
            bpf::Outcome::Exception,
            "its mode was kept"
        );
        let mode = PortMode::Accelerated;
        engine.set_mode(PortId::UPLINK, mode).unwrap();
        assert_eq!(outcome(&engine), bpf::Outcome::Uplink);
        let mut halves = Vec::new();
        engine.dump(&mut |half, _, active| halves.push((*half, active)));
        assert_eq!(halves.len(), 2);
        assert!(halves.contains(&(pair.forward, true)));
        // Segments were kept, and change by difference from there.
        engine.set_segments(&[], &[], &[]).unwrap();
        let back = compose::udp(&Guest::far(5000), &guests[0].source(4000), b"x");
        let run = engine.test_run_uplink(&far.wrapped(&back)).unwrap();
        assert_eq!(run.outcome, Some(bpf::Outcome::Dropped));

        drop(engine);
        lab.host().ip("link del uplink");
        let (engine, takeover) = lab.open_with(&config);
        assert_eq!((takeover.uplink, engine.uplink_device()), (None, None));
        assert_eq!(takeover.flows, 2, "they wait for the next uplink");
    }
}

/// Without its maps the new agent knows of no uplink. The host's own traffic must go on.
#[test]
fn an_uplink_nobody_knows_any_more_is_the_hosts_again() {
    let Some(lab) = lab("an_uplink_nobody_knows_any_more_is_the_hosts_again") else {
        return;
    };
    let mut engine = lab.open();
    if engine.hook() != Hook::Tcx {
        return;
    }
    let far = Far::new(&lab, false);
    far.attach(&mut engine);
    drop(engine);
    for map in fs::read_dir(lab.pin_dir().join("v2")).unwrap() {
        fs::remove_file(map.unwrap().path()).unwrap();
    }
    let (_engine, takeover) = lab.open_with(&lab.config());
    assert!(takeover.fresh && takeover.uplink.is_none());
    assert_eq!(programs_on_uplink(&lab, &far), 0);
    let mut status = std::process::Command::new("ping");
    let [_, other] = lab::far::providers(false);
    status.args(["-c", "1", "-W", "2", &other.to_string()]);
    let reached = lab.host().run(move || status.output().unwrap());
    assert!(reached.status.success());
}
