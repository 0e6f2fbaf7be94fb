use super::Outcome;
use crate::load::stream::Arrived;

const MS: u64 = 1_000_000;

/// A byte each millisecond, but for the silences (from, to).
fn outcome(silences: &[(u64, u64)]) -> Outcome {
    let mut arrived = Arrived {
        complete: true,
        ..Arrived::default()
    };
    for ms in 1..3000 {
        if !silences.iter().any(|(from, to)| (*from..*to).contains(&ms)) {
            arrived.bytes += 1;
            arrived.ticks.push((ms * MS, arrived.bytes));
        }
    }
    Outcome {
        sent: Some(arrived.bytes),
        arrived,
        turns: vec![
            ("it began", 0),
            ("a turn", 1000 * MS),
            ("another", 2000 * MS),
        ],
        ended: 3000 * MS,
    }
}

fn fault(outcome: &Outcome) -> String {
    outcome.check().unwrap_err().to_string()
}

#[test]
fn a_transfer_must_go_on_after_each_turn() {
    assert!(outcome(&[]).check().is_ok());
    assert!(outcome(&[(1000, 1800)]).check().is_ok());
    assert_eq!(
        fault(&outcome(&[(1010, 2010)])),
        "nothing arrived after a turn"
    );
    assert_eq!(
        fault(&outcome(&[(2000, 3000)])),
        "nothing arrived after another"
    );
}

#[test]
fn a_transfer_must_arrive_whole() {
    let mut lost = outcome(&[]);
    lost.sent = None;
    assert_eq!(fault(&lost), "the sender lost its connection");
    let mut short = outcome(&[]);
    short.arrived.bytes -= 1;
    assert_eq!(fault(&short), "2999 bytes were sent and 2998 arrived");
    let mut cut = outcome(&[]);
    cut.arrived.complete = false;
    assert!(cut.check().is_err());
}
