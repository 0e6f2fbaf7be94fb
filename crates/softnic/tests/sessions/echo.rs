//! A back end that sends every frame back to where it came from: the least that a data path does.

use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use softnic::device::{Device, DeviceEvent};
use softnic::session::{Event, QueueHandover};
use vring::batch::Batch;
use vring::broken::Broken;

/// Frames that are taken at a time.
const BATCH: usize = 32;
/// Offset of the header's count of buffers, where it has one.
const NUM_BUFFERS: usize = 10;

/// A device and the queues that it has handed out.
pub(crate) struct Echo {
    pub(crate) device: Device,
    pub(crate) served: BTreeMap<u16, QueueHandover>,
    taken: Batch,
    room: Batch,
    events: Vec<DeviceEvent>,
    /// Frames that were sent back.
    pub(crate) echoed: u64,
    /// Frames that there was no room for, or that were not allowed to have an effect.
    pub(crate) dropped: u64,
    /// What happened, for whoever tells it.
    pub(crate) log: Vec<String>,
}

impl Echo {
    pub(crate) fn new(device: Device) -> Self {
        Self {
            device,
            served: BTreeMap::new(),
            taken: Batch::new(BATCH),
            room: Batch::new(BATCH),
            events: Vec::new(),
            echoed: 0,
            dropped: 0,
            log: Vec::new(),
        }
    }

    /// One turn of everything; whether a frame was moved.
    pub(crate) fn turn(&mut self) -> bool {
        let now = Instant::now();
        self.device.turn(now, &mut self.events);
        self.follow(now);
        let pairs: Vec<u16> = self
            .served
            .keys()
            .copied()
            .filter(|index| index % 2 == 1)
            .collect();
        let mut moved = false;
        for from in pairs {
            match self.echo(from) {
                Ok(some) => moved |= some,
                Err((index, broken)) => self.give_up(index, broken, now),
            }
        }
        moved
    }

    /// Sleeps until the device has something, or 1 ms has passed.
    pub(crate) fn sleep(&self) -> io::Result<()> {
        let interests: Vec<_> = self.device.interests().collect();
        let mut interests: Vec<PollFd<'_>> = interests
            .iter()
            .map(|(file, flags): &(_, PollFlags)| PollFd::new(file, *flags))
            .collect();
        let time = Timespec {
            tv_sec: 0,
            tv_nsec: 1_000_000,
        };
        poll(&mut interests, Some(&time))?;
        Ok(())
    }

    fn follow(&mut self, now: Instant) {
        // Queues given back make events of their own.
        while !self.events.is_empty() {
            for event in std::mem::take(&mut self.events) {
                self.log.push(format!("{event:?}"));
                match event {
                    DeviceEvent::Session(Event::QueueStarted(handover)) => {
                        let twice = self.served.insert(handover.index, *handover);
                        assert!(twice.is_none(), "queue served twice");
                    }
                    DeviceEvent::Session(Event::QueueStop(index)) => {
                        let handover = self.served.remove(&index).expect("served");
                        let given = self.device.give_back(handover, now, &mut self.events);
                        given.expect("ours");
                    }
                    DeviceEvent::Session(Event::QueueEnabled(index, enabled)) => {
                        self.served.get_mut(&index).expect("served").enabled = enabled;
                    }
                    DeviceEvent::Session(Event::CallChanged(index, call)) => {
                        self.served.get_mut(&index).expect("served").call = call;
                    }
                    DeviceEvent::Session(Event::KickChanged(index, kick)) => {
                        self.served.get_mut(&index).expect("served").kick = kick;
                    }
                    _ => {}
                }
            }
        }
    }

    fn give_up(&mut self, index: u16, broken: Broken, now: Instant) {
        self.log.push(format!("queue {index}: {broken}"));
        if let Some(handover) = self.served.remove(&index) {
            let given = self.device.give_back(handover, now, &mut self.events);
            given.expect("ours");
            self.follow(now);
        }
    }

    /// Moves frames of queue `from` to its pair's other queue.
    fn echo(&mut self, from: u16) -> Result<bool, (u16, Broken)> {
        let to = from - 1;
        let (mut source, mut sink) = (self.served.remove(&from), self.served.remove(&to));
        let done = match (&mut source, &mut sink) {
            (Some(source), Some(sink)) if source.enabled && sink.enabled => self.pair(source, sink),
            (Some(source), _) => self.discard(source),
            (None, _) => Ok(false),
        };
        self.served.extend(source.map(|source| (from, source)));
        self.served.extend(sink.map(|sink| (to, sink)));
        done
    }

    fn pair(
        &mut self,
        source: &mut QueueHandover,
        sink: &mut QueueHandover,
    ) -> Result<bool, (u16, Broken)> {
        let taken = source.queue.pop(&mut self.taken, BATCH);
        let taken = taken.map_err(|broken| (source.index, broken))?;
        if taken == 0 {
            return Ok(false);
        }
        let room = sink.queue.pop(&mut self.room, taken);
        let room = room.map_err(|broken| (sink.index, broken))?;
        let mut used = 0;
        for index in 0..taken {
            if used < room && self.copy(index, used, source.offloads.header_form().header_len()) {
                used += 1;
                self.echoed += 1;
            } else {
                self.dropped += 1;
            }
        }
        sink.queue.unpop(&mut self.room, used);
        sink.queue.complete(&mut self.room, 0..used);
        source.queue.complete(&mut self.taken, 0..taken);
        for handover in [source, sink] {
            if let (true, Some(call)) = (handover.queue.publish(), &handover.call) {
                call.signal();
            }
        }
        Ok(true)
    }

    fn copy(&mut self, from: usize, to: usize, header: usize) -> bool {
        let (Some(source), Some(sink)) = (self.taken.chain(from), self.room.chain(to)) else {
            return false;
        };
        let (source, sink) = (source.readable(), sink.writable());
        let len = source.len();
        if source.copy_to(0, sink, 0, len as usize).is_err() {
            return false;
        }
        if header > NUM_BUFFERS && sink.write(NUM_BUFFERS, &1u16.to_le_bytes()).is_err() {
            return false;
        }
        self.room.set_written(to, len);
        true
    }

    fn discard(&mut self, source: &mut QueueHandover) -> Result<bool, (u16, Broken)> {
        let taken = source.queue.pop(&mut self.taken, BATCH);
        let taken = taken.map_err(|broken| (source.index, broken))?;
        self.dropped += taken as u64;
        source.queue.complete(&mut self.taken, 0..taken);
        if let (true, Some(call)) = (source.queue.publish(), &source.call) {
            call.signal();
        }
        Ok(taken > 0)
    }
}
