use anyhow::Result;
use clap::Args;
use host::api::{FlowList, FlowRow};

use crate::args::NicName;
use crate::client::{Client, Route};
use crate::print::{Cell, Column, Console, Table, Tone, human};

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  clearway nic flows web-1
  clearway nic flows web-1/eth0 --not-offloaded --limit 20")]
pub(super) struct FlowsArgs {
    /// The NIC: GUEST/NIC, or GUEST if it has one
    nic: NicName,
    /// Only those the flow engine does not execute, with the reason
    #[arg(long)]
    not_offloaded: bool,
    /// How many to list; the agent has a limit of its own
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: Option<u32>,
}

pub(super) async fn run(args: &FlowsArgs, client: &Client, console: &Console) -> Result<()> {
    let mut route = Route::nic(&args.nic, &["flows"]);
    if let Some(limit) = args.limit {
        route = route.with("limit", &limit.to_string());
    }
    if args.not_offloaded {
        route = route.with("notOffloaded", "true");
    }
    console.answer(&client.get(&route).await?, |console, list: &FlowList| {
        show(console, list)?;
        if list.flows.len() < list.total {
            console.note(&format!(
                "{} of {} flow directions are listed; --limit sets how many",
                human::count_usize(list.flows.len()),
                human::count_usize(list.total)
            ));
        }
        Ok(())
    })
}

fn show(console: &Console, list: &FlowList) -> Result<()> {
    if list.flows.is_empty() {
        return console.line(&format!("{} has no such flows", list.nic));
    }
    let mut table = Table::new(&[
        Column::Text("FLOW"),
        Column::Text("FROM"),
        Column::Text("DIRECTION"),
        Column::Text("VERDICT"),
        Column::Text("TO"),
        Column::Text("STATE"),
        Column::Number("PACKETS"),
        Column::Number("BYTES"),
        Column::Number("IDLE"),
        Column::Text("OFFLOADED"),
    ]);
    for flow in &list.flows {
        let verdict = if flow.verdict == "allow" {
            Tone::Good
        } else {
            Tone::Bad
        };
        table.row([
            flow.flow.as_str().into(),
            flow.from.as_str().into(),
            flow.direction.as_str().into(),
            Cell::toned(verdict, &flow.verdict),
            Cell::maybe(flow.to.as_deref()),
            Cell::maybe(flow.state.as_deref()),
            human::count(flow.packets).into(),
            human::bytes(flow.bytes).into(),
            human::duration(flow.idle_ms).into(),
            offloaded(flow),
        ]);
    }
    table.print(console)
}

fn offloaded(flow: &FlowRow) -> Cell {
    match (&flow.reason, flow.offloaded) {
        (_, true) => Cell::toned(Tone::Good, "yes"),
        (Some(reason), false) => Cell::toned(Tone::Notice, format!("no: {reason}")),
        (None, false) => Cell::toned(Tone::Notice, "no"),
    }
}
