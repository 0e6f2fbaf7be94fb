use super::Line;

/// IPv6 addresses of an inner node and of a leaf: two cache lines each, which are fetched together.
const FAN_OUT: usize = 8;
const LEAF: usize = 4;

/// A line cut into intervals, each with a number: a static B+ tree in which a search compares all
/// keys of a node without a branch. Inner nodes have [`FAN_OUT`] children, leaves [`LEAF`] intervals,
/// whose keys and numbers lie side by side: large trees wait for the leaf, so keys and numbers of one should
/// come from memory together.
#[derive(Debug)]
pub(crate) struct Tree {
    inner: Box<[Node]>,
    levels: [Level; LEVELS_MAX],
    levels_count: usize,
    leaves: Box<[Leaf]>,
}

/// Enough for 2^32 leaves at the smallest fan-out, 8.
const LEVELS_MAX: usize = 11;

/// The first points of a node's children but the first child, for which there is no need.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Node([u128; FAN_OUT]);

/// Intervals: where each but the first starts, and the number of each.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Leaf {
    starts: [u128; LEAF],
    values: [u32; LEAF],
}

/// A level of inner nodes, the root's first.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    /// Where its nodes begin.
    first: usize,
    /// The last of the nodes or leaves below.
    child_last: usize,
}

impl Line<u128> for Tree {
    fn new(mut cuts: Vec<(u128, u32)>) -> Self {
        debug_assert!(cuts.is_sorted_by(|a, b| a.0 < b.0));
        if cuts.first().is_none_or(|cut| cut.0 != u128::MIN) {
            cuts.insert(0, (u128::MIN, 0));
        }
        cuts.dedup_by_key(|cut| cut.1);
        let leaves: Box<[_]> = cuts.chunks(LEAF).map(Leaf::new).collect();
        let mut below: Vec<u128> = cuts.iter().step_by(LEAF).map(|cut| cut.0).collect();
        let mut upwards = Vec::new();
        while below.len() > 1 {
            let nodes: Vec<Node> = below.chunks(FAN_OUT).map(Node::new).collect();
            let child_last = below.len() - 1;
            below = below.into_iter().step_by(FAN_OUT).collect();
            upwards.push((nodes, child_last));
        }
        let levels_count = upwards.len();
        let mut levels = [Level::default(); LEVELS_MAX];
        let mut inner = Vec::new();
        for (level, (nodes, child_last)) in levels.iter_mut().zip(upwards.into_iter().rev()) {
            *level = Level {
                first: inner.len(),
                child_last,
            };
            inner.extend(nodes);
        }
        Tree {
            inner: inner.into(),
            levels,
            levels_count,
            leaves,
        }
    }

    #[inline]
    fn get(&self, point: u128) -> u32 {
        let mut index = 0;
        for level in &self.levels[..self.levels_count] {
            let node = &self.inner[level.first + index];
            // Padding keys are the last point and count as reached by it: hence the minimum.
            index = (index * FAN_OUT + rank(&node.0, point)).min(level.child_last);
        }
        let leaf = &self.leaves[index];
        leaf.values[rank(&leaf.starts, point).min(LEAF - 1)]
    }

    fn memory_bytes(&self) -> usize {
        size_of_val(&*self.inner) + size_of_val(&*self.leaves)
    }
}

impl Node {
    /// `firsts` is not empty.
    fn new(firsts: &[u128]) -> Self {
        let mut keys = [u128::MAX; FAN_OUT];
        keys[..firsts.len() - 1].copy_from_slice(&firsts[1..]);
        Node(keys)
    }
}

impl Leaf {
    /// `cuts` is not empty. Padding repeats the last number, so that reaching it is no error.
    fn new(cuts: &[(u128, u32)]) -> Self {
        let mut leaf = Leaf {
            starts: [u128::MAX; LEAF],
            values: [cuts[cuts.len() - 1].1; LEAF],
        };
        for (slot, cut) in cuts.iter().enumerate() {
            leaf.values[slot] = cut.1;
        }
        for (slot, cut) in cuts[1..].iter().enumerate() {
            leaf.starts[slot] = cut.0;
        }
        leaf
    }
}

/// How many keys are not after `point`: the number of the child or interval that it is in.
#[inline]
fn rank<const N: usize>(keys: &[u128; N], point: u128) -> usize {
    keys.iter().map(|&key| usize::from(key <= point)).sum()
}
