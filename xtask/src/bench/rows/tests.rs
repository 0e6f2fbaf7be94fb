use super::{Bar, Row, all_far, bars_without_row, counted, median, ratio, rows_of, spread};
use crate::bench::guard::Distance;
use crate::bench::interleave::{Better, Sample, Series, Side};

fn near(values: &[f64]) -> Vec<Sample> {
    values
        .iter()
        .map(|value| Sample {
            value: *value,
            distance: Distance::Near,
        })
        .collect()
}

fn series(contestant: &str, side: Side, name: &str, better: Better, values: &[f64]) -> Series {
    let samples = near(values);
    Series {
        contestant: contestant.into(),
        side,
        name: name.into(),
        unit: "us".into(),
        better,
        samples,
    }
}

#[test]
fn medians() {
    assert_eq!(median(&[]), None);
    assert_eq!(median(&[7.0]), Some(7.0));
    assert_eq!(median(&[9.0, 1.0, 5.0]), Some(5.0));
    assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), Some(3.0));
}

#[test]
fn above_one_is_ahead_whichever_way_is_better() {
    assert_eq!(ratio(20.0, 10.0, Better::Higher), Some(2.0));
    assert_eq!(ratio(20.0, 10.0, Better::Lower), Some(0.5));
    assert_eq!(ratio(1.0, 0.0, Better::Higher), None);
    assert_eq!(ratio(0.0, 0.0, Better::Lower), None);
}

#[test]
fn far_samples_count_only_among_themselves() {
    let mut samples = near(&[1.0, 3.0]);
    samples.push(Sample {
        value: 100.0,
        distance: Distance::Far,
    });
    assert_eq!(counted(&samples), [1.0, 3.0]);
    assert!(!all_far(&samples));
    assert_eq!(counted(&samples[2..]), [100.0]);
    assert!(all_far(&samples[2..]));
    assert!(!all_far(&[]));
}

#[test]
fn the_spread_is_relative_to_the_median() {
    assert_eq!(spread(&near(&[8.0, 10.0, 12.0])), Some(0.4));
    assert_eq!(spread(&near(&[0.0, 0.0])), None);
    assert_eq!(spread(&[]), None);
}

#[test]
fn each_of_ours_meets_each_peer() {
    let all = [
        series("fast", Side::Ours, "p50", Better::Lower, &[10.0]),
        series("slow", Side::Ours, "p50", Better::Lower, &[40.0]),
        series("veth", Side::Peer, "p50", Better::Lower, &[20.0]),
        series("bridge", Side::Peer, "p50", Better::Lower, &[30.0]),
    ];
    let rows = rows_of(&all, &[]);
    let shown: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row.name.as_str(),
                row.peer_name.as_deref().unwrap(),
                row.ratio.unwrap(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("p50, fast", "veth", 2.0),
            ("p50, fast", "bridge", 3.0),
            ("p50, slow", "veth", 0.5),
            ("p50, slow", "bridge", 0.75),
        ]
    );
    assert!(
        rows.iter()
            .all(|row| row.bar.is_none() && row.pass.is_none())
    );
}

#[test]
fn one_of_ours_may_be_another_ones_peer() {
    let all = [
        series(
            "synthetic",
            Side::OursToBeat,
            "rate",
            Better::Higher,
            &[4.0],
        ),
        series("accelerated", Side::Ours, "rate", Better::Higher, &[8.0]),
        series("veth", Side::Peer, "rate", Better::Higher, &[16.0]),
    ];
    let shown = |rows: &[Row]| -> Vec<(String, Option<String>, Option<f64>)> {
        rows.iter()
            .map(|row| (row.name.clone(), row.peer_name.clone(), row.ratio))
            .collect()
    };
    let row = |ours: &str, peer: &str, ratio| {
        (format!("rate, {ours}"), Some(peer.to_owned()), Some(ratio))
    };
    assert_eq!(
        shown(&rows_of(&all, &[])),
        [
            row("synthetic", "veth", 0.25),
            row("accelerated", "synthetic", 2.0),
            row("accelerated", "veth", 0.5),
        ]
    );
    assert_eq!(
        shown(&rows_of(&all[..2], &[])),
        [
            ("rate, synthetic".to_owned(), None, None),
            row("accelerated", "synthetic", 2.0),
        ]
    );
}

#[test]
fn a_bar_may_hold_one_of_ours_to_the_other() {
    let all = [
        series("slow", Side::OursToBeat, "rate", Better::Higher, &[4.0]),
        series("fast", Side::Ours, "rate", Better::Higher, &[32.0]),
    ];
    let bars = [Bar::ratio("rate", "slow", "fast", 0.1)];
    let rows = rows_of(&all, &bars);
    let held = rows.iter().find(|row| row.name == "rate, slow").unwrap();
    assert_eq!(held.peer_name.as_deref(), Some("fast"));
    assert_eq!((held.ratio, held.pass), (Some(0.125), Some(true)));
}

#[test]
fn a_bar_that_nothing_is_held_against_is_noticed() {
    let all = [
        series("fast", Side::Ours, "p50", Better::Lower, &[10.0]),
        series("veth", Side::Peer, "p50", Better::Lower, &[20.0]),
    ];
    let bar = |name: &str, peer| Bar {
        name: name.into(),
        ours: "fast",
        peer,
        at: 1.0,
    };
    let vain = |bar: Bar| !bars_without_row(&all, &[bar]).is_empty();
    assert!(!vain(bar("p50", Some("veth"))));
    assert!(!vain(bar("p50", None)));
    assert!(vain(bar("p05", Some("veth"))));
    assert!(vain(bar("p50", Some("vath"))));
}

#[test]
fn bars_on_ratios_and_on_values() {
    let all = [
        series("fast", Side::Ours, "p50", Better::Lower, &[10.0]),
        series("veth", Side::Peer, "p50", Better::Lower, &[20.0]),
    ];
    let bar = |peer, at| Bar {
        name: "p50".into(),
        ours: "fast",
        peer,
        at,
    };
    let pass = |bar| {
        rows_of(&all, &[bar])
            .iter()
            .filter_map(|row| row.pass)
            .collect::<Vec<_>>()
    };
    assert_eq!(pass(bar(Some("veth"), 2.0)), [true]);
    assert_eq!(pass(bar(Some("veth"), 2.1)), [false]);
    assert_eq!(pass(bar(Some("other"), 9.0)), [true; 0]);
    assert_eq!(pass(bar(None, 10.0)), [true]);
    assert_eq!(pass(bar(None, 9.9)), [false]);
    let rows = rows_of(&all, &[bar(Some("veth"), 2.5)]);
    assert_eq!(rows[0].verdict(), "p50, fast: 2.000 times veth, bar 2.500");
    let rows = rows_of(&all[..1], &[bar(None, 9.5)]);
    assert_eq!(rows[0].verdict(), "p50, fast: 10.00 us, bar 9.500");
}

#[test]
fn a_side_alone_still_gets_its_row() {
    let peer = series("veth", Side::Peer, "rate", Better::Higher, &[5.0, 7.0]);
    let rows = rows_of(std::slice::from_ref(&peer), &[]);
    assert_eq!(
        (rows[0].ours, rows[0].peer, rows[0].ratio),
        (None, Some(6.0), None)
    );
    let ours = series("fast", Side::Ours, "rate", Better::Higher, &[5.0]);
    let rows = rows_of(std::slice::from_ref(&ours), &[]);
    assert_eq!(
        (rows[0].ours, rows[0].peer.is_none(), rows.len()),
        (Some(5.0), true, 1)
    );
}

#[test]
fn the_json_has_the_keys_that_readers_rely_on() {
    let all = [
        series("fast", Side::Ours, "p50", Better::Lower, &[10.0, 12.0]),
        series("veth", Side::Peer, "p50", Better::Lower, &[20.0]),
    ];
    let rows = rows_of(&all, &[]);
    let json = serde_json::to_value(&rows).unwrap();
    let mut keys: Vec<&str> = json[0]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "bar",
            "better",
            "name",
            "ours",
            "pass",
            "peer",
            "peer_name",
            "ratio",
            "samples",
            "spread",
            "unit"
        ]
    );
    assert_eq!(json[0]["better"], "lower");
    assert_eq!(json[0]["samples"]["ours"][1]["value"], 12.0);
    assert_eq!(json[0]["samples"]["ours"][1]["distance"], "near");
    let back: Vec<Row> = serde_json::from_value(json).unwrap();
    assert_eq!(back, rows);
}
