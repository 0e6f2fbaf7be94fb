use std::collections::HashMap;
use std::hash::Hash;
use std::io;
use std::net::IpAddr;

use flow::PortId;
use wire::{MacAddr, Vni};

use crate::MapError;
use crate::abi::{TunnelNic, TunnelProvider};
use crate::engine::{BpfEngine, Maps};
use crate::map::{Cell, Map};

/// What may come with which VNI, as the maps have it.
#[derive(Default)]
pub(crate) struct Segments {
    nics: HashMap<TunnelNic, u32>,
    providers: HashMap<TunnelProvider, u32>,
}

/// The most NICs, providers and VNIs, of each.
const SEGMENT_ENTRIES_MAX: usize = 65_536;
/// The value that says no more than that the key is in.
const TRUSTED: u32 = 1;

impl BpfEngine {
    /// Makes the maps say exactly this, writing what differs: which NICs may be reached with a VNI,
    /// which providers' hosts may send with it, and which VNIs there are, NICs or not.
    ///
    /// What is to go goes first. Too many entries (65,536 of each) are an error before anything is
    /// written; after any other the maps say something in between.
    pub fn set_segments(
        &mut self,
        nics: &[(Vni, MacAddr, PortId)],
        providers: &[(Vni, IpAddr)],
        vnis: &[Vni],
    ) -> Result<(), MapError> {
        let too_many = |count| count > SEGMENT_ENTRIES_MAX;
        if too_many(nics.len()) || too_many(vnis.len()) {
            return Err(full(&self.maps.tunnel_nics));
        }
        if too_many(providers.len()) {
            return Err(full(&self.maps.tunnel_providers));
        }
        let segments = vnis.iter().map(|&vni| (TunnelNic::segment(vni), 0));
        let nics = nics
            .iter()
            .map(|&(vni, mac, port)| (TunnelNic::new(vni, mac), port.0.into()));
        let wanted = Segments {
            // A NIC cannot have the address that stands for its segment.
            nics: nics.chain(segments).collect(),
            providers: providers
                .iter()
                .map(|&(vni, address)| (TunnelProvider::new(vni, address), TRUSTED))
                .collect(),
        };
        let written = write_difference(&self.maps.tunnel_nics, &self.segments.nics, &wanted.nics)
            .and_then(|()| {
                let (before, after) = (&self.segments.providers, &wanted.providers);
                write_difference(&self.maps.tunnel_providers, before, after)
            });
        self.segments = match written {
            Ok(()) => wanted,
            Err(_) => Segments::read(&self.maps)?,
        };
        written
    }
}

impl Segments {
    /// What the maps say.
    pub(crate) fn read(maps: &Maps) -> Result<Segments, MapError> {
        let mut found = Segments::default();
        maps.tunnel_nics.for_each(|&key, &port| {
            found.nics.insert(key, port);
        })?;
        maps.tunnel_providers.for_each(|&key, &value| {
            found.providers.insert(key, value);
        })?;
        Ok(found)
    }
}

fn write_difference<K: Cell + Eq + Hash>(
    map: &Map<K, u32>,
    before: &HashMap<K, u32>,
    after: &HashMap<K, u32>,
) -> Result<(), MapError> {
    for key in before.keys().filter(|key| !after.contains_key(key)) {
        map.delete(key)?;
    }
    let changed = after
        .iter()
        .filter(|(key, value)| before.get(key) != Some(value));
    let (keys, values): (Vec<K>, Vec<u32>) = changed.map(|(&key, &value)| (key, value)).unzip();
    map.update_all(&keys, &values)
        .map_err(|stopped| map.error(stopped.error))
}

fn full<K: Cell>(map: &Map<K, u32>) -> MapError {
    map.error(io::Error::from_raw_os_error(libc::E2BIG))
}
