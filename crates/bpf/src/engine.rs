use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use aya::Ebpf;
use aya::maps::{MapData, RingBuf};
use aya::programs::{ProgramError, SchedClassifier};
use flow::{FlowKey, PortId, PortMode, TcpFlags, Tick};
use zerocopy::{FromBytes, FromZeros};

use crate::abi::{
    Agent, FlowEvent, FlowValue, MAPPING_SLOTS, PORT_DROPS_TO_AGENT, Port, mode_number,
};
use crate::attach::{self, FROM_GUEST, SINK};
use crate::config::per_window;
use crate::map::{Map, PerCpuArray};
use crate::pins::Pins;
use crate::{AttachError, DeviceKind, Hook, MapError, PortAttachment, PortStats};

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
}

/// The maps, but for the ring.
pub(crate) struct Maps {
    pub(crate) ports: Map<u32, Port>,
    pub(crate) port_modes: Map<u32, u32>,
    pub(crate) port_stats: PerCpuArray<PortStats>,
    pub(crate) flows: Map<FlowKey, FlowValue>,
    pub(crate) mapping_versions: Map<u32, u32>,
    pub(crate) agent: Map<u32, Agent>,
}

/// What a port may give to the agent in one window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budgets {
    pub(crate) exceptions: u32,
    pub(crate) resimulations: u32,
}

/// The device of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) ifindex: u32,
    pub(crate) kind: DeviceKind,
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
        if let Some((&port, _)) = self
            .devices
            .iter()
            .find(|(_, device)| device.ifindex == ifindex)
        {
            return Err(AttachError::DeviceTaken { ifindex, port });
        }
        let program = program(&mut self.programs, SINK);
        attach::attach(program, SINK, self.hook, ifindex, &self.pins.link(ifindex))?;
        let mut agent = self.agent()?;
        let before = std::mem::replace(&mut agent.exception_ifindex, ifindex);
        self.maps.agent.update(&0, &agent)?;
        let is_port = self.devices.values().any(|device| device.ifindex == before);
        if before != 0 && before != ifindex && !is_port {
            attach::detach(SINK, before, &self.pins.link(before))?;
        }
        Ok(())
    }

    /// Attaches a port, synthetic and with generations of zero; or, if it is on this device
    /// already, gives it these addresses and leaves the rest. A port that was on another device is
    /// detached from it, and keeps what was counted for it.
    pub fn attach(&mut self, attachment: PortAttachment) -> Result<(), AttachError> {
        let PortAttachment {
            port,
            ifindex,
            kind,
            ..
        } = attachment;
        if port == PortId(0) || port > PortId::MAX {
            return Err(AttachError::PortNumber(port));
        }
        let taken = self
            .devices
            .iter()
            .find(|(id, device)| device.ifindex == ifindex && **id != port);
        if let Some((&port, _)) = taken {
            return Err(AttachError::DeviceTaken { ifindex, port });
        }
        let moves = self.device(port).is_some_and(|device| device != ifindex);
        if moves {
            self.detach(port)?;
        }
        let known = self
            .maps
            .ports
            .lookup(&ifindex)?
            .filter(|known| known.id == port.0);
        let fresh = known.is_none();
        let mut entry = known.unwrap_or_else(Port::new_zeroed);
        self.describe(&mut entry, attachment);
        if fresh {
            self.maps
                .port_modes
                .update(&u32::from(port.0), &mode_number(PortMode::Synthetic))?;
            // The guest is another, unless it is the same with another device.
            if !moves {
                self.maps.port_stats.clear(u32::from(port.0))?;
            }
        }
        self.maps.ports.update(&ifindex, &entry)?;
        let program = program(&mut self.programs, FROM_GUEST);
        let link = self.pins.link(ifindex);
        if let Err(error) = attach::attach(program, FROM_GUEST, self.hook, ifindex, &link) {
            if fresh {
                self.maps.ports.delete(&ifindex)?;
            }
            return Err(error);
        }
        self.devices.insert(port, Device { ifindex, kind });
        Ok(())
    }

    /// The index of the device a port is attached to.
    pub fn device(&self, port: PortId) -> Option<u32> {
        self.devices.get(&port).map(|device| device.ifindex)
    }

    /// Detaches a port, and takes out every entry from or to it: the index of its device may come
    /// back as another guest's. A port that is not attached is left alone.
    pub fn detach(&mut self, port: PortId) -> Result<(), AttachError> {
        let Some(&Device { ifindex, .. }) = self.devices.get(&port) else {
            return Ok(());
        };
        // From here no entry delivers to it.
        self.maps
            .port_modes
            .update(&u32::from(port.0), &mode_number(PortMode::Synthetic))?;
        attach::detach(FROM_GUEST, ifindex, &self.pins.link(ifindex))?;
        self.maps.ports.delete(&ifindex)?;
        self.devices.remove(&port);
        self.sweep(port)?;
        Ok(())
    }

    /// Publishes policy and path generations of ports. Ports that are not attached are ignored.
    ///
    /// What the program counts in the entry meanwhile is lost, which costs a port at most some
    /// frames more in this window.
    pub fn set_generations(&mut self, generations: &[(PortId, u32, u32)]) -> Result<(), MapError> {
        for &(port, policy, path) in generations {
            self.edit_port(port, |entry| {
                entry.policy_generation = policy;
                entry.path_generation = path;
            })?;
        }
        Ok(())
    }

    /// Publishes the versions of mapping slots. Either all slots exist or nothing is written.
    pub fn set_mapping_versions(&mut self, versions: &[(u32, u32)]) -> Result<(), MapError> {
        let map = &self.maps.mapping_versions;
        if versions.iter().any(|&(slot, _)| slot >= MAPPING_SLOTS) {
            return Err(map.error(io::Error::from_raw_os_error(libc::ERANGE)));
        }
        let (slots, versions): (Vec<u32>, Vec<u32>) = versions.iter().copied().unzip();
        map.update_all(&slots, &versions)
            .map_err(|stopped| map.error(stopped.error))
    }

    /// Whether frames of this port that an entry drops go to the agent, which then counts them.
    pub fn set_drops_to_agent(&mut self, port: PortId, on: bool) -> Result<(), MapError> {
        self.edit_port(port, |entry| entry.set_flag(PORT_DROPS_TO_AGENT, on))
    }

    /// Changes the rates of all ports, those to come included: exceptions and re-simulations a
    /// second, as [`Config`](crate::Config) has them.
    pub fn set_rates(&mut self, exceptions: u32, resimulations: u32) -> Result<(), MapError> {
        self.budgets = Budgets {
            exceptions: per_window(exceptions),
            resimulations: per_window(resimulations),
        };
        let ports: Vec<PortId> = self.devices.keys().copied().collect();
        for port in ports {
            self.edit_port(port, |entry| self.budgets.write(entry))?;
        }
        Ok(())
    }

    /// Says that the agent was alive at `now`, on the monotonic clock. An agent that says nothing
    /// for a second is taken for dead.
    pub fn heartbeat(&mut self, now: Tick) -> Result<(), MapError> {
        let mut agent = self.agent()?;
        agent.heartbeat_ns = now.0;
        self.maps.agent.update(&0, &agent)
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

    /// What the program counted for a port, all CPUs together.
    pub fn port_stats(&self, port: PortId) -> Result<PortStats, MapError> {
        let mut sum = PortStats::default();
        for cpu in self.maps.port_stats.lookup(u32::from(port.0))? {
            sum += cpu;
        }
        Ok(sum)
    }

    pub(crate) fn agent(&self) -> Result<Agent, MapError> {
        Ok(self
            .maps
            .agent
            .lookup(&0)?
            .unwrap_or_else(Agent::new_zeroed))
    }

    /// Takes out the entries from and to a port.
    pub(crate) fn sweep(&mut self, port: PortId) -> Result<(), MapError> {
        let mut keys = Vec::new();
        self.maps.flows.for_each(|key, value| {
            if key.port() == port || value.delivers_to(port) {
                keys.push(*key);
            }
        })?;
        keys.iter()
            .try_for_each(|key| self.maps.flows.delete(key).map(|_| ()))
    }

    fn describe(&self, entry: &mut Port, attachment: PortAttachment) {
        entry.id = attachment.port.0;
        entry.set_kind(attachment.kind);
        entry.mac = attachment.mac.0;
        entry.router_mac = attachment.router_mac.0;
        self.budgets.write(entry);
    }

    fn edit_port(&self, port: PortId, edit: impl FnOnce(&mut Port)) -> Result<(), MapError> {
        let Some(device) = self.devices.get(&port) else {
            return Ok(());
        };
        let Some(mut entry) = self.maps.ports.lookup(&device.ifindex)? else {
            return Ok(());
        };
        edit(&mut entry);
        self.maps.ports.update(&device.ifindex, &entry)
    }
}

impl Budgets {
    pub(crate) fn write(self, entry: &mut Port) {
        entry.exceptions_per_window = self.exceptions;
        entry.resimulations_per_window = self.resimulations;
    }
}

/// A program of the object, which the engine loaded when it was opened.
pub(crate) fn program<'a>(programs: &'a mut Ebpf, name: &str) -> &'a mut SchedClassifier {
    load_target(programs, name).expect("the object has both programs, or it would not have opened")
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
