//! Figures, for people or for programs.

/// Which way a figure is to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

/// Writes each figure as it comes.
pub(crate) struct Report {
    json: bool,
}

impl Report {
    pub(crate) fn new(json: bool) -> Report {
        if !json {
            println!(
                "{:<36} {:>14} {:>14}  {:<20} n",
                "name", "median", "best", "unit"
            );
        }
        Report { json }
    }

    /// The median of `samples`, of which there is one at least, and the best of them.
    pub(crate) fn put(&mut self, name: &str, unit: &str, better: Better, mut samples: Vec<f64>) {
        samples.sort_by(f64::total_cmp);
        let (n, median) = (samples.len(), samples[samples.len() / 2]);
        let (best, better) = match better {
            Better::Higher => (samples[n - 1], "higher"),
            Better::Lower => (samples[0], "lower"),
        };
        if self.json {
            let value = serde_json::json!({
                "name": name, "unit": unit, "value": median, "best": best, "better": better, "n": n,
            });
            println!("{value}");
        } else {
            println!("{name:<36} {median:>14.1} {best:>14.1}  {unit:<20} {n}");
        }
    }
}
