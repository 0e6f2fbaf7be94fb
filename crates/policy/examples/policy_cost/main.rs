//! What deciding a new connection costs, by the size of the policy.
//!
//! One evaluation is all a first packet needs: outbound at the sender, the route, the mapping,
//! inbound at the receiver; each NIC with a group of its own and one of its subnet. Half of the
//! connections are within the source and destination prefixes of some rule, half anywhere.
//!
//! Run with `cargo run --release -p policy --example policy_cost -- [OPTIONS]`:
//!
//! - `--only SERIES`: one of `bar` (the sizes that requirements name), `rules`, `prefixes`, `routes`
//!   and `mappings` (each grows one thing, the others stay); all without it.
//! - `--seconds-each SECONDS`: how long each point is measured; 2 without it.
//! - `--json`: a JSON object a line instead of a table.
//!
//! All points of a series are measured in turn, pass by pass, and the median pass counts, so that
//! others on the machine disturb all points alike and few passes much.

mod workload;

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use policy::input::{NextHop, PolicyInput};
use policy::{Compiler, Judgement, Limits, Snapshot, Tuple};

use workload::{RECEIVER, SENDER, Size, changed_mapping, workload};

const CONNECTIONS: usize = 100_000;

/// What the series grow from.
const BASE: Size = Size {
    rules: 1_000,
    prefixes: 10,
    routes: 1_000,
    mappings: 10_000,
};

/// Passes of each point at least, however short the time.
const PASSES_MIN: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse(std::env::args().skip(1))?;
    if !options.json {
        println!(
            "{:>9} {:>7} {:>9} {:>8} {:>9} {:>8} {:>10} {:>11} {:>12} {:>9}",
            "series",
            "rules",
            "prefixes",
            "routes",
            "mappings",
            "ns/eval",
            "evals/s",
            "compile ms",
            "bytes",
            "allowed"
        );
    }
    for (name, sizes) in series() {
        if options.only.as_deref().is_none_or(|only| only == name) {
            measure(name, &sizes, &options)?;
        }
    }
    Ok(())
}

struct Options {
    only: Option<String>,
    seconds_each: f64,
    json: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options {
            only: None,
            seconds_each: 2.0,
            json: false,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let value = arguments.next();
                value.ok_or_else(|| format!("`{argument}` needs a value"))
            };
            match argument.as_str() {
                "--json" => options.json = true,
                "--only" => {
                    let only = value()?;
                    if !series().iter().any(|(name, _)| *name == only) {
                        return Err(format!("no series `{only}`"));
                    }
                    options.only = Some(only);
                }
                "--seconds-each" => {
                    let seconds = value()?;
                    options.seconds_each = seconds
                        .parse()
                        .ok()
                        .filter(|seconds: &f64| (0.0..=3_600.0).contains(seconds))
                        .ok_or_else(|| format!("`{seconds}` is no time up to an hour"))?;
                }
                _ => return Err(format!("no option `{argument}`")),
            }
        }
        Ok(options)
    }
}

fn series() -> [(&'static str, Vec<Size>); 5] {
    let rules = [10, 30, 100, 300, 1_000, 3_000, 10_000];
    let prefixes = [1, 3, 10, 30, 100, 300, 1_000];
    let routes = [1, 10, 100, 1_000, 10_000, 100_000];
    let mappings = [1_000, 10_000, 100_000, 300_000, 1_000_000];
    let bar = |rules| Size {
        rules,
        routes: 10_000,
        mappings: 1_000_000,
        ..BASE
    };
    [
        ("bar", [100, 1_000, 10_000].map(bar).to_vec()),
        ("rules", rules.map(|rules| Size { rules, ..BASE }).to_vec()),
        (
            "prefixes",
            prefixes.map(|prefixes| Size { prefixes, ..BASE }).to_vec(),
        ),
        (
            "routes",
            routes.map(|routes| Size { routes, ..BASE }).to_vec(),
        ),
        (
            "mappings",
            mappings.map(|mappings| Size { mappings, ..BASE }).to_vec(),
        ),
    ]
}

/// A size, compiled, with what was measured of it.
struct Point {
    size: Size,
    snapshot: Snapshot,
    connections: Vec<Tuple>,
    compile: Duration,
    /// Bytes of rules and routes, and of everything.
    bytes: [usize; 2],
    allowed: usize,
    /// Seconds of each pass.
    passes: Vec<f64>,
}

impl Point {
    fn new(size: Size) -> Result<Point, Box<dyn Error>> {
        let (input, connections) = workload(size, CONNECTIONS);
        let mut compiler = Compiler::new(Limits::default());
        let without_mappings = PolicyInput {
            mappings: Vec::new(),
            ..input.clone()
        };
        let start = Instant::now();
        let bare = compiler.compile(&without_mappings)?;
        let compile = start.elapsed();
        let snapshot = compiler.compile(&input)?;
        let empty = Compiler::new(Limits::default()).compile(&PolicyInput::default())?;
        Ok(Point {
            size,
            connections,
            compile,
            bytes: [
                bare.memory_bytes() - empty.memory_bytes(),
                snapshot.memory_bytes(),
            ],
            allowed: 0,
            passes: Vec::new(),
            snapshot,
        })
    }

    fn pass(&mut self) {
        let start = Instant::now();
        self.allowed = evaluate(&self.snapshot, &self.connections);
        self.passes.push(start.elapsed().as_secs_f64());
    }

    /// Nanoseconds an evaluation takes, in the median pass.
    fn nanoseconds(&self) -> f64 {
        let mut passes = self.passes.clone();
        passes.sort_unstable_by(f64::total_cmp);
        passes[passes.len() / 2] * 1e9 / self.connections.len() as f64
    }
}

fn measure(name: &str, sizes: &[Size], options: &Options) -> Result<(), Box<dyn Error>> {
    let mut points = Vec::new();
    for &size in sizes {
        points.push(Point::new(size)?);
    }
    // The first time everything comes from far away.
    for point in &mut points {
        point.pass();
        point.passes.clear();
    }
    let end = Instant::now() + Duration::from_secs_f64(options.seconds_each * points.len() as f64);
    while Instant::now() < end || points[0].passes.len() < PASSES_MIN {
        points.iter_mut().for_each(Point::pass);
    }
    for point in &points {
        if options.json {
            print_json(name, point);
        } else {
            print_row(name, point);
        }
    }
    match (name, options.json) {
        ("bar", false) => mapping_changes(&points[0])?,
        ("bar", true) => print_growth(name, &points),
        _ => {}
    }
    Ok(())
}

fn print_row(name: &str, point: &Point) {
    let (size, each) = (point.size, point.nanoseconds());
    println!(
        "{name:>9} {:>7} {:>9} {:>8} {:>9} {each:>8.0} {:>10.0} {:>11.1} {:>12} {:>8.1}%",
        size.rules,
        size.prefixes,
        size.routes,
        size.mappings,
        1e9 / each,
        point.compile.as_secs_f64() * 1e3,
        point.bytes[0],
        point.allowed as f64 * 100.0 / point.connections.len() as f64,
    );
}

/// A figure a line; `n` is how many there are of what the series grows.
fn print_json(series: &str, point: &Point) {
    let size = point.size;
    let n = match series {
        "prefixes" => size.prefixes,
        "routes" => size.routes,
        "mappings" => size.mappings as usize,
        _ => size.rules,
    };
    let each = point.nanoseconds();
    let figures = [
        ("evaluation", "ns", each, "lower"),
        ("evaluations", "1/s", 1e9 / each, "higher"),
        (
            "compilation",
            "ms",
            point.compile.as_secs_f64() * 1e3,
            "lower",
        ),
        (
            "memory of rules and routes",
            "bytes",
            point.bytes[0] as f64,
            "lower",
        ),
        ("memory", "bytes", point.bytes[1] as f64, "lower"),
    ];
    for (name, unit, value, better) in figures {
        println!(
            "{{\"name\":\"{name}/{series}\",\"unit\":\"{unit}\",\"value\":{value},\
             \"better\":\"{better}\",\"n\":{n}}}"
        );
    }
}

/// How much longer an evaluation takes with the most rules than with the fewest.
fn print_growth(series: &str, points: &[Point]) {
    if let [few, .., many] = points {
        let times = many.nanoseconds() / few.nanoseconds();
        println!(
            "{{\"name\":\"growth/{series}\",\"unit\":\"times\",\"value\":{times},\
             \"better\":\"lower\"}}"
        );
    }
}

/// What one changed mapping costs among all the others.
fn mapping_changes(point: &Point) -> Result<(), Box<dyn Error>> {
    let rounds: u16 = 1_000;
    let mut current = point.snapshot.clone();
    let start = Instant::now();
    for round in 0..rounds {
        current = current.with_mapping_changes(&[changed_mapping(point.size, round)])?;
    }
    let each = start.elapsed().as_secs_f64() / f64::from(rounds);
    let mapping = (point.bytes[1] - point.bytes[0]) / point.size.mappings as usize;
    println!(
        "one mapping change: {:.1} us; {mapping} bytes a mapping",
        each * 1e6
    );
    black_box(current);
    Ok(())
}

/// Judges all connections, and counts those that are allowed.
#[inline(never)]
fn evaluate(snapshot: &Snapshot, connections: &[Tuple]) -> usize {
    let sender = snapshot.nic(SENDER).expect("the sender is in the policy");
    let receiver = snapshot
        .nic(RECEIVER)
        .expect("the receiver is in the policy");
    let mut allowed = 0;
    for tuple in connections {
        let outbound = sender.outbound(tuple, &mut ());
        let route = sender.route(tuple.dst, &mut ());
        let mapping = match route.map(|route| route.next_hop) {
            Some(NextHop::Vnet(vnet)) => snapshot.mapping(vnet, tuple.dst).2,
            _ => None,
        };
        black_box(mapping);
        let inbound = receiver.inbound(tuple, &mut ());
        allowed += usize::from(outbound == Judgement::Allow && inbound == Judgement::Allow);
    }
    allowed
}
