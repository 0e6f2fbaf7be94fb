use crate::classifier::coverage::RuleCoverage;
use crate::intervals::{Coverage, Point, Range};

/// A rule that covers so much that nearly all others are within it, such as one for the whole
/// network: compared with itself, and in no line. There it would be in the set of nearly every
/// interval, where two rules are what costs nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wide<P> {
    rule: usize,
    /// Whether it takes any protocol and ports.
    takes_all: bool,
    source: Spans<P>,
    destination: Spans<P>,
}

/// A few ranges.
#[derive(Clone, Copy, Debug)]
struct Spans<P> {
    /// Apart from the rest, for mostly it is the only one. A range that is not there is empty.
    first: Range<P>,
    others: [Range<P>; SPANS_MAX - 1],
    several: bool,
}

/// Wide rules of a set: every evaluation compares them all.
const WIDE_MAX: usize = 2;

/// Ranges of a side of a wide rule.
const SPANS_MAX: usize = 4;

/// Ranges of other rules that must begin within a rule's to make it wide.
const WITHIN_MIN: usize = 16;

/// The indices of those of `rules` that are wide, ascending.
pub(super) fn wide_rules(rules: &[RuleCoverage]) -> Vec<usize> {
    let mut candidates: Vec<(u128, usize)> = rules
        .iter()
        .enumerate()
        .filter(|(_, rule)| is_simple(rule))
        .map(|(index, rule)| (size(rule), index))
        .collect();
    candidates.sort_unstable_by(|a, b| b.cmp(a));
    candidates.truncate(WIDE_MAX);
    let surrounds = |&(_, index): &(u128, usize)| {
        let mut count = 0;
        rules.iter().any(|rule| {
            count += begins_within(rule, &rules[index]);
            count >= WITHIN_MIN
        })
    };
    let mut wide: Vec<usize> = candidates
        .into_iter()
        .filter(surrounds)
        .map(|candidate| candidate.1)
        .collect();
    wide.sort_unstable();
    wide
}

/// Whether a rule's ranges are few enough, and it names an address at all in either family: those
/// that do not have a table of their own.
fn is_simple(rule: &RuleCoverage) -> bool {
    let (source, destination) = (&rule.source, &rule.destination);
    let few = few(&source.v4) && few(&destination.v4) && few(&source.v6) && few(&destination.v6);
    let open_v4 = source.v4.is_whole() && destination.v4.is_whole();
    let open_v6 = source.v6.is_whole() && destination.v6.is_whole();
    few && !open_v4 && !open_v6
}

fn few<P: Point>(coverage: &Coverage<P>) -> bool {
    match coverage {
        Coverage::Whole => true,
        Coverage::Ranges(ranges) => ranges.len() <= SPANS_MAX,
    }
}

/// How much of the IPv4 lines a rule is in; where that is equal, how much of the IPv6 lines.
fn size(rule: &RuleCoverage) -> u128 {
    let v4 = [&rule.source.v4, &rule.destination.v4].map(|side| {
        let sizes = ranges(side).iter().map(|range| range.1 - range.0);
        sizes.map(u128::from).sum::<u128>()
    });
    let v6 = [&rule.source.v6, &rule.destination.v6].map(|side| {
        let sizes = ranges(side).iter().map(|range| (range.1 - range.0) >> 64);
        sizes.sum::<u128>()
    });
    (v4[0] + v4[1]) << 68 | (v6[0] + v6[1])
}

/// How many ranges of `rule` begin within a range of `wide`, and are none of its own.
fn begins_within(rule: &RuleCoverage, wide: &RuleCoverage) -> usize {
    count_within(&rule.source.v4, &wide.source.v4)
        + count_within(&rule.destination.v4, &wide.destination.v4)
        + count_within(&rule.source.v6, &wide.source.v6)
        + count_within(&rule.destination.v6, &wide.destination.v6)
}

fn count_within<P: Point>(coverage: &Coverage<P>, wide: &Coverage<P>) -> usize {
    let mut count = 0;
    for wide in ranges(wide) {
        for range in ranges(coverage) {
            count += usize::from((wide.0 <= range.0) & (range.0 <= wide.1) & (wide != range));
        }
    }
    count
}

/// The ranges of what is not the whole.
fn ranges<P>(coverage: &Coverage<P>) -> &[Range<P>] {
    match coverage {
        Coverage::Whole => &[],
        Coverage::Ranges(ranges) => ranges,
    }
}

impl<P: Point> Wide<P> {
    /// The rule with this index, which [`wide_rules`] found, as its family has it.
    pub(super) fn new(
        index: usize,
        rule: &RuleCoverage,
        [source, destination]: [&Coverage<P>; 2],
    ) -> Wide<P> {
        Wide {
            rule: index,
            takes_all: rule.takes_all(),
            source: Spans::new(source),
            destination: Spans::new(destination),
        }
    }

    /// Its index.
    #[inline]
    pub(super) fn rule(&self) -> usize {
        self.rule
    }

    /// Whether it takes any protocol and ports.
    #[inline]
    pub(super) fn takes_all(&self) -> bool {
        self.takes_all
    }

    /// Whether it takes a source.
    #[inline]
    pub(super) fn takes_source(&self, source: P) -> bool {
        self.source.has(source)
    }

    /// Whether it takes a destination.
    #[inline]
    pub(super) fn takes_destination(&self, destination: P) -> bool {
        self.destination.has(destination)
    }
}

impl<P: Point> Spans<P> {
    fn new(coverage: &Coverage<P>) -> Spans<P> {
        let whole = [(P::MIN, P::MAX)];
        let given = match coverage {
            Coverage::Whole => &whole[..],
            Coverage::Ranges(ranges) => ranges,
        };
        let mut ranges = given.iter().copied();
        let mut next = || ranges.next().unwrap_or((P::MAX, P::MIN));
        Spans {
            first: next(),
            others: std::array::from_fn(|_| next()),
            several: given.len() > 1,
        }
    }

    #[inline]
    fn has(&self, point: P) -> bool {
        let within = |range: &Range<P>| (range.0 <= point) & (point <= range.1);
        within(&self.first) || self.several && self.others.iter().any(within)
    }
}
