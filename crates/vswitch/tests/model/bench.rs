//! A switch in a world, and what it does with frames.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use flow::{DropReason, PortId, PortMode, Tick, Timeouts};
use policy::{Compiler, MappingChange, Snapshot};
use vswitch::{EngineWork, Gso, Limits, Outcome, PortCounters, Switch};
use wire::compose::Endpoint;

use super::world::World;

/// Out of every test's reach, save of those that come with their own.
pub(crate) const ROOMY: Limits = Limits {
    flows_max: NonZeroU32::new(8_192).expect("not zero"),
    flows_per_port_max: NonZeroU32::new(4_096).expect("not zero"),
    fragments_max: NonZeroU32::new(1_024).expect("not zero"),
    fragments_per_port_max: NonZeroU32::new(1_024).expect("not zero"),
    first_packets_per_second: u32::MAX,
    resimulations_per_second: u32::MAX,
};

/// What became of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) outcome: Outcome,
    /// As the switch left it.
    pub(crate) frame: Vec<u8>,
    pub(crate) reply: Option<Vec<u8>>,
}

pub(crate) struct Bench {
    pub(crate) switch: Switch,
    pub(crate) world: World,
    pub(crate) now: Tick,
    compiler: Compiler,
}

impl Bench {
    pub(crate) fn new(world: World) -> Bench {
        Bench::with_limits(world, ROOMY)
    }

    /// With every NIC of the world attached.
    pub(crate) fn with_limits(mut world: World, limits: Limits) -> Bench {
        world.input.generation = 1;
        let mut compiler = Compiler::new(policy::Limits::default());
        let snapshot = compiler.compile(&world.input).expect("tests make legal worlds");
        let mut switch = Switch::new(limits, Timeouts::default(), Arc::new(snapshot), 7);
        for nic in &world.input.nics {
            switch.add_port(nic.port, PortMode::Synthetic);
        }
        Bench { switch, world, now: Tick(1 << 40), compiler }
    }

    /// The next generation of the policy.
    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut World)) {
        change(&mut self.world);
        self.world.input.generation += 1;
        let snapshot = self.compiler.compile(&self.world.input).expect("tests make legal worlds");
        self.switch.publish(Arc::new(snapshot));
    }

    /// The same generation, with mappings changed.
    pub(crate) fn move_mapping(&mut self, change: MappingChange) {
        let (vnet, address, target) = change;
        let vnet_number = u8::try_from(vnet.0).expect("tests number networks from zero");
        self.world.map(vnet_number, address, target);
        let current: &Snapshot = self.switch.policy();
        let next = current.with_mapping_changes(&[change]).expect("few mappings");
        self.compiler.remember(&next);
        self.switch.publish(Arc::new(next));
    }

    /// The guest behind `port` sends a frame.
    pub(crate) fn send(&mut self, port: u8, frame: &[u8]) -> Sent {
        self.send_gso(PortId(port.into()), frame, None)
    }

    pub(crate) fn send_gso(&mut self, port: PortId, frame: &[u8], gso: Option<Gso>) -> Sent {
        let mut frame = frame.to_vec();
        let outcome = self.switch.process(port, &mut frame, gso, self.now);
        Sent { outcome, frame, reply: self.switch.reply().map(<[u8]>::to_vec) }
    }

    /// Sends, and says only what became of it.
    pub(crate) fn outcome(&mut self, port: u8, frame: &[u8]) -> Outcome {
        self.send(port, frame).outcome
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// Forgets what is idle.
    pub(crate) fn sweep(&mut self) {
        while !self.switch.sweep(self.now, &mut |_| None) {}
    }

    pub(crate) fn work(&mut self) -> EngineWork {
        let mut work = EngineWork::default();
        self.switch.take_work(&mut work);
        work
    }

    pub(crate) fn counters(&self, port: u8) -> &PortCounters {
        self.switch.port(PortId(port.into())).expect("tests ask for ports that are there").counters
    }

    pub(crate) fn end(&self, port: u8, l4_port: u16) -> Endpoint {
        self.world.end(port, l4_port)
    }

    pub(crate) fn end6(&self, port: u8, l4_port: u16) -> Endpoint {
        self.world.end6(port, l4_port)
    }
}

pub(crate) fn to(port: u8) -> Outcome {
    Outcome::Deliver(PortId(port.into()))
}

pub(crate) fn dropped(reason: DropReason) -> Outcome {
    Outcome::Dropped(reason)
}

/// As a guest sends: to the router.
pub(crate) fn via_router(end: Endpoint) -> Endpoint {
    Endpoint { mac: vswitch::router_mac(), ..end }
}
