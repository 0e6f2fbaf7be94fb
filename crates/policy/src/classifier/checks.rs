use crate::classifier::coverage::RuleCoverage;
use crate::classifier::protocols::{ProtocolMask, protocol_classes};
use crate::intervals::{Coverage, Range};
use crate::tuple::Tuple;

/// Protocol and ports of every rule, to check those whose addresses match.
#[derive(Debug)]
pub(super) struct Checks {
    rules: Box<[Check]>,
    /// The class of each protocol: [`CLASSES`] at most, the last for all that are left.
    classes: Box<[u8; 256]>,
    exact: Box<[Exact]>,
}

/// Protocol and ports of a rule: a quarter of a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(16))]
struct Check {
    source_ports: Hull,
    destination_ports: Hull,
    /// The classes of protocols of which it takes any, a bit each.
    classes: u16,
    /// One more than the index of what it says exactly; zero when what is above does.
    exact: u16,
}

/// Ports: the first, and how far it is to the last.
#[derive(Clone, Copy, Debug)]
struct Hull {
    first: u16,
    extent: u16,
}

/// A rule that says more than fits a check.
#[derive(Debug)]
struct Exact {
    protocols: ProtocolMask,
    source_ports: Box<[Range<u16>]>,
    destination_ports: Box<[Range<u16>]>,
}

/// Classes of protocols: bits of a check.
const CLASSES: u8 = 16;

/// What checks need to know of a tuple, for one of them all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe<'a> {
    tuple: &'a Tuple,
    class: u8,
    portless: bool,
}

impl Checks {
    /// The checks of `rules`, of which there are fewer than 2^16.
    pub(super) fn new(rules: &[RuleCoverage]) -> Checks {
        let (mut classes, examples) = protocol_classes(rules.iter().map(|rule| rule.protocols));
        for class in &mut *classes {
            *class = (*class).min(CLASSES - 1);
        }
        let mut exact = Vec::new();
        let check = |rule: &RuleCoverage| {
            let mut bits = 0;
            let mut refuses_last = false;
            for (class, &example) in (0..).zip(&examples) {
                let class = u32::min(class, u32::from(CLASSES) - 1);
                if rule.protocols.takes(example) {
                    bits |= 1 << class;
                } else {
                    refuses_last |= class == u32::from(CLASSES) - 1;
                }
            }
            let sides = [&rule.source_ports, &rule.destination_ports].map(ranges);
            let single = sides.iter().all(|ranges| ranges.len() == 1);
            let in_part = bits >> (CLASSES - 1) != 0 && refuses_last;
            if !single || in_part {
                let [source_ports, destination_ports] = sides.map(Box::from);
                exact.push(Exact {
                    protocols: rule.protocols,
                    source_ports,
                    destination_ports,
                });
            }
            Check {
                source_ports: Hull::of(sides[0]),
                destination_ports: Hull::of(sides[1]),
                classes: bits,
                exact: if single && !in_part {
                    0
                } else {
                    u16::try_from(exact.len()).expect("rules are fewer than 2^16")
                },
            }
        };
        let rules = rules.iter().map(check).collect();
        Checks {
            rules,
            classes,
            exact: exact.into(),
        }
    }

    /// What [`Checks::pass`] needs to know of a tuple.
    #[inline]
    pub(super) fn probe<'a>(&self, tuple: &'a Tuple) -> Probe<'a> {
        Probe {
            tuple,
            class: self.classes[usize::from(tuple.protocol)],
            portless: !tuple.has_ports(),
        }
    }

    /// Whether `rule` takes the protocol and ports of a tuple.
    #[inline]
    pub(super) fn pass(&self, rule: usize, probe: &Probe<'_>) -> bool {
        let check = &self.rules[rule];
        let ports = check.source_ports.has(probe.tuple.source_port)
            & check.destination_ports.has(probe.tuple.destination_port);
        let taken = check.classes >> (probe.class % CLASSES) & 1 != 0;
        let passes = taken & (probe.portless | ports);
        passes && (check.exact == 0 || self.exact[usize::from(check.exact) - 1].pass(probe))
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        let ranges = self.exact.iter().map(|exact| {
            size_of_val(&*exact.source_ports) + size_of_val(&*exact.destination_ports)
        });
        size_of_val(&*self.rules)
            + size_of_val(&*self.classes)
            + size_of_val(&*self.exact)
            + ranges.sum::<usize>()
    }
}

impl Hull {
    /// Around `ranges`; of no range, any.
    fn of(ranges: &[Range<u16>]) -> Hull {
        let first = ranges.first().map_or(0, |range| range.0);
        let last = ranges.last().map_or(0, |range| range.1);
        Hull {
            first,
            extent: last - first,
        }
    }

    #[inline]
    fn has(self, port: u16) -> bool {
        port.wrapping_sub(self.first) <= self.extent
    }
}

impl Exact {
    #[cold]
    fn pass(&self, probe: &Probe<'_>) -> bool {
        let tuple = probe.tuple;
        self.protocols.takes(tuple.protocol)
            && (probe.portless
                || finds(&self.source_ports, tuple.source_port)
                    && finds(&self.destination_ports, tuple.destination_port))
    }
}

/// The ranges of what is covered; of one that is the whole, too.
pub(super) fn ranges(coverage: &Coverage<u16>) -> &[Range<u16>] {
    match coverage {
        Coverage::Whole => &[(u16::MIN, u16::MAX)],
        Coverage::Ranges(ranges) => ranges,
    }
}

/// Whether one of `ranges`, which ascend and are apart, has `port`.
fn finds(ranges: &[Range<u16>], port: u16) -> bool {
    let before = ranges.partition_point(|range| range.1 < port);
    ranges.get(before).is_some_and(|range| range.0 <= port)
}
