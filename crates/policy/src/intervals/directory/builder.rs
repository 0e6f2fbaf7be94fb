use super::{Cell, NARROW_SHIFT, NODE, NUMBERS, Node, TOPS};

/// Enough for a node within a cell to be narrower, wherever it begins.
pub(super) const CELLS_MIN: usize = 4;

/// Cuts of a cell on average, at least: a cell is a power of two wide, so there are up to twice as
/// many. Fewer take more memory, more need more nodes.
const NARROW_CUTS: usize = 4;
const WIDE_CUTS: usize = 2;

/// Starts that a cell has room for.
const NARROW_STARTS: usize = 12;
const WIDE_STARTS: usize = NUMBERS - 1;

/// Makes the cells of a directory, node by node.
#[derive(Default)]
pub(super) struct Builder {
    cells: Vec<Cell>,
}

impl Builder {
    /// The root of `cuts`, and all cells.
    pub(super) fn build(cuts: &[(u32, u32)]) -> (Node, Vec<Cell>) {
        let mut builder = Builder::default();
        let division = Division::of_node(cuts);
        if !division.is_wide() {
            let root = builder.node(cuts, 0);
            return (root, builder.cells);
        }
        let point = Division {
            base: 0,
            shift: 0,
            count: 1,
        };
        builder.cells.push(point.cell(0).full());
        let node = builder.node(cuts, 0);
        builder.cells[0] = point.cell(NODE).node(node);
        (Node::default(), builder.cells)
    }

    /// A node of `cuts`, before which the line has `number`. Its cells are at the end when they are
    /// made, and those of the nodes within them behind.
    fn node(&mut self, mut cuts: &[(u32, u32)], mut number: u32) -> Node {
        let division = Division::of_node(cuts);
        let first = self.cells.len();
        let extent = cuts.last().map_or(0, |cut| cut.0 - division.base);
        let empty = division.cell(number).full();
        self.cells.resize(first + division.count, empty);
        for index in 0..division.count {
            let inside = |cut: &&(u32, u32)| division.index(cut.0) <= index;
            let (here, after) = cuts.split_at(cuts.iter().take_while(inside).count());
            let mut open = division.cell(number);
            let fits = here
                .iter()
                .all(|&cut| open.push(division.within(cut.0), cut.1));
            self.cells[first + index] = if fits {
                open.full()
            } else {
                division.cell(NODE).node(self.node(here, number))
            };
            number = here.last().map_or(number, |cut| cut.1);
            cuts = after;
        }
        Node {
            base: division.base,
            extent,
            shift: division.shift,
            // The limit on cuts allows fewer than 2^30.
            first: u32::try_from(first).expect("cells are fewer than 2^30"),
        }
    }
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

    /// That of a node of `cuts`.
    fn of_node(cuts: &[(u32, u32)]) -> Division {
        let at_most = |cells: usize| Division::new(cuts, cells.max(CELLS_MIN));
        let wide = at_most(cuts.len() / WIDE_CUTS);
        let narrow = at_most(cuts.len() / NARROW_CUTS);
        if narrow.is_wide() { wide } else { narrow }
    }

    /// Whether its cells are wide ones.
    fn is_wide(&self) -> bool {
        self.shift > NARROW_SHIFT
    }

    /// The cell that `point` is in.
    fn index(&self, point: u32) -> usize {
        ((point - self.base) >> self.shift) as usize
    }

    /// How far from where its cell begins `point` is.
    fn within(&self, point: u32) -> u32 {
        (point - self.base) & ((1 << self.shift) - 1)
    }

    /// A cell that begins with `number`.
    fn cell(&self, number: u32) -> OpenCell {
        OpenCell {
            wide: self.is_wide(),
            starts: [u32::MAX; NARROW_STARTS],
            starts_count: 0,
            places: [0; NARROW_STARTS + 1],
            numbers: [number; NUMBERS],
            numbers_count: 1,
        }
    }
}

/// A cell that intervals are put into.
struct OpenCell {
    wide: bool,
    starts: [u32; NARROW_STARTS],
    starts_count: usize,
    /// Which number is each interval's, the first one's included.
    places: [usize; NARROW_STARTS + 1],
    numbers: [u32; NUMBERS],
    numbers_count: usize,
}

impl OpenCell {
    /// Lets the intervals' numbers go on with `number` from `within` on, which is after all before.
    /// Whether there was room.
    fn push(&mut self, within: u32, number: u32) -> bool {
        if within == 0 {
            self.numbers = [number; NUMBERS];
            return true;
        }
        let known = if self.wide {
            None
        } else {
            let known = &self.numbers[..self.numbers_count];
            known.iter().position(|&known| known == number)
        };
        let starts_max = if self.wide {
            WIDE_STARTS
        } else {
            NARROW_STARTS
        };
        if self.starts_count == starts_max || known.is_none() && self.numbers_count == NUMBERS {
            return false;
        }
        let place = known.unwrap_or_else(|| {
            self.numbers[self.numbers_count] = number;
            self.numbers_count += 1;
            self.numbers_count - 1
        });
        self.starts[self.starts_count] = within;
        self.starts_count += 1;
        self.places[self.starts_count] = place;
        true
    }

    /// The cell, with all it will hold.
    fn full(self) -> Cell {
        let keys = if self.wide {
            let halves =
                |at: usize| u64::from(self.starts[at]) | u64::from(self.starts[at + 1]) << 32;
            [0, 2, 4, 6].map(halves)
        } else {
            // What is left of the starts is the last point: who reaches it stays in the last interval.
            let lanes = |at: usize| {
                let starts = self.starts[at..at + 4].iter().rev();
                starts.fold(0, |key, &start| {
                    key << 16 | u64::from(start) & !TOPS & 0xffff
                })
            };
            let last = self.places[self.starts_count];
            let place = |interval: usize| {
                if interval <= self.starts_count {
                    self.places[interval]
                } else {
                    last
                }
            };
            let places = (0..=NARROW_STARTS).rev();
            let places = places.fold(0, |key, interval| key << 4 | place(interval) as u64);
            [lanes(0), lanes(4), lanes(8), places]
        };
        Cell {
            keys,
            numbers: self.numbers,
        }
    }

    /// The cell, whose only interval has the number of a node, as that node.
    fn node(self, node: Node) -> Cell {
        let mut cell = self.full();
        let [.., base, extent, shift, first] = &mut cell.numbers;
        (*base, *extent, *shift, *first) = (node.base, node.extent, node.shift, node.first);
        cell
    }
}
