use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::classifier::RuleCoverage;
use crate::classifier::protocols::ProtocolMask;
use crate::intervals::{Coverage, Range};
use crate::tuple::Tuple;

/// Protocol and ports of every rule, to check those whose addresses match.
#[derive(Debug)]
pub(super) struct Checks {
    rules: Box<[Check]>,
    protocols: Box<[ProtocolMask]>,
    several: Box<[Several]>,
}

/// Protocol and ports of a rule: a quarter of a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(16))]
struct Check {
    /// From the first port to the last. No port is from 1 to 0.
    source_ports: Range<u16>,
    destination_ports: Range<u16>,
    /// Which of the masks.
    protocols: u16,
    /// One more than the index of the ranges; zero when those above are all there is.
    several: u16,
}

/// Ports of a rule that takes several ranges.
#[derive(Debug)]
struct Several {
    source_ports: Box<[Range<u16>]>,
    destination_ports: Box<[Range<u16>]>,
}

impl Checks {
    /// The checks of `rules`, of which there are fewer than 2^16.
    pub(super) fn new(rules: &[RuleCoverage]) -> Checks {
        let mut protocols = Vec::new();
        let mut known: HashMap<ProtocolMask, u16, FixedState> = HashMap::default();
        let mut several = Vec::new();
        let check = |rule: &RuleCoverage| {
            let next = number(protocols.len());
            let protocols = *known.entry(rule.protocols).or_insert_with(|| {
                protocols.push(rule.protocols);
                next
            });
            let (source, destination) = (&rule.source_ports, &rule.destination_ports);
            let sides = [source, destination].map(ranges);
            let single = sides.iter().all(|ranges| ranges.len() <= 1);
            if !single {
                let [source_ports, destination_ports] = sides.map(Box::from);
                several.push(Several {
                    source_ports,
                    destination_ports,
                });
            }
            Check {
                source_ports: hull(source),
                destination_ports: hull(destination),
                protocols,
                several: if single { 0 } else { number(several.len()) },
            }
        };
        let rules = rules.iter().map(check).collect();
        Checks {
            rules,
            protocols: protocols.into(),
            several: several.into(),
        }
    }

    /// Whether `rule` takes the protocol and ports of `tuple`.
    #[inline]
    pub(super) fn pass(&self, rule: usize, tuple: &Tuple) -> bool {
        let check = &self.rules[rule];
        let taken = self.protocols[usize::from(check.protocols)].takes(tuple.protocol);
        if !tuple.has_ports() {
            return taken;
        }
        let (source, destination) = (tuple.source_port, tuple.destination_port);
        let hulls = taken
            & within(check.source_ports, source)
            & within(check.destination_ports, destination);
        if !hulls || check.several == 0 {
            return hulls;
        }
        let several = &self.several[usize::from(check.several) - 1];
        finds(&several.source_ports, source) && finds(&several.destination_ports, destination)
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        let ranges = self.several.iter().map(|several| {
            size_of_val(&*several.source_ports) + size_of_val(&*several.destination_ports)
        });
        size_of_val(&*self.rules)
            + size_of_val(&*self.protocols)
            + size_of_val(&*self.several)
            + ranges.sum::<usize>()
    }
}

/// Numbers rules or fewer things.
fn number(count: usize) -> u16 {
    u16::try_from(count).expect("rules are fewer than 2^16")
}

/// The ranges of what is covered; of one that is the whole, too.
pub(super) fn ranges(coverage: &Coverage<u16>) -> &[Range<u16>] {
    match coverage {
        Coverage::Whole => &[(u16::MIN, u16::MAX)],
        Coverage::Ranges(ranges) => ranges,
    }
}

fn hull(coverage: &Coverage<u16>) -> Range<u16> {
    match ranges(coverage) {
        [] => (1, 0),
        [first, .., last] => (first.0, last.1),
        [only] => *only,
    }
}

#[inline]
fn within(range: Range<u16>, port: u16) -> bool {
    range.0 <= port && port <= range.1
}

/// Whether one of `ranges`, which ascend and are apart, has `port`.
fn finds(ranges: &[Range<u16>], port: u16) -> bool {
    let before = ranges.partition_point(|range| range.1 < port);
    ranges.get(before).is_some_and(|range| range.0 <= port)
}
