use std::cell::RefCell;

use super::{Contestant, Measurement, Sample, Side, interleave};
use crate::bench::guard::{Distance, Guard};

#[test]
fn contestants_take_turns_and_their_figures_stay_apart() {
    let order = RefCell::new(String::new());
    let contestant = |name: &str, side| {
        let (name, order) = (name.to_owned(), &order);
        let mut run = 0.0;
        Contestant {
            name: name.clone(),
            side,
            run: Box::new(move || {
                order.borrow_mut().push_str(&name);
                run += 1.0;
                Ok(vec![
                    Measurement::higher("rate", "k/s", run),
                    Measurement::lower("p50", "us", -run),
                ])
            }),
        }
    };
    let mut contestants = [contestant("A", Side::Ours), contestant("B", Side::Peer)];
    let series = interleave(&mut contestants, 3, &mut Guard::off("test"), |_| ()).unwrap();
    assert_eq!(*order.borrow(), "ABABAB");
    let named: Vec<_> = series
        .iter()
        .map(|s| (s.contestant.as_str(), s.name.as_str()))
        .collect();
    assert_eq!(
        named,
        [("A", "rate"), ("A", "p50"), ("B", "rate"), ("B", "p50")]
    );
    let expected = [1.0, 2.0, 3.0].map(|value| Sample {
        value,
        distance: Distance::Unprobed,
    });
    assert_eq!(series[2].samples, expected);
}

#[test]
fn a_failure_names_the_contestant() {
    let run = Box::new(|| anyhow::bail!("no route"));
    let mut contestants = [Contestant {
        name: "raw veth".into(),
        side: Side::Peer,
        run,
    }];
    let error = interleave(&mut contestants, 1, &mut Guard::off("test"), |_| ()).unwrap_err();
    assert_eq!(format!("{error:#}"), "raw veth failed: no route");
}
