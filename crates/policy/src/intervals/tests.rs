use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

/// The value of the last cut that is not after `point`.
fn linear<P: Point>(cuts: &[(P, u32)], point: P) -> u32 {
    let reached = cuts.iter().rev().find(|cut| cut.0 <= point);
    reached.map_or(0, |cut| cut.1)
}

/// Asks at every cut, before it, after it, and at both ends of the line.
fn check<P: Point + std::fmt::Debug, const F: usize, const L: usize>(
    new: fn(Vec<(P, u32)>) -> Intervals<P, F, L>,
    cuts: Vec<(P, u32)>,
    before: impl Fn(P) -> P,
) -> Result<(), TestCaseError> {
    let tree = new(cuts.clone());
    let around = |cut: &(P, u32)| [before(cut.0), cut.0, cut.0.next().unwrap_or(P::MAX)];
    let points = cuts.iter().flat_map(around).chain([P::MIN, P::MAX]);
    for point in points {
        prop_assert_eq!(tree.get(point), linear(&cuts, point), "at {:?}", point);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn finds_what_a_scan_finds(
        ports in btree_map(any::<u16>(), 0..4_u32, 0..1_500),
        v4 in btree_map(any::<u32>(), 0..4_u32, 0..500),
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
        let cuts = ports.into_iter().collect();
        check(Intervals::<_, PORT_NODE, PORT_LEAF>::new, cuts, |point| point.saturating_sub(1))?;
        let cuts = v4.into_iter().collect();
        check(Intervals::<_, V4_NODE, V4_LEAF>::new, cuts, |point| point.saturating_sub(1))?;
        let cuts = v6.into_iter().collect();
        check(Intervals::<_, V6_NODE, V6_LEAF>::new, cuts, |point| point.saturating_sub(1))?;
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
