use serde::{Deserialize, Serialize};

use super::fit::Fit;
use crate::bench::interleave::Better;

/// A figure at one size.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Point {
    /// What was grown.
    pub(crate) grown: String,
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) better: Better,
    pub(crate) n: u64,
    pub(crate) value: f64,
}

/// A figure at all sizes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Growth {
    pub(crate) grown: String,
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) points: Vec<(u64, f64)>,
    /// Where there are sizes enough: of the cost, which is the inverse of a figure that is better
    /// when higher.
    pub(crate) fit: Option<String>,
    pub(crate) exponent: Option<f64>,
    pub(crate) r2: Option<f64>,
}

impl Growth {
    /// Points of one figure together, in the order in which figures first came.
    pub(crate) fn all(points: &[Point]) -> Vec<Self> {
        let mut growths: Vec<(Better, Self)> = Vec::new();
        for point in points {
            let same = |growth: &Self| growth.grown == point.grown && growth.name == point.name;
            let known = growths.iter_mut().find(|(_, growth)| same(growth));
            let pair = (point.n, point.value);
            match known {
                Some((_, growth)) => growth.points.push(pair),
                None => growths.push((
                    point.better,
                    Self {
                        grown: point.grown.clone(),
                        name: point.name.clone(),
                        unit: point.unit.clone(),
                        points: vec![pair],
                        fit: None,
                        exponent: None,
                        r2: None,
                    },
                )),
            }
        }
        growths
            .into_iter()
            .map(|(better, growth)| growth.fitted(better))
            .collect()
    }

    fn fitted(mut self, better: Better) -> Self {
        self.points.sort_by_key(|(n, _)| *n);
        let cost = |value: f64| match better {
            Better::Lower => value,
            Better::Higher => 1.0 / value,
        };
        let points: Vec<(f64, f64)> = self
            .points
            .iter()
            .map(|(n, value)| (*n as f64, cost(*value)))
            .collect();
        if let Some(fit) = Fit::of(&points) {
            self.exponent = Some(fit.exponent);
            self.r2 = Some(fit.r2);
            self.fit = Some(fit.sentence());
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::{Growth, Point};
    use crate::bench::interleave::Better;

    #[test]
    fn a_rate_that_falls_as_sizes_grow_is_a_cost_that_grows() {
        let points: Vec<Point> = [1_u64, 10, 100]
            .into_iter()
            .flat_map(|n| {
                let point = |name: &str, better, value| Point {
                    grown: "flows".to_owned(),
                    name: name.to_owned(),
                    unit: "x".to_owned(),
                    better,
                    n,
                    value,
                };
                [
                    point("rate", Better::Higher, 1_000.0 / n as f64),
                    point("memory", Better::Lower, 5.0),
                ]
            })
            .collect();
        let growths = Growth::all(&points);
        let [rate, memory] = growths.as_slice() else {
            panic!("{growths:?}");
        };
        assert_eq!(rate.points, [(1, 1_000.0), (10, 100.0), (100, 10.0)]);
        assert!(
            rate.fit
                .as_ref()
                .is_some_and(|fit| fit.starts_with("linear"))
        );
        assert!(
            memory
                .fit
                .as_ref()
                .is_some_and(|fit| fit.starts_with("flat"))
        );
    }
}
