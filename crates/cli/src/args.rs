//! What may be written on the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{
    apply, attach, capture, completion, drops, exec, explain, nic, up, validate, vf,
};

const AFTER_HELP: &str = "\
Examples:
  clearway up topology.yaml --detach    start the agent in the background
  clearway status                       ask how it is
  clearway nic list                     list the NICs and who serves them
  clearway explain web-1 'tcp 10.0.1.4:40000 -> 10.0.2.4:443'

Exit codes:
  0  done; for `explain`: the packet is allowed
  1  failed
  2  the command line cannot be understood
  3  refused: the topology is not valid, or `explain` says the packet is dropped
  4  no agent answers
  5  the agent has no such guest or NIC
  `clearway exec` ends with the exit code of the command it runs.";

/// Accelerated virtual networks for virtual machines and containers.
#[derive(Debug, Parser)]
#[command(name = "clearway", version, max_term_width = 100, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The agent's instance; several run side by side on one host
    #[arg(long, global = true, value_name = "NAME", env = "CLEARWAY_INSTANCE")]
    #[arg(default_value = host::DEFAULT_INSTANCE, hide_env_values = true)]
    pub(crate) instance: String,
    /// The agent's control socket, if it is not where the instance has it
    #[arg(long, global = true, value_name = "PATH", env = "CLEARWAY_SOCKET")]
    #[arg(hide_env_values = true)]
    pub(crate) socket: Option<PathBuf>,
    /// For people, or for programs: the API's own JSON, errors included
    #[arg(
        long,
        short,
        global = true,
        value_name = "FORMAT",
        default_value = "table"
    )]
    pub(crate) output: Format,
    /// Whether to use colours; `auto`: on terminals, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: When,
}

/// How answers are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
}

/// When colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the agent
    Up(up::UpArgs),
    /// Remove everything an instance has made, and end its agent
    #[command(
        after_help = "Examples:\n  clearway down\n  clearway down --instance lab\n\n\
        Works when the agent is dead, too."
    )]
    Down,
    /// Show how the agent is
    #[command(after_help = "Examples:\n  clearway status\n  clearway status --output json")]
    Status,
    /// Make a topology the desired state
    Apply(apply::ApplyArgs),
    /// Check a topology without an agent
    Validate(validate::ValidateArgs),
    /// Run a command in a guest's network namespace
    Exec(exec::ExecArgs),
    /// Attach a container that someone else started
    Attach(attach::AttachArgs),
    /// Look at NICs
    Nic(nic::NicArgs),
    /// Take the accelerated path of a NIC away, or give it back
    Vf(vf::VfArgs),
    /// Say what would happen to a packet, and why
    Explain(explain::ExplainArgs),
    /// Show what was dropped, and why
    Drops(drops::DropsArgs),
    /// Record what passes a NIC
    Capture(capture::CaptureArgs),
    /// Print the JSON schema of topologies
    #[command(after_help = "Example:\n  clearway schema > topology.schema.json")]
    Schema,
    /// Print a completion script
    Completion(completion::CompletionArgs),
}

/// A NIC as people name it: `guest/nic`, or a guest that has one NIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NicName {
    /// The guest.
    pub(crate) guest: String,
    /// The NIC, unless it is the guest's only one.
    pub(crate) nic: Option<String>,
}

impl FromStr for NicName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (guest, nic) = match text.split_once('/') {
            Some((guest, nic)) => (guest, Some(nic)),
            None => (text, None),
        };
        if guest.is_empty() || nic.is_some_and(|nic| nic.is_empty() || nic.contains('/')) {
            return Err("write `GUEST/NIC`, or `GUEST` if it has one NIC".to_owned());
        }
        Ok(Self {
            guest: guest.to_owned(),
            nic: nic.map(str::to_owned),
        })
    }
}

impl std::fmt::Display for NicName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.nic {
            Some(nic) => write!(f, "{}/{nic}", self.guest),
            None => f.write_str(&self.guest),
        }
    }
}

/// The arguments with which this program is told to use the same instance again.
pub(crate) fn same_instance(global: &Global) -> Vec<OsString> {
    let mut args = vec!["--instance".into(), OsString::from(&global.instance)];
    if let Some(socket) = &global.socket {
        args.extend(["--socket".into(), socket.into()]);
    }
    args
}
