//! `clearway capture`.

mod records;

use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use indicatif::ProgressBar;

use self::records::Records;
use super::EndSignals;
use crate::args::NicName;
use crate::client::{Client, Route, Stream};
use crate::exit::{Exit, Failure};
use crate::print::{Console, human};
use crate::topology::is_stdin;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  clearway capture web-1 -w web-1.pcap
  clearway capture web-1/eth0 --drops-only -w drops.pcap
  clearway capture web-1 -w - | tcpdump -nr -

Ends on Ctrl-C, with a file of whole records.")]
pub(crate) struct CaptureArgs {
    /// The NIC: GUEST/NIC, or GUEST if it has one
    nic: NicName,
    /// Only what is dropped
    #[arg(long)]
    drops_only: bool,
    /// The pcap file to write; `-` for standard output
    #[arg(long, short, value_name = "FILE")]
    write: PathBuf,
}

pub(crate) async fn run(args: &CaptureArgs, client: &Client, console: &Console) -> Result<Exit> {
    let to_stdout = is_stdin(&args.write);
    if to_stdout && std::io::stdout().is_terminal() {
        return Err(Failure::usage(
            "a capture is not for a terminal; give a file, or pipe it: `-w - | tcpdump -nr -`",
        )
        .into());
    }
    let mut route = Route::nic(&args.nic, &["capture"]);
    if args.drops_only {
        route = route.with("dropsOnly", "true");
    }
    let mut signals = EndSignals::watch()?;
    // Before a file that is there is touched: the agent may have no such NIC.
    let mut stream = client.stream(&route).await?;
    let mut sink = if to_stdout {
        Sink::Stdout(console)
    } else {
        Sink::create(&args.write)?
    };

    let mut records = Records::default();
    let progress = ProgressBar::new_spinner();
    progress.enable_steady_tick(Duration::from_millis(200));
    let copied = tokio::select! {
        copied = copy(&mut stream, &mut records, &mut sink, &progress) => copied,
        () = signals.received() => Ok(()),
    };
    progress.finish_and_clear();
    sink.finish()?;
    let place = if to_stdout {
        String::new()
    } else {
        format!(" in {}", args.write.display())
    };
    console.note(&format!("{}{place}", summary(&records)));
    copied?;
    Ok(Exit::Done)
}

/// Where a capture goes.
enum Sink<'a> {
    Stdout(&'a Console),
    File(File, &'a Path),
}

impl<'a> Sink<'a> {
    fn create(path: &'a Path) -> Result<Self> {
        let file =
            File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self::File(file, path))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Stdout(console) => console.bytes(bytes),
            Self::File(file, path) => file
                .write_all(bytes)
                .with_context(|| format!("cannot write {}", path.display())),
        }
    }

    /// What was written stays, also when the host goes down next.
    fn finish(self) -> Result<()> {
        match self {
            Self::Stdout(_) => Ok(()),
            Self::File(file, path) => match file.sync_all() {
                // Pipes and devices have nothing to sync.
                Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => Ok(()),
                synced => synced.with_context(|| format!("cannot write {}", path.display())),
            },
        }
    }
}

/// Ends when the agent does. May be dropped while it waits: what is written ends with a record.
async fn copy(
    stream: &mut Stream,
    records: &mut Records,
    sink: &mut Sink<'_>,
    progress: &ProgressBar,
) -> Result<()> {
    while let Some(piece) = stream.next().await? {
        sink.write(&records.take_whole(&piece)?)?;
        progress.set_message(format!("{}; Ctrl-C ends the capture", summary(records)));
    }
    records.end()
}

fn summary(records: &Records) -> String {
    format!(
        "{} ({})",
        human::counted(records.frames(), "frame"),
        human::bytes(records.bytes())
    )
}
