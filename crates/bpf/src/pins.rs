//! The pin directory: where maps and links live while no agent does.
//!
//! ```text
//! PIN_DIR/v1/MAP        the maps, under the version of their layouts
//! PIN_DIR/links/INDEX   the tcx link on the device with this index
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aya::maps::{MapData, MapType};
use flow::{FlowKey, PortId};

use crate::abi::{ABI_VERSION, Agent, FlowEvent, FlowValue, MAPPING_SLOTS, Port};
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

/// One more than the largest port number.
const PORTS_MAX: u32 = PortId::MAX.0 as u32 + 1;
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
        let agent = crate::map::Map::<u32, Agent>::new("agent", map)?.lookup(&0)?;
        Ok(agent
            .map(|agent| agent.abi_version)
            .filter(|&version| version != 0))
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

/// The maps of `flow.bpf.c`, `agent` last.
fn shapes(flows_max: u32) -> [Shape; 7] {
    let shape = |name, kind, key_size, value_size, entries_max| Shape {
        name,
        kind,
        key_size,
        value_size,
        entries_max,
    };
    [
        shape("ports", MapType::Hash, 4, size_of::<Port>(), PORTS_MAX),
        shape("port_modes", MapType::Array, 4, 4, PORTS_MAX),
        shape(
            "port_stats",
            MapType::PerCpuArray,
            4,
            size_of::<PortStats>(),
            PORTS_MAX,
        ),
        shape(
            "flows",
            MapType::Hash,
            size_of::<FlowKey>(),
            size_of::<FlowValue>(),
            flows_max,
        ),
        shape("mapping_versions", MapType::Array, 4, 4, MAPPING_SLOTS),
        shape("events", MapType::RingBuf, 0, 0, EVENTS_BYTES),
        shape("agent", MapType::Array, 4, size_of::<Agent>(), 1),
    ]
}
