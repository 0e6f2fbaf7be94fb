mod builder;

use super::Line;
use builder::Builder;

/// A line of 32 bits cut into intervals: the way to a point is computed, not searched.
///
/// A node divides the span of its cuts into cells of equal width. A cell is a cache line with the
/// starts of its intervals and their numbers; so where cuts are spread, a lookup waits for memory
/// once. Where cuts crowd, a cell is a node of its own over the narrower span of what it holds.
///
/// A node has a cell for every few cuts, and [`builder::CELLS_MIN`] if it can make use of them. So a node
/// within a cell is at most half as wide as the cell, 32 nodes one within the other are the most
/// there can be, and memory is a multiple of the cuts.
#[derive(Debug)]
pub(crate) struct Directory {
    /// Its cells are narrow, and the first ones. A line whose first division is into wide cells has one
    /// cell here, which is their node: so most lookups take one way, without a branch.
    root: Node,
    /// The bits of a distance that are within a cell of the root.
    within: u32,
    cells: Box<[Cell]>,
}

/// Cuts of a line that there may be.
pub(crate) const CUTS_MAX: usize = 1 << 25;

/// The largest number that an interval may have.
pub(crate) const NUMBERS_MAX: u32 = NODE - 1;

/// How wide a cell may be, as a power of two, to tell its starts apart by 15 bits.
const NARROW_SHIFT: u32 = 15;

/// Cells of a span of the line.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    /// Where the first cell begins: before the first cut.
    base: u32,
    /// From there to the last cut. What lies farther is in the same interval.
    extent: u32,
    /// How wide a cell is, as a power of two: up to [`NARROW_SHIFT`] it is a narrow one.
    shift: u32,
    first: u32,
}

/// Intervals of a cell, a cache line.
///
/// Where all intervals but the first start, as distances from where the cell begins, ascending:
///
/// - narrow: 15 bits each in three keys, four lanes of 16 bits a key. The fourth key has 4 bits for
///   each interval, in order: which number is its. So twelve cuts fit as long as the intervals
///   have no more than [`NUMBERS`] different numbers, and they seldom do: that of what surrounds
///   small prefixes comes again and again.
/// - wide: 32 bits each in the halves of all keys, the numbers in the order of the intervals.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Cell {
    keys: [u64; 4],
    /// The first is [`NODE`], whatever the point: the cell is a node, which the last four make up.
    numbers: [u32; NUMBERS],
}

const NUMBERS: usize = 8;

/// The number that stands for a node.
const NODE: u32 = u32::MAX;

/// One in every lane of a key, and the top bit of every lane.
const ONES: u64 = 0x0001_0001_0001_0001;
const TOPS: u64 = ONES << 15;

impl Line<u32> for Directory {
    fn new(mut cuts: Vec<(u32, u32)>) -> Directory {
        debug_assert!(cuts.is_sorted_by(|a, b| a.0 < b.0));
        debug_assert!(cuts.len() <= CUTS_MAX && cuts.iter().all(|cut| cut.1 <= NUMBERS_MAX));
        let mut number = 0;
        cuts.retain(|cut| std::mem::replace(&mut number, cut.1) != cut.1);
        let (root, cells) = Builder::build(&cuts);
        Directory {
            root,
            within: (1 << root.shift) - 1,
            cells: cells.into(),
        }
    }

    #[inline]
    fn get(&self, point: u32) -> u32 {
        let distance = self.root.distance(point);
        let cell = &self.cells[(distance >> self.root.shift) as usize];
        let number = cell.narrow_number(distance & self.within);
        if number == NODE {
            self.descend(cell.node(), point)
        } else {
            number
        }
    }

    fn memory_bytes(&self) -> usize {
        size_of_val(&*self.cells)
    }
}

impl Directory {
    /// The number at `point`, which is in a cell that is this node, or in a node within it.
    #[inline(never)]
    fn descend(&self, mut node: Node, point: u32) -> u32 {
        loop {
            let distance = node.distance(point);
            let cell = &self.cells[(node.first + (distance >> node.shift)) as usize];
            let within = distance & ((1 << node.shift) - 1);
            let number = if node.shift > NARROW_SHIFT {
                cell.wide_number(within)
            } else {
                cell.narrow_number(within)
            };
            if number != NODE {
                return number;
            }
            node = cell.node();
        }
    }
}

impl Node {
    /// How far `point` is from where the first cell begins.
    #[inline]
    fn distance(&self, point: u32) -> u32 {
        point.saturating_sub(self.base).min(self.extent)
    }
}

impl Cell {
    #[inline]
    fn node(&self) -> Node {
        let [.., base, extent, shift, first] = self.numbers;
        Node {
            base,
            extent,
            shift,
            first,
        }
    }

    /// The number `within` a narrow cell.
    #[inline]
    fn narrow_number(&self, within: u32) -> u32 {
        // No lane borrows from the next, and its top bit stays if its start is not after the point.
        let point = (u64::from(within) * ONES) | TOPS;
        let reached = |key: u64| ((point - key) & TOPS) >> 13;
        let [first, second, third, numbers] = self.keys;
        // The product's top lane is the sum of all lanes: four times the starts reached.
        let rank = (reached(first) + reached(second) + reached(third)).wrapping_mul(ONES) >> 48;
        #[expect(clippy::cast_possible_truncation, reason = "less than eight")]
        let number = (numbers >> rank & (NUMBERS as u64 - 1)) as usize;
        self.numbers[number]
    }

    /// The number `within` a wide cell.
    #[inline]
    fn wide_number(&self, within: u32) -> u32 {
        let within = u64::from(within);
        let reached =
            |key: &u64| usize::from(key & 0xffff_ffff <= within) + usize::from(key >> 32 <= within);
        let rank: usize = self.keys.iter().map(reached).sum();
        self.numbers[rank % NUMBERS]
    }
}

/// The same, of ports.
#[derive(Debug)]
pub(crate) struct PortDirectory(Directory);

impl Line<u16> for PortDirectory {
    fn new(cuts: Vec<(u16, u32)>) -> PortDirectory {
        let cuts = cuts.into_iter().map(|cut| (u32::from(cut.0), cut.1));
        PortDirectory(Directory::new(cuts.collect()))
    }

    #[inline]
    fn get(&self, point: u16) -> u32 {
        self.0.get(u32::from(point))
    }

    fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }
}
