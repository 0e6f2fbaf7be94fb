use crate::classifier::TooLarge;
use crate::classifier::class::{BLOCKS_MAX, Class};
use crate::classifier::layout::Layout;
use crate::classifier::members::{Block, Member};
use crate::classifier::sets::{Members, Sets, SetsBuilder};
use crate::intervals::{Coverage, Line, Point};

/// Points of a line, by the rules that cover them.
#[derive(Debug)]
pub(super) struct Field<P: Point> {
    /// The words for whose rules the field is open.
    open: Box<[u64]>,
    /// The class of every interval, of rules for which it is not.
    line: P::Line,
    sets: Sets,
}

impl<P: Point> Field<P> {
    /// The field in which the rules cover what `rules` says, in their order; to which of them the
    /// packet's other address is open, too. Takes what it holds from `bytes_left`.
    pub(super) fn new<'a>(
        layout: &Layout,
        rules: impl Iterator<Item = (&'a Coverage<P>, bool)>,
        bytes_left: &mut usize,
    ) -> Result<Self, TooLarge>
    where
        P: 'a,
    {
        let mut edges = Vec::new();
        let mut open = vec![0; layout.summary_len()];
        let mut members = Vec::new();
        for (rule, (coverage, other_open)) in (0..).zip(rules) {
            members.push(Member::new(rule, other_open));
            match coverage {
                Coverage::Whole => {
                    let position = layout.position(usize::from(rule));
                    open[usize::from(position >> 12)] |= 1 << ((position >> 6) & 63);
                }
                Coverage::Ranges(ranges) => {
                    for &(first, last) in ranges {
                        edges.push(first.edge(rule));
                        edges.extend(last.next().map(|after| after.edge(rule)));
                    }
                }
            }
        }
        edges.sort_unstable();
        let members = members.into_iter();
        let mut builder = SetsBuilder::new(layout, members, *bytes_left);
        let mut cuts: Vec<(P, u32)> = Vec::new();
        let mut edges = edges.into_iter().map(P::of_edge).peekable();
        while let Some((point, rule)) = edges.next() {
            builder.toggle(rule);
            while let Some((_, rule)) = edges.next_if(|next| next.0 == point) {
                builder.toggle(rule);
            }
            cuts.push((point, builder.class()?.number()));
        }
        let (sets, bytes) = builder.finish();
        let line = P::Line::new(cuts);
        let bytes = bytes + line.memory_bytes();
        *bytes_left = bytes_left.checked_sub(bytes).ok_or(TooLarge)?;
        let open = open.into();
        Ok(Field { open, line, sets })
    }

    /// The set of the rules that cover `point`.
    #[inline]
    pub(super) fn class(&self, point: P) -> Class {
        Class::from_number(self.line.get(point))
    }

    /// The blocks of a set, which is listed, and how many there are.
    pub(super) fn blocks(&self, class: Class) -> ([Block; BLOCKS_MAX], usize) {
        self.sets.blocks(class)
    }

    /// The rules that `point` leaves possible.
    pub(super) fn candidates(&self, point: P, layout: &Layout) -> Candidates<'_> {
        Candidates {
            open: &self.open,
            members: self.sets.members(self.class(point), layout),
        }
    }

    /// Bytes on the heap.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.open) + self.line.memory_bytes() + self.sets.memory_bytes()
    }
}

/// The rules that one field of a tuple leaves possible.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidates<'a> {
    open: &'a [u64],
    members: Members<'a>,
}

impl<'a> Candidates<'a> {
    /// Every rule of the words in this summary.
    pub(super) fn open(open: &'a [u64]) -> Self {
        Candidates {
            open,
            members: Members::NONE,
        }
    }

    /// Word `index` of the summary: which words may hold one.
    #[inline]
    pub(super) fn summary(&self, index: usize) -> u64 {
        self.open[index] | self.members.summary(index)
    }

    /// Word `word`, which the summary must say may hold one.
    #[inline]
    pub(super) fn word(&self, word: usize) -> u64 {
        if self.open[word / 64] >> (word % 64) & 1 != 0 {
            u64::MAX
        } else {
            self.members.word(word)
        }
    }
}
