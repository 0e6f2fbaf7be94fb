//! Queues of flows, threaded through one array of links.
//!
//! A list is a ring closed by a sentinel that lives before the nodes in the same array. So a node
//! is unlinked without knowing which list it is in, and a node in no list is a ring of itself.
//! Links are touched as their nodes are used for the first time.

use std::ops::Range;

/// The number of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ListId(pub(super) u32);

#[derive(Clone, Copy)]
struct Link {
    next: u32,
    prev: u32,
}

impl Link {
    /// Of a node, or a sentinel, that is alone.
    fn ring(index: u32) -> Link {
        Link {
            next: index,
            prev: index,
        }
    }
}

/// A fixed number of nodes, each in at most one of a fixed number of lists.
pub(super) struct Lists {
    links: Vec<Link>,
    /// How many sentinels there are, and so where the first node's link is.
    lists: u32,
    /// One bit per list: whether it has a node.
    occupied: Box<[u64]>,
}

impl Lists {
    pub(super) const BYTES_PER_NODE: usize = size_of::<Link>();

    pub(super) fn new(nodes: u32, lists: u32) -> Lists {
        let end = nodes
            .checked_add(lists)
            .expect("the caller leaves room for the sentinels");
        let mut links = Vec::with_capacity(end as usize);
        links.extend((0..lists).map(Link::ring));
        Lists {
            links,
            lists,
            occupied: vec![0; (lists as usize).div_ceil(64)].into_boxed_slice(),
        }
    }

    /// Puts a node, which must be in no list, at the end of one.
    pub(super) fn push_back(&mut self, list: ListId, node: u32) {
        let (sentinel, node) = (list.0, self.touch(node));
        debug_assert_eq!(self.link(node).next, node);
        let last = self.link(sentinel).prev;
        *self.link_mut(node) = Link {
            next: sentinel,
            prev: last,
        };
        self.link_mut(last).next = node;
        self.link_mut(sentinel).prev = node;
        self.occupied[list.0 as usize / 64] |= 1 << (list.0 % 64);
    }

    /// Takes a node out of the list it is in, if any.
    pub(super) fn unlink(&mut self, node: u32) {
        let node = self.touch(node);
        let Link { next, prev } = self.link(node);
        self.link_mut(prev).next = next;
        self.link_mut(next).prev = prev;
        *self.link_mut(node) = Link {
            next: node,
            prev: node,
        };
        if next == prev && next < self.lists {
            self.occupied[next as usize / 64] &= !(1 << (next % 64));
        }
    }

    /// The node that is longest in the list.
    pub(super) fn front(&self, list: ListId) -> Option<u32> {
        self.link(list.0).next.checked_sub(self.lists)
    }

    /// The nodes of a list, the longest in it first.
    pub(super) fn nodes(&self, list: ListId) -> impl Iterator<Item = u32> {
        let after = |at: u32| self.link(at).next.checked_sub(self.lists);
        std::iter::successors(after(list.0), move |node| after(node + self.lists))
    }

    /// The first list of the range that has a node.
    pub(super) fn first_occupied(&self, range: Range<u32>) -> Option<ListId> {
        let mut at = range.start;
        while at < range.end {
            let rest = self.occupied[at as usize / 64] >> (at % 64);
            if rest != 0 {
                let found = at + rest.trailing_zeros();
                return (found < range.end).then_some(ListId(found));
            }
            at = (at / 64 + 1) * 64;
        }
        None
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.links.capacity() * size_of::<Link>() + size_of_val(&*self.occupied)
    }

    /// The index of a node's link, which is there from now on.
    fn touch(&mut self, node: u32) -> u32 {
        let index = node + self.lists;
        let touched = u32::try_from(self.links.len()).expect("at most `lists` and all nodes");
        self.links.extend((touched..=index).map(Link::ring));
        index
    }

    fn link(&self, index: u32) -> Link {
        self.links[index as usize]
    }

    fn link_mut(&mut self, index: u32) -> &mut Link {
        &mut self.links[index as usize]
    }
}

#[cfg(test)]
mod tests;
