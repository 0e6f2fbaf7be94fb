//! `clearway drops`.

use anyhow::{Context as _, Result};
use clap::Args;
use host::api::{DropEvent, DropRow};

use super::EndSignals;
use crate::client::{Client, Route, Stream};
use crate::exit::Exit;
use crate::print::{Cell, Column, Console, Table, Tone, human, printable};

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  clearway drops
  clearway drops --follow
  clearway drops --follow --output json | jq .reason")]
pub(crate) struct DropsArgs {
    /// Show each drop as it happens, until Ctrl-C; as JSON, one object a line
    #[arg(long, short)]
    follow: bool,
}

pub(crate) async fn run(args: &DropsArgs, client: &Client, console: &Console) -> Result<Exit> {
    if args.follow {
        let mut signals = EndSignals::watch()?;
        let mut events = client.stream(&Route::new(&["drops", "follow"])).await?;
        tokio::select! {
            followed = follow(&mut events, console) => followed?,
            () = signals.received() => {}
        }
        return Ok(Exit::Done);
    }
    console.answer(
        &client.get(&Route::new(&["drops"])).await?,
        |console, rows: &Vec<DropRow>| {
            if rows.is_empty() {
                return console.line("nothing was dropped");
            }
            table(rows).print(console)
        },
    )?;
    Ok(Exit::Done)
}

/// Drops by NIC and reason.
pub(crate) fn table(rows: &[DropRow]) -> Table {
    let mut table = Table::new(&[
        Column::Text("NIC"),
        Column::Text("REASON"),
        Column::Number("PACKETS"),
        Column::Number("BYTES"),
    ]);
    for row in rows {
        table.row([
            row.nic.as_str().into(),
            Cell::toned(Tone::Bad, &row.reason),
            human::count(row.packets).into(),
            bytes(row).into(),
        ]);
    }
    table
}

/// Not every place that drops knows how long frames were.
fn bytes(row: &DropRow) -> String {
    if row.bytes == 0 && row.packets > 0 {
        "not counted".to_owned()
    } else {
        human::bytes(row.bytes)
    }
}

async fn follow(events: &mut Stream, console: &Console) -> Result<()> {
    while let Some(mut line) = events.next_line().await? {
        if console.is_json() {
            line.push(b'\n');
            console.bytes(&line)?;
            continue;
        }
        let event: DropEvent =
            serde_json::from_slice(&line).context("cannot read what the agent says was dropped")?;
        if event.missed > 0 {
            let missed = human::count(event.missed);
            let text = format!("… {missed} drops came too fast to be shown; they are counted");
            console.line(&console.paint(Tone::Faint, &text))?;
        }
        console.line(&describe(console, &event))?;
    }
    Ok(())
}

fn describe(console: &Console, event: &DropEvent) -> String {
    let time = event.time.strftime("%H:%M:%S%.6f").to_string();
    let mut line = format!(
        "{} {} {} {} ({} bytes)",
        console.paint(Tone::Faint, &time),
        printable(&event.nic),
        console.paint(Tone::Bad, &printable(&event.reason)),
        printable(&event.packet),
        event.bytes
    );
    if let Some(decided_by) = &event.decided_by {
        line.push_str(" by ");
        line.push_str(&printable(decided_by));
    }
    line
}
