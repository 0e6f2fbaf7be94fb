//! Both paths measured between the same two guests, taking turns.

use anyhow::Result;

use super::promises::Promises;
use super::{Pace, address_of};
use crate::bench::cpu_time;
use crate::bench::guard::Guard;
use crate::bench::interleave::{Better, Contestant, Side, interleave};
use crate::bench::print::{figure, table};
use crate::bench::rows::{Row, rows_of};
use crate::bench::testbed::Testbed;
use crate::bench::workload::{Transport, UdpFlow, Waiting, Workload};
use crate::bench::{BACKGROUND_QUIET, LISTENING};
use crate::clearway::{Instance, ServedBy};
use crate::progress::Progress;

const WORKLOADS: [Workload; 3] = [
    Workload::TcpThroughput,
    Workload::RequestResponse {
        transport: Transport::Udp,
        waiting: Waiting::Block,
    },
    Workload::UdpRate {
        flow: UdpFlow::Established,
    },
];

/// Measurements with medians that a busy machine does not turn round.
const AHEAD: [&str; 4] = [
    "tcp throughput",
    "udp 64 B block, p50",
    "udp 18 B, received",
    "udp 18 B, cpu",
];

/// Measures, prints one table, and holds the promise that the accelerated path is ahead; that only
/// where the machine was quiet enough to tell.
///
/// web-1 asks and client-1 serves, because the client's subnet has no group: load servers listen on
/// ports that the kernel picks.
pub(super) fn show(instance: &Instance, pace: Pace, promises: &mut Promises) -> Result<()> {
    let testbed = Testbed {
        client: instance.netns("web-1"),
        server: instance.netns("client-1"),
        server_addr: address_of("client-1")?.parse()?,
    };
    let progress = Progress::start("measuring");
    let background = cpu_time::background(LISTENING)?;
    let mut guard = Guard::off("a demonstration does not wait for quiet");
    let mut series = Vec::new();
    for workload in WORKLOADS {
        let contestant = |path: ServedBy, side: Side| Contestant {
            name: path.name().to_owned(),
            side,
            run: Box::new({
                let testbed = &testbed;
                move || {
                    for guest in ["web-1", "client-1"] {
                        instance.serve_by(guest, path)?;
                    }
                    workload.run(testbed, pace.sample)
                }
            }),
        };
        let mut contestants = [
            contestant(ServedBy::Synthetic, Side::Peer),
            contestant(ServedBy::Accelerated, Side::Ours),
        ];
        let note = |what: &str| progress.note(&format!("{}: {what}", workload.name()));
        series.extend(interleave(&mut contestants, pace.runs, &mut guard, note)?);
    }
    drop(progress);

    let rows = rows_of(&series, &[]);
    print(&rows);
    if let Some(why) = too_rough(pace, background) {
        println!("  not judged, because {why}");
        return Ok(());
    }
    let behind = behind(&rows);
    promises.hold(
        "the accelerated path is ahead in throughput, latency, rate and processor time",
        behind.is_empty(),
        || format!("not in {}", behind.join("; ")),
    );
    Ok(())
}

/// Why nothing should be concluded from the figures, if that is so.
fn too_rough(pace: Pace, background: f64) -> Option<String> {
    if pace.runs < Pace::DEFAULT.runs {
        return Some("the samples are few and short".to_owned());
    }
    let percent = background * 100.0;
    (background > BACKGROUND_QUIET)
        .then(|| format!("others used {percent:.0} % of the processors before it began"))
}

fn print(rows: &[Row]) {
    let mut table = table(&[
        "measurement",
        "unit",
        "synthetic",
        "accelerated",
        "times better",
    ]);
    for row in rows {
        let optional = |value: Option<f64>| value.map(figure).unwrap_or_default();
        let better = match row.better {
            Better::Higher => '↑',
            Better::Lower => '↓',
        };
        table.add_row([
            format!("{} {better}", measurement(row)),
            row.unit.clone(),
            optional(row.peer),
            optional(row.ours),
            optional(row.ratio),
        ]);
    }
    println!("{table}");
}

/// The measurement's name: a row's has our contestant's at its end.
fn measurement(row: &Row) -> &str {
    let ours = format!(", {}", ServedBy::Accelerated.name());
    row.name.strip_suffix(&ours).unwrap_or(&row.name)
}

/// The measurements of [`AHEAD`] in which the accelerated path is not, or which are not there.
fn behind(rows: &[Row]) -> Vec<&'static str> {
    let is_ahead = |name: &str| {
        rows.iter()
            .any(|row| measurement(row) == name && row.ratio.is_some_and(|ratio| ratio > 1.0))
    };
    AHEAD.into_iter().filter(|name| !is_ahead(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::{AHEAD, behind, measurement, too_rough};
    use crate::bench::guard::Distance;
    use crate::bench::interleave::{Better, Sample, Series, Side};
    use crate::bench::rows::{Row, rows_of};
    use crate::quickstart::Pace;

    fn rows(accelerated: f64) -> Vec<Row> {
        let series = |name: &str, side, contestant: &str, value| Series {
            contestant: contestant.to_owned(),
            side,
            name: name.to_owned(),
            unit: "k/s".to_owned(),
            better: Better::Higher,
            samples: vec![Sample {
                value,
                distance: Distance::Unprobed,
            }],
        };
        let all: Vec<Series> = AHEAD
            .into_iter()
            .flat_map(|name| {
                [
                    series(name, Side::Peer, "synthetic", 2.0),
                    series(name, Side::Ours, "accelerated", accelerated),
                ]
            })
            .collect();
        rows_of(&all, &[])
    }

    #[test]
    fn rough_figures_are_not_judged() {
        assert!(too_rough(Pace::DEFAULT, 0.01).is_none());
        assert!(too_rough(Pace::QUICK, 0.01).is_some());
        let why = too_rough(Pace::DEFAULT, 0.4).unwrap();
        assert_eq!(why, "others used 40 % of the processors before it began");
    }

    #[test]
    fn being_level_or_not_measured_is_not_being_ahead() {
        assert!(behind(&rows(3.0)).is_empty());
        assert_eq!(behind(&rows(2.0)), AHEAD);
        assert_eq!(behind(&rows(3.0)[1..]), [AHEAD[0]]);
        assert_eq!(measurement(&rows(3.0)[1]), "udp 64 B block, p50");
    }
}
