//! What the switch does in a second on one core.
//!
//! - `hit`: frames of established flows, by the number of flows; to a guest of the same host, into a
//!   VXLAN tunnel (`push`) and out of one (`pop`); one by one and looked ahead in batches.
//! - `new`: first packets, of a NIC whose packets pass four rule sets.
//! - what that takes of memory.
//!
//! Frames are 64 bytes long (60 without the check sequence), UDP, in buffers with headroom; before
//! each the frame is put back to what the guest sent, and after it the outer headers are written in
//! front of it, both of which is part of the measurement. Flows are visited at random, so that a
//! million of them miss the caches. Seconds are those of the processor that this got; figures are
//! medians of several passes.
//!
//! Run with `cargo run --release -p vswitch --example fast_path [-- --json] [--flows N]`; `--json`
//! writes one object per line, `--flows` measures that one number of flows. For instructions instead
//! of time: `valgrind --tool=callgrind target/release/examples/fast_path run push batched 1000
//! 200000`, or `run new - 100000 -`.

mod bench;
mod report;
mod world;

use bench::{Bench, Style, Way};
use report::{Better, Report};

/// Rules in each of the four sets of a new connection.
const RULES: usize = 1_000;
const FLOWS: [u32; 5] = [1_000, 10_000, 100_000, 1_000_000, 4_000_000];
const PASSES: usize = 7;
const PACKETS: u32 = 4_000_000;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["run", what @ ..] = &arguments[..] {
        return run(what);
    }
    let (mut json, mut flows) = (false, None);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match *argument {
            "--json" => json = true,
            "--flows" => flows = Some(rest.next().ok_or(USAGE)?.parse()?),
            _ => return Err(USAGE.into()),
        }
    }
    let mut report = Report::new(json);
    for flows in flows.map_or(FLOWS.to_vec(), |flows| vec![flows]) {
        hits(&mut report, flows)?;
    }
    new_connections(&mut report)
}

const USAGE: &str = "usage: fast_path [--json] [--flows N] | run <local|push|pop> <single|batched> \
    <flows> <packets> | run new <rules> <connections>";

/// One thing alone, for a profiler.
fn run(what: &[&str]) -> Result<(), Error> {
    if let ["new", rules, connections] = what {
        Bench::new(Way::Local, connections.parse()?, rules.parse()?)?.open_all();
        return Ok(());
    }
    let [way, style, flows, packets] = what else {
        return Err(USAGE.into());
    };
    let way = match *way {
        "local" => Way::Local,
        "push" => Way::Push,
        "pop" => Way::Pop,
        _ => return Err(USAGE.into()),
    };
    let style = match *style {
        "single" => Style::Single,
        "batched" => Style::Batched,
        _ => return Err(USAGE.into()),
    };
    let mut bench = Bench::new(way, flows.parse()?, 0)?;
    bench.open_all();
    let packets: u32 = packets.parse()?;
    let mut rates: Vec<f64> = (0..PASSES)
        .map(|_| f64::from(packets) / bench.hits(style, packets).as_secs_f64())
        .collect();
    rates.sort_by(f64::total_cmp);
    println!("{:.0} packets/s", rates[PASSES / 2]);
    Ok(())
}

/// Hits of every kind, and what the table takes of memory.
fn hits(report: &mut Report, flows: u32) -> Result<(), Error> {
    for (way, name) in [
        (Way::Local, "local"),
        (Way::Push, "push"),
        (Way::Pop, "pop"),
    ] {
        let mut bench = Bench::new(way, flows, 0)?;
        bench.open_all();
        let styles = [(Style::Single, "single"), (Style::Batched, "batched")];
        let mut rates = [const { Vec::new() }; 2];
        // Interleaved, so that a slow moment of the machine is not one style's alone.
        for _ in 0..PASSES {
            for ((style, _), rates) in styles.iter().zip(&mut rates) {
                let took = bench.hits(*style, PACKETS);
                rates.push(f64::from(PACKETS) / took.as_secs_f64());
            }
        }
        for ((_, style), rates) in styles.iter().zip(rates) {
            let name = format!("hit/{name}/{style}/{flows}-flows");
            report.put(&name, "packets/s", Better::Higher, rates);
        }
        let used = allocation_counter::measure(|| {
            bench.send(Style::Single, PACKETS);
            bench.send(Style::Batched, PACKETS);
        });
        assert_eq!(used.count_total, 0, "a hit takes no memory");
        let each = used.count_total as f64 / f64::from(2 * PACKETS);
        let name = format!("allocations/{name}/{flows}-flows");
        report.put(&name, "allocations/packet", Better::Lower, vec![each]);
        if way == Way::Local {
            let table = bench.switch.flows();
            let each = table.memory_bytes() as f64 / f64::from(2 * flows);
            let name = format!("memory/{flows}-flows");
            report.put(&name, "bytes/direction", Better::Lower, vec![each]);
        }
    }
    Ok(())
}

/// Connections of one NIC; both directions of each are installed.
fn new_connections(report: &mut Report) -> Result<(), Error> {
    const CONNECTIONS: u32 = 200_000;
    for rules in [0, RULES] {
        let mut rates = Vec::new();
        for _ in 0..PASSES {
            let took = Bench::new(Way::Local, CONNECTIONS, rules)?.open_all();
            rates.push(f64::from(CONNECTIONS) / took.as_secs_f64());
        }
        let name = format!("new/4-sets-of-{rules}-rules");
        report.put(&name, "connections/s", Better::Higher, rates);
    }
    Ok(())
}
