//! The project's own commands, run as `cargo xtask COMMAND`.
//!
//! `quickstart` shows the product at work, `setup` installs what a machine lacks, `test` and `lint`
//! are what continuous integration runs, `vm-image` makes what its virtual machines start from, `bpf`
//! rebuilds the eBPF objects, and `bench` measures side by side with the kernel's own paths.
//! Nothing here is part of the product; nothing here contains unsafe code.
#![forbid(unsafe_code)]

mod bench;
mod bpf;
mod clearway;
mod lint;
mod load;
mod process;
mod progress;
mod quickstart;
mod scale;
mod setup;
#[cfg(test)]
mod skip;
mod soak;
mod step;
mod test;
mod tidy;
mod vm_image;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Commands of the Clearway repository.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_version_flag = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// See it work: two paths, one policy, on real Linux network stacks
    Quickstart(quickstart::Arguments),
    /// Install the tools that tests, the quickstart or benchmarks use
    Setup(setup::Arguments),
    /// Run every test and say which ones this machine could not run
    Test(test::Arguments),
    /// Check formatting, lints, documentation, the tree's own rules and the eBPF objects
    Lint,
    /// Check only the tree's own rules: sizes, layers, links, orphans
    Tidy,
    /// Rebuild the eBPF objects from their C sources
    Bpf(bpf::Arguments),
    /// Make a kernel and initial RAM disks for the virtual machines of tests
    VmImage(vm_image::Arguments),
    /// Measure, side by side with the kernel's own paths
    Bench(bench::Arguments),
    /// Grow one thing at a time, and see what grows with it
    Scale(scale::Arguments),
    /// Live through minutes of random changes, kills and traffic, and find nothing wrong
    Soak(soak::Arguments),
    /// Load generators that benchmarks start inside network namespaces
    #[command(subcommand, hide = true)]
    Load(load::Command),
    /// Removes an instance of the agent once whoever started it is no more
    #[command(hide = true)]
    Guard(clearway::guard::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Quickstart(arguments) => quickstart::run(&arguments),
        Command::Setup(arguments) => setup::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Lint => lint::run(),
        Command::Tidy => tidy::run(),
        Command::Bpf(arguments) => bpf::run(&arguments),
        Command::VmImage(arguments) => vm_image::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Scale(arguments) => scale::run(&arguments),
        Command::Soak(arguments) => soak::run(&arguments),
        Command::Load(command) => load::run(&command),
        Command::Guard(arguments) => clearway::guard::run(&arguments),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// The top of the source tree this binary was built from.
fn repository() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}
