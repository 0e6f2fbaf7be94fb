//! Switch and engine kept in step: what the switch decides is the engine's to execute, and what the
//! engine counted is the switch's to know.

use std::collections::HashMap;

use flow::{
    DropCounters, DropReason, EngineCounters, FlowEngine, FlowKey, FlowPair, InstallError, Offload,
    PortId,
};
use vswitch::{EngineWork, Switch};

/// Carries the switch's work to an engine. Its vectors are kept, so that batches allocate nothing
/// once they have their size.
#[derive(Default)]
pub(crate) struct Coupling {
    work: EngineWork,
    refused: Vec<InstallError>,
    last: Vec<EngineCounters>,
    /// Installed and not yet activated.
    waiting: Vec<FlowKey>,
}

impl Coupling {
    /// Makes the engine know what the switch decided. Until [`Coupling::activate`] it executes none
    /// of it: the packets that were decided on are to be sent before, so that no later packet of a
    /// flow overtakes them.
    pub(crate) fn install(&mut self, switch: &mut Switch, engine: &mut impl FlowEngine) {
        switch.take_work(&mut self.work);
        self.take_out(switch, engine);
        self.waiting.clear();
        self.put_in(switch, engine);
    }

    /// Lets the engine execute what was installed.
    pub(crate) fn activate(&mut self, engine: &mut impl FlowEngine) {
        if !self.waiting.is_empty() {
            engine.activate(&self.waiting);
            self.waiting.clear();
        }
    }

    /// Both, where no packet is on its way.
    pub(crate) fn settle(&mut self, switch: &mut Switch, engine: &mut impl FlowEngine) {
        self.install(switch, engine);
        self.activate(engine);
    }

    fn take_out(&mut self, switch: &mut Switch, engine: &mut impl FlowEngine) {
        if self.work.remove.is_empty() {
            return;
        }
        self.last.clear();
        engine.remove(&self.work.remove, &mut self.last);
        for counted in &self.last {
            if switch.absorb(counted) {
                continue;
            }
            let dropped = self.work.removed_drops.iter().find(|(key, _)| *key == counted.key);
            if let Some((key, reason)) = dropped {
                switch.count_engine_drops(key, *reason, &counted.counters);
            }
        }
    }

    fn put_in(&mut self, switch: &mut Switch, engine: &mut impl FlowEngine) {
        if self.work.install.is_empty() {
            return;
        }
        self.refused.clear();
        engine.install(&self.work.install, &mut self.refused);
        for pair in &self.work.install {
            let keys = keys_of(pair);
            let refusal = self.refused.iter().find(|error| keys.contains(&Some(error.key)));
            let refusal = refusal.map(|error| error.refusal);
            let state = match refusal {
                Some(refusal) => Offload::NotOffloaded(Some(refusal)),
                None => Offload::Active,
            };
            switch.flows_mut().set_offload_of(&pair.forward.key, state);
            if refusal.is_none() {
                self.waiting.extend(keys.into_iter().flatten());
            }
        }
    }
}

/// What the entries of a port that drop have swallowed in the engine so far. Those that are gone
/// from the engine were counted when they went.
pub(crate) fn drops_in_engine(
    switch: &Switch,
    engine: &mut impl FlowEngine,
    port: PortId,
) -> DropCounters {
    let entries = switch.flows().drops_of(port);
    let dropping = entries.filter_map(|entry| {
        let reason = entry.transposition().drop_reason()?;
        Some((*entry.key(), reason))
    });
    let reasons: HashMap<FlowKey, DropReason> = dropping.collect();
    let keys: Vec<FlowKey> = reasons.keys().copied().collect();
    let mut readings = Vec::with_capacity(keys.len());
    engine.read(&keys, &mut readings);
    let mut drops = DropCounters::default();
    for reading in readings {
        if let Some(reason) = reasons.get(&reading.key) {
            drops.add(*reason, reading.counters.packets, reading.counters.bytes);
        }
    }
    drops
}

fn keys_of(pair: &FlowPair) -> [Option<FlowKey>; 2] {
    [Some(pair.forward.key), pair.reverse.map(|half| half.key)]
}
