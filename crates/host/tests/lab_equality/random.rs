//! The invariant on random worlds and traces.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use flow::{PortId, PortMode};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use vswitch::Outcome;

use crate::accelerated::{Accelerated, By};
use crate::compare::compare;
use crate::kernel::Kernel;
use crate::lab::with_kernel;
use crate::model::bench::ROOMY;
use crate::model::ops::{Driver, Op, Tunnel};
use crate::model::strategies::{WorldPlan, traces, worlds};

const CASES: u32 = 60;
const TRACE_LEN: usize = 60;

/// A trace, and what befalls the kernel meanwhile.
#[derive(Clone, Debug)]
struct Plan {
    world: WorldPlan,
    trace: Vec<Op>,
    /// Each before the operation of this number.
    events: Vec<(usize, Event)>,
    /// The agent reads the counters after each frame. Then flows age the same on both sides; else
    /// the agent learns of the kernel's packets when a flow is about to go, which it may put off, so
    /// time passes too slowly for that.
    watched: bool,
}

/// What happens on the accelerated side alone.
#[derive(Clone, Copy, Debug)]
enum Event {
    Revoke(usize),
    Restore(usize),
    /// The guest's device is made anew.
    Replace(usize),
    DropsToAgent(usize, bool),
    /// The agent takes note of answers, FIN and RST.
    TakeEvents,
    /// More packets wait than the agent takes, or no longer.
    Busy(bool),
    ReadFlows,
    /// So many operations make one batch of exceptions.
    Batch(usize),
    Compare,
}

/// What traces have reached.
#[derive(Debug, Default)]
struct Reached {
    delivered_by_kernel: Cell<u32>,
    dropped_by_kernel: Cell<u32>,
    sent_away_by_kernel: Cell<u32>,
    off_uplink_by_kernel: Cell<u32>,
    delivered_by_switch: Cell<u32>,
    dropped_by_switch: Cell<u32>,
    resimulated: Cell<u64>,
}

#[test]
fn lab_kernel_and_switch_do_the_same() {
    with_kernel("lab_kernel_and_switch_do_the_same", |kernel| {
        let kernel = RefCell::new(kernel);
        let reached = Reached::default();
        let asked = std::env::var_os("PROPTEST_CASES").is_some();
        let default = Config {
            failure_persistence: None,
            ..Config::default()
        };
        let config = if asked {
            default
        } else {
            Config {
                cases: CASES,
                ..default
            }
        };
        let cases = config.cases;
        let outcome = TestRunner::new(config).run(&plans(), |plan| {
            Run::new(&plan, &mut kernel.borrow_mut(), &reached).finish();
            Ok(())
        });
        if let Err(error) = outcome {
            panic!("{error}");
        }
        println!("{reached:?}");
        // A property says something only of what its cases reach; of a few, nothing is expected.
        if cases < CASES {
            return;
        }
        assert!(reached.delivered_by_kernel.get() > cases);
        assert!(reached.dropped_by_kernel.get() > cases / 8);
        assert!(reached.sent_away_by_kernel.get() > cases / 20);
        assert!(reached.off_uplink_by_kernel.get() > cases / 20);
        assert!(reached.delivered_by_switch.get() > cases);
        assert!(reached.dropped_by_switch.get() > cases);
        assert!(reached.resimulated.get() > u64::from(cases / 8));
    });
}

fn plans() -> impl Strategy<Value = Plan> {
    let events = vec((0..TRACE_LEN, events()), 0..12);
    (worlds(), traces(TRACE_LEN), events, any::<bool>()).prop_map(
        |(world, trace, events, watched)| Plan {
            world,
            trace,
            events,
            watched,
        },
    )
}

fn events() -> impl Strategy<Value = Event> {
    let nic = || 0_usize..6;
    prop_oneof![
        2 => nic().prop_map(Event::Revoke),
        2 => nic().prop_map(Event::Restore),
        1 => nic().prop_map(Event::Replace),
        1 => (nic(), any::<bool>()).prop_map(|(nic, on)| Event::DropsToAgent(nic, on)),
        1 => Just(Event::TakeEvents),
        1 => select(vec![true, false, false]).prop_map(Event::Busy),
        1 => Just(Event::ReadFlows),
        2 => select(vec![2_usize, 5, 10]).prop_map(Event::Batch),
        2 => Just(Event::Compare),
    ]
}

struct Run<'a> {
    plan: &'a Plan,
    software: Driver,
    accelerated: Accelerated<'a>,
    reached: &'a Reached,
    /// Which of its two devices each port is on.
    devices: [usize; 7],
    /// Operations before the batch is over.
    batch_left: usize,
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan, kernel: &'a mut Kernel, reached: &'a Reached) -> Run<'a> {
        let software = Driver::new(&plan.world);
        let mut accelerated = Accelerated::new(kernel, ROOMY, software.bench.switch.policy());
        accelerated.set_watched(plan.watched);
        Run {
            plan,
            software,
            accelerated,
            reached,
            devices: [0; 7],
            batch_left: 0,
        }
    }

    fn finish(mut self) {
        for (number, op) in self.plan.trace.iter().enumerate() {
            let events = self
                .plan
                .events
                .iter()
                .filter(|(before, _)| *before == number);
            events.for_each(|(_, event)| self.befall(*event));
            self.step(op);
            self.batch_left = self.batch_left.saturating_sub(1);
            if self.batch_left == 0 {
                self.accelerated.end_batch();
            }
        }
        self.accelerated.end_batch();
        compare(&self.software.bench.switch, &mut self.accelerated);
        let counters = |port| self.accelerated.switch.port(port).expect("it is").counters;
        let nics = self.software.bench.switch.policy().nics();
        let resimulated: u64 = nics.map(|nic| counters(nic.port).resimulations).sum();
        self.reached
            .resimulated
            .set(self.reached.resimulated.get() + resimulated);
        // Everything comes to its end. Twice, as what was active is queued again once.
        let before = self.software.bench.now;
        self.software.finish();
        let after = self.software.bench.now;
        self.accelerated.sweep(before + after.since(before) / 2);
        self.accelerated.sweep(after);
        compare(&self.software.bench.switch, &mut self.accelerated);
    }

    fn step(&mut self, op: &Op) {
        match op {
            Op::Pass(time) if !self.plan.watched => {
                self.software.step(&Op::Pass(*time / 10_000));
            }
            Op::Pass(_) => self.software.step(op),
            Op::Edit(_) => {
                self.end_batch();
                self.software.step(op);
                let policy = Arc::clone(self.software.bench.switch.policy());
                self.accelerated.publish(&policy);
            }
            Op::SetUp { nic, up } => {
                self.end_batch();
                self.software.step(op);
                let port = self.port(*nic);
                let mode = self.accelerated.mode(port);
                match up {
                    true => self.accelerated.connect(port, self.device(port), mode),
                    false => self.accelerated.disconnect(port),
                }
            }
            Op::SetUplink(up) => {
                self.end_batch();
                self.software.step(op);
                self.accelerated.set_uplink(*up);
            }
            Op::Afar(tunnel) => self.arrive_all(op, tunnel),
            Op::Sweep => {
                self.end_batch();
                self.software.step(op);
                self.accelerated.sweep(self.software.bench.now);
            }
            packets => self.send_all(packets),
        }
    }

    fn send_all(&mut self, op: &Op) {
        let frames = self.software.frames(op);
        let (outcomes, received) = (self.software.reached.len(), self.software.received.len());
        let away = self.software.away.len();
        self.software.step(op);
        let outcomes: Vec<Outcome> = self.software.reached[outcomes..].to_vec();
        let mut received = self.software.received[received..].iter();
        let mut away = self.software.away[away..].iter();
        let count = frames.len();
        for (number, ((port, frame, gso), outcome)) in frames.into_iter().zip(outcomes).enumerate()
        {
            let now = self.software.bench.now;
            let (sent, by) = self.accelerated.send(port, &frame, gso, now);
            assert_eq!(sent.outcome, outcome, "{by:?}, {port}: {frame:02x?}");
            if let Outcome::Deliver(_) = outcome {
                let (_, expected) = received.next().expect("what was delivered was received");
                assert_eq!(
                    sent.frame, *expected,
                    "{by:?}, {port}: rewritten differently"
                );
            }
            if let Outcome::Uplink { .. } = outcome {
                let (_, expected, _) = away.next().expect("what was sent away was noted");
                assert_eq!(sent.frame, *expected, "{by:?}, {port}: sent differently");
            }
            if number + 1 == count {
                let expected = self.software.bench.switch.reply();
                assert_eq!(
                    sent.reply.as_deref(),
                    expected,
                    "{by:?}, {port}: {frame:02x?}"
                );
            }
            Self::note(self.reached, outcome, by);
        }
    }

    fn arrive_all(&mut self, op: &Op, tunnel: &Tunnel) {
        let wholes = self.software.wholes(tunnel);
        let landed = self.software.landed.len();
        self.software.step(op);
        let landed = &self.software.landed[landed..];
        for ((whole, gso), expected) in wholes.into_iter().zip(landed) {
            let now = self.software.bench.now;
            let (arrived, by) = self.accelerated.arrive(expected.owner, &whole, gso, now);
            assert_eq!(arrived, *expected, "{by:?}: {whole:02x?}");
            if by == By::Kernel && matches!(arrived.outcome, Outcome::Deliver(_)) {
                let count = &self.reached.off_uplink_by_kernel;
                count.set(count.get() + 1);
            }
            Self::note(self.reached, arrived.outcome, by);
        }
    }

    fn befall(&mut self, event: Event) {
        if !matches!(event, Event::Batch(_)) {
            self.end_batch();
        }
        match event {
            Event::Revoke(nic) => {
                let port = self.port(nic);
                self.accelerated.set_mode(port, PortMode::Synthetic);
            }
            Event::Restore(nic) => self.restore(nic),
            Event::Replace(nic) => {
                let port = self.port(nic);
                if self.is_up(port) {
                    self.devices[usize::from(port.0)] ^= 1;
                    let mode = self.accelerated.mode(port);
                    self.accelerated.connect(port, self.device(port), mode);
                }
            }
            Event::DropsToAgent(nic, on) => {
                let port = self.port(nic);
                self.accelerated.kernel.set_drops_to_agent(port, on);
            }
            Event::TakeEvents => self.accelerated.take_events(),
            Event::Busy(busy) => self.accelerated.set_busy(busy),
            Event::ReadFlows => self.accelerated.read_flows(),
            Event::Batch(len) => {
                self.accelerated.begin_batch();
                self.batch_left = len;
            }
            Event::Compare => compare(&self.software.bench.switch, &mut self.accelerated),
        }
    }

    fn restore(&mut self, nic: usize) {
        let port = self.port(nic);
        if self.is_up(port) {
            self.accelerated.set_mode(port, PortMode::Accelerated);
        }
    }

    fn end_batch(&mut self) {
        self.batch_left = 0;
        self.accelerated.end_batch();
    }

    fn note(all: &Reached, outcome: Outcome, by: By) {
        let reached = match (outcome, by) {
            (Outcome::Deliver(_), By::Kernel) => &all.delivered_by_kernel,
            (Outcome::Deliver(_), By::Switch) => &all.delivered_by_switch,
            (Outcome::Dropped(_), By::Kernel) => &all.dropped_by_kernel,
            (Outcome::Dropped(_), By::Switch) => &all.dropped_by_switch,
            (Outcome::Uplink { .. }, By::Kernel) => &all.sent_away_by_kernel,
            (Outcome::Uplink { .. }, By::Switch) | (Outcome::Answered, _) => return,
        };
        reached.set(reached.get() + 1);
    }

    fn is_up(&self, port: PortId) -> bool {
        self.accelerated
            .switch
            .port(port)
            .expect("a port of the world")
            .up
    }

    fn device(&self, port: PortId) -> usize {
        self.devices[usize::from(port.0)]
    }

    fn port(&self, nic: usize) -> PortId {
        let nics = &self.software.bench.world.input.nics;
        nics[nic % nics.len()].port
    }
}
