use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use flow::PortId;
use wire::Vni;

use crate::error::{CompileError, Counted};
use crate::input::{MappingTarget, NextHop, UplinkInput, VnetId};
use crate::mapping::{MappingChange, MappingSlot, MappingTable};
use crate::nic::NicPolicy;
use crate::observer::{MappingView, Observer};
use crate::providers::Providers;
use crate::segment::{Receivers, Segment, Segments};

/// One generation of the policy: immutable, and cheap to clone.
#[derive(Clone, Debug)]
pub struct Snapshot {
    generation: u32,
    nics: Arc<NicTable>,
    mappings: MappingTable,
    mappings_max: usize,
    uplink: Option<UplinkInput>,
    segments: Arc<Segments>,
    lineage: Lineage,
}

/// All NICs, and where the one behind each port is.
#[derive(Debug)]
pub(crate) struct NicTable {
    nics: Box<[NicPolicy]>,
    /// By port number: one more than the index; zero is none.
    by_port: Box<[u16]>,
}

/// Counts the snapshots that were derived from others, so that the compiler knows whether it has
/// seen them all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lineage {
    derived: Arc<AtomicU32>,
    /// What the count was when this snapshot was made.
    at: u32,
}

impl Lineage {
    /// How many snapshots were derived since.
    pub(crate) fn missed(&self) -> u32 {
        self.derived.load(Ordering::Relaxed).wrapping_sub(self.at)
    }

    /// The same lineage, now.
    pub(crate) fn now(&self) -> Lineage {
        Lineage {
            at: self.derived.load(Ordering::Relaxed),
            ..self.clone()
        }
    }

    fn derive(&self) -> Lineage {
        let at = self.derived.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        Lineage { at, ..self.clone() }
    }
}

impl NicTable {
    /// The NICs, which are behind different, valid ports.
    pub(crate) fn new(nics: Vec<NicPolicy>) -> NicTable {
        let ports = nics
            .iter()
            .map(|nic| usize::from(nic.port.0) + 1)
            .max()
            .unwrap_or(0);
        let mut by_port = vec![0; ports];
        for (number, nic) in (1..).zip(&nics) {
            by_port[usize::from(nic.port.0)] = number;
        }
        NicTable {
            nics: nics.into(),
            by_port: by_port.into(),
        }
    }
}

impl Snapshot {
    pub(crate) fn new(
        generation: u32,
        nics: NicTable,
        mappings: MappingTable,
        mappings_max: usize,
        uplink: Option<UplinkInput>,
        segments: Segments,
        lineage: Lineage,
    ) -> Snapshot {
        Snapshot {
            generation,
            nics: Arc::new(nics),
            mappings,
            mappings_max,
            uplink,
            segments: Arc::new(segments),
            lineage,
        }
    }

    /// The policy generation it was compiled for.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The NIC behind a port.
    #[inline]
    pub fn nic(&self, port: PortId) -> Option<&NicPolicy> {
        let number = *self.nics.by_port.get(usize::from(port.0))?;
        self.nics.nics.get(usize::from(number).checked_sub(1)?)
    }

    /// All NICs, in the order of the input.
    pub fn nics(&self) -> impl Iterator<Item = &NicPolicy> {
        self.nics.nics.iter()
    }

    /// Where an address of a network is: its slot, the slot's version, and the target if there is
    /// one. Another network's addresses are never found.
    #[inline]
    pub fn mapping(
        &self,
        vnet: VnetId,
        address: IpAddr,
    ) -> (MappingSlot, u32, Option<MappingTarget>) {
        self.mappings.get(vnet, address)
    }

    /// [`Snapshot::mapping`], observed.
    #[inline]
    pub fn mapping_observed<O: Observer>(
        &self,
        vnet: VnetId,
        address: IpAddr,
        observer: &mut O,
    ) -> (MappingSlot, u32, Option<MappingTarget>) {
        let (slot, version, target) = self.mapping(vnet, address);
        observer.mapping(&MappingView {
            vnet,
            address,
            slot,
            version,
            target,
        });
        (slot, version, target)
    }

    /// Where the virtual appliance that a route of `nic` names by its address is: in the NIC's own
    /// network or, if it is not there, in the one to which the NIC's route to the appliance leads.
    /// When it is in neither, the slot is the one searched last.
    pub fn appliance(
        &self,
        nic: &NicPolicy,
        address: IpAddr,
    ) -> (MappingSlot, u32, Option<MappingTarget>) {
        self.appliance_observed(nic, address, &mut ())
    }

    /// [`Snapshot::appliance`], observed: the lookups and the route to the appliance.
    pub fn appliance_observed<O: Observer>(
        &self,
        nic: &NicPolicy,
        address: IpAddr,
        observer: &mut O,
    ) -> (MappingSlot, u32, Option<MappingTarget>) {
        let own = self.mapping_observed(nic.vnet, address, observer);
        if own.2.is_some() {
            return own;
        }
        match nic.route(address, observer).map(|route| route.next_hop) {
            Some(NextHop::Vnet(peer)) if peer != nic.vnet => {
                self.mapping_observed(peer, address, observer)
            }
            _ => own,
        }
    }

    /// The way to other hosts, if there is any.
    pub fn uplink(&self) -> Option<UplinkInput> {
        self.uplink
    }

    /// What may come off the uplink with this VNI.
    #[inline]
    pub fn segment(&self, vni: Vni) -> Option<Segment<'_>> {
        let receivers = self.segments.get(&vni)?;
        Some(Segment::new(vni, receivers, self))
    }

    /// All VNIs that may come off the uplink, in no order.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        let segments = self.segments.iter();
        segments.map(|(vni, receivers)| Segment::new(*vni, receivers, self))
    }

    pub(crate) fn providers(&self) -> &Providers {
        self.mappings.providers()
    }

    /// How many mappings there are.
    pub fn mappings_len(&self) -> usize {
        self.mappings.len()
    }

    /// The version a mapping slot has: what a flow's stamp is held against.
    #[inline]
    pub fn slot_version(&self, slot: MappingSlot) -> u32 {
        self.mappings.version(slot)
    }

    /// All slots with their versions, ascending.
    pub fn slot_versions(&self) -> impl Iterator<Item = (MappingSlot, u32)> {
        self.mappings.versions()
    }

    /// The slots whose version is not what it is in `older`, with their version here. What the two
    /// snapshots share costs nothing.
    pub fn changed_slots(&self, older: &Snapshot) -> Vec<(MappingSlot, u32)> {
        self.mappings.changed_slots(&older.mappings)
    }

    /// The same generation with mappings changed, in order. Slots in which a change had an effect
    /// get the next version. The cost is that of the changes, whatever the total.
    ///
    /// Derive from the snapshot in force, and tell the compiler of the outcome with
    /// [`Compiler::remember`](crate::Compiler::remember): two snapshots derived side by side give
    /// one version to different targets.
    ///
    /// # Errors
    /// [`CompileError::TooMany`] when there would be more mappings than allowed.
    pub fn with_mapping_changes(
        &self,
        changes: &[MappingChange],
    ) -> Result<Snapshot, CompileError> {
        let mappings = self.mappings.with_changes(changes);
        let place = || "mapping changes".to_owned();
        Counted::Mappings.within(mappings.len(), self.mappings_max, place)?;
        Ok(Snapshot {
            generation: self.generation,
            nics: Arc::clone(&self.nics),
            mappings,
            mappings_max: self.mappings_max,
            uplink: self.uplink,
            segments: Arc::clone(&self.segments),
            lineage: self.lineage.derive(),
        })
    }

    /// Bytes on the heap. What several NICs share is counted once; what is shared with the input
    /// (names, priorities, route entries) is not counted.
    pub fn memory_bytes(&self) -> usize {
        let nics = &self.nics.nics;
        let mut sets: Vec<_> = nics.iter().flat_map(NicPolicy::rule_sets).collect();
        sets.sort_unstable_by_key(|set| Arc::as_ptr(set));
        sets.dedup_by_key(|set| Arc::as_ptr(set));
        let mut tables: Vec<_> = nics.iter().map(NicPolicy::routes).collect();
        tables.sort_unstable_by_key(|table| Arc::as_ptr(table));
        tables.dedup_by_key(|table| Arc::as_ptr(table));
        size_of_val(&**nics)
            + size_of_val(&*self.nics.by_port)
            + nics.iter().map(NicPolicy::memory_bytes).sum::<usize>()
            + sets
                .iter()
                .map(|set| size_of_val(&***set) + set.memory_bytes())
                .sum::<usize>()
            + tables
                .iter()
                .map(|table| size_of_val(&***table) + table.memory_bytes())
                .sum::<usize>()
            + self.mappings.memory_bytes()
            + self.segments.allocation_size()
            + self
                .segments
                .values()
                .map(Receivers::memory_bytes)
                .sum::<usize>()
    }

    pub(crate) fn mapping_table(&self) -> &MappingTable {
        &self.mappings
    }

    pub(crate) fn lineage(&self) -> &Lineage {
        &self.lineage
    }
}
