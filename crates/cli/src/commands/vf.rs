//! `clearway vf`.

use anyhow::Result;
use clap::{Args, Subcommand};
use host::api::{VfAction, VfRequest, VfState};
use jiff::Timestamp;

use crate::args::NicName;
use crate::client::{Client, Route};
use crate::exit::Exit;
use crate::print::{Console, Fields, Tone, human};

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  clearway vf revoke web-1 --reason 'firmware update'
  clearway vf restore web-1")]
pub(crate) struct VfArgs {
    #[command(subcommand)]
    command: VfCommand,
}

#[derive(Debug, Subcommand)]
enum VfCommand {
    /// Take the accelerated path away; connections go on over the switch
    #[command(after_help = "Example:\n  clearway vf revoke web-1/eth0 --reason 'firmware update'")]
    Revoke {
        /// The NIC: GUEST/NIC, or GUEST if it has one
        nic: NicName,
        /// Why, for those who look later
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Give the accelerated path back
    #[command(after_help = "Example:\n  clearway vf restore web-1/eth0")]
    Restore {
        /// The NIC: GUEST/NIC, or GUEST if it has one
        nic: NicName,
    },
}

pub(crate) async fn run(args: &VfArgs, client: &Client, console: &Console) -> Result<Exit> {
    let (nic, request) = match &args.command {
        VfCommand::Revoke { nic, reason } => (
            nic,
            VfRequest {
                action: VfAction::Revoke,
                reason: reason.clone(),
            },
        ),
        VfCommand::Restore { nic } => (
            nic,
            VfRequest {
                action: VfAction::Restore,
                reason: None,
            },
        ),
    };
    let answer = client.post(&Route::nic(nic, &["vf"]), &request).await?;
    console.answer(&answer, |console, state: &VfState| {
        let mut fields = Fields::default();
        fields.add("NIC", nic.to_string());
        add_state(&mut fields, state);
        fields.print(console)
    })?;
    Ok(Exit::Done)
}

/// The lines of a NIC's accelerated path.
pub(crate) fn add_state(fields: &mut Fields, state: &VfState) {
    let wanted = if state.desired {
        "accelerated"
    } else {
        "synthetic"
    };
    fields
        .add("desired path", wanted)
        .toned("observed path", tone(state), &state.observed)
        .maybe("because", state.reason.as_deref())
        .add("since", human::since(state.since, Timestamp::now()));
}

/// Whether a NIC has the path it should have.
pub(crate) fn tone(state: &VfState) -> Tone {
    match (state.observed.as_str(), state.desired) {
        ("accelerated", true) | ("synthetic", false) => Tone::Good,
        ("synthetic", true) => Tone::Notice,
        ("down", _) => Tone::Bad,
        _ => Tone::Plain,
    }
}
