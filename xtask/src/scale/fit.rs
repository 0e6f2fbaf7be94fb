//! How a figure grows with what was grown.

/// The least exponent that counts as growth, and the least that counts as more than logarithmic.
const FLAT: f64 = 0.1;
/// Around one: linear.
const LINEAR: std::ops::RangeInclusive<f64> = 0.85..=1.15;

/// `cost ~ n^exponent`, by least squares on the logarithms of both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fit {
    pub(crate) exponent: f64,
    /// The share of the spread that it explains, from 0 to 1.
    pub(crate) r2: f64,
    /// The same for `cost ~ a + b log n`.
    logarithmic_r2: f64,
    /// What the cost at the largest size is, in terms of that at the smallest.
    pub(crate) ratio: f64,
    span: f64,
}

impl Fit {
    /// Of pairs of a size and a cost, both above zero; none if there are not three sizes.
    pub(crate) fn of(points: &[(f64, f64)]) -> Option<Self> {
        let mut points: Vec<(f64, f64)> = points.to_vec();
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut sizes: Vec<f64> = points.iter().map(|point| point.0).collect();
        sizes.dedup();
        let positive = points.iter().all(|(size, cost)| *size > 0.0 && *cost > 0.0);
        if sizes.len() < 3 || !positive {
            return None;
        }
        let logs: Vec<f64> = points.iter().map(|(size, _)| size.ln()).collect();
        let costs: Vec<f64> = points.iter().map(|(_, cost)| *cost).collect();
        let log_costs: Vec<f64> = costs.iter().map(|cost| cost.ln()).collect();
        let (exponent, r2) = line(&logs, &log_costs);
        let (_, logarithmic_r2) = line(&logs, &costs);
        let (first, last) = (points[0], points[points.len() - 1]);
        Some(Self {
            exponent,
            r2,
            logarithmic_r2,
            ratio: last.1 / first.1,
            span: last.0 / first.0,
        })
    }

    /// In a word or two.
    pub(crate) fn words(&self) -> String {
        let exponent = self.exponent;
        if exponent < -FLAT {
            "falls".to_owned()
        } else if exponent < FLAT {
            "flat".to_owned()
        } else if LINEAR.contains(&exponent) {
            "linear".to_owned()
        } else if exponent < 0.5 && self.logarithmic_r2 >= self.r2 {
            "logarithmic".to_owned()
        } else if exponent < *LINEAR.start() {
            "less than linear".to_owned()
        } else {
            "more than linear".to_owned()
        }
    }

    /// In a sentence with its figures.
    pub(crate) fn sentence(&self) -> String {
        format!(
            "{}: n^{:.2}, R² {:.2}; {:.3} times the cost at {} times the size",
            self.words(),
            self.exponent,
            self.r2,
            self.ratio,
            self.span
        )
    }
}

/// The slope of the line with the least squares, and how much of the spread it explains: all of it,
/// where there is none.
fn line(x: &[f64], y: &[f64]) -> (f64, f64) {
    let count = x.len() as f64;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(x), mean(y));
    let products = |a: &[f64], mean_a: f64, b: &[f64], mean_b: f64| -> f64 {
        let pairs = a.iter().zip(b);
        pairs.map(|(a, b)| (a - mean_a) * (b - mean_b)).sum()
    };
    let (xx, xy) = (
        products(x, mean_x, x, mean_x),
        products(x, mean_x, y, mean_y),
    );
    let yy = products(y, mean_y, y, mean_y);
    let slope = xy / xx;
    let explained = if yy > 0.0 { xy * xy / (xx * yy) } else { 1.0 };
    (slope, explained)
}

#[cfg(test)]
mod tests;
