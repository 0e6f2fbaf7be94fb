use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

/// The value of the last cut that is not after `point`.
fn linear<P: Point>(cuts: &[(P, u32)], point: P) -> u32 {
    let reached = cuts.iter().rev().find(|cut| cut.0 <= point);
    reached.map_or(0, |cut| cut.1)
}

/// Asks at every cut, before it, after it, and at both ends of the line.
fn check<P: Point + std::fmt::Debug>(
    cuts: Vec<(P, u32)>,
    before: impl Fn(P) -> P,
) -> Result<(), TestCaseError> {
    let line = P::Line::new(cuts.clone());
    let around = |cut: &(P, u32)| [before(cut.0), cut.0, cut.0.next().unwrap_or(P::MAX)];
    let points = cuts.iter().flat_map(around).chain([P::MIN, P::MAX]);
    for point in points {
        prop_assert_eq!(line.get(point), linear(&cuts, point), "at {:?}", point);
    }
    Ok(())
}

/// Cuts that crowd in a few places, in steps of a power of two, between few numbers or many: what a
/// cell has no room for may be either.
fn crowds() -> impl Strategy<Value = BTreeMap<u32, u32>> {
    let numbers = prop_oneof![Just(2), Just(3), 7..10_u32, Just(1_000)];
    let crowd = (any::<u32>(), 0..12_u32, 0..300_u32, numbers);
    vec(crowd, 0..5).prop_map(|crowds| {
        let mut cuts = BTreeMap::new();
        for (first, step, count, numbers) in crowds {
            let cut = |index: u32| (first.wrapping_add(index << step), index % numbers);
            cuts.extend((0..count).map(cut));
        }
        cuts
    })
}

/// Every count of cuts around what a cell holds, at every width and with every count of numbers:
/// cells that are just full, and those that must become nodes.
#[test]
fn full_cells_and_nodes_in_their_place() {
    for shift in 0..29_u32 {
        for count in 1..=16_u32 {
            for numbers in [2, 7, 8, 9, 16] {
                let cut = |index: u32| (0x0100_0000 + (index << (shift % 24)), 1 + index % numbers);
                let mut cuts: Vec<(u32, u32)> = (0..count).map(cut).collect();
                // Far away, so that those above are in one cell of the width asked for.
                cuts.push((0xf000_0000 | 1 << shift, NUMBERS_MAX));
                check(cuts, |point: u32| point.saturating_sub(1)).expect("as a scan finds");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn finds_what_a_scan_finds(
        ports in btree_map(any::<u16>(), 0..4_u32, 0..1_500),
        v4 in prop_oneof![btree_map(any::<u32>(), 0..4_u32, 0..500), crowds()],
        v6 in btree_map(any::<u128>(), 0..4_u32, 0..500),
        edges in any::<[bool; 2]>(),
    ) {
        let (mut ports, mut v4, mut v6) = (ports, v4, v6);
        if edges[0] {
            ports.insert(0, 7);
            v4.insert(0, 7);
            v6.insert(0, 7);
        }
        if edges[1] {
            ports.insert(u16::MAX, 8);
            v4.insert(u32::MAX, 8);
            v6.insert(u128::MAX, 8);
        }
        check(ports.into_iter().collect(), |point: u16| point.saturating_sub(1))?;
        check(v4.into_iter().collect(), |point: u32| point.saturating_sub(1))?;
        check(v6.into_iter().collect(), |point: u128| point.saturating_sub(1))?;
    }

    #[test]
    fn a_union_covers_what_its_ranges_cover(
        ranges in vec((0..60_u16, 0..60_u16), 0..12),
        top in any::<bool>(),
    ) {
        let mut ranges = ranges;
        if top {
            ranges.push((50, u16::MAX));
        }
        let covered = |point: u16| ranges.iter().any(|range| (range.0..=range.1).contains(&point));
        let union = match Coverage::of(ranges.iter().copied()) {
            Coverage::Whole => vec![(0, u16::MAX)],
            Coverage::Ranges(union) => union,
        };
        for point in (0..70).chain([u16::MAX - 1, u16::MAX]) {
            let by_union = union.iter().any(|range| (range.0..=range.1).contains(&point));
            prop_assert_eq!(by_union, covered(point), "at {}", point);
        }
        let apart = union.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0);
        prop_assert!(apart, "{:?} touch", union);
    }
}

#[test]
fn two_halves_are_the_whole() {
    let halves = [(0x8000, u16::MAX), (0, 0x7fff)];
    assert!(Coverage::of(halves.into_iter()).is_whole());
    assert!(!Coverage::of([(1, u16::MAX)].into_iter()).is_whole());
}

/// Every place holds half of the cuts around it, so that each level of a directory has one bucket
/// with nearly all of them: the worst there is.
#[test]
fn crowds_within_crowds_cost_depth_and_little_memory() {
    let mut cuts = BTreeMap::new();
    for level in 0..28_u32 {
        for index in 0..16_u32 {
            cuts.insert(index << level, level * 16 + index);
        }
    }
    for host in 0..4_096_u32 {
        cuts.insert(0x8000_0000 | host, host);
    }
    let cuts: Vec<(u32, u32)> = cuts.into_iter().collect();
    check(cuts.clone(), |point: u32| point.saturating_sub(1)).expect("as a scan finds");
    let bytes = <u32 as Point>::Line::new(cuts.clone()).memory_bytes();
    assert!(
        bytes < cuts.len() * 64,
        "{bytes} bytes for {} cuts",
        cuts.len()
    );
}
