//! Which rule of a set matches first, at a cost that hardly grows with the rules.
//!
//! Per field, an address or port is looked up in a line of intervals, each of which knows the set
//! of rules that cover it. The rules that match are in the sets of all fields. There are two ways to
//! find the first:
//!
//! - **Lists.** An address that no more than a few rules name has them as a list, ascending. The lists
//!   of both addresses are intersected at once, and what is left is checked for protocol and ports
//!   ([`Checks`]). Rules that name no address at all have a table of their own ([`OpenRules`]), and
//!   the one or two around all others are compared by themselves ([`Wide`]). This is what nearly
//!   every packet of nearly every group takes, and hardly depends on the rules: what it waits for is
//!   a cache line for each address, together. A list of up to two rules is in that line, too.
//! - **Sweeping**, when many rules cover an address: aggregated bit vectors (after Lakshman and
//!   Stiliadis, SIGCOMM 1998, and Baboescu and Varghese, SIGCOMM 2001). Bits are not numbered as
//!   rules are: those that leave the same fields open share words of 64 ([`Layout`]), so that an open
//!   field costs a bit per *word* and no memory in any interval. A set holds only its non-empty
//!   words, and a summary that tells which they are. The AND of the summaries leaves few words to
//!   look at, in the order of their first rule; the search ends at the first word that can hold
//!   nothing better. However rules overlap, the cost is at most that of their words.

mod addresses;
mod checks;
mod class;
mod coverage;
mod field;
mod layout;
mod members;
mod open_rules;
mod protocols;
mod sets;
mod wide;

use std::net::IpAddr;

use crate::classifier::checks::Checks;
use crate::classifier::class::Class;
use crate::classifier::coverage::{AddressCoverage, RuleCoverage};
use crate::classifier::field::{Candidates, Field};
use crate::classifier::layout::Layout;
use crate::classifier::members::Matching;
use crate::classifier::open_rules::OpenRules;
use crate::classifier::protocols::{ProtocolField, ProtocolMask};
use crate::classifier::wide::{Wide, wide_rules};
use crate::input::RuleInput;
use crate::intervals::{Coverage, Point};
use crate::tuple::Tuple;

pub(crate) use addresses::{Addresses, Mixed};

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
    /// The rules that are in neither line because they cover too much, ascending: the same in both
    /// families.
    wide: Box<[Wide<P>]>,
}

/// Where a packet's addresses are in the lines of a classifier: the sets of their rules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Located {
    source: Class,
    destination: Class,
}

/// The most rules that a classifier takes: as many as a member of a set can name.
pub(crate) const RULES_MAX: usize = 1 << members::RULE_BITS;

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
        let wide = wide_rules(&covers);
        let v4 = Family::new(&layout, &covers, &wide, |side| &side.v4, &mut bytes_left)?;
        let v6 = Family::new(&layout, &covers, &wide, |side| &side.v6, &mut bytes_left)?;
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

    /// The first rule that matches, by its index in the input.
    #[inline]
    fn first_match<P: Point>(
        &self,
        family: &Family<P>,
        tuple: &Tuple,
        addresses: [P; 2],
        located: Located,
    ) -> Option<usize> {
        let Some(open) = family.open.as_ref().filter(|_| located.is_own()) else {
            return self.first_match_of_stored(family, tuple, addresses, located);
        };
        let Located {
            source,
            destination,
        } = located;
        let best = self.first_of(source.matching(destination), NONE, tuple);
        let best = self.first_of(destination.block().other_open(), best, tuple);
        let best = self.first_wide(family, addresses, best, tuple);
        open.first_before(best, tuple)
    }

    /// The same, where a set is not its own class.
    #[inline(never)]
    fn first_match_of_stored<P: Point>(
        &self,
        family: &Family<P>,
        tuple: &Tuple,
        addresses: [P; 2],
        located: Located,
    ) -> Option<usize> {
        let Some(open) = family.open.as_ref().filter(|_| located.is_listed()) else {
            return self.sweep(tuple);
        };
        let (sources, sources_count) = family.source.blocks(located.source);
        let (destinations, destinations_count) = family.destination.blocks(located.destination);
        let mut best = NONE;
        for source in &sources[..sources_count] {
            for &destination in &destinations[..destinations_count] {
                best = self.first_of(source.matching(destination), best, tuple);
            }
        }
        for destination in &destinations[..destinations_count] {
            best = self.first_of(destination.other_open(), best, tuple);
        }
        let best = self.first_wide(family, addresses, best, tuple);
        open.first_before(best, tuple)
    }

    /// The first wide rule that matches and comes before `best`; `best` if there is none.
    #[inline(always)]
    fn first_wide<P: Point>(
        &self,
        family: &Family<P>,
        [source, destination]: [P; 2],
        best: usize,
        tuple: &Tuple,
    ) -> usize {
        for wide in &family.wide {
            if wide.rule() < best
                && wide.takes_source(source)
                && wide.takes_destination(destination)
                && (wide.takes_all() || self.passes(wide.rule(), tuple))
            {
                return wide.rule();
            }
        }
        best
    }

    /// The same of any two addresses.
    fn first_wide_of_any(&self, best: usize, tuple: &Tuple) -> usize {
        for (v4, v6) in self.v4.wide.iter().zip(&self.v6.wide) {
            let from = match tuple.src {
                IpAddr::V4(source) => v4.takes_source(source.to_bits()),
                IpAddr::V6(source) => v6.takes_source(source.to_bits()),
            };
            let to = match tuple.dst {
                IpAddr::V4(destination) => v4.takes_destination(destination.to_bits()),
                IpAddr::V6(destination) => v6.takes_destination(destination.to_bits()),
            };
            if from && to && v4.rule() < best && self.passes(v4.rule(), tuple) {
                return v4.rule();
            }
        }
        best
    }

    /// The first rule of these that takes the protocol and ports of a tuple and comes before `best`;
    /// `best` if there is none.
    #[inline]
    fn first_of(&self, rules: Matching, best: usize, tuple: &Tuple) -> usize {
        if rules.is_empty() {
            best
        } else {
            self.first_passing(rules, best, tuple)
        }
    }

    /// The same, where there are some. Apart, for most connections never come here, and would have to
    /// put aside what it keeps in registers.
    #[inline(never)]
    fn first_passing(&self, rules: Matching, best: usize, tuple: &Tuple) -> usize {
        let probe = self.checks.probe(tuple);
        for member in rules {
            let rule = member.rule();
            if rule >= best {
                break;
            }
            if self.checks.pass(rule, &probe) {
                return rule;
            }
        }
        best
    }

    /// Whether one rule takes the protocol and ports of a tuple.
    #[inline(never)]
    fn passes(&self, rule: usize, tuple: &Tuple) -> bool {
        self.checks.pass(rule, &self.checks.probe(tuple))
    }

    /// The first rule that matches, whatever the sets are like.
    #[inline(never)]
    fn sweep(&self, tuple: &Tuple) -> Option<usize> {
        let best = self.first_wide_of_any(self.first_swept(tuple), tuple);
        (best != NONE).then_some(best)
    }

    /// The first that matches of those that are not wide.
    fn first_swept(&self, tuple: &Tuple) -> usize {
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
                    return best;
                }
                let matching = fields
                    .iter()
                    .fold(dense[word], |all, field| all & field.word(word));
                if matching != 0 {
                    best = best.min(layout.rule_at(word, matching.trailing_zeros() as usize));
                }
            }
        }
        best
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
    /// Where there are no rules but those to which an address is open.
    pub(crate) const NONE: Located = Located {
        source: Class::EMPTY,
        destination: Class::EMPTY,
    };

    /// Whether both sets are lists.
    fn is_listed(self) -> bool {
        self.source.is_listed() & self.destination.is_listed()
    }

    /// Whether both are their own classes.
    #[inline]
    fn is_own(self) -> bool {
        self.source.is_own() & self.destination.is_own()
    }
}

impl<P: Point> Family<P> {
    fn new(
        layout: &Layout,
        rules: &[RuleCoverage],
        wide: &[usize],
        family: fn(&AddressCoverage) -> &Coverage<P>,
        bytes_left: &mut usize,
    ) -> Result<Family<P>, TooLarge> {
        let nothing = Coverage::Ranges(Vec::new());
        let sides = rules.iter().enumerate().map(|(index, rule)| {
            if wide.contains(&index) {
                [&nothing, &nothing]
            } else {
                [family(&rule.source), family(&rule.destination)]
            }
        });
        let source = sides.clone().map(|[own, other]| (own, other.is_whole()));
        let source = Field::new(layout, source, bytes_left)?;
        let destination = sides.map(|[other, own]| (own, other.is_whole()));
        let destination = Field::new(layout, destination, bytes_left)?;
        let is_open = |rule: &RuleCoverage| {
            family(&rule.source).is_whole() && family(&rule.destination).is_whole()
        };
        let wide = wide.iter().map(|&index| {
            let rule = &rules[index];
            Wide::new(
                index,
                rule,
                [family(&rule.source), family(&rule.destination)],
            )
        });
        Ok(Family {
            source,
            destination,
            open: OpenRules::new(rules, is_open),
            wide: wide.collect(),
        })
    }

    #[inline]
    fn locate(&self, [source, destination]: [P; 2]) -> Located {
        Located {
            source: self.source.class(source),
            destination: self.destination.class(destination),
        }
    }

    fn memory_bytes(&self) -> usize {
        let open = self.open.as_ref().map_or(0, OpenRules::memory_bytes);
        self.source.memory_bytes()
            + self.destination.memory_bytes()
            + open
            + size_of_val(&*self.wide)
    }
}

#[cfg(test)]
mod tests;
