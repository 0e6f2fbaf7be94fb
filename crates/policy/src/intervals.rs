//! Lines of points, cut into intervals.

mod directory;
mod tree;

pub(crate) use directory::{CUTS_MAX, NUMBERS_MAX};
use directory::{Directory, PortDirectory};
use ipnet::{Ipv4Net, Ipv6Net};
use tree::Tree;

/// A point of a line that is cut into intervals: a port, an IPv4 or an IPv6 address.
pub(crate) trait Point: Copy + Ord {
    /// The line of such points.
    type Line: Line<Self>;
    /// A point and a rule whose coverage begins or ends there, ordered by the point, then the rule: a
    /// single number if there is one, for they are sorted by the hundred thousand.
    type Edge: Copy + Ord;
    /// The first point.
    const MIN: Self;
    /// The last point.
    const MAX: Self;
    /// The point after this one, unless it is the last.
    fn next(self) -> Option<Self>;
    /// The edge of a rule at this point.
    fn edge(self, rule: u16) -> Self::Edge;
    /// The point and the rule of an edge.
    fn of_edge(edge: Self::Edge) -> (Self, u16);
}

macro_rules! point {
    ($($type:ty: $line:ty, $edge:ty, $to_edge:expr, $of_edge:expr;)+) => {
        $(impl Point for $type {
            type Line = $line;
            type Edge = $edge;
            const MIN: Self = <$type>::MIN;
            const MAX: Self = <$type>::MAX;

            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }

            fn edge(self, rule: u16) -> $edge {
                let to_edge: fn($type, u16) -> $edge = $to_edge;
                to_edge(self, rule)
            }

            fn of_edge(edge: $edge) -> ($type, u16) {
                let of_edge: fn($edge) -> ($type, u16) = $of_edge;
                of_edge(edge)
            }
        })+
    };
}

point! {
    u16: PortDirectory, (u16, u16), |port, rule| (port, rule), |edge| edge;
    u32: Directory, u64, packed, unpacked;
    u128: Tree, (u128, u16), |address, rule| (address, rule), |edge| edge;
}

fn packed(address: u32, rule: u16) -> u64 {
    u64::from(address) << 16 | u64::from(rule)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the parts as they were packed"
)]
fn unpacked(edge: u64) -> (u32, u16) {
    ((edge >> 16) as u32, edge as u16)
}

/// A line cut into intervals, each with a number.
pub(crate) trait Line<P>: std::fmt::Debug {
    /// A line cut where `cuts` say, in ascending order and at most [`CUTS_MAX`], each interval up to
    /// the next cut having the cut's number, at most [`NUMBERS_MAX`]. What lies before the first cut has zero.
    fn new(cuts: Vec<(P, u32)>) -> Self;

    /// The number of the interval that `point` is in.
    fn get(&self, point: P) -> u32;

    /// Bytes on the heap.
    fn memory_bytes(&self) -> usize;
}

/// A range of points, both ends included.
pub(crate) type Range<P> = (P, P);

/// The addresses of an IPv4 prefix.
pub(crate) fn range_v4(prefix: &Ipv4Net) -> Range<u32> {
    (prefix.network().to_bits(), prefix.broadcast().to_bits())
}

/// The addresses of an IPv6 prefix.
pub(crate) fn range_v6(prefix: &Ipv6Net) -> Range<u128> {
    (prefix.network().to_bits(), prefix.broadcast().to_bits())
}

/// What of a line a rule covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Coverage<P> {
    /// All of it.
    Whole,
    /// These ranges: ascending, apart from each other by at least one point.
    Ranges(Vec<Range<P>>),
}

impl<P: Point> Coverage<P> {
    /// The union of `ranges`, of which those that end before they begin are empty.
    pub(crate) fn of(ranges: impl Iterator<Item = Range<P>>) -> Self {
        let mut ranges: Vec<_> = ranges.filter(|range| range.0 <= range.1).collect();
        ranges.sort_unstable();
        ranges.dedup_by(|range, open| {
            let joins = open.1.next().is_none_or(|next| range.0 <= next);
            if joins {
                open.1 = open.1.max(range.1);
            }
            joins
        });
        if ranges == [(P::MIN, P::MAX)] {
            return Coverage::Whole;
        }
        ranges.shrink_to_fit();
        Coverage::Ranges(ranges)
    }

    /// Whether it is all of the line.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self, Coverage::Whole)
    }
}

#[cfg(test)]
mod tests;
