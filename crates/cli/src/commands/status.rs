//! `clearway status`.

use anyhow::Result;
use host::api::{SchedulingClass, SchedulingView, Status, UplinkView};
use jiff::Timestamp;

use crate::client::{Client, Route};
use crate::exit::Exit;
use crate::print::{Console, Fields, Tone, human};

pub(crate) async fn run(client: &Client, console: &Console) -> Result<Exit> {
    console.answer(&client.get(&Route::new(&["status"])).await?, show)?;
    Ok(Exit::Done)
}

/// For people.
pub(crate) fn show(console: &Console, status: &Status) -> Result<()> {
    let mut fields = Fields::default();
    fields
        .add("instance", &status.instance)
        .add(
            "topology",
            status.topology.as_deref().unwrap_or("none applied"),
        )
        .add("generation", status.generation.to_string())
        .add("engine", &status.engine)
        .add("NICs", human::count_usize(status.nics))
        .add("flows", human::count(status.flows))
        .add("first packets", human::count(status.first_packets))
        .add("agent", format!("{}, pid {}", status.version, status.pid))
        .add("started", human::since(status.started, Timestamp::now()))
        .add("memory", human::bytes(status.resident_bytes))
        .add("scheduling", scheduling(&status.scheduling));
    if status.exceptions_lost > 0 {
        let lost = human::count(status.exceptions_lost);
        let text = format!("{lost} before the agent; see `clearway drops`");
        fields.toned("frames lost", Tone::Bad, text);
    }
    if let Some(uplink) = &status.uplink {
        add_uplink(&mut fields, uplink);
    }
    let taken = status.taken_over;
    if taken.ports > 0 || taken.flows > 0 {
        let ports = human::counted(taken.ports, "port");
        let flows = human::counted(taken.flows, "flow");
        fields.add(
            "taken over",
            format!("{ports} and {flows} of the agent before"),
        );
    }
    fields.print(console)
}

fn scheduling(view: &SchedulingView) -> String {
    match (view.class, &view.reason) {
        (SchedulingClass::RealTime, _) => "real-time, the processors being busy".to_owned(),
        (SchedulingClass::Ordinary, None) => "ordinary".to_owned(),
        (SchedulingClass::Ordinary, Some(reason)) => format!("ordinary: {reason}"),
    }
}

fn add_uplink(fields: &mut Fields, uplink: &UplinkView) {
    fields.add(
        "uplink",
        format!(
            "{}, provider address {}, VXLAN port {}",
            uplink.interface, uplink.provider_address, uplink.vxlan_port
        ),
    );
    let since = human::since(uplink.since, Timestamp::now());
    match &uplink.reason {
        None if uplink.state == "up" => {
            fields.toned("uplink state", Tone::Good, format!("up, {since}"));
        }
        reason => {
            let why = reason.as_deref().unwrap_or("not attached yet");
            fields.toned("uplink state", Tone::Bad, format!("down: {why}, {since}"));
        }
    }
    if let (Some(mtu), Some(underlay)) = (uplink.mtu, uplink.underlay_mtu) {
        fields.add(
            "uplink MTU",
            format!("{mtu} for guests, {underlay} on the underlay"),
        );
    }
}
