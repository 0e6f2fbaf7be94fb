//! The pin directory: where maps and links live while no agent does.
//!
//! ```text
//! PIN_DIR/v1/MAP        the maps, under the version of their layouts
//! PIN_DIR/links/INDEX   the tcx link on the device with this index
//! PIN_DIR/links/uplink-INDEX   that on the uplink, which is none of ours: without an agent that
//!                       knows it, it is left to the host
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use aya::maps::{MapData, MapType};
use flow::FlowKey;

use crate::abi::{
    ABI_VERSION, Agent, DEVICE_SLOTS, DROP_REASONS, DeviceSlot, DropCount, FlowEvent, FlowValue,
    MAPPING_SLOTS, PORTS_MAX, Port, TUNNEL_NICS_MAX, TUNNEL_PROVIDERS_MAX, TunnelNic,
    TunnelProvider, Uplink,
};
use crate::shared::Shared;
use crate::support::is_bpffs;
use crate::{OpenError, PortStats};

/// A map as the object declares it.
struct Shape {
    name: &'static str,
    kind: MapType,
    key_size: usize,
    value_size: usize,
    entries_max: u32,
}

const UPLINK_PREFIX: &str = "uplink-";
const EVENTS_BYTES: u32 = 256 * 1024;
/// The ring holds events, behind eight bytes of the kernel's each.
const _: () = assert!(size_of::<FlowEvent>() + 8 < EVENTS_BYTES as usize);

/// Paths in the pin directory.
#[derive(Clone, Debug)]
pub(crate) struct Pins {
    pub(crate) root: PathBuf,
    pub(crate) maps: PathBuf,
    pub(crate) links: PathBuf,
}

impl Pins {
    pub(crate) fn new(root: &Path) -> Pins {
        Pins {
            root: root.to_owned(),
            maps: root.join(format!("v{ABI_VERSION}")),
            links: root.join("links"),
        }
    }

    /// Makes the directories, on a bpffs and nowhere else.
    pub(crate) fn create(&self) -> Result<(), OpenError> {
        let existing = self.root.ancestors().find(|path| path.exists());
        let on_bpffs = existing.map_or(Ok(false), is_bpffs);
        if !on_bpffs.map_err(|source| self.error(&self.root, source))? {
            return Err(OpenError::NotBpffs {
                path: self.root.clone(),
            });
        }
        for directory in [&self.maps, &self.links] {
            fs::create_dir_all(directory).map_err(|source| self.error(directory, source))?;
        }
        Ok(())
    }

    /// Unpins the maps that are not as this version and configuration want them, so that the
    /// loader makes new ones; programs still attached keep the old ones until they are replaced.
    pub(crate) fn discard_misfits(&self, flows_max: u32) -> Result<(), OpenError> {
        let foreign = self
            .abi_version()?
            .is_some_and(|version| version != ABI_VERSION);
        for shape in shapes(flows_max) {
            let path = self.maps.join(shape.name);
            if path.exists() && (foreign || !shape.fits(&path)) {
                tracing::warn!(map = shape.name, "pinned map does not fit and is made anew");
                fs::remove_file(&path).map_err(|source| self.error(&path, source))?;
            }
        }
        Ok(())
    }

    /// The map that is pinned under this name.
    pub(crate) fn map(&self, name: &str) -> io::Result<MapData> {
        MapData::from_pin(self.maps.join(name)).map_err(io::Error::other)
    }

    /// Where the link on a device is pinned.
    pub(crate) fn link(&self, ifindex: u32) -> PathBuf {
        self.links.join(ifindex.to_string())
    }

    /// Where the link on the uplink is pinned.
    pub(crate) fn uplink_link(&self, ifindex: u32) -> PathBuf {
        self.links.join(format!("{UPLINK_PREFIX}{ifindex}"))
    }

    /// Whether this is a link on an uplink.
    pub(crate) fn is_uplink_link(path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(UPLINK_PREFIX))
    }

    /// Unpins the maps of other versions, which nothing uses once all programs are replaced.
    pub(crate) fn discard_other_versions(&self) -> Result<(), OpenError> {
        let entries = fs::read_dir(&self.root).map_err(|source| self.error(&self.root, source))?;
        for entry in entries {
            let path = entry
                .map_err(|source| self.error(&self.root, source))?
                .path();
            if path != self.maps && path != self.links {
                remove_directory(&path).map_err(|source| self.error(&path, source))?;
            }
        }
        Ok(())
    }

    pub(crate) fn error(&self, path: &Path, source: io::Error) -> OpenError {
        OpenError::Pin {
            path: path.to_owned(),
            source,
        }
    }

    /// The version the maps were made under. None without maps, or if their maker got no further
    /// than making them.
    fn abi_version(&self) -> Result<Option<u32>, OpenError> {
        let path = self.maps.join("agent");
        let [.., agent] = &shapes(1);
        if !path.exists() || !agent.fits(&path) {
            return Ok(None);
        }
        let map = self
            .map("agent")
            .map_err(|source| self.error(&path, source))?;
        let agent = Shared::<Agent>::new("agent", &map)?;
        let version = agent
            .get(0_u32)
            .map(|agent| agent.abi_version.load(Relaxed));
        Ok(version.filter(|&version| version != 0))
    }
}

impl Shape {
    fn fits(&self, path: &Path) -> bool {
        let Ok(info) = MapData::from_pin(path).and_then(|map| map.info()) else {
            return false;
        };
        info.map_type().is_ok_and(|kind| kind == self.kind)
            && info.key_size() as usize == self.key_size
            && info.value_size() as usize == self.value_size
            && info.max_entries() == self.entries_max
    }
}

/// Removes a directory of pins, and the directory. One that is not there is removed already.
pub(crate) fn remove_directory(directory: &Path) -> io::Result<()> {
    let pins = match fs::read_dir(directory) {
        Ok(pins) => pins,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for pin in pins {
        fs::remove_file(pin?.path())?;
    }
    fs::remove_dir(directory)
}

/// The maps of `maps.h`, `agent` last.
fn shapes(flows_max: u32) -> [Shape; 12] {
    use MapType::{Array, Hash, PerCpuArray, RingBuf};
    let shape = |name, kind, key_size, value_size, entries_max| Shape {
        name,
        kind,
        key_size,
        value_size,
        entries_max,
    };
    let (flow_key, flow) = (size_of::<FlowKey>(), size_of::<FlowValue>());
    let (nic, provider) = (size_of::<TunnelNic>(), size_of::<TunnelProvider>());
    let (slot, stats) = (size_of::<DeviceSlot>(), size_of::<PortStats>());
    [
        shape("ports", Array, 4, size_of::<Port>(), PORTS_MAX),
        shape("devices", Hash, 4, 4, PORTS_MAX),
        shape("device_slots", Array, 4, slot, DEVICE_SLOTS),
        shape("port_stats", PerCpuArray, 4, stats, PORTS_MAX),
        shape("flows", Hash, flow_key, flow, flows_max),
        shape("mapping_versions", Array, 4, 4, MAPPING_SLOTS),
        shape("uplink", Array, 4, size_of::<Uplink>(), 1),
        shape("tunnel_nics", Hash, nic, 4, TUNNEL_NICS_MAX),
        shape("tunnel_providers", Hash, provider, 4, TUNNEL_PROVIDERS_MAX),
        shape(
            "uplink_drops",
            PerCpuArray,
            4,
            size_of::<DropCount>(),
            DROP_REASONS,
        ),
        shape("events", RingBuf, 0, 0, EVENTS_BYTES),
        shape("agent", Array, 4, size_of::<Agent>(), 1),
    ]
}
