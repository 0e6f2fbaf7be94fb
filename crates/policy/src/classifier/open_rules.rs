use crate::classifier::checks::ranges;
use crate::classifier::coverage::RuleCoverage;
use crate::classifier::protocols::protocol_classes;
use crate::intervals::{Coverage, Line, Point, Range};
use crate::tuple::Tuple;

/// The rules to which both addresses are open, by protocol and ports: a table with the first rule
/// of every combination, so that a group which sorts traffic by port alone costs no search.
#[derive(Debug)]
pub(super) struct OpenRules {
    /// The first of them all.
    first: u16,
    /// Whether it takes any protocol and ports, as the last of the default rules does.
    first_takes_all: bool,
    /// The class of each protocol.
    protocols: Box<[u8; 256]>,
    source_ports: Segments,
    destination_ports: Segments,
    /// By class of protocol, then segment of source and of destination ports.
    cells: Box<[u16]>,
    /// By class of protocol, for packets that have no ports.
    portless: Box<[u16]>,
}

/// No rule.
const NONE: u16 = u16::MAX;

/// Combinations that a table may have: 64 KB, and what painting them costs.
const CELLS_MAX: usize = 1 << 15;

/// Ports, cut into segments that no rule tells apart.
#[derive(Debug)]
struct Segments {
    line: <u16 as Point>::Line,
    starts: Box<[u16]>,
}

impl OpenRules {
    /// The table of those of `rules` for which `is_open` says so; none when it would be too large.
    pub(super) fn new(
        rules: &[RuleCoverage],
        is_open: impl Fn(&RuleCoverage) -> bool,
    ) -> Option<OpenRules> {
        let numbered = (0..).zip(rules).filter(|(_, rule)| is_open(rule));
        let open: Vec<(u16, &RuleCoverage)> = numbered.collect();
        let masks = open.iter().map(|(_, rule)| rule.protocols);
        let (protocols, examples) = protocol_classes(masks);
        let source_ports = Segments::new(open.iter().map(|(_, rule)| &rule.source_ports));
        let destination_ports = Segments::new(open.iter().map(|(_, rule)| &rule.destination_ports));
        let row = destination_ports.starts.len();
        let plane = source_ports.starts.len() * row;
        if plane * examples.len() > CELLS_MAX {
            return None;
        }
        let mut cells = vec![NONE; plane * examples.len()];
        let mut portless = vec![NONE; examples.len()];
        // The last first: what is painted over it comes before.
        for &(number, rule) in open.iter().rev() {
            for (class, _) in examples
                .iter()
                .enumerate()
                .filter(|(_, example)| rule.protocols.takes(**example))
            {
                portless[class] = number;
                for source in source_ports.covered(&rule.source_ports) {
                    for destination in destination_ports.covered(&rule.destination_ports) {
                        let row = &mut cells[class * plane + source * row..][..row];
                        row[destination] = number;
                    }
                }
            }
        }
        Some(OpenRules {
            first: open.first().map_or(NONE, |open| open.0),
            first_takes_all: open.first().is_some_and(|open| open.1.takes_all()),
            protocols,
            source_ports,
            destination_ports,
            cells: cells.into(),
            portless: portless.into(),
        })
    }

    /// The first rule that takes the protocol and ports of `tuple`, or `best` if that comes before;
    /// `usize::MAX` is none.
    #[inline]
    pub(super) fn first_before(&self, best: usize, tuple: &Tuple) -> Option<usize> {
        let first = usize::from(self.first);
        if first >= best {
            return Some(best);
        }
        if self.first_takes_all {
            return Some(first);
        }
        let found = self.lookup(tuple).map_or(best, |found| best.min(found));
        (found != usize::MAX).then_some(found)
    }

    fn lookup(&self, tuple: &Tuple) -> Option<usize> {
        let class = usize::from(self.protocols[usize::from(tuple.protocol)]);
        let found = if tuple.has_ports() {
            let plane = class * self.source_ports.starts.len();
            let row = plane + self.source_ports.segment(tuple.source_port);
            let destinations = self.destination_ports.starts.len();
            self.cells[row * destinations + self.destination_ports.segment(tuple.destination_port)]
        } else {
            self.portless[class]
        };
        (found != NONE).then_some(usize::from(found))
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.protocols)
            + self.source_ports.memory_bytes()
            + self.destination_ports.memory_bytes()
            + size_of_val(&*self.cells)
            + size_of_val(&*self.portless)
    }
}

impl Segments {
    fn new<'a>(coverages: impl Iterator<Item = &'a Coverage<u16>>) -> Segments {
        let edges = |range: &Range<u16>| [Some(range.0), range.1.checked_add(1)];
        let edges = coverages.flat_map(ranges).flat_map(edges).flatten();
        let mut starts: Vec<u16> = edges.chain([0]).collect();
        starts.sort_unstable();
        starts.dedup();
        Segments {
            line: Line::new(starts.iter().copied().zip(0..).collect()),
            starts: starts.into(),
        }
    }

    #[inline]
    fn segment(&self, port: u16) -> usize {
        self.line.get(port) as usize
    }

    /// The segments of what is covered, which begin and end with it.
    fn covered(&self, coverage: &Coverage<u16>) -> impl Iterator<Item = usize> {
        let segments = |range: &Range<u16>| self.segment(range.0)..=self.segment(range.1);
        ranges(coverage).iter().flat_map(segments)
    }

    fn memory_bytes(&self) -> usize {
        self.line.memory_bytes() + size_of_val(&*self.starts)
    }
}
