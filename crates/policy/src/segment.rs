//! What may come off the uplink: by VNI, who may receive it and which hosts may have sent it.

use std::net::IpAddr;

use flow::PortId;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use wire::Vni;

use crate::input::{NicInput, SegmentInput, VnetId};
use crate::snapshot::Snapshot;

/// The receivers of one VNI.
#[derive(Debug)]
pub(crate) struct Receivers {
    vnets: Box<[VnetId]>,
    nics: HashMap<[u8; 6], PortId, RandomState>,
}

/// All VNIs.
pub(crate) type Segments = HashMap<Vni, Receivers, RandomState>;

/// What may come off the uplink with one VNI.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    vni: Vni,
    receivers: &'a Receivers,
    snapshot: &'a Snapshot,
}

impl<'a> Segment<'a> {
    pub(crate) fn new(vni: Vni, receivers: &'a Receivers, snapshot: &'a Snapshot) -> Segment<'a> {
        Segment {
            vni,
            receivers,
            snapshot,
        }
    }

    /// The VXLAN network identifier.
    pub fn vni(&self) -> Vni {
        self.vni
    }

    /// The port of the NIC with this Ethernet address.
    #[inline]
    pub fn nic(&self, mac: [u8; 6]) -> Option<PortId> {
        self.receivers.nics.get(&mac).copied()
    }

    /// The NICs that can receive, in no order.
    pub fn nics(&self) -> impl Iterator<Item = ([u8; 6], PortId)> + use<'a> {
        self.receivers.nics.iter().map(|(mac, port)| (*mac, *port))
    }

    /// Whether a host with this provider address may have sent a frame: a NIC of these networks is
    /// on it (provider address validation, SEMANTICS D6).
    #[inline]
    pub fn trusts(&self, provider: IpAddr) -> bool {
        let providers = self.snapshot.providers();
        let mut vnets = self.receivers.vnets.iter();
        vnets.any(|vnet| providers.has(*vnet, provider))
    }

    /// The provider addresses that are trusted, in no order, and those of several networks several
    /// times.
    pub fn providers(&self) -> impl Iterator<Item = IpAddr> + use<'a> {
        let providers = self.snapshot.providers();
        let vnets = self.receivers.vnets.iter();
        vnets.flat_map(|vnet| providers.of(*vnet))
    }
}

impl Receivers {
    /// The NICs of a segment's networks; where two have one address, that of the earlier network.
    pub(crate) fn of(segment: &SegmentInput, nics: &[NicInput]) -> Receivers {
        let mut found = HashMap::default();
        for vnet in &segment.vnets {
            for nic in nics.iter().filter(|nic| nic.vnet == *vnet) {
                found.entry(nic.mac).or_insert(nic.port);
            }
        }
        Receivers {
            vnets: segment.vnets.clone().into(),
            nics: found,
        }
    }

    /// Bytes on the heap.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.vnets) + self.nics.allocation_size()
    }
}
