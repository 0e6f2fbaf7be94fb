//! Batches: what the frames of one will need is fetched for all of them together, before the first
//! is processed.

use flow::{FlowKey, FlowTable, Hint, PortId};
use wire::dissect::guess_tuple;

use crate::Switch;
use crate::packet::key_of;
use crate::tunnelled::Tunnelled;

/// Where the flows of the frames to come may be, in the frames' order.
pub(crate) struct Ahead {
    hints: [Hint; FlowTable::AHEAD_MAX],
    next: usize,
    end: usize,
}

impl Ahead {
    pub(crate) fn nothing() -> Ahead {
        Ahead {
            hints: [Hint::NONE; FlowTable::AHEAD_MAX],
            next: 0,
            end: 0,
        }
    }

    /// Where no key can be guessed there is no hint.
    #[inline(always)] // What reads the frames is to be one loop with what reads the table.
    fn look(&mut self, flows: &FlowTable, keys: impl Iterator<Item = Option<FlowKey>>) {
        self.end = flows.look_ahead(keys, &mut self.hints);
        self.next = 0;
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
        let (policy, admitted) = (&self.policy, &mut self.admitted);
        let keys = frames.into_iter().map(|frame| {
            let (tunnel, inner) = Tunnelled::guess(frame)?;
            let port = admitted.owner(policy, &tunnel)?;
            let tuple = guess_tuple(inner)?;
            Some(key_of(port.from_uplink(), &tuple))
        });
        self.ahead.look(&self.flows, keys);
    }
}
