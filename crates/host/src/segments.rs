//! What may come off the uplink, as the engine is told of it.

use std::net::IpAddr;

use bpf::{BpfEngine, MapError};
use flow::PortId;
use policy::Snapshot;
use wire::{MacAddr, Vni};

/// The receivers and trusted senders of each VNI. Empty where the policy has no uplink.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Segments {
    nics: Vec<(Vni, MacAddr, PortId)>,
    providers: Vec<(Vni, IpAddr)>,
    vnis: Vec<Vni>,
}

impl Segments {
    /// Those of a policy.
    pub(crate) fn of(snapshot: &Snapshot) -> Segments {
        let mut all = Segments::default();
        if snapshot.uplink().is_none() {
            return all;
        }
        for segment in snapshot.segments() {
            let vni = segment.vni();
            all.vnis.push(vni);
            let nics = segment.nics();
            all.nics
                .extend(nics.map(|(mac, port)| (vni, MacAddr(mac), port)));
            all.providers
                .extend(segment.providers().map(|provider| (vni, provider)));
        }
        // Those of several networks come several times.
        all.providers.sort_unstable();
        all.providers.dedup();
        all
    }

    /// Makes the engine know exactly these.
    pub(crate) fn tell(&self, engine: &mut BpfEngine) -> Result<(), MapError> {
        engine.set_segments(&self.nics, &self.providers, &self.vnis)
    }
}
