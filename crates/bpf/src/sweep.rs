//! Entries that no port owns any more: they act never again, and are taken out in small steps.

use std::sync::atomic::Ordering::Relaxed;

use flow::{FlowKey, PortId};

use crate::MapError;
use crate::abi::FlowValue;
use crate::engine::{BpfEngine, Maps};
use crate::map::Walk;

/// How many batches of the map one heartbeat looks at.
const STEPS_PER_HEARTBEAT: usize = 8;

impl BpfEngine {
    /// Begins a sweep, from the start.
    pub(crate) fn sweep_again(&mut self) {
        self.sweep = Some(Walk::default());
    }

    /// Goes some steps on.
    pub(crate) fn sweep_some(&mut self) -> Result<(), MapError> {
        let Some(mut walk) = self.sweep.take() else {
            return Ok(());
        };
        for _ in 0..STEPS_PER_HEARTBEAT {
            let mut gone = Vec::new();
            self.maps.flows.step(&mut walk, &mut |key, value| {
                if self.maps.is_disowned(key, value) {
                    gone.push(*key);
                }
            })?;
            self.maps.take_out(&gone)?;
            if walk.done {
                return Ok(());
            }
        }
        self.sweep = Some(walk);
        Ok(())
    }

    /// Takes out what an agent that is gone left without use: what it never activated, and what no
    /// port owns. Returns how many entries stay.
    pub(crate) fn sweep_all(&mut self) -> Result<usize, MapError> {
        let activated = self.maps.agent()?.activated.load(Relaxed);
        let (mut gone, mut flows) = (Vec::new(), 0);
        self.maps.flows.for_each(|key, value| {
            if value.batch() > activated || self.maps.is_disowned(key, value) {
                gone.push(*key);
            } else {
                flows += 1;
            }
        })?;
        self.maps.take_out(&gone)?;
        self.sweep = None;
        Ok(flows)
    }
}

impl Maps {
    /// Whether the sender's or the receiver's number has changed hands since the entry was made.
    pub(crate) fn is_disowned(&self, key: &FlowKey, value: &FlowValue) -> bool {
        let is_older = |port: PortId| {
            let entry = self.ports.get(port.0);
            entry.is_none_or(|entry| value.batch() < entry.since.load(Relaxed))
        };
        is_older(key.owner()) || value.target().is_some_and(is_older)
    }

    fn take_out(&self, keys: &[FlowKey]) -> Result<(), MapError> {
        keys.iter()
            .try_for_each(|key| self.flows.delete(key).map(drop))
    }
}
