use std::fs;
use std::io;
use std::path::Path;

use crate::AttachError;
use crate::MapError;
use crate::abi::{Agent, Port};
use crate::attach::{self, FROM_GUEST, SINK};
use crate::map::Map;
use crate::pins::Pins;

/// Ends an instance, whether or not its agent is alive: takes its programs off all devices and
/// unpins everything. A directory that is not there holds no instance.
///
/// Must be called in the network namespace of the ports. Guests then have no network.
pub fn unload_everything(pin_dir: &Path) -> Result<(), AttachError> {
    let pins = Pins::new(pin_dir);
    if !pins.root.exists() {
        return Ok(());
    }
    for (ifindex, _) in entries::<Port>(&pins, "ports")? {
        attach::detach(FROM_GUEST, ifindex, &pins.link(ifindex))?;
    }
    for (_, agent) in entries::<Agent>(&pins, "agent")? {
        let ifindex = agent.exception_ifindex;
        attach::detach(SINK, ifindex, &pins.link(ifindex))?;
    }
    for directory in [&pins.links, &pins.maps, &pins.root] {
        remove_directory(directory).map_err(|source| AttachError::Pin {
            path: directory.clone(),
            source,
        })?;
    }
    Ok(())
}

/// What a pinned map holds; nothing, if it is not there or of another version.
fn entries<V: crate::map::Cell>(
    pins: &Pins,
    name: &'static str,
) -> Result<Vec<(u32, V)>, MapError> {
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

/// Removes a directory of pins, and the directory.
fn remove_directory(directory: &Path) -> io::Result<()> {
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
