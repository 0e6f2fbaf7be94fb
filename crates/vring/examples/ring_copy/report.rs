//! Figures, and how they are shown.

use std::fmt::Write;
use std::time::Duration;

use crate::lane::Case;
use crate::options::Options;

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) packets: u64,
    /// Nanoseconds for each packet: all, and of that the drivers' and the device's where one thread
    /// does both.
    pub(crate) ns: f64,
    pub(crate) sides: Option<(f64, f64)>,
}

impl Figures {
    pub(crate) fn new(packets: u64, whole: Duration, sides: Option<(Duration, Duration)>) -> Self {
        let each = |time: Duration| time.as_secs_f64() * 1e9 / packets as f64;
        Self {
            packets,
            ns: each(whole),
            sides: sides.map(|(driver, device)| (each(driver), each(device))),
        }
    }

    fn mpps(self) -> f64 {
        1e3 / self.ns
    }
}

/// The one in the middle, by time for each packet.
pub(crate) fn median(mut figures: Vec<Figures>) -> Figures {
    figures.sort_by(|one, other| one.ns.total_cmp(&other.ns));
    figures[figures.len() / 2]
}

pub(crate) fn table(measured: &[(Case, Figures)], options: &Options) -> String {
    let mut text = String::new();
    let _infallible = writeln!(
        text,
        "{:<8}{:<10}{:>6}{:>7}{:>9}{:>8}{:>11}{:>11}",
        "format", "order", "bytes", "batch", "Mpps", "ns", "driver ns", "device ns"
    );
    for (case, figures) in measured {
        let side = |pick: fn((f64, f64)) -> f64| {
            let side = figures.sides.map(pick);
            side.map_or_else(|| "-".to_owned(), |ns| format!("{ns:.1}"))
        };
        let _infallible = writeln!(
            text,
            "{:<8}{:<10}{:>6}{:>7}{:>9.2}{:>8.1}{:>11}{:>11}",
            case.format(),
            case.order(),
            case.len,
            case.batch,
            figures.mpps(),
            figures.ns,
            side(|sides| sides.0),
            side(|sides| sides.1),
        );
    }
    let threads = if options.two_threads { 2 } else { 1 };
    let (rounds, size) = (options.rounds, options.size);
    let _infallible = writeln!(
        text,
        "threads {threads}, queues of {size}, median of {rounds}"
    );
    text
}

pub(crate) fn json(measured: &[(Case, Figures)], options: &Options) -> String {
    let rows = measured.iter().map(|(case, figures)| {
        let (driver, device) = match figures.sides {
            Some((driver, device)) => (format!("{driver:.2}"), format!("{device:.2}")),
            None => ("null".to_owned(), "null".to_owned()),
        };
        format!(
            "  {{\"format\": \"{}\", \"order\": \"{}\", \"bytes\": {}, \"batch\": {}, \
             \"packets\": {}, \"pps\": {:.0}, \"ns\": {:.2}, \"driver_ns\": {driver}, \
             \"device_ns\": {device}, \"threads\": {}, \"queue_size\": {}, \"rounds\": {}}}",
            case.format(),
            case.order(),
            case.len,
            case.batch,
            figures.packets,
            figures.mpps() * 1e6,
            figures.ns,
            if options.two_threads { 2 } else { 1 },
            options.size,
            options.rounds,
        )
    });
    format!("[\n{}\n]", rows.collect::<Vec<_>>().join(",\n"))
}
