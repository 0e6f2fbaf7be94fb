use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::classifier::TooLarge;

/// A set of positions, by reference. The upper two bits tell how it is stored, the others where.
///
/// Most intervals are covered by one or two rules, such as one for hosts and one for the whole
/// network: that costs no memory and no cache miss beyond the interval's own. A few more cost one
/// cache line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Class(pub(super) u32);

/// The other bits are an offset into [`Sets::few`], zero for the empty set.
const FEW: u32 = 0;
/// The other bits are the set's two positions, or its only one twice.
const PAIR: u32 = 1 << 30;
/// The other bits are an offset into [`Sets::many`].
const MANY: u32 = 2 << 30;
const STORED: u32 = 3 << 30;

/// Bits of a position: two of them and the tag make a class.
pub(super) const POSITION_BITS: u32 = 15;

/// Positions of the largest set that is stored as a list. With 1,000 rules of 1,000 prefixes each,
/// that took the memory of a rule set from 180 to 85 MB, compared to words for all.
const FEW_MAX: u32 = 8;

/// Interned sets.
#[derive(Debug)]
pub(super) struct Sets {
    /// Each a count, then as many positions, ascending. The first is the empty set.
    few: Box<[u16]>,
    /// Each a summary, a bit for every word that is not empty, then those words.
    many: Box<[u64]>,
    summary_len: usize,
}

/// Where a set is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    class: Class,
    /// How long the list is, if it is one.
    count: u16,
}

/// A set, ready to be intersected.
#[derive(Clone, Copy, Debug)]
pub(super) enum Members<'a> {
    Pair(u16, u16),
    Few(&'a [u16]),
    Many {
        summary: &'a [u64],
        words: &'a [u64],
    },
}

impl Members<'_> {
    /// The empty set.
    pub(super) const NONE: Members<'static> = Members::Few(&[]);
}

impl Sets {
    /// The set that `class` stands for, with its memory already asked for.
    ///
    /// Reading the count of a list whether or not there is one costs nothing, and lets the lists of
    /// all fields come from memory together, before the first branch depends on one of them.
    #[inline]
    pub(super) fn locate(&self, class: Class) -> Place {
        let list = if class.0 & STORED == FEW {
            class.0 as usize
        } else {
            0
        };
        Place {
            class,
            count: self.few[list],
        }
    }

    /// The set at `place`.
    #[inline]
    pub(super) fn get(&self, place: Place) -> Members<'_> {
        let at = (place.class.0 & !STORED) as usize;
        match place.class.0 & STORED {
            FEW => Members::Few(&self.few[at + 1..][..usize::from(place.count)]),
            PAIR => Members::Pair(low_position(at >> POSITION_BITS), low_position(at)),
            _ => {
                let (summary, words) = self.many[at..].split_at(self.summary_len);
                Members::Many { summary, words }
            }
        }
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.few) + size_of_val(&*self.many)
    }
}

/// The position in the lowest bits.
fn low_position(bits: usize) -> u16 {
    let mask = (1 << POSITION_BITS) - 1;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the mask leaves fifteen bits"
    )]
    let position = (bits & mask) as u16;
    position
}

/// Where a position's word is in a summary: which of its words, and the bit.
fn mark(position: u16) -> (usize, u64) {
    (usize::from(position >> 12), 1 << ((position >> 6) & 63))
}

impl Members<'_> {
    /// Word `index` of the summary.
    #[inline]
    pub(super) fn summary(&self, index: usize) -> u64 {
        let mark = |position: u16| {
            let (word, bit) = mark(position);
            if word == index { bit } else { 0 }
        };
        match self {
            Members::Pair(first, last) => mark(*first) | mark(*last),
            Members::Few(positions) => positions.iter().fold(0, |all, at| all | mark(*at)),
            Members::Many { summary, .. } => summary[index],
        }
    }

    /// Word `word` of the set; the summary must say that it is not empty.
    #[inline]
    pub(super) fn word(&self, word: usize) -> u64 {
        let bit = |position: u16| {
            if usize::from(position >> 6) == word {
                1 << (position & 63)
            } else {
                0
            }
        };
        match self {
            Members::Pair(first, last) => bit(*first) | bit(*last),
            Members::Few(positions) => positions.iter().fold(0, |all, at| all | bit(*at)),
            Members::Many { summary, words } => {
                let (full, part) = (&summary[..word / 64], summary[word / 64]);
                let below = part & ((1 << (word % 64)) - 1);
                let before: u32 = full.iter().map(|part| part.count_ones()).sum();
                words[(before + below.count_ones()) as usize]
            }
        }
    }
}

/// Makes [`Sets`] while a line is swept: a current set that positions enter and leave, and which is
/// interned wherever an interval begins.
///
/// The cost of an interval is that of the words that are not empty, not that of all rules: the hash
/// is kept up to date position by position.
pub(super) struct SetsBuilder {
    few: Vec<u16>,
    many: Vec<u64>,
    index: HashTable<Interned>,
    words: Vec<u64>,
    summary: Vec<u64>,
    hash: u64,
    population: u32,
    bytes_max: usize,
}

#[derive(Clone, Copy)]
struct Interned {
    hash: u64,
    class: Class,
}

impl SetsBuilder {
    /// Starts with the empty set. The interned sets may hold `bytes_max` bytes.
    pub(super) fn new(words_len: usize, summary_len: usize, bytes_max: usize) -> SetsBuilder {
        SetsBuilder {
            few: vec![0],
            many: Vec::new(),
            index: HashTable::new(),
            words: vec![0; words_len],
            summary: vec![0; summary_len],
            hash: 0,
            population: 0,
            bytes_max,
        }
    }

    /// Puts a position in, or takes it out.
    pub(super) fn toggle(&mut self, position: u16) {
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
        self.hash ^= FixedState::with_seed(0).hash_one(position);
    }

    /// The current set.
    pub(super) fn class(&mut self) -> Result<Class, TooLarge> {
        if self.population == 0 {
            return Ok(Class::default());
        }
        if self.population <= 2 {
            let mut positions = self.positions().map(u32::from);
            let first = positions.next().unwrap_or_default();
            let last = positions.next().unwrap_or(first);
            return Ok(Class(PAIR | first << POSITION_BITS | last));
        }
        let found = self.index.find(self.hash, |known| {
            known.hash == self.hash && self.is_current(known.class)
        });
        if let Some(known) = found {
            return Ok(known.class);
        }
        let class = if self.population <= FEW_MAX {
            self.store_few()
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
        (
            Sets {
                few: self.few.into(),
                many: self.many.into(),
                summary_len,
            },
            bytes,
        )
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.few) + size_of_val(&*self.many)
    }

    fn store_few(&mut self) -> Result<Class, TooLarge> {
        let class = class_at(FEW, self.few.len())?;
        let header = self.few.len();
        self.few.push(0);
        let positions: Vec<u16> = self.positions().collect();
        self.few.extend(positions);
        self.few[header] = u16::try_from(self.population).map_err(|_| TooLarge)?;
        Ok(class)
    }

    fn store_many(&mut self) -> Result<Class, TooLarge> {
        let class = class_at(MANY, self.many.len())?;
        self.many.extend_from_slice(&self.summary);
        self.many
            .extend(nonempty(&self.summary).map(|word| self.words[word]));
        Ok(class)
    }

    /// Whether an interned set equals the current one.
    fn is_current(&self, class: Class) -> bool {
        let at = (class.0 & !STORED) as usize;
        if class.0 & STORED == FEW {
            let count = usize::from(self.few[at]);
            let positions = self.few[at + 1..][..count].iter();
            return count == self.population as usize && positions.copied().eq(self.positions());
        }
        let (summary, words) = self.many[at..].split_at(self.summary.len());
        summary == self.summary
            && nonempty(&self.summary)
                .zip(words)
                .all(|(word, &stored)| self.words[word] == stored)
    }

    /// The positions of the current set, ascending.
    fn positions(&self) -> impl Iterator<Item = u16> + '_ {
        nonempty(&self.summary).flat_map(|word| {
            let first = word * 64;
            bits(self.words[word]).map(move |bit| u16::try_from(first + bit).unwrap_or(u16::MAX))
        })
    }
}

fn class_at(stored: u32, offset: usize) -> Result<Class, TooLarge> {
    let offset = u32::try_from(offset)
        .ok()
        .filter(|offset| offset & STORED == 0);
    offset.map(|offset| Class(stored | offset)).ok_or(TooLarge)
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
