//! Which rule of a set matches first, at a cost that hardly grows with the rules.
//!
//! Aggregated bit vectors (after Lakshman and Stiliadis, SIGCOMM 1998, and Baboescu and Varghese,
//! SIGCOMM 2001): per field, the address or port is looked up in a line of intervals, each of which
//! knows the set of rules that cover it; the intersection over the fields is the set of rules that
//! match. Three things keep it small and quick:
//!
//! - Bits are not numbered as rules are. Rules that leave the same fields open share words of 64
//!   ([`Layout`]), so that an open field costs a bit per *word* and no memory in any interval.
//! - A set holds only its non-empty words, and a summary that tells which they are. Sets are
//!   interned; one of a few rules is a list, and one or two rules are in the interval itself
//!   ([`Class`](sets::Class)).
//! - The AND of the summaries leaves few words to look at, in the order of their first rule; the
//!   search ends at the first word that can hold nothing better.

mod field;
mod layout;
mod sets;

use ipnet::IpNet;

use crate::classifier::field::{AddressField, Candidates, PortField, ProtocolField};
use crate::classifier::layout::Layout;
use crate::classifier::sets::Place;
use crate::input::{AddressSet, RuleInput};
use crate::intervals::{Coverage, range_v4, range_v6};
use crate::tuple::Tuple;

/// The rules of one set, ready to be matched.
#[derive(Debug)]
pub(crate) struct Classifier {
    layout: Layout,
    protocols: ProtocolField,
    source: AddressField,
    destination: AddressField,
    source_ports: PortField,
    destination_ports: PortField,
    /// A summary in which every word may match: the ports of protocols that have none.
    open: Box<[u64]>,
}

/// Where a tuple's addresses and ports are in the lines of a classifier.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Located {
    source: Place,
    destination: Place,
    source_port: Place,
    destination_port: Place,
}

/// The most rules that a classifier takes: with what pads them, their positions fit their bits.
pub(crate) const RULES_MAX: usize = (1 << sets::POSITION_BITS) - PATTERNS * 64;

/// Patterns of open fields: six of them, open or not.
const PATTERNS: usize = 1 << 6;

/// The compiled form would hold more bytes than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

impl Classifier {
    /// Compiles `rules`, whose order is their precedence, into at most `bytes_max` bytes of sets.
    pub(crate) fn new(rules: &[RuleInput], bytes_max: usize) -> Result<Classifier, TooLarge> {
        let covers: Vec<RuleCoverage> = rules.iter().map(RuleCoverage::new).collect();
        let patterns: Vec<u8> = covers.iter().map(RuleCoverage::pattern).collect();
        let layout = Layout::new(&patterns);
        let mut bytes_left = bytes_max;
        let mut address = |side: fn(&RuleCoverage) -> &AddressCoverage| {
            AddressField::new(&layout, covers.iter().map(side), &mut bytes_left)
        };
        let source = address(|rule| &rule.source)?;
        let destination = address(|rule| &rule.destination)?;
        let mut port = |side: fn(&RuleCoverage) -> &Coverage<u16>| {
            PortField::new(&layout, covers.iter().map(side), &mut bytes_left)
        };
        let source_ports = port(|rule| &rule.source_ports)?;
        let destination_ports = port(|rule| &rule.destination_ports)?;
        let protocols = ProtocolField::new(&layout, rules.iter().map(|rule| &*rule.protocols));
        let open = vec![u64::MAX; layout.summary_len()].into();
        Ok(Classifier {
            layout,
            protocols,
            source,
            destination,
            source_ports,
            destination_ports,
            open,
        })
    }

    /// Looks up the addresses and ports of `tuple`: the part that waits for memory.
    #[inline]
    pub(crate) fn locate(&self, tuple: &Tuple) -> Located {
        let mut located = Located {
            source: self.source.locate(tuple.src),
            destination: self.destination.locate(tuple.dst),
            ..Located::default()
        };
        if tuple.has_ports() {
            located.source_port = self.source_ports.locate(tuple.source_port);
            located.destination_port = self.destination_ports.locate(tuple.destination_port);
        }
        located
    }

    /// The first rule that matches, by its index in the input; `located` is what
    /// [`Classifier::locate`] found for `tuple`.
    #[inline]
    pub(crate) fn first_match(&self, tuple: &Tuple, located: &Located) -> Option<usize> {
        let source = self.source.candidates(tuple.src, located.source);
        let destination = self.destination.candidates(tuple.dst, located.destination);
        let mut fields = [
            destination,
            source,
            Candidates::open(&self.open),
            Candidates::open(&self.open),
        ];
        if tuple.has_ports() {
            fields[2] = self.destination_ports.candidates(located.destination_port);
            fields[3] = self.source_ports.candidates(located.source_port);
        }
        let (summary, dense) = self.protocols.at(tuple.protocol);
        let mut best = u32::MAX;
        for (index, &active) in summary.iter().enumerate() {
            let mut active = fields
                .iter()
                .fold(active, |all, field| all & field.summary(index));
            while active != 0 {
                let word = index * 64 + active.trailing_zeros() as usize;
                active &= active - 1;
                if self.layout.first_rule(word) > best {
                    return Some(best as usize);
                }
                let matching = fields
                    .iter()
                    .fold(dense[word], |all, field| all & field.word(word));
                if matching != 0 {
                    best = best.min(self.layout.rule(word, matching.trailing_zeros()));
                }
            }
        }
        (best != u32::MAX).then_some(best as usize)
    }

    /// Bytes on the heap.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.layout.memory_bytes()
            + self.protocols.memory_bytes()
            + self.source.memory_bytes()
            + self.destination.memory_bytes()
            + self.source_ports.memory_bytes()
            + self.destination_ports.memory_bytes()
            + size_of_val(&*self.open)
    }
}

/// What a rule covers, field by field.
struct RuleCoverage {
    source: AddressCoverage,
    destination: AddressCoverage,
    source_ports: Coverage<u16>,
    destination_ports: Coverage<u16>,
}

/// What one side of a rule covers, by family.
struct AddressCoverage {
    v4: Coverage<u32>,
    v6: Coverage<u128>,
}

impl AddressCoverage {
    fn new(set: &AddressSet) -> AddressCoverage {
        let prefixes = match set {
            AddressSet::Any => {
                return AddressCoverage {
                    v4: Coverage::Whole,
                    v6: Coverage::Whole,
                };
            }
            AddressSet::Prefixes(prefixes) => prefixes,
        };
        let v4 = prefixes.iter().filter_map(|prefix| match prefix {
            IpNet::V4(v4) => Some(range_v4(v4)),
            IpNet::V6(_) => None,
        });
        let v6 = prefixes.iter().filter_map(|prefix| match prefix {
            IpNet::V4(_) => None,
            IpNet::V6(v6) => Some(range_v6(v6)),
        });
        AddressCoverage {
            v4: Coverage::of(v4),
            v6: Coverage::of(v6),
        }
    }
}

impl RuleCoverage {
    fn new(rule: &RuleInput) -> RuleCoverage {
        RuleCoverage {
            source: AddressCoverage::new(&rule.source),
            destination: AddressCoverage::new(&rule.destination),
            source_ports: ports(&rule.source_ports),
            destination_ports: ports(&rule.destination_ports),
        }
    }

    /// Which fields the rule leaves open, a bit each.
    fn pattern(&self) -> u8 {
        let open = [
            self.source.v4.is_whole(),
            self.source.v6.is_whole(),
            self.destination.v4.is_whole(),
            self.destination.v6.is_whole(),
            self.source_ports.is_whole(),
            self.destination_ports.is_whole(),
        ];
        open.iter()
            .fold(0, |pattern, &open| pattern << 1 | u8::from(open))
    }
}

fn ports(ranges: &[std::ops::RangeInclusive<u16>]) -> Coverage<u16> {
    if ranges.is_empty() {
        return Coverage::Whole;
    }
    Coverage::of(ranges.iter().map(|range| (*range.start(), *range.end())))
}
