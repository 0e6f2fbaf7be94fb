use std::fs;

use aya::maps::RingBuf;
use aya::{EbpfLoader, VerifierLogLevel};
use flow::{PortId, PortMode};
use wire::MacAddr;

use crate::abi::{ABI_VERSION, Port, mode_of};
use crate::attach::{self, FROM_GUEST, SINK};
use crate::config::per_window;
use crate::engine::{BpfEngine, Budgets, Device, Maps, load_target, program};
use crate::map::{Map, PerCpuArray};
use crate::pins::Pins;
use crate::support::{KernelSupport, TCX};
use crate::{Config, Hook, MapError, OBJECT, OpenError, supported};

/// What an earlier agent left running.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Takeover {
    /// The ports that are attached, on the new program by now.
    pub ports: Vec<AttachedPort>,
    /// How many entries the flow map holds; [`flow::FlowEngine::dump`] shows them.
    pub flows: usize,
    /// Whether nothing was found.
    pub fresh: bool,
}

/// A port that was found attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachedPort {
    /// The port.
    pub port: PortId,
    /// Its device on the host.
    pub ifindex: u32,
    /// The guest's address.
    pub mac: MacAddr,
    /// Who serves it.
    pub mode: PortMode,
}

impl BpfEngine {
    /// Opens the instance in the pin directory: makes it, or takes over what is there.
    ///
    /// Maps that are as this version and configuration want them are kept with all they hold;
    /// others are made anew. The program of every port that is found is replaced while traffic
    /// goes on. Ports whose device is gone are forgotten, with their entries.
    pub fn open(config: &Config) -> Result<(BpfEngine, Takeover), OpenError> {
        let support = supported()?;
        let hook = choose(config.hook, support)?;
        let pins = Pins::new(&config.pin_dir);
        pins.create()?;
        pins.discard_misfits(config.flows_max.get())?;
        let mut programs = EbpfLoader::new()
            .default_map_pin_directory(&pins.maps)
            .map_max_entries("flows", config.flows_max.get())
            .verifier_log_level(VerifierLogLevel::DISABLE)
            .load(OBJECT)
            .map_err(|error| OpenError::Object(Box::new(error)))?;
        for name in [FROM_GUEST, SINK] {
            load_target(&mut programs, name)
                .and_then(|program| program.load())
                .map_err(|source| OpenError::Program {
                    name,
                    source: Box::new(source),
                })?;
        }
        let ring = programs
            .take_map("events")
            .ok_or_else(|| missing("events"))?;
        let events = RingBuf::try_from(ring).map_err(|error| MapError {
            map: "events",
            source: std::io::Error::other(error),
        })?;
        let mut engine = BpfEngine {
            maps: Maps::open(&pins)?,
            programs,
            events,
            pins,
            hook,
            budgets: Budgets {
                exceptions: per_window(config.exceptions_per_second),
                resimulations: per_window(config.resimulations_per_second),
            },
            devices: Default::default(),
        };
        let takeover = engine.take_over()?;
        Ok((engine, takeover))
    }

    fn take_over(&mut self) -> Result<Takeover, OpenError> {
        let mut agent = self.agent()?;
        let fresh = agent.abi_version != ABI_VERSION;
        agent.abi_version = ABI_VERSION;
        self.maps.agent.update(&0, &agent)?;
        if agent.exception_ifindex != 0 {
            self.renew(SINK, agent.exception_ifindex)?;
        }
        let mut found = Vec::new();
        self.maps
            .ports
            .for_each(|&ifindex, entry| found.push((ifindex, *entry)))?;
        let mut ports = Vec::new();
        for (ifindex, entry) in found {
            ports.extend(self.renew_port(ifindex, entry)?);
        }
        ports.sort_by_key(|port| port.port);
        self.close_strays(agent.exception_ifindex)?;
        let mut flows = 0;
        self.maps.flows.for_each(|_, _| flows += 1)?;
        Ok(Takeover {
            ports,
            flows,
            fresh,
        })
    }

    /// Puts the current program on a port that was found, or forgets the port.
    fn renew_port(
        &mut self,
        ifindex: u32,
        mut entry: Port,
    ) -> Result<Option<AttachedPort>, OpenError> {
        let port = PortId(entry.id);
        self.devices.insert(
            port,
            Device {
                ifindex,
                kind: entry.kind(),
            },
        );
        if !self.renew(FROM_GUEST, ifindex)? {
            tracing::info!(%port, ifindex, "device is gone, port forgotten");
            self.detach(port)
                .map_err(|source| OpenError::Takeover { ifindex, source })?;
            return Ok(None);
        }
        self.budgets.write(&mut entry);
        self.maps.ports.update(&ifindex, &entry)?;
        let mode = self
            .maps
            .port_modes
            .lookup(&u32::from(port.0))?
            .unwrap_or_default();
        Ok(Some(AttachedPort {
            port,
            ifindex,
            mac: MacAddr(entry.mac),
            mode: mode_of(mode),
        }))
    }

    fn renew(&mut self, name: &str, ifindex: u32) -> Result<bool, OpenError> {
        let program = program(&mut self.programs, name);
        attach::renew(program, name, self.hook, ifindex, &self.pins.link(ifindex))
            .map_err(|source| OpenError::Takeover { ifindex, source })
    }

    /// Links of devices that no map knows (their maps were made anew) get the program too: it
    /// drops what comes from an unknown device, where the old program would go by the old maps
    /// and none would let the host's stack in. Links of devices that are gone go.
    fn close_strays(&mut self, exception_ifindex: u32) -> Result<(), OpenError> {
        let mut known: Vec<_> = self.devices.values().map(|device| device.ifindex).collect();
        known.push(exception_ifindex);
        let known: Vec<_> = known
            .into_iter()
            .map(|ifindex| self.pins.link(ifindex))
            .collect();
        let links = &self.pins.links;
        let entries = fs::read_dir(links).map_err(|source| self.pins.error(links, source))?;
        for entry in entries {
            let path = entry
                .map_err(|source| self.pins.error(links, source))?
                .path();
            let program = program(&mut self.programs, FROM_GUEST);
            if !known.contains(&path) && !attach::update_pinned(program, &path) {
                fs::remove_file(&path).map_err(|source| self.pins.error(&path, source))?;
            }
        }
        Ok(())
    }
}

impl Maps {
    fn open(pins: &Pins) -> Result<Maps, MapError> {
        let pinned = |map| pins.map(map).map_err(|source| MapError { map, source });
        Ok(Maps {
            ports: Map::new("ports", pinned("ports")?)?,
            port_modes: Map::new("port_modes", pinned("port_modes")?)?,
            port_stats: PerCpuArray::new("port_stats", pinned("port_stats")?)?,
            flows: Map::new("flows", pinned("flows")?)?,
            mapping_versions: Map::new("mapping_versions", pinned("mapping_versions")?)?,
            agent: Map::new("agent", pinned("agent")?)?,
        })
    }
}

fn choose(wanted: Hook, support: KernelSupport) -> Result<Hook, OpenError> {
    match wanted {
        Hook::Auto => Ok(support.hook),
        Hook::Tcx if support.kernel < TCX => Err(OpenError::Hook {
            hook: wanted,
            found: support.kernel,
        }),
        Hook::Tcx | Hook::Clsact => Ok(wanted),
    }
}

fn missing(map: &'static str) -> MapError {
    MapError {
        map,
        source: std::io::ErrorKind::NotFound.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::choose;
    use crate::{Hook, KernelSupport, KernelVersion, OpenError};

    #[test]
    fn a_hook_the_kernel_lacks_is_refused_and_never_chosen() {
        let kernel = KernelVersion { major: 6, minor: 1 };
        let support = KernelSupport {
            kernel,
            hook: Hook::Clsact,
            bpffs_mounted: true,
        };
        assert_eq!(choose(Hook::Auto, support).unwrap(), Hook::Clsact);
        assert_eq!(choose(Hook::Clsact, support).unwrap(), Hook::Clsact);
        let error = choose(Hook::Tcx, support).unwrap_err();
        assert!(matches!(error, OpenError::Hook { found, .. } if found == kernel));
        assert!(error.to_string().contains("6.1") && error.to_string().contains("6.6"));
    }
}
