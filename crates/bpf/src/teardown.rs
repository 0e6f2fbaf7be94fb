use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use crate::abi::{Agent, Uplink};
use crate::attach::{self, FROM_GUEST, FROM_UPLINK, SINK};
use crate::map::{Cell, Map};
use crate::pins::{Pins, remove_directory};
use crate::shared::Shared;
use crate::{AttachError, MapError};

/// Ends an instance, whether or not its agent is alive: takes its programs off all devices and
/// unpins everything. A directory that is not there holds no instance.
///
/// Must be called in the network namespace of the ports. Guests then have no network.
pub fn unload_everything(pin_dir: &Path) -> Result<(), AttachError> {
    let pins = Pins::new(pin_dir);
    if !pins.root.exists() {
        return Ok(());
    }
    for (ifindex, _) in entries::<u32>(&pins, "devices")? {
        attach::detach(FROM_GUEST, ifindex, &pins.link(ifindex))?;
    }
    for (_, Uplink { ifindex, .. }) in entries::<Uplink>(&pins, "uplink")? {
        attach::detach(FROM_UPLINK, ifindex, &pins.uplink_link(ifindex))?;
    }
    if let Some(ifindex) = exception_device(&pins) {
        attach::detach(SINK, ifindex, &pins.link(ifindex))?;
    }
    let unpin = |path: &Path, source| AttachError::Pin {
        path: path.to_owned(),
        source,
    };
    // The links, and the maps of this version and any other.
    let directories = fs::read_dir(&pins.root).map_err(|source| unpin(&pins.root, source))?;
    for directory in directories {
        let directory = directory.map_err(|source| unpin(&pins.root, source))?;
        let path = directory.path();
        remove_directory(&path).map_err(|source| unpin(&path, source))?;
    }
    match fs::remove_dir(&pins.root) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(unpin(&pins.root, source)),
        _ => Ok(()),
    }
}

fn exception_device(pins: &Pins) -> Option<u32> {
    let map = pins.map("agent").ok()?;
    let agent = Shared::<Agent>::new("agent", &map).ok()?;
    Some(agent.get(0_u32)?.exception_ifindex.load(Relaxed))
}

/// What a pinned map holds; nothing, if it is not there or of another version.
fn entries<V: Cell>(pins: &Pins, name: &'static str) -> Result<Vec<(u32, V)>, MapError> {
    let mut entries = Vec::new();
    let Ok(pinned) = pins.map(name) else {
        return Ok(entries);
    };
    let Ok(map) = Map::<u32, V>::new(name, pinned) else {
        return Ok(entries);
    };
    map.for_each(|&key, &value| entries.push((key, value)))?;
    Ok(entries)
}
