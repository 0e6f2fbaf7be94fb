//! What moving packets between two guests' rings costs when nothing is decided about them: the
//! ceiling of any switch that does.
//!
//! One guest offers packets (a 12-byte virtio-net header before each), the device takes them, copies
//! each once into a buffer that another guest offered, and gives both back. Kicks are off on both
//! sides. Packets are written once, before the start, so that a generator's own work is not counted.
//!
//! ```console
//! $ cargo run --release -p vring --example ring_copy -- --rounds 5
//! $ cargo run --release -p vring --example ring_copy -- --threads 2 --json
//! $ valgrind --tool=callgrind --toggle-collect='*device_turn*' \
//!       target/release/examples/ring_copy --only split/any/64/64 --packets 100000 --rounds 1
//! ```
//!
//! With one thread the two sides take turns, and the time of each is told apart; with two, the device
//! has one of its own, as a switch's core does.

mod lane;
mod options;
mod report;

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lane::{Case, Guests, Wire};
use options::Options;
use report::Figures;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::from_arguments(std::env::args().skip(1))?;
    let cases = options.cases();
    let mut measured: Vec<Vec<Figures>> = vec![Vec::new(); cases.len()];
    // Rounds outside, so that what else the machine does falls on all cases alike.
    for _ in 0..options.rounds {
        for (case, figures) in cases.iter().zip(&mut measured) {
            figures.push(measure(*case, &options)?);
        }
    }
    let medians: Vec<_> = cases
        .into_iter()
        .zip(measured)
        .map(|(case, figures)| (case, report::median(figures)))
        .collect();
    if options.json {
        println!("{}", report::json(&medians, &options));
    } else {
        print!("{}", report::table(&medians, &options));
    }
    Ok(())
}

fn measure(case: Case, options: &Options) -> Result<Figures, Box<dyn Error>> {
    let (guests, wire) = lane::set_up(case, options.size)?;
    let figures = if options.two_threads {
        on_two_threads(guests, wire, options.packets)?
    } else {
        in_turns(guests, wire, options.packets)?
    };
    Ok(figures)
}

/// One thread: each side does a batch, and then the other one.
fn in_turns(mut guests: Guests, mut wire: Wire, packets: u64) -> Result<Figures, Box<dyn Error>> {
    // Once around the rings first, so that all pages are there.
    let warm = u64::from(guests.size()) * 2;
    let (mut driver, mut device) = (Duration::ZERO, Duration::ZERO);
    let mut start = Instant::now();
    let mut counting = false;
    while guests.received() < warm + packets {
        if !counting && guests.received() >= warm {
            (driver, device, start) = (Duration::ZERO, Duration::ZERO, Instant::now());
            counting = true;
        }
        let begin = Instant::now();
        guests.turn()?;
        let middle = Instant::now();
        wire.device_turn()?;
        device += middle.elapsed();
        driver += middle - begin;
    }
    let counted = guests.received() - warm;
    let whole = start.elapsed();
    guests.check()?;
    Ok(Figures::new(counted, whole, Some((driver, device))))
}

/// Two threads: the device runs until it is told to stop.
fn on_two_threads(guests: Guests, wire: Wire, packets: u64) -> Result<Figures, Box<dyn Error>> {
    let (mut guests, mut wire) = (guests, wire);
    let warm = u64::from(guests.size()) * 2;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let device = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                if wire.device_turn()? == 0 {
                    std::hint::spin_loop();
                }
            }
            Ok::<(), vring::broken::Broken>(())
        });
        let driven = drive(&mut guests, warm, packets, || device.is_finished());
        stop.store(true, Ordering::Relaxed);
        let served = device
            .join()
            .map_err(|_| "device's thread ended by a panic")?;
        served?;
        let (counted, whole) = driven?;
        guests.check()?;
        Ok(Figures::new(counted, whole, None))
    })
}

/// The guests' side of two threads: packets counted, and the time they took.
fn drive(
    guests: &mut Guests,
    warm: u64,
    packets: u64,
    ended: impl Fn() -> bool,
) -> Result<(u64, Duration), Box<dyn Error>> {
    let mut start = None;
    while guests.received() < warm + packets {
        if guests.turn()? == 0 {
            if ended() {
                return Err("device stopped".into());
            }
            std::hint::spin_loop();
        }
        if guests.received() >= warm {
            start.get_or_insert_with(|| (guests.received(), Instant::now()));
        }
    }
    let (before, start) = start.ok_or("nothing counted")?;
    Ok((guests.received() - before, start.elapsed()))
}
