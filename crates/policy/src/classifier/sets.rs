mod builder;

use crate::classifier::class::{BLOCKS_MAX, Class, Place};
use crate::classifier::layout::Layout;
use crate::classifier::members::{Block, LANES};

pub(super) use builder::SetsBuilder;

/// Interned sets.
#[derive(Debug)]
pub(super) struct Sets {
    /// Lists, block by block.
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
    /// The blocks of the set that `class` stands for, which is listed, and how many there are.
    pub(super) fn blocks(&self, class: Class) -> ([Block; BLOCKS_MAX], usize) {
        let mut blocks = [Block::EMPTY; BLOCKS_MAX];
        if let Some(Place::Blocks(first, count)) = class.place() {
            blocks[..count].copy_from_slice(&self.blocks[first..first + count]);
            (blocks, count)
        } else {
            blocks[0] = class.block();
            (blocks, 1)
        }
    }

    /// The set that `class` stands for.
    pub(super) fn members(&self, class: Class, layout: &Layout) -> Members<'_> {
        if let Some(Place::Many(offset)) = class.place() {
            let (summary, words) = self.many[offset..].split_at(self.summary_len);
            return Members::Many { summary, words };
        }
        let (mut positions, mut count) = ([0; BLOCKS_MAX * LANES], 0);
        let (blocks, _) = self.blocks(class);
        for member in blocks.into_iter().flat_map(Block::members) {
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

/// Where a position's word is in a summary: which of its words, and the bit.
fn mark(position: u16) -> (usize, u64) {
    (usize::from(position >> 12), 1 << ((position >> 6) & 63))
}
