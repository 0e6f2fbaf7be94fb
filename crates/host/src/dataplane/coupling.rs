//! Switch and engine kept in step: what the switch decides is the engine's to execute, and what the
//! engine counted is the switch's to know.

use std::collections::HashMap;

use flow::{
    Counters, DropCounters, DropReason, EngineCounters, FlowEngine, FlowKey, FlowPair, FlowTable,
    Half, InstallError, Offload, PortId, TcpFlags, Transposition, Verdict, telling_flags,
};
use vswitch::{EngineWork, Switch};

/// Carries the switch's work to an engine. Its vectors are kept, so that batches allocate nothing
/// once they have their size.
#[derive(Default)]
pub(crate) struct Coupling {
    work: EngineWork,
    refused: Vec<InstallError>,
    last: Vec<EngineCounters>,
    /// More packets wait than were taken.
    busy: bool,
    /// Installed and not yet activated.
    waiting: Vec<FlowKey>,
    /// The entries in the engine that drop, by port: what it counts for them is drops, of remembered
    /// refusals as of connections that have no way at present.
    dropping: HashMap<PortId, HashMap<FlowKey, DropReason>>,
}

impl Coupling {
    /// For a switch that has adopted what it found in the engine.
    pub(crate) fn of(switch: &Switch) -> Coupling {
        let mut coupling = Coupling::default();
        let held = switch
            .flows()
            .iter()
            .filter(|entry| entry.offload().in_engine());
        held.for_each(|entry| coupling.note_drop(entry.key(), &entry.transposition()));
        coupling
    }

    /// Whether more packets wait than were taken. While it is so, the engine is told of a flow with
    /// its second packet: most flows of a flood never have one, and to install and remove an entry
    /// costs as much as to judge it.
    pub(crate) fn set_busy(&mut self, busy: bool) {
        self.busy = busy;
    }

    /// Makes the engine know what the switch decided. Until [`Coupling::activate`] it executes none
    /// of it: the packets that were decided on are to be sent before, so that no later packet of a
    /// flow overtakes them.
    pub(crate) fn install(&mut self, switch: &mut Switch, engine: &mut impl FlowEngine) {
        switch.take_work(&mut self.work);
        self.take_out(switch, engine);
        self.waiting.clear();
        self.put_in(switch, engine);
        self.note_flags(switch, engine);
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

    /// Runs `attach`, which gives a port another device, while the port's flows are out of the
    /// engine: entries name devices. What could be executed before can be afterwards.
    pub(crate) fn move_port<E: FlowEngine, T>(
        &mut self,
        switch: &mut Switch,
        engine: &mut E,
        port: PortId,
        attach: impl FnOnce(&mut E) -> T,
    ) -> T {
        self.settle(switch, engine);
        self.work.install = pairs_held(switch, port);
        self.work.remove.clear();
        self.work.moved.clear();
        let pairs = self.work.install.iter();
        self.work
            .remove
            .extend(pairs.flat_map(halves).map(|half| half.key));
        self.take_out(switch, engine);
        let attached = attach(engine);
        self.put_in(switch, engine);
        self.note_flags(switch, engine);
        self.activate(engine);
        attached
    }

    /// What the entries of a port have dropped in the engine so far. Those that have left it were
    /// counted when they went.
    pub(crate) fn drops(&self, engine: &mut impl FlowEngine, port: PortId) -> DropCounters {
        let mut drops = DropCounters::default();
        let Some(reasons) = self.dropping.get(&port) else {
            return drops;
        };
        let keys: Vec<FlowKey> = reasons.keys().copied().collect();
        let mut readings = Vec::with_capacity(keys.len());
        engine.read(&keys, &mut readings);
        for EngineCounters { key, counters } in &readings {
            if let Some(reason) = reasons.get(key) {
                drops.add(*reason, counters.packets, counters.bytes);
            }
        }
        drops
    }

    fn take_out(&mut self, switch: &mut Switch, engine: &mut impl FlowEngine) {
        if self.work.remove.is_empty() {
            return;
        }
        self.last.clear();
        engine.remove(&self.work.remove, &mut self.last);
        for counted in &self.last {
            // False where the entry is gone from the switch too, or is another by now.
            if !switch.absorb(counted) {
                self.hand_down(switch, counted);
            }
            let key = &counted.key;
            let drops = self.dropping.get(&key.owner());
            if let Some(reason) = drops.and_then(|drops| drops.get(key)) {
                switch.count_engine_drops(key, *reason, &counted.counters);
            }
        }
        for key in &self.work.remove {
            let Some(drops) = self.dropping.get_mut(&key.owner()) else {
                continue;
            };
            drops.remove(key);
            if drops.is_empty() {
                self.dropping.remove(&key.owner());
            }
        }
    }

    /// How far a connection has come goes with it to its new key.
    fn hand_down(&self, switch: &mut Switch, counted: &EngineCounters) {
        let mut moved = self.work.moved.iter();
        if let Some(&(_, key)) = moved.find(|(old, _)| *old == counted.key) {
            let tcp_flags = counted.counters.tcp_flags;
            let counters = Counters {
                tcp_flags,
                ..Counters::default()
            };
            switch.observe(&EngineCounters { key, counters });
        }
    }

    fn put_in(&mut self, switch: &mut Switch, engine: &mut impl FlowEngine) {
        if self.busy {
            let flows = switch.flows_mut();
            self.work.install.retain(|pair| !is_put_off(flows, pair));
        }
        if self.work.install.is_empty() {
            return;
        }
        self.refused.clear();
        engine.install(&self.work.install, &mut self.refused);
        let installed = std::mem::take(&mut self.work.install);
        for pair in &installed {
            let is_of_pair = |key| halves(pair).any(|half| half.key == key);
            let refusal = self.refused.iter().find(|error| is_of_pair(error.key));
            let state = match refusal {
                Some(error) => Offload::NotOffloaded(Some(error.refusal)),
                None => Offload::Active,
            };
            switch.flows_mut().set_offload_of(&pair.forward.key, state);
            if state == Offload::Active {
                for half in halves(pair) {
                    self.waiting.push(half.key);
                    self.note_drop(&half.key, &half.transposition);
                }
            }
        }
        self.work.install = installed;
    }

    /// How far connections have come: what the switch saw of those that the engine has, and what was
    /// seen before of those that are put in anew.
    fn note_flags(&mut self, switch: &Switch, engine: &mut impl FlowEngine) {
        let flows = switch.flows();
        let flags = |half: &Half| {
            let entry = flows.lookup(&half.key).and_then(|id| flows.get(id))?;
            let seen = telling_flags(entry.counters().tcp_flags, half.forward);
            (seen != TcpFlags::default()).then_some((half.key, seen))
        };
        // The tuple may be another connection's by now, which has not seen them.
        self.work.seen.retain_mut(|(key, seen)| {
            let entry = flows.lookup(key).and_then(|id| flows.get(id));
            let own = entry.map_or(0, |entry| entry.counters().tcp_flags.0);
            *seen = TcpFlags(seen.0 & own);
            *seen != TcpFlags::default()
        });
        let installed = self.work.install.iter().flat_map(halves);
        self.work.seen.extend(installed.filter_map(flags));
        if !self.work.seen.is_empty() {
            engine.note_flags(&self.work.seen);
            self.work.seen.clear();
        }
    }

    fn note_drop(&mut self, key: &FlowKey, transposition: &Transposition) {
        if let Some(reason) = transposition.drop_reason() {
            self.dropping
                .entry(key.owner())
                .or_default()
                .insert(*key, reason);
        }
    }
}

/// Puts a pair off that has had one packet.
fn is_put_off(flows: &mut FlowTable, pair: &FlowPair) -> bool {
    let Some(id) = flows.lookup(&pair.forward.key) else {
        return false;
    };
    let packets = |id| flows.get(id).map_or(0, |entry| entry.counters().packets);
    let peer = flows.get(id).and_then(|entry| entry.peer());
    let first = packets(id) + peer.map_or(0, packets) <= 1;
    first && flows.set_offload(id, Offload::Deferred)
}

/// The pairs in the engine that have to do with a port. Looks at the whole table.
fn pairs_held(switch: &Switch, port: PortId) -> Vec<FlowPair> {
    let flows = switch.flows();
    let held = flows
        .iter()
        .filter(|entry| entry.forward() && entry.offload().in_engine());
    let pairs = held.map(|entry| FlowPair {
        forward: entry.half(),
        reverse: entry
            .peer()
            .and_then(|peer| flows.get(peer))
            .map(|entry| entry.half()),
    });
    let concerns = |half: &Half| {
        half.key.owner() == port || half.transposition.verdict == Verdict::Deliver(port)
    };
    pairs.filter(|pair| halves(pair).any(concerns)).collect()
}

fn halves(pair: &FlowPair) -> impl Iterator<Item = &Half> {
    std::iter::once(&pair.forward).chain(&pair.reverse)
}
