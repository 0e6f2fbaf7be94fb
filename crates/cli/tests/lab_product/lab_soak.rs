//! A long life in a short time: random changes of rules, routes, peerings and guests, VFs revoked
//! and restored, agents killed in the middle of it all, and traffic that never pauses.
//!
//! A model that shares no line with the product says what must get through at each moment, and
//! nothing may remain of what went. All choices come from a seed, which is printed.
//!
//! `CLEARWAY_SOAK_SECONDS` and `CLEARWAY_SOAK_SEED` make it longer and another; `cargo xtask soak`
//! sets them.

mod background;
mod edits;
mod held;
mod memory;
mod probes;
mod random;
mod report;
mod rules;
mod stage;
mod world;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::lab::{Lab, lab};
use background::Background;
use held::{Connections, Looked};
use memory::Memory;
use random::Random;
use report::Report;
use stage::Stage;
use world::{ANCHORS, World};

/// How long, and from which seed, unless the environment says otherwise.
const SECONDS: u64 = 20;
const SEED: u64 = 1;
/// First packets asked about after each change.
const PROBES: usize = 40;
/// How long the agent stays dead at most.
const DEAD: Duration = Duration::from_millis(1_500);
/// How long into an apply it is killed at most.
const INTO_APPLY: Duration = Duration::from_millis(60);
/// The part of the time in which no agent is killed, so that one lives long enough to grow.
const SPARED: std::ops::Range<f64> = 0.45..0.9;
/// The longest an established flow of accelerated guests may be silent. It would be much less on a
/// machine of one's own; a connection that was cut would be silent for good.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// The longest time after which a flow that is over is forgotten, and some more.
const FORGETTING: Duration = Duration::from_secs(10);

#[test]
fn nothing_wrong_lost_or_left_in_a_long_random_life() {
    let number = |name, default| {
        let text = std::env::var(name).ok();
        text.map_or(default, |text| text.parse().expect("a number"))
    };
    let seed = number("CLEARWAY_SOAK_SEED", SEED);
    let length = Duration::from_secs(number("CLEARWAY_SOAK_SECONDS", SECONDS));
    println!("seed {seed}, {length:?}");
    let world = World::first();
    let lab = lab!(&world.document());
    let report = Soak::new(lab, world, seed, length).run();
    println!("{report}");
}

/// The lab, what it is to be, and what has been seen.
struct Soak {
    lab: Lab,
    world: World,
    random: Random,
    stage: Stage,
    held: Connections,
    /// Guests whose VF was taken away.
    revoked: BTreeSet<&'static str>,
    background: Background,
    memory: Memory,
    report: Report,
    /// What was done last.
    last: &'static str,
    begun: Instant,
    length: Duration,
}

impl Soak {
    fn new(lab: Lab, world: World, seed: u64, length: Duration) -> Soak {
        let background = Background::start(&lab, &world);
        let mut stage = Stage::new();
        stage.follow(&lab, &world);
        Soak {
            lab,
            world,
            random: Random::new(seed),
            stage,
            held: Connections::default(),
            revoked: BTreeSet::new(),
            background,
            memory: Memory::new(),
            last: "the start",
            report: Report {
                seed,
                ..Report::default()
            },
            begun: Instant::now(),
            length,
        }
    }

    fn run(mut self) -> Report {
        while self.begun.elapsed() < self.length {
            self.report.rounds += 1;
            let dead_and_synthetic = self.step();
            self.check();
            self.note_silence(dead_and_synthetic);
        }
        self.end()
    }

    /// Does something. True if established flows had to wait for it.
    fn step(&mut self) -> bool {
        let share = self.begun.elapsed().as_secs_f64() / self.length.as_secs_f64();
        let spared = SPARED.contains(&share);
        match self.random.below(100) {
            0..12 if !spared => self.kill(),
            12..20 if !spared => self.kill_in_apply(),
            20..40 => self.take_or_give_vf(),
            _ => {
                let after = self.changed();
                let reevaluate = self.random.percent(25);
                self.apply(after, reevaluate);
            }
        }
        !self.anchors_accelerated() && ["a kill", "a kill in an apply"].contains(&self.last)
    }

    /// Some changes of the world.
    fn changed(&mut self) -> World {
        let mut after = self.world.clone();
        for _ in 0..=self.random.below(3) {
            edits::change(&mut after, &mut self.random);
            self.report.changes += 1;
        }
        after
    }

    fn apply(&mut self, after: World, reevaluate: bool) {
        self.last = "an apply";
        let args: &[&str] = if reevaluate { &["--reevaluate"] } else { &[] };
        let result = self.lab.apply(&after.document(), args);
        // What is in force already is not applied anew.
        let done = result.applied || result.changes.is_empty();
        assert!(done && result.problems.is_empty(), "{result:?}");
        self.report.applies += 1;
        self.report.reevaluations += u64::from(reevaluate);
        self.adopt(after, reevaluate);
    }

    /// What was applied is the world now.
    fn adopt(&mut self, after: World, reevaluated: bool) {
        self.held.follow(&self.world, &after, reevaluated);
        self.world = after;
        let guests = &self.world.guests;
        self.revoked.retain(|guest| guests.contains_key(guest));
        self.stage.follow(&self.lab, &self.world);
        // One device for each NIC and two for exceptions; a namespace for each guest but TAPs.
        assert_eq!(self.lab.devices().len(), guests.len() + 2);
        assert_eq!(self.lab.namespaces().len(), self.world.talkers().len());
    }

    fn take_or_give_vf(&mut self) {
        self.last = "a VF's going or coming";
        let revoked: Vec<&'static str> = self.revoked.iter().copied().collect();
        if !revoked.is_empty() && self.random.percent(60) {
            let guest = *self.random.pick(&revoked);
            self.lab.vf("restore", &[guest]);
            self.revoked.remove(guest);
            self.report.restorations += 1;
            return;
        }
        let guests: Vec<&'static str> = self.world.guests.keys().copied().collect();
        let guest = *self.random.pick(&guests);
        self.lab.vf("revoke", &[guest]);
        self.revoked.insert(guest);
        self.report.revocations += 1;
    }

    /// Ends the agent, and starts another one after a while.
    fn kill(&mut self) {
        // What is used now is not to follow anything on its next packet.
        self.look();
        if self.random.percent(20) {
            self.lab.end_agent(Signal::TERM);
            self.report.terminations += 1;
        } else {
            self.lab.end_agent(Signal::KILL);
            self.report.kills += 1;
        }
        let dead = Instant::now() + self.random.within(DEAD);
        let (world, revoked) = (&self.world, &self.revoked);
        let accelerated = |guest: &str| world.guests[guest].accelerated && !revoked.contains(guest);
        let looked = self.held.look_without_agent(world, accelerated);
        self.report.alive_without_agent += looked.alive;
        self.take(looked, "while the agent is dead");
        std::thread::sleep(dead.saturating_duration_since(Instant::now()));
        self.start_again();
        self.last = "a kill";
    }

    /// Kills the agent in the middle of an apply. What it has come to then is unknown until the
    /// same is applied once more.
    fn kill_in_apply(&mut self) {
        let after = self.changed();
        let file = self.lab.write(&after.document());
        let delay = self.random.within(INTO_APPLY);
        self.lab.kill_during(&["apply", &file, "--yes"], delay);
        self.report.kills += 1;
        self.report.kills_in_apply += 1;
        self.start_again();
        self.apply(after, false);
        self.last = "a kill in an apply";
    }

    fn start_again(&mut self) {
        let begun = Instant::now();
        self.lab.start(&[]);
        self.report.restart = self.report.restart.max(begun.elapsed());
    }

    fn anchors_accelerated(&self) -> bool {
        !ANCHORS.iter().any(|anchor| self.revoked.contains(anchor))
    }

    /// Holds everything against the world.
    fn check(&mut self) {
        // First what is established: what it leaves to be acknowledged is so by the next change.
        self.look();
        let mut found = probes::ask(&mut self.stage, &self.world, &mut self.random, PROBES);
        self.report.allowed += found.allowed;
        self.report.denied += found.denied;
        self.report.late += found.late;
        self.assert_right(&found.wrong, "first packets");
        self.held
            .keep(std::mem::take(&mut found.kept), &mut self.random);
        let status = self.lab.status();
        assert_eq!(status.nics, self.world.guests.len());
        self.memory.look(self.lab.agent(), status.flows);
        self.check_paths();
    }

    /// Looks at some connections that are open.
    fn look(&mut self) {
        let looked = self.held.look(&self.world, &mut self.random);
        self.report.alive += looked.alive;
        self.report.cut += looked.cut;
        self.take(looked, "with an agent");
    }

    /// Each NIC is on the path that it is to be on.
    fn check_paths(&self) {
        for nic in self.lab.nics() {
            let (name, _) = nic.name.split_once('/').expect("guest and NIC");
            let guest = &self.world.guests[name];
            let accelerated = guest.accelerated && !self.revoked.contains(name);
            let path = if accelerated {
                "accelerated"
            } else {
                "synthetic"
            };
            assert_eq!(nic.vf.observed, path, "{nic:?}");
        }
    }

    fn take(&mut self, looked: Looked, when: &str) {
        self.report.conversation = self.report.conversation.max(looked.longest);
        self.assert_right(&looked.wrong, when);
    }

    fn assert_right(&self, wrong: &[String], what: &str) {
        assert!(
            wrong.is_empty(),
            "seed {}, round {} after {}, {what}: {wrong:#?}\nworld: {}",
            self.report.seed,
            self.report.rounds,
            self.last,
            self.world.document()
        );
    }

    fn note_silence(&mut self, dead_and_synthetic: bool) {
        self.background.await_progress();
        let silence = self.background.longest_silence();
        if dead_and_synthetic {
            self.report.silence_synthetic = self.report.silence_synthetic.max(silence);
            return;
        }
        self.report.silence = self.report.silence.max(silence);
        let (round, last) = (self.report.rounds, self.last);
        assert!(
            silence < SILENCE_MAX,
            "round {round} after {last}: {silence:?} of silence"
        );
    }

    /// Waits for the end of all flows: nothing is sent any more, and what was open was closed.
    fn await_no_flows(lab: &Lab) {
        let deadline = Instant::now() + FORGETTING;
        while lab.status().flows > 0 {
            if Instant::now() > deadline {
                let left = ANCHORS.map(|anchor| lab.flows(anchor, &[]));
                panic!("flows are left: {left:#?}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops the traffic, lets all guests go, and sees that nothing is left: first of flows, then
    /// of anything.
    fn end(mut self) -> Report {
        let (attempts, datagrams) = (self.background.attempts(), self.background.datagrams());
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        self.report.opened = count(&attempts.opened);
        self.report.refused = count(&attempts.refused);
        self.report.datagrams = count(&datagrams.sent);
        let answered = count(&datagrams.answered);
        self.report.datagrams_lost = self.report.datagrams.saturating_sub(answered);
        self.background.finish();
        drop((self.stage, self.held));
        let mut last = self.world;
        last.guests.retain(|name, _| ANCHORS.contains(name));
        let result = self.lab.apply(&last.document(), &[]);
        assert!(result.problems.is_empty(), "{result:?}");
        assert_eq!(self.lab.devices().len(), ANCHORS.len() + 2);
        assert_eq!(self.lab.namespaces().len(), ANCHORS.len());
        Soak::await_no_flows(&self.lab);
        self.report.life = Some(self.memory.longest());
        // Nor is there any in the kernel that the agent did not know of.
        self.lab.end_agent(Signal::KILL);
        let found = self.lab.start(&[]).taken_over;
        assert_eq!((found.ports, found.flows), (ANCHORS.len(), 0));
        self.lab.down();
        self.report
    }
}
