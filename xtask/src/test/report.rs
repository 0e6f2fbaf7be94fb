//! Adding up results, and the summary's text.

use comfy_table::{Table, presets};

use super::journal::Skip;

/// Results of one runner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: u64,
    pub(super) failed: u64,
}

impl Counts {
    /// Reads the totals of a JUnit report; none if the text is no such report.
    pub(super) fn from_junit(text: &str) -> Option<Self> {
        let start = text.find("<testsuites")?;
        let element = text[start..].split('>').next()?;
        let total = attribute(element, "tests")?;
        let failed = attribute(element, "failures")? + attribute(element, "errors")?;
        Some(Self {
            passed: total.saturating_sub(failed),
            failed,
        })
    }

    /// Adds a `test result:` line of the standard test harness; ignores any other line.
    pub(super) fn add_libtest_line(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result:") else {
            return;
        };
        let words: Vec<&str> = result
            .split([' ', ';', '.'])
            .filter(|w| !w.is_empty())
            .collect();
        for pair in words.windows(2) {
            let Ok(count) = pair[0].parse::<u64>() else {
                continue;
            };
            match pair[1] {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                _ => {}
            }
        }
    }
}

/// The last lines of a run. A skipped test counts as skipped, not as passed.
pub(super) fn summary(tests: Option<Counts>, doc: Counts, skipped: &[Skip]) -> String {
    let skips = skipped.len() as u64;
    let mut text = match tests {
        Some(counts) => format!(
            "tests: {} passed, {} failed, {skips} skipped",
            counts.passed.saturating_sub(skips),
            counts.failed
        ),
        None => "tests: did not run".to_owned(),
    };
    text += &format!(
        "\ndocumentation: {} passed, {} failed",
        doc.passed, doc.failed
    );
    if !skipped.is_empty() {
        let mut table = Table::new();
        table
            .load_style(presets::ASCII_HORIZONTAL_ONLY)
            .set_header(["test", "skipped, because"]);
        for skip in skipped {
            table.add_row([&skip.test, &skip.reason]);
        }
        text += &format!("\n{table}");
    }
    text
}

fn attribute(element: &str, name: &str) -> Option<u64> {
    let marker = format!(" {name}=\"");
    let start = element.find(&marker)? + marker.len();
    element[start..].split('"').next()?.parse().ok()
}
