use super::{changes, only_in, text};
use crate::bench::Document;
use crate::bench::interleave::Better;
use crate::bench::machine::Machine;
use crate::bench::rows::{Row, Samples};

fn row(name: &str, ours: Option<f64>, peer: f64, better: Better, spread: f64) -> Row {
    Row {
        name: name.into(),
        unit: "us".into(),
        ours,
        peer: Some(peer),
        peer_name: Some("veth".into()),
        ratio: None,
        bar: None,
        pass: None,
        better,
        samples: Samples::default(),
        spread: Some(spread),
    }
}

#[test]
fn a_gain_is_positive_whichever_way_is_better() {
    let old = [
        row("rate", Some(100.0), 1.0, Better::Higher, 0.05),
        row("p50", Some(100.0), 1.0, Better::Lower, 0.05),
    ];
    let new = [
        row("rate", Some(120.0), 1.0, Better::Higher, 0.05),
        row("p50", Some(120.0), 1.0, Better::Lower, 0.05),
    ];
    let gains: Vec<f64> = changes(&old, &new)
        .iter()
        .map(|change| change.gain)
        .collect();
    assert!(
        (gains[0] - 0.2).abs() < 1e-9 && (gains[1] + 0.2).abs() < 1e-9,
        "{gains:?}"
    );
}

#[test]
fn only_changes_beyond_the_larger_spread_are_significant() {
    let significant = |old_spread, new_spread| {
        let old = [row("rate", Some(100.0), 1.0, Better::Higher, old_spread)];
        let new = [row("rate", Some(110.0), 1.0, Better::Higher, new_spread)];
        changes(&old, &new)[0].significant
    };
    assert!(significant(0.05, 0.05));
    assert!(!significant(0.15, 0.05));
    assert!(!significant(0.05, 0.15));
}

#[test]
fn without_ours_the_peer_is_compared() {
    let old = [row("rate", None, 100.0, Better::Higher, 0.0)];
    let new = [row("rate", None, 50.0, Better::Higher, 0.0)];
    let change = &changes(&old, &new)[0];
    assert_eq!((change.old, change.new, change.gain), (100.0, 50.0, -0.5));
}

#[test]
fn a_figure_that_was_zero_has_no_change() {
    let old = [row("rate", Some(0.0), 1.0, Better::Higher, 0.0)];
    let new = [row("rate", Some(5.0), 1.0, Better::Higher, 0.0)];
    assert!(changes(&old, &new).is_empty());
}

#[test]
fn the_text_names_what_moved_what_went_and_what_came() {
    let document = |rows, cores| Document {
        bench: "data".into(),
        machine: Machine {
            cores,
            ..Machine::default()
        },
        unguarded: None,
        near_ns: None,
        notes: Vec::new(),
        background: 0.0,
        runs: 5,
        rows,
    };
    let kept = |value| row("kept", Some(value), 1.0, Better::Lower, 0.01);
    let old = document(
        vec![kept(10.0), row("gone", None, 1.0, Better::Lower, 0.0)],
        2,
    );
    let new = document(
        vec![kept(15.0), row("came", None, 1.0, Better::Lower, 0.0)],
        4,
    );
    assert_eq!(only_in(&old.rows, &new.rows), ["gone / veth"]);
    let text = text(&old, &new);
    for part in [
        "kept / veth",
        "-50.0 %",
        "WORSE",
        "no longer measured: gone",
        "new: came",
        "cores was 2",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}
