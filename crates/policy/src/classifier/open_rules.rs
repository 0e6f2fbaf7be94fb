use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::classifier::RuleCoverage;
use crate::classifier::checks::ranges;
use crate::intervals::{Coverage, Line, Point, Range};
use crate::tuple::Tuple;

/// The rules to which both addresses are open, by protocol and ports: a table with the first rule
/// of every combination, so that a group which sorts traffic by port alone costs no search.
#[derive(Debug)]
pub(super) struct OpenRules {
    /// The first of them all.
    first: u16,
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
        let (protocols, examples) = protocol_classes(&open);
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
            protocols,
            source_ports,
            destination_ports,
            cells: cells.into(),
            portless: portless.into(),
        })
    }

    /// The first rule, if there is one, that takes the protocol and ports of `tuple` and comes
    /// before `best`; `best` otherwise.
    #[inline]
    pub(super) fn first_before(&self, best: usize, tuple: &Tuple) -> usize {
        if usize::from(self.first) >= best {
            return best;
        }
        let found = self.lookup(tuple);
        if found == NONE {
            best
        } else {
            best.min(usize::from(found))
        }
    }

    fn lookup(&self, tuple: &Tuple) -> u16 {
        let class = usize::from(self.protocols[usize::from(tuple.protocol)]);
        if !tuple.has_ports() {
            return self.portless[class];
        }
        let plane = class * self.source_ports.starts.len();
        let row = plane + self.source_ports.segment(tuple.source_port);
        let destinations = self.destination_ports.starts.len();
        self.cells[row * destinations + self.destination_ports.segment(tuple.destination_port)]
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

/// Classes of protocols that no rule tells apart, and a protocol of each.
fn protocol_classes(rules: &[(u16, &RuleCoverage)]) -> (Box<[u8; 256]>, Vec<u8>) {
    let mut masks: Vec<_> = rules.iter().map(|(_, rule)| rule.protocols).collect();
    masks.sort_unstable();
    masks.dedup();
    let mut classes = Box::new([0; 256]);
    let mut examples = Vec::new();
    let mut known: HashMap<Vec<bool>, u8, FixedState> = HashMap::default();
    for protocol in 0..=u8::MAX {
        let taken = masks.iter().map(|mask| mask.takes(protocol)).collect();
        classes[usize::from(protocol)] = *known.entry(taken).or_insert_with(|| {
            examples.push(protocol);
            // As many classes as protocols at most, so the last is the 255th after the first.
            u8::try_from(examples.len() - 1).unwrap_or(u8::MAX)
        });
    }
    (classes, examples)
}
