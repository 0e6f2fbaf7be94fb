use crate::classifier::TooLarge;
use crate::classifier::members::{Block, Matching, Member};
use crate::intervals::NUMBERS_MAX;

/// A set of rules, by reference: how it is stored, and where.
///
/// Most intervals are covered by one or two rules, such as one for hosts and one for the whole
/// network: such a set is its own class, and costs no memory and no cache miss beyond the interval's.
/// Its members are in the two halves of the number, in the order of their rules from below, as in a
/// [`Block`] but with every bit turned; zero, then, is the empty set.
///
/// A number with the top bit of the upper half but not of the lower is no such set. The other 30
/// bits say where it is stored:
///
/// ```text
/// 0 29 bits           number of a block
/// 10 2 bits 26 bits   how many blocks follow the first, whose number it is
/// 11 28 bits          offset into `Sets::many`
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class(u32);

/// The top bits of the halves, and those a stored set's class has of them.
const TOPS: u32 = 0x8000_8000;
const STORED: u32 = 0x8000_0000;

/// Where a set is stored that is not its own class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In this many blocks, from this one on.
    Blocks(usize, usize),
    /// Bit by bit, from this word on.
    Many(usize),
}

/// The tags and widths of places.
const LONG: u32 = 0b10 << 28;
const MANY: u32 = 0b11 << 28;
const BLOCK_BITS: u32 = 29;
const LONG_BITS: u32 = 26;
const MANY_BITS: u32 = 28;

/// Blocks of the longest list. One of 17 rules or more is a bit vector.
pub(super) const BLOCKS_MAX: usize = 4;

// That of all members but none is rule zero twice, which no set is: so lines have it for themselves.
const _: () = assert!(NUMBERS_MAX == u32::MAX - 1);

impl Class {
    /// The empty set.
    pub(super) const EMPTY: Class = Class(0);

    /// What a line says.
    #[inline]
    pub(super) fn from_number(number: u32) -> Class {
        Class(number)
    }

    /// For a line to say.
    pub(super) fn number(self) -> u32 {
        self.0
    }

    /// The set of one member, or of two different ones, which ascend.
    pub(super) fn of(first: Member, second: Option<Member>) -> Class {
        let [first, second] = [Some(first), second]
            .map(|member| member.map_or(0, |member| u32::from(!member.bits())));
        Class(first | second << 16)
    }

    /// The set that is stored at `place`, where it cannot be too far.
    pub(super) fn at(place: Place) -> Result<Class, TooLarge> {
        let place = match place {
            Place::Blocks(first, 1) => within(first, BLOCK_BITS)?,
            Place::Blocks(first, count) => {
                LONG | within(count - 1, 2)? << LONG_BITS | within(first, LONG_BITS)?
            }
            Place::Many(offset) => MANY | within(offset, MANY_BITS)?,
        };
        Ok(Class(STORED | (place & !0x7fff) << 1 | place & 0x7fff))
    }

    /// Whether the set is its own class.
    #[inline]
    pub(super) fn is_own(self) -> bool {
        self.0 & TOPS != STORED
    }

    /// Whether blocks hold the set.
    #[inline]
    pub(super) fn is_listed(self) -> bool {
        !matches!(self.place(), Some(Place::Many(_)))
    }

    /// Where the set is stored, unless it is its own class.
    pub(super) fn place(self) -> Option<Place> {
        if self.is_own() {
            return None;
        }
        let place = self.0 & 0x7fff | self.0 >> 1 & 0x3fff_8000;
        let field = |bits: u32| (place & ((1 << bits) - 1)) as usize;
        Some(if place < LONG {
            Place::Blocks(field(BLOCK_BITS), 1)
        } else if place < MANY {
            Place::Blocks(field(LONG_BITS), (field(MANY_BITS) >> LONG_BITS) + 1)
        } else {
            Place::Many(field(MANY_BITS))
        })
    }

    /// The set's block, if it is its own class.
    #[inline]
    pub(super) fn block(self) -> Block {
        Block::from_lanes(!u64::from(self.0))
    }

    /// [`Block::matching`] of the blocks of two sets that are their own classes, at a third of the cost.
    #[inline]
    pub(super) fn matching(self, other: Class) -> Matching {
        // A half's sum reaches the top bit unless nothing differs.
        let differing = |other: u32| ((self.0 ^ other) & !TOPS) + !TOPS;
        let all_differ = differing(other.0) & differing(other.0.rotate_left(16));
        self.block().those(u64::from(!self.0 << 1 | !all_differ))
    }
}

fn within(offset: usize, bits: u32) -> Result<u32, TooLarge> {
    let offset = u32::try_from(offset).map_err(|_| TooLarge)?;
    if offset >> bits == 0 {
        Ok(offset)
    } else {
        Err(TooLarge)
    }
}

#[cfg(test)]
mod tests;
