use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use flow::{Encap, PortId};
use proptest::collection::vec;
use proptest::prelude::*;
use wire::Vni;

use super::address;
use super::strategies::addresses;
use crate::input::{MappingInput, MappingTarget, PolicyInput, VnetId};
use crate::{Compiler, Limits, MappingChange, MappingSlot, MappingView, Observer, Snapshot};

#[derive(Clone, Debug)]
enum Op {
    /// Derive a snapshot, and tell the compiler of it.
    Change(Vec<MappingChange>),
    /// Compile a generation whose mappings differ by these changes.
    Compile(Vec<MappingChange>),
}

fn changes() -> impl Strategy<Value = Vec<MappingChange>> {
    let target = prop_oneof![
        Just(None),
        (1..4_u16).prop_map(|port| Some(MappingTarget::Port(PortId(port)))),
        (1..3_u8).prop_map(|host| Some(remote(host))),
    ];
    vec(((0..2_u32).prop_map(VnetId), addresses(), target), 0..6)
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        changes().prop_map(Op::Change),
        changes().prop_map(Op::Compile)
    ]
}

fn remote(host: u8) -> MappingTarget {
    let encap = Encap {
        outer_src: IpAddr::from([192, 0, 2, 1]),
        outer_dst: IpAddr::from([192, 0, 2, host]),
        vni: Vni::new(5_000).expect("24 bits"),
        dst_port: 4_789,
    };
    MappingTarget::Remote {
        mac: [2, 0, 0, 0, 0, host],
        encap,
        vni_of_sender: false,
    }
}

/// What the mappings are, and how often each slot changed.
#[derive(Clone, Default)]
struct Model {
    targets: BTreeMap<(VnetId, IpAddr), MappingTarget>,
    versions: BTreeMap<MappingSlot, u32>,
}

impl Model {
    /// Makes the changes. A slot counts one if any change had an effect, or, with `net`, if there
    /// is a difference in the end.
    fn apply(&mut self, changes: &[MappingChange], net: bool) {
        let before = self.targets.clone();
        let mut slots = BTreeSet::new();
        for &(vnet, address, target) in changes {
            let key = (vnet, address);
            let old = match target {
                Some(target) => self.targets.insert(key, target),
                None => self.targets.remove(&key),
            };
            if old != target {
                slots.insert((MappingSlot::of(vnet, address), key));
            }
        }
        if net {
            slots.retain(|(_, key)| before.get(key) != self.targets.get(key));
        }
        for slot in slots
            .into_iter()
            .map(|(slot, _)| slot)
            .collect::<BTreeSet<_>>()
        {
            *self.versions.entry(slot).or_default() += 1;
        }
    }

    fn input(&self) -> PolicyInput {
        let mapping =
            |(&(vnet, address), &target): (&(VnetId, IpAddr), &MappingTarget)| MappingInput {
                vnet,
                address,
                target,
            };
        PolicyInput {
            mappings: self.targets.iter().map(mapping).collect(),
            ..Default::default()
        }
    }

    fn check(&self, snapshot: &Snapshot) -> Result<(), TestCaseError> {
        prop_assert_eq!(snapshot.mappings_len(), self.targets.len());
        for (&(vnet, address), &target) in &self.targets {
            let slot = MappingSlot::of(vnet, address);
            let version = self.versions.get(&slot).copied().unwrap_or(0);
            prop_assert_eq!(
                snapshot.mapping(vnet, address),
                (slot, version, Some(target))
            );
        }
        let moved: BTreeMap<_, _> = snapshot.slot_versions().filter(|slot| slot.1 > 0).collect();
        prop_assert_eq!(&moved, &self.versions);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn versions_advance_where_something_changed_and_nowhere_else(
        ops in vec(ops(), 1..10),
    ) {
        let mut compiler = Compiler::new(Limits::default());
        let mut model = Model::default();
        let mut current = compiler.compile(&model.input()).expect("legal");
        let mut history = vec![(current.clone(), model.clone())];
        for op in ops {
            let (mut next, older) = (model.clone(), current.clone());
            match op {
                Op::Change(changes) => {
                    next.apply(&changes, false);
                    current = current.with_mapping_changes(&changes).expect("within limits");
                    compiler.remember(&current);
                }
                Op::Compile(changes) => {
                    next.apply(&changes, true);
                    current = compiler.compile(&next.input()).expect("legal");
                }
            }
            let versions = next.versions.iter().map(|(&slot, &version)| (slot, version));
            let moved = versions.filter(|(slot, now)| model.versions.get(slot) != Some(now));
            let moved: Vec<(MappingSlot, u32)> = moved.collect();
            prop_assert_eq!(current.changed_slots(&older), moved);
            model = next;
            history.push((current.clone(), model.clone()));
        }
        for (snapshot, model) in &history {
            model.check(snapshot)?;
        }
    }
}

/// A change the compiler does not know of may be undone by the next generation, or confirmed.
/// Either way flows that were compiled meanwhile must not look fresh.
#[test]
fn snapshots_the_compiler_was_not_told_of() {
    let (vnet, moved) = (VnetId(0), address("10.0.0.4"));
    let here = MappingTarget::Port(PortId(1));
    let mappings = vec![MappingInput {
        vnet,
        address: moved,
        target: here,
    }];
    let input = PolicyInput {
        mappings,
        ..PolicyInput::default()
    };
    let mut compiler = Compiler::new(Limits::default());
    let first = compiler.compile(&input).expect("legal");
    let away = first
        .with_mapping_changes(&[(vnet, moved, Some(remote(2)))])
        .expect("legal");
    let back = away
        .with_mapping_changes(&[(vnet, moved, Some(here))])
        .expect("legal");
    let gone = back
        .with_mapping_changes(&[(vnet, moved, None)])
        .expect("legal");
    let second = compiler.compile(&input).expect("legal");
    let versions = [&first, &away, &back, &gone, &second].map(|at| at.mapping(vnet, moved).1);
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
    let third = compiler.compile(&input).expect("legal");
    assert!(
        third.changed_slots(&second).is_empty(),
        "it has seen all again"
    );
}

#[test]
fn nothing_changed_costs_no_memory() {
    let (vnet, host) = (VnetId(0), address("10.0.0.4"));
    let target = Some(MappingTarget::Port(PortId(1)));
    let empty = super::compiled(&PolicyInput::default());
    let one = empty
        .with_mapping_changes(&[(vnet, host, target)])
        .expect("legal");
    let same = one
        .with_mapping_changes(&[(vnet, host, target)])
        .expect("legal");
    assert_eq!(same.memory_bytes(), one.memory_bytes());
    assert!(same.changed_slots(&one).is_empty());
    assert_eq!(
        one.changed_slots(&empty),
        [(MappingSlot::of(vnet, host), 1)]
    );
    assert_eq!(one.slot_versions().count(), 65_536);
}

/// Slots are stored with flows that outlive the agent: the hash stays as it is.
#[test]
fn slots_are_what_they_always_were() {
    let slot = |vnet, text| MappingSlot::of(VnetId(vnet), address(text)).0;
    let slots = [
        slot(0, "10.0.0.4"),
        slot(1, "10.0.0.4"),
        slot(0, "fd00::4"),
        slot(0, "::a00:4"),
    ];
    assert_eq!(slots, EXPECTED_SLOTS);
}

const EXPECTED_SLOTS: [u32; 4] = [49_832, 20_465, 46_472, 48_439];

#[test]
fn slots_are_spread_evenly() {
    let mut taken = vec![0_u32; MappingSlot::COUNT as usize];
    for host in 0..0x8_0000_u32 {
        let address = IpAddr::from((0x0a00_0000 + host).to_be_bytes());
        taken[MappingSlot::of(VnetId(host % 3), address).0 as usize] += 1;
    }
    // Eight to a slot on average; by chance alone, none of 65,536 gets 32 (probability 1e-5).
    let most = taken.iter().max();
    assert!(most < Some(&32), "{most:?} in one slot");
}

#[test]
fn an_observer_sees_the_lookup() {
    struct Seen(Vec<MappingView>);
    impl Observer for Seen {
        fn mapping(&mut self, view: &MappingView) {
            self.0.push(*view);
        }
    }
    let (vnet, host) = (VnetId(3), address("10.0.0.4"));
    let snapshot = super::compiled(&PolicyInput::default());
    let mut seen = Seen(Vec::new());
    let (slot, version, target) = snapshot.mapping_observed(vnet, host, &mut seen);
    assert_eq!(
        seen.0,
        [MappingView {
            vnet,
            address: host,
            slot,
            version,
            target
        }]
    );
}
