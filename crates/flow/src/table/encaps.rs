//! The tunnel ends that entries name, each kept once and counted.
//!
//! Hosts are few and flows are many: an entry holds a number of two bytes where an
//! [`Encap`] takes forty.

use crate::Encap;

/// The number of an interned tunnel end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EncapId(pub(super) u16);

const NIL: u16 = u16::MAX;

#[derive(Clone, Copy)]
struct Cell {
    /// `None` while the cell is free.
    encap: Option<Encap>,
    users: u32,
    /// The next cell of the same chain, or of the free ones.
    next: u16,
}

pub(super) struct Encaps {
    cells: Box<[Cell]>,
    chains: Box<[u16]>,
    free: u16,
}

impl Encaps {
    /// `count_max` is less than 65,535, which is no cell.
    pub(super) fn with_capacity(count_max: u16) -> Encaps {
        assert!(
            0 < count_max && count_max < NIL,
            "cells have numbers below {NIL}"
        );
        let next = |number| {
            if number + 1 == count_max {
                NIL
            } else {
                number + 1
            }
        };
        let cell = |number| Cell {
            encap: None,
            users: 0,
            next: next(number),
        };
        Encaps {
            cells: (0..count_max).map(cell).collect(),
            chains: vec![NIL; usize::from(count_max)].into_boxed_slice(),
            free: 0,
        }
    }

    /// The number of a tunnel end, which has one user more; `None` when all cells are in use.
    pub(super) fn take(&mut self, hash: u64, encap: &Encap) -> Option<EncapId> {
        let chain = self.chain(hash);
        let mut at = self.chains[chain];
        while at != NIL {
            let cell = &mut self.cells[usize::from(at)];
            if cell.encap.as_ref() == Some(encap) {
                cell.users += 1;
                return Some(EncapId(at));
            }
            at = cell.next;
        }
        let number = self.free;
        if number == NIL {
            return None;
        }
        let cell = &mut self.cells[usize::from(number)];
        self.free = cell.next;
        *cell = Cell {
            encap: Some(*encap),
            users: 1,
            next: self.chains[chain],
        };
        self.chains[chain] = number;
        Some(EncapId(number))
    }

    #[inline]
    pub(super) fn get(&self, id: EncapId) -> Option<&Encap> {
        self.cells.get(usize::from(id.0))?.encap.as_ref()
    }

    /// One user less. `hash` is the one the tunnel end was taken with.
    pub(super) fn release(&mut self, hash: u64, id: EncapId) {
        let number = usize::from(id.0);
        self.cells[number].users -= 1;
        if self.cells[number].users > 0 {
            return;
        }
        let after = self.cells[number].next;
        let chain = self.chain(hash);
        if self.chains[chain] == id.0 {
            self.chains[chain] = after;
        } else {
            let mut at = usize::from(self.chains[chain]);
            while self.cells[at].next != id.0 {
                at = usize::from(self.cells[at].next);
            }
            self.cells[at].next = after;
        }
        self.cells[number] = Cell {
            encap: None,
            users: 0,
            next: self.free,
        };
        self.free = id.0;
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.cells) + size_of_val(&*self.chains)
    }

    fn chain(&self, hash: u64) -> usize {
        let scaled = u128::from(hash) * self.chains.len() as u128;
        usize::try_from(scaled >> 64).expect("less than the number of chains")
    }
}

#[cfg(test)]
mod tests;
