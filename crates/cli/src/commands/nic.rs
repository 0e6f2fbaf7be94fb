//! `clearway nic`.

mod flows;
mod show;
mod stats;

use anyhow::Result;
use clap::{Args, Subcommand};
use host::api::NicSummary;

use super::vf;
use crate::args::NicName;
use crate::client::{Client, Route};
use crate::exit::Exit;
use crate::print::{Cell, Column, Console, Table, human};

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  clearway nic list
  clearway nic show web-1
  clearway nic stats web-1/eth0
  clearway nic flows web-1 --not-offloaded")]
pub(crate) struct NicArgs {
    #[command(subcommand)]
    command: NicCommand,
}

#[derive(Debug, Subcommand)]
enum NicCommand {
    /// List the NICs
    #[command(after_help = "Examples:\n  clearway nic list\n  clearway nic list --output json")]
    List,
    /// Show a NIC with its effective rules and routes
    #[command(after_help = "Example:\n  clearway nic show web-1/eth0")]
    Show(OneNic),
    /// Show what a NIC sent and received, and on which path
    #[command(after_help = "Example:\n  clearway nic stats web-1/eth0")]
    Stats(OneNic),
    /// List the flows of a NIC
    Flows(flows::FlowsArgs),
}

#[derive(Args, Debug)]
struct OneNic {
    /// The NIC: GUEST/NIC, or GUEST if it has one
    nic: NicName,
}

pub(crate) async fn run(args: &NicArgs, client: &Client, console: &Console) -> Result<Exit> {
    match &args.command {
        NicCommand::List => {
            console.answer(&client.get(&Route::new(&["nics"])).await?, list)?;
        }
        NicCommand::Show(OneNic { nic }) => {
            console.answer(&client.get(&Route::nic(nic, &[])).await?, show::show)?;
        }
        NicCommand::Stats(OneNic { nic }) => {
            console.answer(
                &client.get(&Route::nic(nic, &["stats"])).await?,
                stats::show,
            )?;
        }
        NicCommand::Flows(args) => flows::run(args, client, console).await?,
    }
    Ok(Exit::Done)
}

fn list(console: &Console, nics: &Vec<NicSummary>) -> Result<()> {
    if nics.is_empty() {
        return console.line("no NICs");
    }
    let mut table = Table::new(&[
        Column::Text("NIC"),
        Column::Text("KIND"),
        Column::Text("SUBNET"),
        Column::Text("ADDRESSES"),
        Column::Text("MAC"),
        Column::Text("DEVICE"),
        Column::Number("FLOWS"),
        Column::Text("PATH"),
        Column::Text("BECAUSE"),
    ]);
    for nic in nics {
        table.row([
            nic.name.as_str().into(),
            nic.kind.as_str().into(),
            nic.subnet.as_str().into(),
            addresses(nic).into(),
            nic.mac.as_str().into(),
            Cell::maybe(nic.device.as_deref()),
            human::count(nic.flows).into(),
            Cell::toned(vf::tone(&nic.vf), &nic.vf.observed),
            Cell::maybe(nic.vf.reason.as_deref()),
        ]);
    }
    table.print(console)
}

fn addresses(nic: &NicSummary) -> String {
    let addresses: Vec<String> = nic.addresses.iter().map(ToString::to_string).collect();
    addresses.join(", ")
}
