//! Results as a person reads them.

use std::io::{IsTerminal, stdout};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::interleave::{Better, Series};
use super::rows::{Row, all_far, counted, median, spread};
use super::{BACKGROUND_QUIET, Document, Section};

/// An empty table with this header: lines on a terminal, plain ASCII elsewhere.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    if stdout().is_terminal() {
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_content_arrangement(ContentArrangement::Dynamic);
    } else {
        table.load_style(presets::ASCII_FULL_CONDENSED);
    }
    table.set_header(header.iter().copied());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A number with four significant digits.
pub(crate) fn figure(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 1000.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 10.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

/// Everything about a run: the machine, each contestant's medians part by part, and our bars.
pub(crate) fn results(document: &Document, sections: &[Section]) -> String {
    let mut lines = vec![document.machine.to_string()];
    lines.push(match (&document.unguarded, document.near_ns) {
        (Some(why), _) => format!(
            "medians of {} runs; not guarded, because {why}",
            document.runs
        ),
        (None, near_ns) => format!(
            "medians of {} runs, each with the processors near: at most {:.0} ns apart",
            document.runs,
            near_ns.unwrap_or(f64::NAN)
        ),
    });
    if document.background > BACKGROUND_QUIET {
        let percent = document.background * 100.0;
        lines.push(format!(
            "others used {percent:.0} % of the processors before it began"
        ));
    }
    for section in sections {
        lines.push(format!("\n{}", section.title));
        lines.push(medians(&section.series).to_string());
        lines.extend(section.notes.iter().map(|note| format!("- {note}")));
    }
    if document.rows.iter().any(|row| row.bar.is_some()) {
        lines.push("\nbars".to_owned());
        lines.push(bars(&document.rows).to_string());
    }
    lines.join("\n")
}

/// A line for each measurement, a column for each contestant.
fn medians(series: &[Series]) -> Table {
    let mut contestants: Vec<&str> = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for one in series {
        if !contestants.contains(&one.contestant.as_str()) {
            contestants.push(&one.contestant);
        }
        if !names.contains(&one.name.as_str()) {
            names.push(&one.name);
        }
    }
    let header: Vec<&str> = ["measurement", "unit"]
        .into_iter()
        .chain(contestants.clone())
        .collect();
    let mut table = table(&header);
    for name in names {
        let of_name: Vec<&Series> = series.iter().filter(|one| one.name == name).collect();
        let mut cells = vec![
            format!("{name} {}", arrow(of_name[0].better)),
            of_name[0].unit.clone(),
        ];
        for contestant in &contestants {
            let one = of_name.iter().find(|one| one.contestant == *contestant);
            cells.push(one.map_or_else(String::new, |one| cell(one)));
        }
        table.add_row(cells);
    }
    table
}

fn cell(series: &Series) -> String {
    let Some(middle) = median(&counted(&series.samples)) else {
        return String::new();
    };
    let spread = spread(&series.samples).map_or(0.0, |spread| spread * 100.0);
    let mark = if all_far(&series.samples) {
        " [far]"
    } else {
        ""
    };
    format!("{} ±{:.0}%{mark}", figure(middle), spread / 2.0)
}

/// A line for each bar; the ratios of rows without one are in the JSON.
fn bars(rows: &[Row]) -> Table {
    let mut table = table(&[
        "row",
        "unit",
        "ours",
        "peer",
        "peer's",
        "times better",
        "bar",
        "",
    ]);
    for row in rows.iter().filter(|row| row.bar.is_some()) {
        let pass = match row.pass {
            Some(true) => "pass",
            Some(false) => "MISS",
            None => "",
        };
        let optional = |value: Option<f64>| value.map(figure).unwrap_or_default();
        table.add_row([
            format!("{} {}", row.name, arrow(row.better)),
            row.unit.clone(),
            optional(row.ours),
            row.peer_name.clone().unwrap_or_default(),
            optional(row.peer),
            optional(row.ratio),
            optional(row.bar),
            pass.to_owned(),
        ]);
    }
    table
}

fn arrow(better: Better) -> char {
    match better {
        Better::Higher => '↑',
        Better::Lower => '↓',
    }
}
