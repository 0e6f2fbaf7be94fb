use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::classifier::layout::Layout;

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
    pub(super) fn new(layout: &Layout, rules: &[ProtocolMask]) -> ProtocolField {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ProtocolMask([u128; 2]);

impl ProtocolMask {
    /// No protocol named means all.
    pub(super) fn new(protocols: &[u8]) -> ProtocolMask {
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

    /// Whether `protocol` is one of them.
    #[inline]
    pub(super) fn takes(&self, protocol: u8) -> bool {
        self.0[usize::from(protocol >> 7)] >> (protocol & 127) & 1 != 0
    }
}

/// Classes of protocols that no rule tells apart, numbered in the order of their first protocols,
/// which are the second of what is returned.
pub(super) fn protocol_classes(
    rules: impl Iterator<Item = ProtocolMask>,
) -> (Box<[u8; 256]>, Vec<u8>) {
    let mut masks: Vec<_> = rules.collect();
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
