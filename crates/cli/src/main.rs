//! The `clearway` command: starts the agent, and is its first client.
//!
//! | part | does |
//! |---|---|
//! | [`args`] | what may be written on the command line |
//! | [`commands`] | one module for each command: asks the agent, shows the answer |
//! | [`client`] | HTTP over the agent's socket; the only place that knows it |
//! | [`agent`] | all that is done in this process and not asked of an agent |
//! | [`mod@print`] | tables, JSON, colours; the only place that writes to standard output |
//! | [`exit`] | what went wrong, and the exit code it has |
#![forbid(unsafe_code)]

mod agent;
mod args;
mod client;
mod commands;
mod exit;
mod print;
mod topology;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Cli;
use crate::exit::{Exit, Failure};
use crate::print::Console;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A reader that has gone away is no failure of ours.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            }
            .into();
        }
    };
    let console = Console::new(cli.global.output, cli.global.color);
    match commands::run(cli, &console) {
        Ok(exit) => exit.into(),
        Err(error) if exit::is_broken_pipe(&error) => Exit::Done.into(),
        Err(error) => {
            let failure = Failure::from_error(error);
            console.failure(&failure);
            failure.exit.into()
        }
    }
}
