use super::{beyond, share};
use crate::bench::guard::Distance;
use crate::bench::interleave::{Better, Sample, Series, Side};
use crate::bench::rows::{counted, median};

fn series(contestant: &str, values: &[(f64, Distance)]) -> Series {
    Series {
        contestant: contestant.into(),
        side: Side::Ours,
        name: "cpu".into(),
        unit: "us".into(),
        better: Better::Lower,
        samples: values
            .iter()
            .map(|(value, distance)| Sample {
                value: *value,
                distance: *distance,
            })
            .collect(),
    }
}

fn near(contestant: &str, values: &[f64]) -> Series {
    let values: Vec<_> = values
        .iter()
        .map(|value| (*value, Distance::Near))
        .collect();
    series(contestant, &values)
}

#[test]
fn differences_are_taken_within_a_run() {
    let all = [
        near("fast", &[3.5, 13.5, 4.5]),
        near("raw", &[3.0, 13.0, 4.0]),
        near("slow", &[5.0, 15.0, 6.0]),
    ];
    let beyond = beyond(&all, "cpu", "raw");
    assert_eq!(beyond.len(), 2);
    assert_eq!(beyond[0].name, "cpu beyond guests");
    assert_eq!(counted(&beyond[0].samples), [0.5; 3]);
    assert_eq!(counted(&beyond[1].samples), [2.0; 3]);
    let share = share(&beyond, "fast", "slow").unwrap();
    assert_eq!(median(&counted(&share.samples)), Some(0.25));
    assert_eq!(share.name, "cpu beyond guests, as a share of slow's");
}

#[test]
fn a_run_is_far_if_either_side_was() {
    let all = [
        series("fast", &[(2.0, Distance::Near), (9.0, Distance::Near)]),
        series("raw", &[(1.0, Distance::Near), (1.0, Distance::Far)]),
    ];
    assert_eq!(counted(&beyond(&all, "cpu", "raw")[0].samples), [1.0]);
}

#[test]
fn less_than_the_baseline_is_a_share_below_zero_and_of_nothing_there_is_none() {
    let all = [near("fast", &[-1.0]), near("slow", &[2.0])];
    let value = share(&all, "fast", "slow").unwrap().samples[0].value;
    assert_eq!(value, -0.5);
    assert_eq!(share(&all, "slow", "fast"), None);
    assert_eq!(beyond(&all, "cpu", "raw"), []);
}
