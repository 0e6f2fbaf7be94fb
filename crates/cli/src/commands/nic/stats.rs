use anyhow::Result;
use host::api::{NicStats, PathStats};

use crate::commands::drops;
use crate::print::{Column, Console, Fields, Table, human};

/// For people.
pub(super) fn show(console: &Console, stats: &NicStats) -> Result<()> {
    let mut paths = Table::new(&[
        Column::Text("PATH"),
        Column::Number("FROM GUEST"),
        Column::Number("BYTES"),
        Column::Number("TO GUEST"),
        Column::Number("BYTES"),
    ]);
    let mut add = |name: &'static str, path: &PathStats| {
        paths.row([
            name.into(),
            human::count(path.from_guest_packets).into(),
            human::bytes(path.from_guest_bytes).into(),
            human::count(path.to_guest_packets).into(),
            human::bytes(path.to_guest_bytes).into(),
        ]);
    };
    add("accelerated", &stats.accelerated);
    add("synthetic", &stats.synthetic);
    paths.print(console)?;

    console.line("")?;
    let mut fields = Fields::default();
    fields
        .add("handed up by the engine", human::count(stats.exceptions))
        .add("first packets judged", human::count(stats.first_packets))
        .add("stale flows judged anew", human::count(stats.resimulations))
        .add(
            "stale frames let through",
            human::count(stats.stale_forwarded),
        )
        .add("answered by the switch", human::count(stats.answered));
    fields.print(console)?;

    if !stats.drops.is_empty() {
        console.heading("Drops")?;
        drops::table(&stats.drops).print(console)?;
    }
    Ok(())
}
