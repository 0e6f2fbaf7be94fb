use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use aya::maps::RingBuf;
use aya::{EbpfLoader, VerifierLogLevel};
use flow::{PortId, PortMode};
use wire::MacAddr;
use zerocopy::FromZeros;

use crate::abi::{ABI_VERSION, Uplink};
use crate::attach::{self, FROM_GUEST, FROM_UPLINK, SINK};
use crate::config::per_window;
use crate::engine::{BpfEngine, Budgets, Maps, load_target, program};
use crate::map::{Map, PerCpuArray};
use crate::pins::Pins;
use crate::ports::Device;
use crate::segments::Segments;
use crate::shared::Shared;
use crate::support::{KernelSupport, TCX};
use crate::{Config, Hook, MapError, OBJECT, OpenError, UplinkAttachment, supported, sys};

/// What an earlier agent left running.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Takeover {
    /// The ports that are attached, on the new program by now.
    pub ports: Vec<AttachedPort>,
    /// The uplink that is attached, on the new program too.
    pub uplink: Option<UplinkAttachment>,
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
        for name in [FROM_GUEST, FROM_UPLINK, SINK] {
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
            uplink: Uplink::new_zeroed(),
            segments: Segments::default(),
            batch: 0,
            sweep: None,
        };
        let takeover = engine.take_over()?;
        Ok((engine, takeover))
    }

    fn take_over(&mut self) -> Result<Takeover, OpenError> {
        let agent = self.maps.agent()?;
        let fresh = agent.abi_version.swap(ABI_VERSION, Relaxed) != ABI_VERSION;
        let exception_ifindex = agent.exception_ifindex.load(Relaxed);
        self.batch = self.next_batch()?;
        if exception_ifindex != 0 {
            let link = self.pins.link(exception_ifindex);
            self.renew(SINK, exception_ifindex, &link)?;
        }
        let mut found = Vec::new();
        self.maps
            .devices
            .for_each(|&ifindex, &port| found.push((ifindex, port)))?;
        let mut ports = Vec::new();
        for (ifindex, port) in found {
            ports.extend(self.renew_port(ifindex, port)?);
        }
        ports.sort_by_key(|port| port.port);
        self.renew_uplink()?;
        self.segments = Segments::read(&self.maps)?;
        self.close_strays(exception_ifindex)?;
        self.pins.discard_other_versions()?;
        Ok(Takeover {
            ports,
            uplink: self.uplink_attachment(),
            flows: self.sweep_all()?,
            fresh,
        })
    }

    /// A batch that comes after all that were ever used.
    fn next_batch(&self) -> Result<u64, MapError> {
        let mut last = self.maps.agent()?.activated.load(Relaxed);
        for port in self.maps.ports.cells() {
            last = last.max(port.since.load(Relaxed));
        }
        self.maps
            .flows
            .for_each(|_, value| last = last.max(value.batch()))?;
        Ok(last + 1)
    }

    /// Puts the current program on a port that was found, or forgets the port.
    fn renew_port(&mut self, ifindex: u32, port: u32) -> Result<Option<AttachedPort>, OpenError> {
        let known = self.maps.ports.get(port);
        let known = known.filter(|entry| entry.ifindex.load(Relaxed) == ifindex);
        // Its maps were made anew, or its agent died while it attached it.
        let Some(entry) = known else {
            self.maps.devices.delete(&ifindex)?;
            return Ok(None);
        };
        let port = PortId(u16::try_from(port).unwrap_or_default());
        self.budgets.write(entry);
        let found = AttachedPort {
            port,
            ifindex,
            mac: entry.mac(),
            mode: entry.mode(),
        };
        let kind = entry.kind();
        self.devices.insert(port, Device { ifindex, kind });
        if !self.renew(FROM_GUEST, ifindex, &self.pins.link(ifindex))? {
            tracing::info!(%port, ifindex, "device is gone, port forgotten");
            self.detach(port)
                .map_err(|source| OpenError::Takeover { ifindex, source })?;
            return Ok(None);
        }
        self.claim_slot(ifindex, port.0.into())?;
        Ok(Some(found))
    }

    /// Puts the current program on the uplink that was found, or lets it go.
    fn renew_uplink(&mut self) -> Result<(), OpenError> {
        let Some(found) = self.maps.uplink.lookup(&0)?.filter(Uplink::is_known) else {
            return Ok(());
        };
        self.uplink = found;
        let Some(ifindex) = self.uplink_device() else {
            return Ok(());
        };
        self.budgets.write(self.maps.port(PortId::UPLINK)?);
        if !self.renew(FROM_UPLINK, ifindex, &self.pins.uplink_link(ifindex))? {
            tracing::info!(ifindex, "uplink is gone");
            self.detach_uplink()
                .map_err(|source| OpenError::Takeover { ifindex, source })?;
        }
        Ok(())
    }

    fn renew(&mut self, name: &str, ifindex: u32, link: &Path) -> Result<bool, OpenError> {
        let program = program(&mut self.programs, name);
        attach::renew(program, name, self.hook, ifindex, link)
            .map_err(|source| OpenError::Takeover { ifindex, source })
    }

    /// Links of devices that no map knows (their maps were made anew) get the program too: it
    /// drops what comes from an unknown device, where the old program would go by the old maps
    /// and none would let the host's stack in. Links of devices that are gone go, and so do those
    /// on uplinks nobody knows, whose other traffic is none of ours.
    fn close_strays(&mut self, exception_ifindex: u32) -> Result<(), OpenError> {
        let mut known: Vec<_> = self.devices.values().map(|device| device.ifindex).collect();
        known.push(exception_ifindex);
        let known: Vec<_> = known
            .into_iter()
            .map(|ifindex| self.pins.link(ifindex))
            .chain(
                self.uplink_device()
                    .map(|uplink| self.pins.uplink_link(uplink)),
            )
            .collect();
        let links = &self.pins.links;
        let entries = fs::read_dir(links).map_err(|source| self.pins.error(links, source))?;
        for entry in entries {
            let path = entry
                .map_err(|source| self.pins.error(links, source))?
                .path();
            if known.contains(&path) {
                continue;
            }
            let is_uplink = Pins::is_uplink_link(&path);
            if is_uplink {
                // Where its device has gone, it is off already.
                let _ = sys::detach_pinned_link(&path);
            }
            let program = program(&mut self.programs, FROM_GUEST);
            if is_uplink || !attach::update_pinned(program, &path) {
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
            ports: Shared::new("ports", &pinned("ports")?)?,
            devices: Map::new("devices", pinned("devices")?)?,
            device_slots: Map::new("device_slots", pinned("device_slots")?)?,
            port_stats: PerCpuArray::new("port_stats", pinned("port_stats")?)?,
            flows: Map::new("flows", pinned("flows")?)?,
            mapping_versions: Shared::new("mapping_versions", &pinned("mapping_versions")?)?,
            agent: Shared::new("agent", &pinned("agent")?)?,
            uplink: Map::new("uplink", pinned("uplink")?)?,
            tunnel_nics: Map::new("tunnel_nics", pinned("tunnel_nics")?)?,
            tunnel_providers: Map::new("tunnel_providers", pinned("tunnel_providers")?)?,
            uplink_drops: PerCpuArray::new("uplink_drops", pinned("uplink_drops")?)?,
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
