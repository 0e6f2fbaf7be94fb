//! Batches: what the frames of one will need is fetched for all of them together, before the first
//! is processed.

use flow::{FlowKey, FlowTable, Hint, PortId};
use wire::dissect::guess_tuple;

use crate::Switch;
use crate::packet::key_of;
use crate::tunnelled::Tunnelled;

/// Where the flows of the frames to come may be, in the frames' order.
pub(crate) struct Ahead {
    keys: [FlowKey; FlowTable::AHEAD_MAX],
    hints: [Hint; FlowTable::AHEAD_MAX],
    next: usize,
    end: usize,
}

impl Ahead {
    pub(crate) fn nothing() -> Ahead {
        Ahead {
            keys: [FlowKey::of_ipv4(PortId(0), &[0; 8], 0, [0; 4]); FlowTable::AHEAD_MAX],
            hints: [Hint::NONE; FlowTable::AHEAD_MAX],
            next: 0,
            end: 0,
        }
    }

    /// Where no key can be guessed, an old one is in its place, whose hint is not used.
    #[inline]
    fn look(&mut self, flows: &FlowTable, frames: impl Iterator<Item = Option<FlowKey>>) {
        self.end = 0;
        for (key, found) in self.keys.iter_mut().zip(frames) {
            if let Some(found) = found {
                *key = found;
            }
            self.end += 1;
        }
        self.next = 0;
        flows.look_ahead(&self.keys[..self.end], &mut self.hints);
    }

    /// The hint for the frame that is processed now.
    #[inline]
    pub(crate) fn take(&mut self) -> Hint {
        if self.next == self.end {
            return Hint::NONE;
        }
        let hint = self.hints[self.next];
        self.next += 1;
        hint
    }
}

impl Switch {
    /// The most frames that one look ahead is for.
    pub const AHEAD_MAX: usize = FlowTable::AHEAD_MAX;

    /// Looks at frames that guests sent and that are about to be given to [`Switch::process`], in
    /// this order: each with its port. What becomes of them is the same without it, only later: with
    /// a million flows most of the time of a packet is the latency of memory, and here the packets
    /// of a batch wait for it together.
    ///
    /// Frames beyond [`Switch::AHEAD_MAX`] are not looked at. What was seen ahead before is
    /// forgotten. Frames may be left out of the processing, or be processed in another order; then
    /// the others are found the longer way.
    pub fn look_ahead<'f>(&mut self, frames: impl IntoIterator<Item = (PortId, &'f [u8])>) {
        let keys = frames.into_iter().map(|(port, frame)| {
            let tuple = guess_tuple(frame)?;
            Some(key_of(port, &tuple))
        });
        self.ahead.look(&self.flows, keys);
    }

    /// As [`Switch::look_ahead`], for frames off the uplink and [`Switch::process_uplink`].
    pub fn look_ahead_uplink<'f>(&mut self, frames: impl IntoIterator<Item = &'f [u8]>) {
        let policy = &self.policy;
        let keys = frames.into_iter().map(|frame| {
            let tunnelled = Tunnelled::of(frame)?;
            let port = policy.segment(tunnelled.vni)?.nic(tunnelled.destination)?;
            let tuple = guess_tuple(&frame[tunnelled.inner])?;
            Some(key_of(port.from_uplink(), &tuple))
        });
        self.ahead.look(&self.flows, keys);
    }
}
