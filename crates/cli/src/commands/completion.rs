//! `clearway completion`.

use anyhow::Result;
use clap::{Args, CommandFactory as _, ValueEnum};

use crate::args::Cli;
use crate::exit::Exit;
use crate::print::Console;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  clearway completion bash > /etc/bash_completion.d/clearway
  clearway completion zsh > /usr/local/share/zsh/site-functions/_clearway
  clearway completion fish > ~/.config/fish/completions/clearway.fish")]
pub(crate) struct CompletionArgs {
    /// The shell
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(crate) fn run(args: &CompletionArgs, console: &Console) -> Result<Exit> {
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "clearway", &mut script);
    console.bytes(&script)?;
    Ok(Exit::Done)
}
