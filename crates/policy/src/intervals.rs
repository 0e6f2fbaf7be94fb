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
    /// The first point.
    const MIN: Self;
    /// The last point.
    const MAX: Self;
    /// The point after this one, unless it is the last.
    fn next(self) -> Option<Self>;
}

macro_rules! point {
    ($($type:ty: $line:ty),+) => {
        $(impl Point for $type {
            type Line = $line;
            const MIN: Self = <$type>::MIN;
            const MAX: Self = <$type>::MAX;

            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
        })+
    };
}

point!(u16: PortDirectory, u32: Directory, u128: Tree);

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
