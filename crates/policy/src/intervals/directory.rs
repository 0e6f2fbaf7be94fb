use super::Line;

/// A line of 32 bits cut into intervals: the way to a point is computed, not searched.
///
/// A node divides the span of its cuts into cells of equal width. A cell is a cache line with the
/// starts of its intervals and their numbers; so where cuts are spread, a lookup waits for memory
/// once. Where cuts crowd, a cell leads to a node of its own over the narrower span of what it
/// holds.
///
/// A node has a cell for every few cuts, and [`CELLS_MIN`] if it can make use of them. So a node
/// within a cell is at most half as wide as the cell, 32 nodes one within the other are the most
/// there can be, and memory is a multiple of the cuts.
#[derive(Debug)]
pub(crate) struct Directory {
    root: Node,
    nodes: Box<[Node]>,
    narrow: Box<[NarrowCell]>,
    wide: Box<[WideCell]>,
}

/// Cuts of a line that there may be.
pub(crate) const CUTS_MAX: usize = 1 << 25;

/// Enough for a node within a cell to be narrower, wherever it begins.
const CELLS_MIN: usize = 4;

/// Cuts of a cell on average, at least: a cell is a power of two wide, so there are up to twice as
/// many. Fewer take more memory, more need more nodes.
const NARROW_CUTS: usize = 3;
const WIDE_CUTS: usize = 2;

/// How wide a cell may be, as a power of two, to tell its starts apart by 16 bits.
const NARROW_SHIFT: u32 = 16;

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
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Cell<S, const STARTS: usize, const NUMBERS: usize> {
    /// Where all intervals but the first start, as a distance from where the cell begins. What is
    /// left is filled with the largest number.
    starts: [S; STARTS],
    /// The number of each interval; the last one's is repeated to the end. [`NODE`] and above: the
    /// cell is a node.
    numbers: [u32; NUMBERS],
}

type NarrowCell = Cell<u16, 10, 11>;
type WideCell = Cell<u32, 7, 8>;

/// The largest number that an interval may have.
pub(crate) const NUMBERS_MAX: u32 = NODE - 1;

/// The number that stands for the first node, the next one for the second, and so on.
const NODE: u32 = 3 << 30;

impl Line<u32> for Directory {
    fn new(mut cuts: Vec<(u32, u32)>) -> Directory {
        debug_assert!(cuts.is_sorted_by(|a, b| a.0 < b.0));
        debug_assert!(cuts.len() <= CUTS_MAX && cuts.iter().all(|cut| cut.1 < NODE));
        let mut number = 0;
        cuts.retain(|cut| std::mem::replace(&mut number, cut.1) != cut.1);
        let mut builder = Builder::default();
        let root = builder.node(&cuts, 0);
        Directory {
            root,
            nodes: builder.nodes.into(),
            narrow: builder.narrow.into(),
            wide: builder.wide.into(),
        }
    }

    #[inline]
    fn get(&self, point: u32) -> u32 {
        let mut number = self.number(&self.root, point);
        while number >= NODE {
            number = self.number(&self.nodes[(number - NODE) as usize], point);
        }
        number
    }

    fn memory_bytes(&self) -> usize {
        size_of_val(&*self.nodes) + size_of_val(&*self.narrow) + size_of_val(&*self.wide)
    }
}

impl Directory {
    /// The number of the interval that `point` is in, or of the node.
    #[inline]
    fn number(&self, node: &Node, point: u32) -> u32 {
        let distance = point.saturating_sub(node.base).min(node.extent);
        let cell = (node.first + (distance >> node.shift)) as usize;
        let within = distance & ((1 << node.shift) - 1);
        if node.shift > NARROW_SHIFT {
            self.wide[cell].number(Start::of(within))
        } else {
            self.narrow[cell].number(Start::of(within))
        }
    }
}

impl<S: Start, const STARTS: usize, const NUMBERS: usize> Cell<S, STARTS, NUMBERS> {
    #[inline]
    fn number(&self, within: S) -> u32 {
        // Counting by twos is the same count, but keeps LLVM from a bit mask whose bits it then adds
        // one by one; and the first eight are apart, so that it compares them at once.
        let (front, back) = self.starts.split_at(STARTS.min(8));
        let twice = |starts: &[S]| -> u16 {
            let reached = starts
                .iter()
                .map(|start| if *start <= within { 2 } else { 0 });
            reached.sum()
        };
        let rank = (twice(front) + twice(back)) / 2;
        self.numbers[usize::from(rank)]
    }

    /// The cell of `cuts`, which are in it, and before which the line has `number`.
    fn new(cuts: &[(u32, u32)], division: Division, number: u32) -> Self {
        let mut cell = Cell {
            starts: [S::LARGEST; STARTS],
            numbers: [number; NUMBERS],
        };
        for (index, cut) in cuts.iter().enumerate() {
            cell.starts[index] = S::of((cut.0 - division.base) & ((1 << division.shift) - 1));
            cell.numbers[index + 1..].fill(cut.1);
        }
        cell
    }
}

/// A distance within a cell that it may have.
trait Start: Copy + Ord {
    const LARGEST: Self;

    fn of(within: u32) -> Self;
}

impl Start for u16 {
    const LARGEST: u16 = u16::MAX;

    #[inline]
    fn of(within: u32) -> u16 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a narrow cell is 2^16 wide at most"
        )]
        let within = within as u16;
        within
    }
}

impl Start for u32 {
    const LARGEST: u32 = u32::MAX;

    #[inline]
    fn of(within: u32) -> u32 {
        within
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

#[derive(Default)]
struct Builder {
    nodes: Vec<Node>,
    narrow: Vec<NarrowCell>,
    wide: Vec<WideCell>,
}

/// Which cells a node has.
#[derive(Clone, Copy)]
struct Division {
    base: u32,
    shift: u32,
    count: usize,
}

impl Division {
    /// The finest division of `cuts` into at most `cells_max` cells that begins before the first.
    fn new(cuts: &[(u32, u32)], cells_max: usize) -> Division {
        let first = cuts.first().map_or(0, |cut| cut.0.saturating_sub(1));
        let last = cuts.last().map_or(0, |cut| cut.0);
        let by = |shift: u32| {
            let base = first >> shift << shift;
            let count = ((last - base) >> shift) as usize + 1;
            Division { base, shift, count }
        };
        let fits = |division: &Division| division.count <= cells_max;
        (0..32).map(by).find(fits).unwrap_or(by(31))
    }

    /// The cell that `point` is in.
    fn cell(&self, point: u32) -> usize {
        ((point - self.base) >> self.shift) as usize
    }

    /// That of a node of `cuts`.
    fn of_node(cuts: &[(u32, u32)]) -> Division {
        let at_most = |cells: usize| Division::new(cuts, cells.max(CELLS_MIN));
        let wide = at_most(cuts.len() / WIDE_CUTS);
        let narrow = at_most(cuts.len() / NARROW_CUTS);
        if narrow.shift > NARROW_SHIFT {
            wide
        } else {
            narrow
        }
    }
}

impl Builder {
    /// A node of `cuts`, before which the line has `number`.
    fn node(&mut self, cuts: &[(u32, u32)], number: u32) -> Node {
        let division = Division::of_node(cuts);
        let first = if division.shift > NARROW_SHIFT {
            self.cells(division, cuts, number, |builder| &mut builder.wide)
        } else {
            self.cells(division, cuts, number, |builder| &mut builder.narrow)
        };
        Node {
            base: division.base,
            extent: cuts.last().map_or(0, |cut| cut.0 - division.base),
            shift: division.shift,
            first: count_u32(first),
        }
    }

    /// Puts the cells of a node among those of their kind, and tells where.
    fn cells<S: Start, const STARTS: usize, const NUMBERS: usize>(
        &mut self,
        division: Division,
        mut cuts: &[(u32, u32)],
        mut number: u32,
        kind: fn(&mut Builder) -> &mut Vec<Cell<S, STARTS, NUMBERS>>,
    ) -> usize {
        let first = kind(self).len();
        let empty = Cell::new(&[], division, number);
        kind(self).resize(first + division.count, empty);
        for index in 0..division.count {
            let inside = |cut: &(u32, u32)| division.cell(cut.0) <= index;
            let (here, after) = cuts.split_at(cuts.iter().take_while(|cut| inside(cut)).count());
            let cell = if here.len() <= STARTS {
                Cell::new(here, division, number)
            } else {
                let node = self.node(here, number);
                self.nodes.push(node);
                Cell::new(&[], division, NODE + count_u32(self.nodes.len() - 1))
            };
            kind(self)[first + index] = cell;
            number = here.last().map_or(number, |cut| cut.1);
            cuts = after;
        }
        first
    }
}

/// A number of cells or nodes, of which the limit on cuts allows fewer than 2^30.
fn count_u32(count: usize) -> u32 {
    u32::try_from(count).expect("cells are fewer than 2^30")
}
