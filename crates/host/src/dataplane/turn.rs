use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use flow::{FlowEngine, Tick};
use netdev::receive::FrameReceiver;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Command, DataPlane, EVENTS_EVERY, HEARTBEAT_EVERY, SWEEP_EVERY};
use crate::clock;

/// Batches of frames in one turn, before commands and timers have theirs.
const BATCHES_PER_TURN: usize = 16;

/// Router advertisements in one turn that nobody asked for, before frames have theirs.
const ADVERTS_PER_TURN: usize = 64;

/// Commands in one turn, before frames have theirs.
const COMMANDS_PER_TURN: usize = 8;

impl DataPlane {
    /// The thread's whole life.
    pub(super) fn run(
        mut self,
        mut receiver: FrameReceiver,
        commands: &Receiver<Command>,
        wake: &OwnedFd,
    ) {
        self.urgency.begin(clock::now());
        while !self.stopping {
            self.wait(&receiver, wake);
            let mut batches = 0;
            while batches < BATCHES_PER_TURN && self.receive_batch(&mut receiver) {
                batches += 1;
            }
            for _ in 0..COMMANDS_PER_TURN {
                match commands.try_recv() {
                    Ok(command) => command(&mut self),
                    Err(_) => break,
                }
            }
            self.tick(&receiver, clock::now());
        }
    }

    /// Sleeps until a frame, an event, a command or the next timer is due.
    fn wait(&mut self, receiver: &FrameReceiver, wake: &OwnedFd) {
        let now = clock::now();
        let events_wait = now < self.next_events;
        let mut until = self.next_heartbeat.min(self.next_sweep);
        if events_wait {
            until = until.min(self.next_events);
        }
        let pause = until.since(now);
        let timeout = Timespec {
            tv_sec: i64::try_from(pause.as_secs()).unwrap_or(1),
            tv_nsec: i64::from(pause.subsec_nanos()),
        };
        let mut fds = [
            PollFd::from_borrowed_fd(receiver.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(wake.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.engine.events_fd(), PollFlags::IN),
        ];
        // A signal that wakes us early only makes one turn with little to do.
        let watched = fds.len() - usize::from(events_wait);
        let _ = poll(&mut fds[..watched], Some(&timeout));
        if fds[1].revents().contains(PollFlags::IN) {
            let mut count = [0_u8; 8];
            let _ = rustix::io::read(wake, &mut count);
        }
        if fds[2].revents().contains(PollFlags::IN) {
            self.take_events();
            self.next_events = clock::now() + EVENTS_EVERY;
        }
    }

    /// What is due by the clock.
    fn tick(&mut self, receiver: &FrameReceiver, now: Tick) {
        self.urgency.tick(now);
        if now >= self.next_heartbeat {
            self.lost.ask(receiver);
            if let Err(error) = self.engine.heartbeat(now) {
                tracing::warn!(%error, "the engine does not know that the agent lives");
            }
            self.next_heartbeat = now + HEARTBEAT_EVERY;
        }
        if now >= self.next_sweep {
            // A sweep that used its whole budget goes on in the next turn, after frames and commands
            // have had theirs.
            let done = self.age(now);
            self.next_sweep = if done { now + SWEEP_EVERY } else { now };
        }
        self.advertise(now);
    }

    /// Tells guests of their router again, those whose turn it is.
    fn advertise(&mut self, now: Tick) {
        let mut told = 0;
        while told < ADVERTS_PER_TURN
            && let Some(port) = self.switch.advertise(now)
        {
            self.enqueue_reply(port);
            told += 1;
        }
        if told > 0 {
            self.flush();
        }
    }

    /// Answers, FIN and RST that the engine saw: the connection's class of timeout changes with them,
    /// and whether it may be recycled.
    fn take_events(&mut self) {
        let keys = &mut self.scratch.keys;
        keys.clear();
        self.engine.poll_events(&mut |key, _| keys.push(key));
        self.scratch.last.clear();
        self.engine.read(&self.scratch.keys, &mut self.scratch.last);
        for counters in &self.scratch.last {
            self.switch.observe(counters);
        }
    }

    /// Forgets idle flows; false when there is more to look at.
    fn age(&mut self, now: Tick) -> bool {
        let engine = &mut self.engine;
        let mut found = Vec::with_capacity(1);
        let done = self.switch.sweep(now, &mut |key| {
            found.clear();
            engine.read(std::slice::from_ref(key), &mut found);
            found.first().map(|counted| counted.counters)
        });
        self.settle_engine();
        done
    }
}

/// A second is long past when this many have gone by without a heartbeat.
const _: () = assert!(HEARTBEAT_EVERY.as_millis() * 4 < Duration::from_secs(1).as_millis());
