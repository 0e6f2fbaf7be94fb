use proptest::prelude::*;

use super::*;

fn placed(workers: u16, permilles: &[u32]) -> Placement {
    let mut placement = Placement::new(workers);
    for (at, permille) in (0..).zip(permilles) {
        placement.seat(Seat(at));
        placement.observe(&[Load {
            seat: Seat(at),
            permille: *permille,
        }]);
    }
    placement
}

#[test]
fn devices_spread_over_idle_workers() {
    let placement = placed(3, &[0; 6]);
    for worker in 0..3 {
        assert_eq!(placement.seats(WorkerId(worker)).count(), 2);
    }
}

#[test]
fn a_device_has_one_worker_until_it_goes() {
    let mut placement = Placement::new(2);
    let first = placement.seat(Seat(7));
    assert_eq!(placement.seat(Seat(7)), first);
    placement.vacate(Seat(7));
    assert_eq!(placement.worker_of(Seat(7)), None);
}

#[test]
fn the_busiest_is_relieved_once_it_is_worth_it() {
    let mut placement = Placement::new(2);
    for seat in 0..3 {
        placement.workers[0].push(Load {
            seat: Seat(seat),
            permille: 300,
        });
    }
    let moved = placement.rebalance().expect("900 against 0");
    assert_eq!((moved.from, moved.to), (WorkerId(0), WorkerId(1)));
    assert_eq!(placement.worker_of(moved.seat), Some(WorkerId(1)));
    // 600 against 300 is no worse than any move makes it.
    assert_eq!(placement.rebalance(), None);
}

#[test]
fn one_device_that_fills_a_worker_stays() {
    let mut placement = placed(2, &[1_000, 0]);
    assert_eq!(placement.rebalance(), None);
}

#[test]
fn a_host_that_is_not_busy_is_left_in_peace() {
    let mut placement = Placement::new(2);
    for seat in 0..2 {
        placement.workers[0].push(Load {
            seat: Seat(seat),
            permille: 300,
        });
    }
    assert_eq!(placement.rebalance(), None);
}

proptest! {
    /// No device is lost or doubled, the busiest only ever gets less busy, and it ends.
    #[test]
    fn moves_help_and_end(
        workers in 1u16..8,
        permilles in prop::collection::vec(0u32..1_000, 0..64),
    ) {
        let mut placement = placed(workers, &permilles);
        let busiest = |placement: &Placement| {
            (0..usize::from(workers)).map(|at| placement.permille(at)).max()
        };
        let mut high = busiest(&placement);
        let mut moves = 0;
        while placement.rebalance().is_some() {
            let now = busiest(&placement);
            prop_assert!(now <= high);
            high = now;
            moves += 1;
            prop_assert!(moves <= 64 * 64);
        }
        let mut seats: Vec<Seat> = (0..workers)
            .flat_map(|worker| placement.seats(WorkerId(worker)).collect::<Vec<_>>())
            .collect();
        seats.sort();
        let all: Vec<Seat> = (0..).map(Seat).take(permilles.len()).collect();
        prop_assert_eq!(seats, all);
    }
}
