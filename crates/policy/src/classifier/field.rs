use std::net::IpAddr;

use crate::classifier::layout::Layout;
use crate::classifier::sets::{Class, Members, Place, Sets, SetsBuilder};
use crate::classifier::{AddressCoverage, TooLarge};
use crate::intervals::{
    Coverage, Intervals, PORT_LEAF, PORT_NODE, Point, V4_LEAF, V4_NODE, V6_LEAF, V6_NODE,
};

/// A port, by the rules that cover it.
pub(super) type PortField = Lookup<u16, PORT_NODE, PORT_LEAF>;

/// An address of either family, by the rules that cover it.
#[derive(Debug)]
pub(super) struct AddressField {
    v4: Lookup<u32, V4_NODE, V4_LEAF>,
    v6: Lookup<u128, V6_NODE, V6_LEAF>,
}

impl AddressField {
    /// The field in which the rules cover what `rules` says, in their order.
    pub(super) fn new<'a>(
        layout: &Layout,
        rules: impl Iterator<Item = &'a AddressCoverage> + Clone,
        bytes_left: &mut usize,
    ) -> Result<AddressField, TooLarge> {
        let v4 = Lookup::new(layout, rules.clone().map(|rule| &rule.v4), bytes_left)?;
        let v6 = Lookup::new(layout, rules.map(|rule| &rule.v6), bytes_left)?;
        Ok(AddressField { v4, v6 })
    }

    /// Where the set of the rules that cover `address` is.
    #[inline]
    pub(super) fn locate(&self, address: IpAddr) -> Place {
        match address {
            IpAddr::V4(v4) => self.v4.locate(v4.to_bits()),
            IpAddr::V6(v6) => self.v6.locate(v6.to_bits()),
        }
    }

    /// The rules at the place that [`AddressField::locate`] found for `address`.
    #[inline]
    pub(super) fn candidates(&self, address: IpAddr, place: Place) -> Candidates<'_> {
        match address {
            IpAddr::V4(_) => self.v4.candidates(place),
            IpAddr::V6(_) => self.v6.candidates(place),
        }
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        self.v4.memory_bytes() + self.v6.memory_bytes()
    }
}

/// Points of a line, by the rules that cover them.
#[derive(Debug)]
pub(super) struct Lookup<P, const F: usize, const L: usize> {
    /// The words for whose rules the field is open.
    open: Box<[u64]>,
    /// The class of every interval, of rules for which it is not.
    intervals: Intervals<P, F, L>,
    sets: Sets,
}

impl<P: Point, const F: usize, const L: usize> Lookup<P, F, L> {
    /// The field in which the rules cover what `rules` says, in their order. Takes what its sets
    /// hold from `bytes_left`.
    pub(super) fn new<'a>(
        layout: &Layout,
        rules: impl Iterator<Item = &'a Coverage<P>>,
        bytes_left: &mut usize,
    ) -> Result<Self, TooLarge>
    where
        P: 'a,
    {
        let rules: Vec<&Coverage<P>> = rules.collect();
        let mut edges = Vec::new();
        let mut open = vec![0; layout.summary_len()];
        for (position, rule) in layout.positions() {
            match rules[rule] {
                Coverage::Whole => open[usize::from(position >> 12)] |= 1 << ((position >> 6) & 63),
                Coverage::Ranges(ranges) => {
                    for &(first, last) in ranges {
                        edges.push((first, position));
                        edges.extend(last.next().map(|after| (after, position)));
                    }
                }
            }
        }
        edges.sort_unstable();
        let mut builder = SetsBuilder::new(layout.words_len(), layout.summary_len(), *bytes_left);
        let mut cuts = Vec::new();
        for edges_here in edges.chunk_by(|a, b| a.0 == b.0) {
            for &(_, position) in edges_here {
                builder.toggle(position);
            }
            cuts.push((edges_here[0].0, builder.class()?.0));
        }
        drop(edges);
        let (sets, bytes) = builder.finish();
        *bytes_left -= bytes;
        Ok(Lookup {
            open: open.into(),
            intervals: Intervals::new(cuts),
            sets,
        })
    }

    /// Where the set of the rules that cover `point` is.
    #[inline]
    pub(super) fn locate(&self, point: P) -> Place {
        self.sets.locate(Class(self.intervals.get(point)))
    }

    /// The rules at a place that [`Lookup::locate`] found.
    #[inline]
    pub(super) fn candidates(&self, place: Place) -> Candidates<'_> {
        let members = self.sets.get(place);
        Candidates {
            open: &self.open,
            members,
        }
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.open) + self.intervals.memory_bytes() + self.sets.memory_bytes()
    }
}

/// The rules that one field of a tuple leaves possible.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidates<'a> {
    open: &'a [u64],
    members: Members<'a>,
}

impl<'a> Candidates<'a> {
    /// Every rule of the words in this summary.
    pub(super) fn open(open: &'a [u64]) -> Self {
        Candidates {
            open,
            members: Members::NONE,
        }
    }

    /// Word `index` of the summary: which words may hold one.
    #[inline]
    pub(super) fn summary(&self, index: usize) -> u64 {
        self.open[index] | self.members.summary(index)
    }

    /// Word `word`, which the summary must say may hold one.
    #[inline]
    pub(super) fn word(&self, word: usize) -> u64 {
        if self.open[word / 64] >> (word % 64) & 1 != 0 {
            u64::MAX
        } else {
            self.members.word(word)
        }
    }
}

/// Protocol numbers, by the rules that take them.
///
/// There are few distinct sets of rules (TCP, UDP, ICMP, the rest), so each is stored full; they
/// also tell used positions from padding.
#[derive(Debug)]
pub(super) struct ProtocolField {
    /// Where the set of each protocol begins.
    sets_of: Box<[usize; 256]>,
    /// Each a summary, then all words.
    sets: Box<[u64]>,
    summary_len: usize,
    set_len: usize,
}

impl ProtocolField {
    /// The field in which rules take the protocols that `rules` says, in their order.
    pub(super) fn new<'a>(layout: &Layout, rules: impl Iterator<Item = &'a [u8]>) -> ProtocolField {
        let rules: Vec<ProtocolMask> = rules.map(ProtocolMask::new).collect();
        let (summary_len, words_len) = (layout.summary_len(), layout.words_len());
        let mut distinct: Vec<Vec<u64>> = Vec::new();
        let named = rules
            .iter()
            .fold(ProtocolMask([0; 2]), |all, rule| all.with_named(rule));
        let mut sets_of = Box::new([0; 256]);
        let mut unnamed = None;
        for protocol in 0..=u8::MAX {
            if let (false, Some(index)) = (named.takes(protocol), unnamed) {
                sets_of[usize::from(protocol)] = index;
                continue;
            }
            let mut set = vec![0; summary_len + words_len];
            for (position, rule) in layout.positions() {
                if rules[rule].takes(protocol) {
                    let word = usize::from(position >> 6);
                    set[word / 64] |= 1 << (word % 64);
                    set[summary_len + word] |= 1 << (position & 63);
                }
            }
            let index = distinct
                .iter()
                .position(|known| *known == set)
                .unwrap_or_else(|| {
                    distinct.push(set);
                    distinct.len() - 1
                });
            sets_of[usize::from(protocol)] = index;
            unnamed = if named.takes(protocol) {
                unnamed
            } else {
                Some(index)
            };
        }
        let set_len = summary_len + words_len;
        let sets_of = Box::new(sets_of.map(|index| index * set_len));
        ProtocolField {
            sets_of,
            sets: distinct.concat().into(),
            summary_len,
            set_len,
        }
    }

    /// The rules that take `protocol`: summary and words.
    #[inline]
    pub(super) fn at(&self, protocol: u8) -> (&[u64], &[u64]) {
        let first = self.sets_of[usize::from(protocol)];
        self.sets[first..first + self.set_len].split_at(self.summary_len)
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.sets_of) + size_of_val(&*self.sets)
    }
}

/// The protocols a rule takes, a bit each.
struct ProtocolMask([u128; 2]);

impl ProtocolMask {
    /// No protocol named means all.
    fn new(protocols: &[u8]) -> ProtocolMask {
        let mut mask = if protocols.is_empty() {
            [u128::MAX; 2]
        } else {
            [0; 2]
        };
        for &protocol in protocols {
            mask[usize::from(protocol >> 7)] |= 1 << (protocol & 127);
        }
        ProtocolMask(mask)
    }

    /// What this or `rule` takes, unless `rule` takes all because it names none.
    fn with_named(&self, rule: &ProtocolMask) -> ProtocolMask {
        let [low, high] = if rule.0 == [u128::MAX; 2] {
            [0; 2]
        } else {
            rule.0
        };
        ProtocolMask([self.0[0] | low, self.0[1] | high])
    }

    fn takes(&self, protocol: u8) -> bool {
        self.0[usize::from(protocol >> 7)] >> (protocol & 127) & 1 != 0
    }
}
