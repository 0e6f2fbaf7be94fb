/// Which bit stands for which rule.
///
/// Rules with the same pattern of open fields share words, in ascending order; no word mixes
/// patterns. Words are in the order of their first rule. So a field is open for all rules of a word
/// or for none, the lowest bit of a word is its best rule, and once a word's first rule is no
/// better than what was found, no later word's is.
#[derive(Debug)]
pub(super) struct Layout {
    /// The best rule of each word.
    first_rules: Box<[u32]>,
    /// The rule of each position (bit), [`UNUSED`] for those that pad a word.
    rules: Box<[u32]>,
    /// The position of each rule.
    positions: Box<[u16]>,
}

/// No rule.
const UNUSED: u32 = u32::MAX;

/// Rules of a word, which are bits of a `u64`.
const WORD: usize = u64::BITS as usize;

impl Layout {
    /// The layout of as many rules as there are `patterns`.
    pub(super) fn new(patterns: &[u8]) -> Layout {
        let mut by_pattern: Vec<(u8, u32)> = patterns.iter().copied().zip(0..).collect();
        by_pattern.sort_unstable();
        let same_pattern = by_pattern.chunk_by(|a, b| a.0 == b.0);
        let mut words: Vec<&[(u8, u32)]> = same_pattern.flat_map(|run| run.chunks(WORD)).collect();
        words.sort_unstable_by_key(|word| word[0].1);
        let mut rules = vec![UNUSED; words.len() * WORD].into_boxed_slice();
        for (positions, word) in rules.chunks_mut(WORD).zip(&words) {
            for (position, &(_, rule)) in positions.iter_mut().zip(*word) {
                *position = rule;
            }
        }
        let mut positions = vec![0; patterns.len()].into_boxed_slice();
        for (position, &rule) in (0..).zip(&rules) {
            if rule != UNUSED {
                positions[rule as usize] = position;
            }
        }
        Layout {
            first_rules: words.iter().map(|word| word[0].1).collect(),
            rules,
            positions,
        }
    }

    /// Words of a full bit set.
    pub(super) fn words_len(&self) -> usize {
        self.first_rules.len()
    }

    /// Words of a summary, which has a bit for each word.
    pub(super) fn summary_len(&self) -> usize {
        self.first_rules.len().div_ceil(WORD)
    }

    /// All positions that stand for a rule, each with its rule, ascending by position.
    pub(super) fn positions(&self) -> impl Iterator<Item = (u16, usize)> + '_ {
        let positions = (0..).zip(&self.rules);
        positions
            .filter(|(_, rule)| **rule != UNUSED)
            .map(|(at, &rule)| (at, rule as usize))
    }

    /// The position of a rule.
    #[inline]
    pub(super) fn position(&self, rule: usize) -> u16 {
        self.positions[rule]
    }

    /// The rule that `bit` of `word` stands for.
    pub(super) fn rule_at(&self, word: usize, bit: usize) -> usize {
        self.rules[word * WORD + bit] as usize
    }

    /// The best rule of a word.
    #[inline]
    pub(super) fn first_rule(&self, word: usize) -> usize {
        self.first_rules[word] as usize
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.first_rules) + size_of_val(&*self.rules) + size_of_val(&*self.positions)
    }
}
