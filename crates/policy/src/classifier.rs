//! Which rule of a set matches first, at a cost that hardly grows with the rules.
//!
//! Per field, an address or port is looked up in a line of intervals, each of which knows the set
//! of rules that cover it. The rules that match are in the sets of all fields. There are two ways to
//! find the first:
//!
//! - **Lists.** An address that no more than a few rules name has them as a list, ascending. The lists
//!   of both addresses are intersected at once, and what is left is checked for protocol and ports
//!   ([`Checks`]). Rules that name no address at all have a table of their own ([`OpenRules`]). This
//!   is what nearly every packet of nearly every group takes, and hardly depends on the rules.
//! - **Sweeping**, when many rules cover an address: aggregated bit vectors (after Lakshman and
//!   Stiliadis, SIGCOMM 1998, and Baboescu and Varghese, SIGCOMM 2001). Bits are not numbered as
//!   rules are: those that leave the same fields open share words of 64 ([`Layout`]), so that an open
//!   field costs a bit per *word* and no memory in any interval. A set holds only its non-empty
//!   words, and a summary that tells which they are. The AND of the summaries leaves few words to
//!   look at, in the order of their first rule; the search ends at the first word that can hold
//!   nothing better. However rules overlap, the cost is at most that of their words.

mod checks;
mod field;
mod layout;
mod open_rules;
mod protocols;
mod sets;

use std::net::IpAddr;

use ipnet::IpNet;

use crate::classifier::checks::Checks;
use crate::classifier::field::{Candidates, Field};
use crate::classifier::layout::Layout;
use crate::classifier::open_rules::OpenRules;
use crate::classifier::protocols::{ProtocolField, ProtocolMask};
use crate::classifier::sets::{BLOCKS_MAX, Block, Class, Matching};
use crate::input::{AddressSet, RuleInput};
use crate::intervals::{Coverage, Point, range_v4, range_v6};
use crate::tuple::Tuple;

/// The rules of one set, ready to be matched.
#[derive(Debug)]
pub(crate) struct Classifier {
    v4: Family<u32>,
    v6: Family<u128>,
    checks: Checks,
    layout: Layout,
    protocols: ProtocolField,
    source_ports: Field<u16>,
    destination_ports: Field<u16>,
    /// A summary in which every word may match: the ports of protocols that have none.
    every_word: Box<[u64]>,
}

/// The addresses of one family.
#[derive(Debug)]
struct Family<P: Point> {
    source: Field<P>,
    destination: Field<P>,
    /// None where a table of them would be too large.
    open: Option<OpenRules>,
}

/// Where a tuple's addresses are in the lines of a classifier.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Located {
    source: Class,
    destination: Class,
    /// The blocks of both, if they are short.
    blocks: [Block; 2],
}

/// The most rules that a classifier takes: as many as a member of a set can name.
pub(crate) const RULES_MAX: usize = 1 << sets::RULE_BITS;

/// The compiled form would hold more bytes than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// No rule found yet.
const NONE: usize = usize::MAX;

impl Classifier {
    /// Compiles `rules`, whose order is their precedence, into at most `bytes_max` bytes of sets.
    pub(crate) fn new(rules: &[RuleInput], bytes_max: usize) -> Result<Classifier, TooLarge> {
        let covers: Vec<RuleCoverage> = rules.iter().map(RuleCoverage::new).collect();
        let patterns: Vec<u8> = covers.iter().map(RuleCoverage::pattern).collect();
        let layout = Layout::new(&patterns);
        let mut bytes_left = bytes_max;
        let v4 = Family::new(&layout, &covers, |side| &side.v4, &mut bytes_left)?;
        let v6 = Family::new(&layout, &covers, |side| &side.v6, &mut bytes_left)?;
        let mut port = |side: fn(&RuleCoverage) -> &Coverage<u16>| {
            let rules = covers.iter().map(|rule| (side(rule), false));
            Field::new(&layout, rules, &mut bytes_left)
        };
        let source_ports = port(|rule| &rule.source_ports)?;
        let destination_ports = port(|rule| &rule.destination_ports)?;
        let masks: Vec<ProtocolMask> = covers.iter().map(|rule| rule.protocols).collect();
        let protocols = ProtocolField::new(&layout, &masks);
        let every_word = vec![u64::MAX; layout.summary_len()].into();
        Ok(Classifier {
            v4,
            v6,
            checks: Checks::new(&covers),
            layout,
            protocols,
            source_ports,
            destination_ports,
            every_word,
        })
    }

    /// Looks up the addresses of `tuple`: the part that waits for memory.
    #[inline]
    pub(crate) fn locate(&self, tuple: &Tuple) -> Located {
        match (tuple.src, tuple.dst) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.v4.locate(source.to_bits(), destination.to_bits())
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.v6.locate(source.to_bits(), destination.to_bits())
            }
            _ => Located::default(),
        }
    }

    /// The first rule that matches, by its index in the input; `located` is what
    /// [`Classifier::locate`] found for `tuple`.
    #[inline]
    pub(crate) fn first_match(&self, tuple: &Tuple, located: &Located) -> Option<usize> {
        let open = match (tuple.src, tuple.dst) {
            (IpAddr::V4(_), IpAddr::V4(_)) => self.v4.open.as_ref(),
            (IpAddr::V6(_), IpAddr::V6(_)) => self.v6.open.as_ref(),
            _ => None,
        };
        let Some(open) = open.filter(|_| located.is_listed()) else {
            return self.sweep(tuple);
        };
        let best = if located.is_short() {
            let [source, destination] = located.blocks;
            let best = self.first_of(source.matching(destination), NONE, tuple);
            self.first_of(destination.other_open(), best, tuple)
        } else {
            self.first_of_long(tuple, located)
        };
        let best = open.first_before(best, tuple);
        (best != NONE).then_some(best)
    }

    /// The first rule of these that takes the protocol and ports of `tuple` and comes before `best`;
    /// `best` if there is none.
    #[inline(always)]
    fn first_of(&self, rules: Matching, best: usize, tuple: &Tuple) -> usize {
        for member in rules {
            let rule = member.rule();
            if rule >= best {
                break;
            }
            if self.checks.pass(rule, tuple) {
                return rule;
            }
        }
        best
    }

    /// The first rule that names an address and matches, where a list is longer than a block.
    #[cold]
    fn first_of_long(&self, tuple: &Tuple, located: &Located) -> usize {
        let [sources, destinations] = match tuple.src {
            IpAddr::V4(_) => self.v4.blocks(located),
            IpAddr::V6(_) => self.v6.blocks(located),
        };
        let mut best = NONE;
        for source in sources {
            for &destination in &destinations {
                best = self.first_of(source.matching(destination), best, tuple);
            }
        }
        for destination in destinations {
            best = self.first_of(destination.other_open(), best, tuple);
        }
        best
    }

    /// The first rule that matches, whatever the sets are like.
    #[inline(never)]
    fn sweep(&self, tuple: &Tuple) -> Option<usize> {
        let layout = &self.layout;
        let source = match tuple.src {
            IpAddr::V4(v4) => self.v4.source.candidates(v4.to_bits(), layout),
            IpAddr::V6(v6) => self.v6.source.candidates(v6.to_bits(), layout),
        };
        let destination = match tuple.dst {
            IpAddr::V4(v4) => self.v4.destination.candidates(v4.to_bits(), layout),
            IpAddr::V6(v6) => self.v6.destination.candidates(v6.to_bits(), layout),
        };
        let every = Candidates::open(&self.every_word);
        let mut fields = [destination, source, every, every];
        if tuple.has_ports() {
            fields[2] = self
                .destination_ports
                .candidates(tuple.destination_port, layout);
            fields[3] = self.source_ports.candidates(tuple.source_port, layout);
        }
        let (summary, dense) = self.protocols.at(tuple.protocol);
        let mut best = NONE;
        for (index, &active) in summary.iter().enumerate() {
            let mut active = fields
                .iter()
                .fold(active, |all, field| all & field.summary(index));
            while active != 0 {
                let word = index * 64 + active.trailing_zeros() as usize;
                active &= active - 1;
                if layout.first_rule(word) > best {
                    return Some(best);
                }
                let matching = fields
                    .iter()
                    .fold(dense[word], |all, field| all & field.word(word));
                if matching != 0 {
                    best = best.min(layout.rule_at(word, matching.trailing_zeros() as usize));
                }
            }
        }
        (best != NONE).then_some(best)
    }

    /// Bytes on the heap.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.v4.memory_bytes()
            + self.v6.memory_bytes()
            + self.checks.memory_bytes()
            + self.layout.memory_bytes()
            + self.protocols.memory_bytes()
            + self.source_ports.memory_bytes()
            + self.destination_ports.memory_bytes()
            + size_of_val(&*self.every_word)
    }
}

impl Located {
    /// Whether both sets are lists.
    #[inline]
    fn is_listed(&self) -> bool {
        self.source.is_listed() & self.destination.is_listed()
    }

    /// Whether both are one block.
    #[inline]
    fn is_short(&self) -> bool {
        self.source.is_short() & self.destination.is_short()
    }
}

impl<P: Point> Family<P> {
    fn new(
        layout: &Layout,
        rules: &[RuleCoverage],
        family: fn(&AddressCoverage) -> &Coverage<P>,
        bytes_left: &mut usize,
    ) -> Result<Family<P>, TooLarge> {
        let sides = rules
            .iter()
            .map(|rule| (family(&rule.source), family(&rule.destination)));
        let source = sides.clone().map(|(own, other)| (own, other.is_whole()));
        let source = Field::new(layout, source, bytes_left)?;
        let destination = sides.map(|(other, own)| (own, other.is_whole()));
        let destination = Field::new(layout, destination, bytes_left)?;
        let is_open = |rule: &RuleCoverage| {
            family(&rule.source).is_whole() && family(&rule.destination).is_whole()
        };
        Ok(Family {
            source,
            destination,
            open: OpenRules::new(rules, is_open),
        })
    }

    #[inline]
    fn locate(&self, source: P, destination: P) -> Located {
        let (source, destination) = (
            self.source.class(source),
            self.destination.class(destination),
        );
        let blocks = [
            self.source.block(source),
            self.destination.block(destination),
        ];
        Located {
            source,
            destination,
            blocks,
        }
    }

    /// All blocks of two sets, which are listed.
    fn blocks(&self, located: &Located) -> [[Block; BLOCKS_MAX]; 2] {
        [
            self.source.blocks(located.source),
            self.destination.blocks(located.destination),
        ]
    }

    fn memory_bytes(&self) -> usize {
        let open = self.open.as_ref().map_or(0, OpenRules::memory_bytes);
        self.source.memory_bytes() + self.destination.memory_bytes() + open
    }
}

/// What a rule covers, field by field.
struct RuleCoverage {
    protocols: ProtocolMask,
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
            protocols: ProtocolMask::new(&rule.protocols),
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

#[cfg(test)]
mod tests;
