//! A switch in a world, and what it does with frames.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use flow::{DropReason, FlowKey, PortId, PortMode, Tick, Timeouts};
use policy::{Compiler, MappingChange, Snapshot};
use vswitch::{EngineWork, Gso, Limits, Outcome, PortCounters, Switch};
use wire::TcpFlags;
use wire::compose::{self, Endpoint};

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
        let snapshot = compiler
            .compile(&world.input)
            .expect("tests make legal worlds");
        let mut switch = Switch::new(limits, Timeouts::default(), Arc::new(snapshot), 7);
        for nic in &world.input.nics {
            switch.add_port(nic.port, PortMode::Synthetic);
        }
        switch.add_port(PortId::UPLINK, PortMode::Synthetic);
        Bench {
            switch,
            world,
            now: Tick(1 << 40),
            compiler,
        }
    }

    /// The next generation of the policy.
    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut World)) {
        change(&mut self.world);
        self.world.input.generation += 1;
        let snapshot = self
            .compiler
            .compile(&self.world.input)
            .expect("tests make legal worlds");
        self.switch.publish(Arc::new(snapshot));
    }

    /// The same generation, with mappings changed.
    pub(crate) fn move_mapping(&mut self, change: MappingChange) {
        let (vnet, address, target) = change;
        let vnet_number = u8::try_from(vnet.0).expect("tests number networks from zero");
        self.world.map(vnet_number, address, target);
        let current: &Snapshot = self.switch.policy();
        let next = current
            .with_mapping_changes(&[change])
            .expect("few mappings");
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
        Sent {
            outcome,
            frame,
            reply: self.switch.reply().map(<[u8]>::to_vec),
        }
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
        self.switch
            .port(PortId(port.into()))
            .expect("tests ask for ports that are there")
            .counters
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
    Endpoint {
        mac: vswitch::router_mac(),
        ..end
    }
}

/// Two guests in conversation, each sending to its router.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Talk {
    pub(crate) client: Endpoint,
    pub(crate) server: Endpoint,
}

impl Talk {
    /// From port 40000 of one NIC to port 443 of the other.
    pub(crate) fn new(bench: &Bench, client: u8, server: u8) -> Talk {
        Talk {
            client: bench.end(client, 40_000),
            server: bench.end(server, 443),
        }
    }

    pub(crate) fn v6(bench: &Bench, client: u8, server: u8) -> Talk {
        Talk {
            client: bench.end6(client, 40_000),
            server: bench.end6(server, 443),
        }
    }

    pub(crate) fn ask(&self, flags: TcpFlags) -> Vec<u8> {
        compose::tcp(&self.client, &via_router(self.server), flags, b"")
    }

    pub(crate) fn answer(&self, flags: TcpFlags) -> Vec<u8> {
        compose::tcp(&self.server, &via_router(self.client), flags, b"")
    }

    pub(crate) fn syn(&self) -> Vec<u8> {
        self.ask(TcpFlags::SYN)
    }

    pub(crate) fn ask_udp(&self, payload: &[u8]) -> Vec<u8> {
        compose::udp(&self.client, &via_router(self.server), payload)
    }

    pub(crate) fn answer_udp(&self, payload: &[u8]) -> Vec<u8> {
        compose::udp(&self.server, &via_router(self.client), payload)
    }

    /// What the guest behind `port` sends when it has received this frame and passes it on.
    pub(crate) fn relayed(bench: &Bench, port: u8, received: &[u8]) -> Vec<u8> {
        let mut frame = received.to_vec();
        frame[..6].copy_from_slice(&vswitch::router_mac().0);
        frame[6..12].copy_from_slice(&bench.end(port, 0).mac.0);
        frame
    }

    /// The key of what the client sends from `port`.
    pub(crate) fn key(&self, port: u8, protocol: u8) -> FlowKey {
        let (client, server) = (self.client, self.server);
        let port = PortId(port.into());
        FlowKey::new(
            port,
            client.ip,
            server.ip,
            protocol,
            client.port,
            server.port,
        )
    }
}
