//! Which worker serves which device.
//!
//! All queues of a device are on one worker: its flows, limits and counters then have one writer,
//! and need neither locks nor atomic additions. New devices go to the worker that is least busy;
//! now and then the busiest hands one over, if that makes it less busy without making another as
//! busy as it was.

/// A device that a worker can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seat(pub u16);

/// A worker, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub u16);

/// How much of its worker a device took lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// The device.
    pub seat: Seat,
    /// Thousandths of a core.
    pub permille: u32,
}

/// A device that is to change its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The device.
    pub seat: Seat,
    /// Who serves it until now.
    pub from: WorkerId,
    /// Who is to serve it.
    pub to: WorkerId,
}

/// A worker is busy enough to be relieved from here on. Below it polling finds time for everybody,
/// and a move costs more than it brings.
const BUSY_PERMILLE: u32 = 700;

/// What a move must take off the busier of the two workers.
const GAIN_PERMILLE: u32 = 100;

/// Who serves whom.
#[derive(Clone, Debug)]
pub struct Placement {
    /// The devices of each worker with their last loads.
    workers: Vec<Vec<Load>>,
}

impl Placement {
    /// So many workers, and at least one, without devices.
    #[must_use]
    pub fn new(workers: u16) -> Placement {
        Placement {
            workers: vec![Vec::new(); usize::from(workers.max(1))],
        }
    }

    /// Gives a new device to the least busy worker; of those the one with the fewest devices. A
    /// device that has a worker keeps it.
    pub fn seat(&mut self, seat: Seat) -> WorkerId {
        if let Some(worker) = self.worker_of(seat) {
            return worker;
        }
        let least = (0..self.workers.len())
            .min_by_key(|at| (self.permille(*at), self.workers[*at].len()))
            .unwrap_or_default();
        self.workers[least].push(Load { seat, permille: 0 });
        id(least)
    }

    /// A device is gone.
    pub fn vacate(&mut self, seat: Seat) {
        for loads in &mut self.workers {
            loads.retain(|load| load.seat != seat);
        }
    }

    /// Who serves a device.
    #[must_use]
    pub fn worker_of(&self, seat: Seat) -> Option<WorkerId> {
        let serves = |loads: &Vec<Load>| loads.iter().any(|load| load.seat == seat);
        self.workers.iter().position(serves).map(id)
    }

    /// Takes in how busy devices were. Devices that are not placed are ignored.
    pub fn observe(&mut self, loads: &[Load]) {
        for load in loads {
            let mut placed = self.workers.iter_mut().flatten();
            if let Some(placed) = placed.find(|placed| placed.seat == load.seat) {
                placed.permille = load.permille;
            }
        }
    }

    /// The one move that relieves the busiest worker most, if there is one worth its cost. It is
    /// made when this returns; the loads it was decided by stand until the next
    /// [`observe`](Placement::observe).
    pub fn rebalance(&mut self) -> Option<Move> {
        let busiest = (0..self.workers.len()).max_by_key(|at| self.permille(*at))?;
        let idlest = (0..self.workers.len()).min_by_key(|at| self.permille(*at))?;
        let (high, low) = (self.permille(busiest), self.permille(idlest));
        if high < BUSY_PERMILLE {
            return None;
        }
        // The busier of the two, after each possible move.
        let after = |load: &Load| (high - load.permille).max(low + load.permille);
        let (at, best) = self.workers[busiest]
            .iter()
            .enumerate()
            .min_by_key(|(_, load)| after(load))?;
        if after(best) + GAIN_PERMILLE > high {
            return None;
        }
        let load = self.workers[busiest].swap_remove(at);
        self.workers[idlest].push(load);
        Some(Move {
            seat: load.seat,
            from: id(busiest),
            to: id(idlest),
        })
    }

    /// The devices of a worker.
    pub fn seats(&self, worker: WorkerId) -> impl Iterator<Item = Seat> {
        let loads = self.workers.get(usize::from(worker.0));
        loads.into_iter().flatten().map(|load| load.seat)
    }

    fn permille(&self, worker: usize) -> u32 {
        self.workers[worker].iter().map(|load| load.permille).sum()
    }
}

fn id(worker: usize) -> WorkerId {
    WorkerId(u16::try_from(worker).expect("made with a number of sixteen bits"))
}

#[cfg(test)]
mod tests;
