use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::{Sets, mark};
use crate::classifier::TooLarge;
use crate::classifier::class::{BLOCKS_MAX, Class, Place};
use crate::classifier::layout::Layout;
use crate::classifier::members::{Block, LANES, Member};

/// Makes [`Sets`] while a line is swept: a current set that rules enter and leave, and which is
/// interned wherever an interval begins.
///
/// The cost of an interval is that of the words that are not empty, not that of all rules, and little
/// if a few rules are in it: the hash is kept up to date rule by rule, and so is a short list.
pub(in crate::classifier) struct SetsBuilder<'a> {
    layout: &'a Layout,
    /// The member that stands for each rule, and what it adds to the hash of a set.
    members: Vec<(Member, u64)>,
    blocks: Vec<Block>,
    many: Vec<u64>,
    index: HashTable<Interned>,
    words: Vec<u64>,
    summary: Vec<u64>,
    hash: u64,
    population: usize,
    list: List,
    bytes_max: usize,
}

#[derive(Clone, Copy)]
struct Interned {
    hash: u64,
    class: Class,
}

/// The current set's members, ascending by rule, unless they are more than fit.
#[derive(Clone, Copy)]
struct List {
    members: [Member; LISTED_MAX],
    /// How many there are; none when there were more than fit, and they are not known.
    count: Option<usize>,
}

const LISTED_MAX: usize = BLOCKS_MAX * LANES;

impl SetsBuilder<'_> {
    /// Starts with the empty set of rules, for which `members` stand. The interned sets may hold
    /// `bytes_max` bytes.
    pub(in crate::classifier) fn new(
        layout: &Layout,
        members: impl Iterator<Item = Member>,
        bytes_max: usize,
    ) -> SetsBuilder<'_> {
        let state = FixedState::with_seed(0);
        let hashed = |member: Member| (member, state.hash_one(member.bits()));
        SetsBuilder {
            layout,
            members: members.map(hashed).collect(),
            blocks: Vec::new(),
            many: Vec::new(),
            index: HashTable::new(),
            words: vec![0; layout.words_len()],
            summary: vec![0; layout.summary_len()],
            hash: 0,
            population: 0,
            list: List::EMPTY,
            bytes_max,
        }
    }

    /// Puts a rule in, or takes it out.
    pub(in crate::classifier) fn toggle(&mut self, rule: u16) {
        let position = self.layout.position(usize::from(rule));
        let (word, bit) = (usize::from(position >> 6), 1 << (position & 63));
        self.words[word] ^= bit;
        let enters = self.words[word] & bit != 0;
        let (index, mark) = mark(position);
        if self.words[word] == 0 {
            self.summary[index] &= !mark;
        } else {
            self.summary[index] |= mark;
        }
        let (member, hash) = self.members[usize::from(rule)];
        self.hash ^= hash;
        if enters {
            self.population += 1;
            self.list.insert(member);
        } else {
            self.population -= 1;
            self.list.remove(member);
        }
    }

    /// The current set.
    pub(in crate::classifier) fn class(&mut self) -> Result<Class, TooLarge> {
        if self.list.count.is_none() && self.population <= LISTED_MAX {
            self.list = self.listed();
        }
        match *self.list.known() {
            [] if self.population == 0 => return Ok(Class::EMPTY),
            [only] => return Ok(Class::of(only, None)),
            [first, second] => return Ok(Class::of(first, Some(second))),
            _ => {}
        }
        let found = self.index.find(self.hash, |known| {
            known.hash == self.hash && self.is_current(known.class)
        });
        if let Some(known) = found {
            return Ok(known.class);
        }
        let class = Class::at(self.store())?;
        let hash = self.hash;
        let known = Interned { hash, class };
        self.index.insert_unique(hash, known, |known| known.hash);
        if self.bytes() > self.bytes_max {
            Err(TooLarge)
        } else {
            Ok(class)
        }
    }

    /// The sets, and the bytes they hold.
    pub(in crate::classifier) fn finish(self) -> (Sets, usize) {
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

    /// Stores the current set, and tells where.
    fn store(&mut self) -> Place {
        if self.list.count.is_some() {
            let first = self.blocks.len();
            let chunks = self.list.known().chunks(LANES);
            self.blocks.extend(chunks.map(Block::of));
            return Place::Blocks(first, self.blocks.len() - first);
        }
        let first = self.many.len();
        self.many.extend_from_slice(&self.summary);
        self.many
            .extend(nonempty(&self.summary).map(|word| self.words[word]));
        Place::Many(first)
    }

    /// Whether an interned set equals the current one.
    fn is_current(&self, class: Class) -> bool {
        match class.place() {
            Some(Place::Blocks(first, count)) => {
                let stored = self.blocks[first..first + count].iter().copied();
                stored.eq(self.list.known().chunks(LANES).map(Block::of))
            }
            Some(Place::Many(first)) if self.list.count.is_none() => {
                let (summary, words) = self.many[first..].split_at(self.summary.len());
                summary == self.summary
                    && nonempty(&self.summary)
                        .zip(words)
                        .all(|(word, &stored)| self.words[word] == stored)
            }
            _ => false,
        }
    }

    /// The list of the current set, whose members fit.
    fn listed(&self) -> List {
        let rules = nonempty(&self.summary)
            .flat_map(|word| bits(self.words[word]).map(move |bit| self.layout.rule_at(word, bit)));
        let mut list = List::EMPTY;
        rules.for_each(|rule| list.insert(self.members[rule].0));
        list
    }
}

impl List {
    const EMPTY: List = List {
        members: [Member::FIRST; LISTED_MAX],
        count: Some(0),
    };

    /// The members; none when there are more than fit.
    fn known(&self) -> &[Member] {
        &self.members[..self.count.unwrap_or(0)]
    }

    fn insert(&mut self, member: Member) {
        let Some(count) = self.count else { return };
        if count == LISTED_MAX {
            self.count = None;
            return;
        }
        let at = self.place(member);
        self.members.copy_within(at..count, at + 1);
        self.members[at] = member;
        self.count = Some(count + 1);
    }

    fn remove(&mut self, member: Member) {
        let Some(count) = self.count else { return };
        let at = self.place(member);
        self.members.copy_within(at + 1..count, at);
        self.count = Some(count - 1);
    }

    /// How many come before `member`.
    fn place(&self, member: Member) -> usize {
        let before = |other: &&Member| other.rule() < member.rule();
        self.known().iter().take_while(before).count()
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
