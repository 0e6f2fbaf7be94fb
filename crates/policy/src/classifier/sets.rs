use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::classifier::TooLarge;
use crate::classifier::layout::Layout;
use crate::intervals::NUMBERS_MAX;

/// A rule as a member of a set: its index, and whether the *other* address of a packet is open to
/// it, so that this set alone decides whether the addresses match ([`OTHER_OPEN`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member(pub(super) u16);

/// Bits of a rule's index.
pub(super) const RULE_BITS: u32 = 14;

/// The bit of a member that the other address is open to.
const OTHER_OPEN: u16 = 1 << RULE_BITS;

/// Bits of a member: two of them and the tag make a class.
const MEMBER_BITS: u32 = RULE_BITS + 1;

impl Member {
    /// `rule` is below 2^[`RULE_BITS`].
    pub(super) fn new(rule: u16, other_open: bool) -> Member {
        debug_assert!(rule < OTHER_OPEN);
        Member(rule | if other_open { OTHER_OPEN } else { 0 })
    }

    /// The rule's index.
    #[inline]
    pub(super) fn rule(self) -> usize {
        usize::from(self.0 & (OTHER_OPEN - 1))
    }
}

/// Members of a block.
const LANES: usize = 4;

/// Members in ascending order of their rules, 16 bits each; what is left has its top bit.
///
/// It is a number and no array, for it is put together from a class as often as it is loaded, and
/// must not have to go through memory for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block(u64);

/// One in every lane.
const ONES: u64 = 0x0001_0001_0001_0001;
/// The top bit of every lane.
const TOPS: u64 = ONES << 15;

impl Default for Block {
    fn default() -> Block {
        Block::EMPTY
    }
}

impl Block {
    const EMPTY: Block = Block(u64::MAX);

    fn of(members: &[Member]) -> Block {
        let put = |block: u64, member: &Member| block << 16 | u64::from(member.0);
        Block(members.iter().rev().fold(u64::MAX, put))
    }

    /// The members whose rules take the other address: because it is open to them, or because they
    /// are in `other`, too.
    ///
    /// All pairs are compared, four at once and without a branch.
    #[inline]
    pub(super) fn matching(self, other: Block) -> Matching {
        let mut found = self.0 << 1;
        for lane in 0..LANES {
            let member = other.0 >> (16 * lane) & 0x7fff;
            let differing = (self.0 ^ (member * ONES)) & !TOPS;
            // The sum reaches the top bit unless nothing differs.
            found |= !(differing + !TOPS);
        }
        self.those(found)
    }

    /// The members whose rules take any other address.
    #[inline]
    pub(super) fn other_open(self) -> Matching {
        self.those(self.0 << 1)
    }

    /// The members whose lane has its top bit in `tops`.
    #[inline]
    fn those(self, tops: u64) -> Matching {
        Matching {
            block: self,
            tops: tops & !self.0 & TOPS,
        }
    }

    fn members(self) -> impl Iterator<Item = Member> {
        self.those(TOPS)
    }
}

/// Some members of a block, ascending.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matching {
    block: Block,
    /// The top bits of their lanes.
    tops: u64,
}

impl Iterator for Matching {
    type Item = Member;

    #[inline]
    fn next(&mut self) -> Option<Member> {
        if self.tops == 0 {
            return None;
        }
        let lane_begins = self.tops.trailing_zeros() - 15;
        self.tops &= self.tops - 1;
        #[expect(clippy::cast_possible_truncation, reason = "the lane's bits")]
        let member = (self.block.0 >> lane_begins) as u16;
        Some(Member(member))
    }
}

/// A set of rules, by reference: how it is stored, and where.
///
/// ```text
/// 00 30 bits          number of a block; zero is the empty set
/// 01 15 bits 15 bits  two members, or one twice
/// 100 2 bits 27 bits  how many blocks follow the first, whose number it is
/// 101 29 bits         offset into `Sets::many`
/// 11                  none: numbers that lines have for themselves (`intervals::NUMBERS_MAX`)
/// ```
///
/// Most intervals are covered by one or two rules, such as one for hosts and one for the whole
/// network: that costs no memory and no cache miss beyond the interval's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Class(pub(super) u32);

const PAIR: u32 = 0b01 << 30;
const LONG: u32 = 0b100 << 29;
const MANY: u32 = 0b101 << 29;

const _: () = assert!(MANY | low(MANY_BITS) <= NUMBERS_MAX);

const BLOCK_BITS: u32 = 30;
const LONG_BITS: u32 = 27;
const MANY_BITS: u32 = 29;

/// Blocks of the longest list. One of 17 rules or more is a bit vector.
pub(super) const BLOCKS_MAX: usize = 4;

impl Class {
    /// Whether a single block holds the set.
    #[inline]
    pub(super) fn is_short(self) -> bool {
        self.0 < LONG
    }

    /// Whether blocks hold the set.
    #[inline]
    pub(super) fn is_listed(self) -> bool {
        self.0 < MANY
    }

    /// The number of its first block, and how many there are.
    fn place(self) -> (usize, usize) {
        if self.is_short() {
            return ((self.0 & low(BLOCK_BITS)) as usize, 1);
        }
        let more = self.0 >> LONG_BITS & 3;
        ((self.0 & low(LONG_BITS)) as usize, more as usize + 1)
    }

    fn in_blocks(first: usize, count: usize) -> Result<Class, TooLarge> {
        if count == 1 {
            return Ok(Class(offset_within(first, BLOCK_BITS)?));
        }
        let more = offset_within(count - 1, 2)?;
        Ok(Class(
            LONG | more << LONG_BITS | offset_within(first, LONG_BITS)?,
        ))
    }

    fn in_many(offset: usize) -> Result<Class, TooLarge> {
        Ok(Class(MANY | offset_within(offset, MANY_BITS)?))
    }
}

const fn low(bits: u32) -> u32 {
    (1 << bits) - 1
}

fn offset_within(offset: usize, bits: u32) -> Result<u32, TooLarge> {
    let offset = u32::try_from(offset).map_err(|_| TooLarge)?;
    if offset >> bits == 0 {
        Ok(offset)
    } else {
        Err(TooLarge)
    }
}

/// Interned sets.
#[derive(Debug)]
pub(super) struct Sets {
    /// Lists, block by block. The first is the empty set.
    blocks: Box<[Block]>,
    /// Each a summary, a bit for every word that is not empty, then those words.
    many: Box<[u64]>,
    summary_len: usize,
}

/// A set, ready to be intersected with others word by word.
#[derive(Clone, Copy, Debug)]
pub(super) enum Members<'a> {
    List {
        /// Positions, as many as there are; what follows them means nothing.
        positions: [u16; BLOCKS_MAX * LANES],
        count: usize,
    },
    Many {
        summary: &'a [u64],
        words: &'a [u64],
    },
}

impl Members<'_> {
    /// The empty set.
    pub(super) const NONE: Members<'static> = Members::List {
        positions: [0; BLOCKS_MAX * LANES],
        count: 0,
    };

    /// Word `index` of the summary.
    pub(super) fn summary(&self, index: usize) -> u64 {
        match self {
            Members::List { positions, count } => {
                let marks = positions[..*count].iter().map(|position| mark(*position));
                let here = marks.filter(|mark| mark.0 == index);
                here.fold(0, |all, mark| all | mark.1)
            }
            Members::Many { summary, .. } => summary[index],
        }
    }

    /// Word `word` of the set; the summary must say that it is not empty.
    pub(super) fn word(&self, word: usize) -> u64 {
        match self {
            Members::List { positions, count } => {
                let here = positions[..*count].iter();
                let here = here.filter(|position| usize::from(**position >> 6) == word);
                here.fold(0, |all, position| all | 1 << (position & 63))
            }
            Members::Many { summary, words } => {
                let (full, part) = (&summary[..word / 64], summary[word / 64]);
                let below = part & ((1 << (word % 64)) - 1);
                let before: u32 = full.iter().map(|part| part.count_ones()).sum();
                words[(before + below.count_ones()) as usize]
            }
        }
    }
}

impl Sets {
    /// The set that `class` stands for, which is short.
    ///
    /// Without a branch: which way a set is stored is as random as the packets. What is not in a
    /// block reads the empty one, which is always near. A class that is not short gives a block that
    /// means nothing.
    #[inline]
    pub(super) fn block(&self, class: Class) -> Block {
        let number = if class.0 < PAIR { class.0 } else { 0 };
        let stored = self.blocks[number as usize];
        let [first, last] = pair(class);
        let above = if first == last {
            u64::MAX
        } else {
            u64::MAX << 16 | last
        };
        let paired = Block(above << 16 | first);
        if class.0 < PAIR { stored } else { paired }
    }

    /// The blocks of the set that `class` stands for, which is listed; those that there are not are
    /// empty.
    pub(super) fn blocks(&self, class: Class) -> [Block; BLOCKS_MAX] {
        let mut blocks = [Block::EMPTY; BLOCKS_MAX];
        if class.is_short() {
            blocks[0] = self.block(class);
        } else {
            let (first, count) = class.place();
            blocks[..count].copy_from_slice(&self.blocks[first..first + count]);
        }
        blocks
    }

    /// The set that `class` stands for.
    pub(super) fn members(&self, class: Class, layout: &Layout) -> Members<'_> {
        if !class.is_listed() {
            let offset = (class.0 & low(MANY_BITS)) as usize;
            let (summary, words) = self.many[offset..].split_at(self.summary_len);
            return Members::Many { summary, words };
        }
        let (mut positions, mut count) = ([0; BLOCKS_MAX * LANES], 0);
        for member in self.blocks(class).into_iter().flat_map(Block::members) {
            positions[count] = layout.position(member.rule());
            count += 1;
        }
        Members::List { positions, count }
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.blocks) + size_of_val(&*self.many)
    }
}

/// The two members of a class that is a pair.
#[inline]
fn pair(class: Class) -> [u64; 2] {
    let members = u64::from(class.0);
    let mask = u64::from(low(MEMBER_BITS));
    [members >> MEMBER_BITS & mask, members & mask]
}

/// Where a position's word is in a summary: which of its words, and the bit.
fn mark(position: u16) -> (usize, u64) {
    (usize::from(position >> 12), 1 << ((position >> 6) & 63))
}

/// Makes [`Sets`] while a line is swept: a current set that rules enter and leave, and which is
/// interned wherever an interval begins.
///
/// The cost of an interval is that of the words that are not empty, not that of all rules: the hash
/// is kept up to date rule by rule.
pub(super) struct SetsBuilder<'a> {
    layout: &'a Layout,
    /// The member that stands for each rule.
    members: Vec<Member>,
    blocks: Vec<Block>,
    many: Vec<u64>,
    index: HashTable<Interned>,
    words: Vec<u64>,
    summary: Vec<u64>,
    hash: u64,
    population: usize,
    bytes_max: usize,
}

#[derive(Clone, Copy)]
struct Interned {
    hash: u64,
    class: Class,
}

impl SetsBuilder<'_> {
    /// Starts with the empty set of rules, for which `members` stand. The interned sets may hold
    /// `bytes_max` bytes.
    pub(super) fn new(layout: &Layout, members: Vec<Member>, bytes_max: usize) -> SetsBuilder<'_> {
        SetsBuilder {
            layout,
            members,
            blocks: vec![Block::EMPTY],
            many: Vec::new(),
            index: HashTable::new(),
            words: vec![0; layout.words_len()],
            summary: vec![0; layout.summary_len()],
            hash: 0,
            population: 0,
            bytes_max,
        }
    }

    /// Puts a rule in, or takes it out.
    pub(super) fn toggle(&mut self, rule: u16) {
        let position = self.layout.position(usize::from(rule));
        let (word, bit) = (usize::from(position >> 6), 1 << (position & 63));
        self.words[word] ^= bit;
        if self.words[word] & bit != 0 {
            self.population += 1;
        } else {
            self.population -= 1;
        }
        let (index, mark) = mark(position);
        if self.words[word] == 0 {
            self.summary[index] &= !mark;
        } else {
            self.summary[index] |= mark;
        }
        self.hash ^= FixedState::with_seed(0).hash_one(rule);
    }

    /// The current set.
    pub(super) fn class(&mut self) -> Result<Class, TooLarge> {
        if self.population == 0 {
            return Ok(Class::default());
        }
        if self.population <= 2 {
            let list = self.list();
            let [first, last] =
                [list[0], list[self.population - 1]].map(|member| u32::from(member.0));
            return Ok(Class(PAIR | first << MEMBER_BITS | last));
        }
        let found = self.index.find(self.hash, |known| {
            known.hash == self.hash && self.is_current(known.class)
        });
        if let Some(known) = found {
            return Ok(known.class);
        }
        let class = if self.population <= BLOCKS_MAX * LANES {
            self.store_blocks()
        } else {
            self.store_many()
        }?;
        let known = Interned {
            hash: self.hash,
            class,
        };
        self.index
            .insert_unique(self.hash, known, |known| known.hash);
        if self.bytes() > self.bytes_max {
            Err(TooLarge)
        } else {
            Ok(class)
        }
    }

    /// The sets, and the bytes they hold.
    pub(super) fn finish(self) -> (Sets, usize) {
        let bytes = self.bytes();
        let summary_len = self.summary.len();
        let sets = Sets {
            blocks: self.blocks.into(),
            many: self.many.into(),
            summary_len,
        };
        (sets, bytes)
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.blocks) + size_of_val(&*self.many)
    }

    fn store_blocks(&mut self) -> Result<Class, TooLarge> {
        let blocks = self.list_blocks();
        let class = Class::in_blocks(self.blocks.len(), blocks.len())?;
        self.blocks.extend(blocks);
        Ok(class)
    }

    fn store_many(&mut self) -> Result<Class, TooLarge> {
        let class = Class::in_many(self.many.len())?;
        self.many.extend_from_slice(&self.summary);
        self.many
            .extend(nonempty(&self.summary).map(|word| self.words[word]));
        Ok(class)
    }

    /// Whether an interned set equals the current one.
    fn is_current(&self, class: Class) -> bool {
        if class.is_listed() {
            let (first, count) = class.place();
            return self.population <= BLOCKS_MAX * LANES
                && self.list_blocks() == self.blocks[first..first + count];
        }
        let at = (class.0 & low(MANY_BITS)) as usize;
        let (summary, words) = self.many[at..].split_at(self.summary.len());
        summary == self.summary
            && nonempty(&self.summary)
                .zip(words)
                .all(|(word, &stored)| self.words[word] == stored)
    }

    fn list_blocks(&self) -> Vec<Block> {
        self.list().chunks(LANES).map(Block::of).collect()
    }

    /// The members of the current set, ascending by rule.
    fn list(&self) -> Vec<Member> {
        let rules = nonempty(&self.summary)
            .flat_map(|word| bits(self.words[word]).map(move |bit| self.layout.rule_at(word, bit)));
        let mut rules: Vec<usize> = rules.collect();
        rules.sort_unstable();
        rules.into_iter().map(|rule| self.members[rule]).collect()
    }
}

/// The words that a summary says are not empty, ascending.
fn nonempty(summary: &[u64]) -> impl Iterator<Item = usize> + '_ {
    let marks = summary.iter().enumerate();
    marks.flat_map(|(index, &marks)| bits(marks).map(move |bit| index * 64 + bit))
}

/// The bits that are set, ascending.
fn bits(word: u64) -> impl Iterator<Item = usize> {
    let rest = |word: &u64| Some(word & (word - 1)).filter(|&rest| rest != 0);
    let words = std::iter::successors(Some(word).filter(|&word| word != 0), rest);
    words.map(|word| word.trailing_zeros() as usize)
}
