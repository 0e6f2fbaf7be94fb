/// A rule as a member of a set: its index, and whether the *other* address of a packet is open to
/// it, so that this set alone decides whether the addresses match ([`OTHER_OPEN`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member(u16);

/// Bits of a rule's index.
pub(super) const RULE_BITS: u32 = 14;

/// The bit of a member that the other address is open to.
const OTHER_OPEN: u16 = 1 << RULE_BITS;

impl Member {
    /// Rule zero, if the other address is not open to it.
    pub(super) const FIRST: Member = Member(0);

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

    /// Fifteen bits.
    pub(super) fn bits(self) -> u16 {
        self.0
    }
}

/// Members of a block.
pub(super) const LANES: usize = 4;

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

impl Block {
    /// No members.
    pub(super) const EMPTY: Block = Block(u64::MAX);

    /// `members` are [`LANES`] at most.
    pub(super) fn of(members: &[Member]) -> Block {
        let put = |block: u64, member: &Member| block << 16 | u64::from(member.0);
        Block(members.iter().rev().fold(u64::MAX, put))
    }

    /// The block with these lanes.
    #[inline]
    pub(super) fn from_lanes(lanes: u64) -> Block {
        Block(lanes)
    }

    /// The members whose rules take the other address: because it is open to them, or because they
    /// are in `other`, too.
    ///
    /// All pairs are compared, four at once and without a branch.
    #[inline]
    pub(super) fn matching(self, other: Block) -> Matching {
        // A lane's sum reaches the top bit unless nothing differs; neither does what is above it count.
        let differing = |lane: usize| {
            let member = (other.0 >> (16 * lane) & 0x7fff) * ONES;
            ((self.0 ^ member) & !TOPS) + !TOPS
        };
        let all_differ = differing(0) & differing(1) & differing(2) & differing(3);
        self.those(self.0 << 1 | !all_differ)
    }

    /// The members whose rules take any other address.
    #[inline]
    pub(super) fn other_open(self) -> Matching {
        self.those(self.0 << 1)
    }

    /// The members, ascending.
    pub(super) fn members(self) -> impl Iterator<Item = Member> {
        self.those(TOPS)
    }

    /// The members whose lane has its top bit in `tops`.
    #[inline]
    pub(super) fn those(self, tops: u64) -> Matching {
        Matching {
            block: self,
            tops: tops & !self.0 & TOPS,
        }
    }
}

/// Some members of a block, ascending.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matching {
    block: Block,
    /// The top bits of their lanes.
    tops: u64,
}

impl Matching {
    /// Whether there are none.
    #[inline]
    pub(super) fn is_empty(self) -> bool {
        self.tops == 0
    }
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
