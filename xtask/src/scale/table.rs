use comfy_table::{Cell, CellAlignment, Table, presets};

use super::point::Growth;

/// A table for each thing that was grown: a row for each figure, a column for each size, and what
/// the growth comes to.
pub(crate) fn text(growths: &[Growth]) -> String {
    let mut grown: Vec<&str> = Vec::new();
    for growth in growths {
        if !grown.contains(&growth.grown.as_str()) {
            grown.push(&growth.grown);
        }
    }
    let tables = grown.into_iter().map(|grown| {
        let of: Vec<&Growth> = growths.iter().filter(|one| one.grown == grown).collect();
        format!("{grown}\n{}\n", one(&of))
    });
    tables.collect::<Vec<_>>().join("\n")
}

fn one(growths: &[&Growth]) -> Table {
    let mut sizes: Vec<u64> = growths
        .iter()
        .flat_map(|growth| growth.points.iter().map(|(n, _)| *n))
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let names = ["measurement", "unit"].map(Cell::new);
    let columns = sizes.iter().map(|n| right(n.to_string()));
    table.set_header(
        names
            .into_iter()
            .chain(columns)
            .chain([Cell::new("growth")]),
    );
    for growth in growths {
        let at = |n: &u64| growth.points.iter().find(|(size, _)| size == n);
        let values = sizes
            .iter()
            .map(|n| right(at(n).map_or_else(String::new, |(_, value)| shown(*value))));
        let names = [&growth.name, &growth.unit].map(Cell::new);
        let fit = Cell::new(growth.fit.clone().unwrap_or_default());
        table.add_row(names.into_iter().chain(values).chain([fit]));
    }
    table
}

/// Four figures that matter, and no more.
fn shown(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.3}"),
        10.0..100.0 => format!("{value:.2}"),
        100.0..1_000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
