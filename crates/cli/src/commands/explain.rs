//! `clearway explain`.

use anyhow::Result;
use clap::Args;
use host::api::ExplainRequest;
use vswitch::{Explanation, FlowView, LayerStep, PathStep};

use crate::args::NicName;
use crate::client::{Client, Route};
use crate::exit::Exit;
use crate::print::{Cell, Column, Console, Fields, Table, Tone, human, printable};

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  clearway explain web-1 'tcp 10.0.1.4:40000 -> 10.0.2.4:443'
  clearway explain web-1/eth0 'udp [fd00::4]:5000 -> [fd00::5]:53'
  clearway explain web-1 'icmp 10.0.1.4 -> 10.0.2.4'
  clearway explain web-1 --off-uplink 'tcp 10.0.9.9:40000 -> 10.0.1.4:443'

Nothing is sent and nothing is counted. Ends with 0 if the packet is allowed, with 3 if not.")]
pub(crate) struct ExplainArgs {
    /// The NIC that sends the packet, or receives it off the uplink: GUEST/NIC, or GUEST if it
    /// has one
    nic: NicName,
    /// The packet: `tcp|udp SRC:PORT -> DST:PORT`, or `icmp|esp|ah SRC -> DST`
    packet: String,
    /// It comes from another host, for the NIC
    #[arg(long)]
    off_uplink: bool,
}

pub(crate) async fn run(args: &ExplainArgs, client: &Client, console: &Console) -> Result<Exit> {
    let request = ExplainRequest {
        nic: args.nic.to_string(),
        packet: args.packet.clone(),
        off_uplink: args.off_uplink,
    };
    let answer = client.post(&Route::new(&["explain"]), &request).await?;
    let allowed = answer.read::<Explanation>()?.allowed;
    console.answer(&answer, show)?;
    Ok(if allowed { Exit::Done } else { Exit::Refused })
}

fn show(console: &Console, found: &Explanation) -> Result<()> {
    let mut fields = Fields::default();
    fields.add("packet", &found.packet);
    if found.off_uplink {
        fields.add("from", "another host").add("for", &found.nic);
    } else {
        fields.add("from", &found.nic);
    }
    match (&found.drop_reason, found.allowed) {
        (_, true) => fields.toned("verdict", Tone::Good, "allowed"),
        (Some(reason), false) => fields.toned("verdict", Tone::Bad, format!("dropped: {reason}")),
        (None, false) => fields.toned("verdict", Tone::Bad, "dropped"),
    };
    fields.print(console)?;
    if let Some(flow) = &found.flow {
        show_flow(console, flow)?;
    }
    if !found.layers.is_empty() {
        show_layers(console, &found.layers)?;
    }
    if let Some(path) = &found.path {
        show_path(console, path)?;
    }
    if !found.transposition.is_empty() {
        console.heading("What is done to the frame")?;
        for (index, step) in found.transposition.iter().enumerate() {
            console.line(&format!("{}. {}", index + 1, printable(step)))?;
        }
    }
    Ok(())
}

fn show_flow(console: &Console, flow: &FlowView) -> Result<()> {
    console.heading("Connection")?;
    let idle = human::duration(flow.idle_seconds.saturating_mul(1000));
    let state = flow
        .tcp_state
        .as_deref()
        .map(|state| format!(", TCP {state}"))
        .unwrap_or_default();
    console.line(&printable(&format!(
        "established{state}, idle for {idle}: its rules were asked when it opened"
    )))
}

fn show_layers(console: &Console, layers: &[LayerStep]) -> Result<()> {
    console.heading("Rules")?;
    let mut table = Table::new(&[
        Column::Text("DIRECTION"),
        Column::Text("LAYER"),
        Column::Text("SET"),
        Column::Text("RULE"),
        Column::Number("PRIORITY"),
        Column::Text("ACCESS"),
        Column::Text("NOTE"),
    ]);
    for layer in layers {
        let tone = if layer.access == "Deny" {
            Tone::Bad
        } else {
            Tone::Good
        };
        table.row([
            layer.direction.as_str().into(),
            layer.layer.as_str().into(),
            layer.set.as_str().into(),
            Cell::maybe(layer.rule.as_deref()),
            Cell::maybe(
                layer
                    .priority
                    .map(|priority| priority.to_string())
                    .as_deref(),
            ),
            Cell::toned(tone, &layer.access),
            layer.note.as_deref().unwrap_or_default().into(),
        ]);
    }
    table.print(console)
}

fn show_path(console: &Console, path: &PathStep) -> Result<()> {
    console.heading("Route")?;
    let next_hop = match &path.next_hop_ip_address {
        Some(address) => format!("{} {address}", path.next_hop_type),
        None => path.next_hop_type.clone(),
    };
    let mut fields = Fields::default();
    fields
        .add(
            "route",
            format!("{} {} ({})", path.route, path.prefix, path.source),
        )
        .add("table", &path.table)
        .add("why", &path.why)
        .add("next hop", next_hop)
        .maybe("leads to", path.destination.as_deref());
    fields.print(console)
}
