use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering::{Relaxed, Release};

use aya::Ebpf;
use aya::maps::{MapData, RingBuf};
use aya::programs::{ProgramError, SchedClassifier};
use flow::{FlowKey, PortId, TcpFlags, Tick};
use zerocopy::FromBytes;

use crate::abi::{
    Agent, DeviceSlot, DropCount, FlowEvent, FlowValue, MappingVersion, PORT_DROPS_TO_AGENT, Port,
    TunnelNic, TunnelProvider, Uplink,
};
use crate::attach::{self, SINK};
use crate::config::per_window;
use crate::map::{Map, PerCpuArray, Walk};
use crate::pins::Pins;
use crate::ports::Device;
use crate::segments::Segments;
use crate::shared::Shared;
use crate::{AttachError, Hook, MapError, PortStats};

/// The engine of one instance: its programs, its maps, and the ports that are attached.
///
/// Devices are those of the network namespace of the calling thread, which must be the same for
/// all calls. Dropping an engine changes nothing in the kernel.
pub struct BpfEngine {
    pub(crate) programs: Ebpf,
    pub(crate) maps: Maps,
    pub(crate) events: RingBuf<MapData>,
    pub(crate) pins: Pins,
    /// Never [`Hook::Auto`].
    pub(crate) hook: Hook,
    pub(crate) budgets: Budgets,
    pub(crate) devices: BTreeMap<PortId, Device>,
    /// As in the map.
    pub(crate) uplink: Uplink,
    /// As in the maps.
    pub(crate) segments: Segments,
    /// The batch that is being installed. Nothing of it is activated yet.
    pub(crate) batch: u64,
    /// The way through the flows in search of what no port owns any more, until it is done.
    pub(crate) sweep: Option<Walk>,
}

/// The maps, but for the ring.
pub(crate) struct Maps {
    pub(crate) ports: Shared<Port>,
    pub(crate) devices: Map<u32, u32>,
    pub(crate) device_slots: Map<u32, DeviceSlot>,
    pub(crate) port_stats: PerCpuArray<PortStats>,
    pub(crate) flows: Map<FlowKey, FlowValue>,
    pub(crate) mapping_versions: Shared<MappingVersion>,
    pub(crate) agent: Shared<Agent>,
    pub(crate) uplink: Map<u32, Uplink>,
    pub(crate) tunnel_nics: Map<TunnelNic, u32>,
    pub(crate) tunnel_providers: Map<TunnelProvider, u32>,
    pub(crate) uplink_drops: PerCpuArray<DropCount>,
}

/// What a port may give to the agent in one window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budgets {
    pub(crate) exceptions: u32,
    pub(crate) resimulations: u32,
}

/// The most events one [`BpfEngine::poll_events`] hands out: more than the ring holds.
const EVENTS_MAX: usize = 8192;

impl BpfEngine {
    /// Where the programs hook in: [`Hook::Tcx`] or [`Hook::Clsact`].
    pub fn hook(&self) -> Hook {
        self.hook
    }

    /// Makes this device the one exceptions arrive on. It must be up, in the ports' network
    /// namespace, and have nothing else to do, for no frame leaves its ingress again: a dummy
    /// device, or any other that carries nothing.
    pub fn set_exception_device(&mut self, ifindex: u32) -> Result<(), AttachError> {
        if let Some(port) = self.port_on(ifindex) {
            return Err(AttachError::DeviceTaken { ifindex, port });
        }
        let program = program(&mut self.programs, SINK);
        attach::attach(program, SINK, self.hook, ifindex, &self.pins.link(ifindex))?;
        let agent = self.maps.agent()?;
        let before = agent.exception_ifindex.swap(ifindex, Relaxed);
        if before != 0 && before != ifindex && self.port_on(before).is_none() {
            attach::detach(SINK, before, &self.pins.link(before))?;
        }
        Ok(())
    }

    /// Publishes policy and path generations of ports. Ports that are not attached are ignored.
    pub fn set_generations(&mut self, generations: &[(PortId, u32, u32)]) -> Result<(), MapError> {
        for &(port, policy, path) in generations {
            if let Some(entry) = self.attached(port) {
                entry.policy_generation.store(policy, Relaxed);
                entry.path_generation.store(path, Relaxed);
            }
        }
        Ok(())
    }

    /// Publishes the versions of mapping slots. Either all slots exist or nothing is written.
    pub fn set_mapping_versions(&mut self, versions: &[(u32, u32)]) -> Result<(), MapError> {
        let map = &self.maps.mapping_versions;
        if versions.iter().any(|&(slot, _)| map.get(slot).is_none()) {
            return Err(map.error(libc::ERANGE));
        }
        for &(slot, version) in versions {
            if let Some(cell) = map.get(slot) {
                cell.version.store(version, Relaxed);
            }
        }
        Ok(())
    }

    /// Whether frames of this port that an entry drops go to the agent, which then counts them; on
    /// [`PortId::UPLINK`], those that the program itself drops.
    pub fn set_drops_to_agent(&mut self, port: PortId, on: bool) -> Result<(), MapError> {
        if let Some(entry) = self.attached(port) {
            entry.set_flag(PORT_DROPS_TO_AGENT, on);
        }
        Ok(())
    }

    /// Changes the rates of all ports and of the uplink, those to come included: exceptions and
    /// re-simulations a second, as [`Config`](crate::Config) has them.
    pub fn set_rates(&mut self, exceptions: u32, resimulations: u32) -> Result<(), MapError> {
        self.budgets = Budgets {
            exceptions: per_window(exceptions),
            resimulations: per_window(resimulations),
        };
        for entry in self.maps.ports.cells() {
            self.budgets.write(entry);
        }
        Ok(())
    }

    /// Says that the agent was alive at `now`, on the monotonic clock. An agent that says nothing
    /// for a second is taken for dead.
    ///
    /// Also goes some steps on in taking out the entries of ports that were detached.
    pub fn heartbeat(&mut self, now: Tick) -> Result<(), MapError> {
        self.maps.agent()?.heartbeat_ns.store(now.0, Release);
        self.sweep_some()
    }

    /// Hands out the segments that flows saw for the first time since the last call and that change
    /// how long a connection is kept: FIN, RST, and the SYN or acknowledgement that answers. Returns
    /// how many there were. The flags are all those of the segment.
    pub fn poll_events(&mut self, visit: &mut dyn FnMut(FlowKey, TcpFlags)) -> usize {
        for seen in 0..EVENTS_MAX {
            let Some(item) = self.events.next() else {
                return seen;
            };
            let Ok((event, _)) = FlowEvent::read_from_prefix(&item) else {
                continue;
            };
            let [flags, ..] = event.tcp_flags.to_le_bytes();
            visit(event.key, TcpFlags(flags));
        }
        EVENTS_MAX
    }

    /// Becomes readable when there are events.
    pub fn events_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    /// What the programs counted for a port, all CPUs together. For [`PortId::UPLINK`], `from_guest`
    /// is what came off the wire and was executed or refused, `to_guest` what was pushed to it, in
    /// bytes of the outer frames.
    pub fn port_stats(&self, port: PortId) -> Result<PortStats, MapError> {
        let mut sum = PortStats::default();
        for cpu in self.maps.port_stats.lookup(u32::from(port.0))? {
            sum += cpu;
        }
        Ok(sum)
    }

    /// The cell of a port that is attached, or of the uplink if there is one.
    fn attached(&self, port: PortId) -> Option<&Port> {
        let entry = self.maps.ports.get(port.0)?;
        (entry.ifindex.load(Relaxed) != 0).then_some(entry)
    }
}

impl Maps {
    /// The one cell of `agent`.
    pub(crate) fn agent(&self) -> Result<&Agent, MapError> {
        let error = || self.agent.error(libc::ENOENT);
        self.agent.get(0_u32).ok_or_else(error)
    }

    /// The cell of a port.
    pub(crate) fn port(&self, port: PortId) -> Result<&Port, MapError> {
        let error = || self.ports.error(libc::ERANGE);
        self.ports.get(port.0).ok_or_else(error)
    }
}

impl Budgets {
    pub(crate) fn write(self, entry: &Port) {
        entry.exceptions_per_window.store(self.exceptions, Relaxed);
        entry
            .resimulations_per_window
            .store(self.resimulations, Relaxed);
    }
}

/// A program of the object, which the engine loaded when it was opened.
pub(crate) fn program<'a>(programs: &'a mut Ebpf, name: &str) -> &'a mut SchedClassifier {
    load_target(programs, name).expect("the object has the programs, or it would not have opened")
}

/// A program of the object, loaded or not.
pub(crate) fn load_target<'a>(
    programs: &'a mut Ebpf,
    name: &str,
) -> Result<&'a mut SchedClassifier, ProgramError> {
    programs
        .program_mut(name)
        .ok_or(ProgramError::NotLoaded)?
        .try_into()
}
