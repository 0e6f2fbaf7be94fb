//! `clearway up`.

mod detach;

use std::path::PathBuf;

use anyhow::Result;
use bpf::Hook;
use clap::{Args, ValueEnum};

use crate::agent;
use crate::args::Global;
use crate::exit::Exit;
use crate::print::Console;
use crate::topology::Document;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  clearway up topology.yaml
  clearway up topology.yaml --detach
  clearway up                           go on with what was applied last

The agent ends on Ctrl-C and SIGTERM and leaves the data path as it is: established connections go
on, and the next `clearway up` takes over. `clearway down` removes everything. CLEARWAY_LOG sets
what is logged, such as `debug` or `host=trace`.")]
pub(crate) struct UpArgs {
    /// The topology to apply first, YAML or JSON; `-` for standard input
    #[arg(value_name = "TOPOLOGY")]
    topology: Option<PathBuf>,
    /// Run in the background, and wait until the agent answers
    #[arg(long, short)]
    detach: bool,
    /// How the engine hooks into the kernel: a tcx link (Linux 6.6), a clsact filter, or the best
    #[arg(long, value_name = "HOOK", default_value = "auto")]
    hook: HookChoice,
    /// This process is the background: how `--detach` starts it
    #[arg(long, hide = true, conflicts_with = "detach")]
    background: bool,
    /// What to call the topology in messages, when it comes from `--detach`
    #[arg(long, hide = true, value_name = "NAME")]
    topology_name: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum HookChoice {
    Auto,
    Tcx,
    Clsact,
}

impl From<HookChoice> for Hook {
    fn from(choice: HookChoice) -> Hook {
        match choice {
            HookChoice::Auto => Hook::Auto,
            HookChoice::Tcx => Hook::Tcx,
            HookChoice::Clsact => Hook::Clsact,
        }
    }
}

pub(crate) fn run(args: &UpArgs, global: &Global, console: &Console) -> Result<Exit> {
    let paths = agent::paths(global)?;
    let mut document = args.topology.as_deref().map(Document::read).transpose()?;
    if let (Some(document), Some(name)) = (&mut document, &args.topology_name) {
        document.file_name.clone_from(name);
    }
    if let Some(document) = &document {
        let warnings = document.check().map_err(|found| document.refused(found))?;
        // The one that started the background has shown them.
        if !args.background {
            console.diagnostics(&warnings);
        }
    }
    if args.detach {
        return detach::run(global, paths, document, args.hook.into(), console);
    }
    if args.background {
        detach::leave_terminal()?;
    }
    agent::serve(
        paths,
        document,
        args.hook.into(),
        console.colour_on_stderr(),
    )?;
    Ok(Exit::Done)
}
