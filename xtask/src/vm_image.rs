//! `cargo xtask vm-image`: a kernel and two initial RAM disks, so that tests have virtual machines
//! with the kernel that Debian ships instead of the one that happens to run here.
//!
//! `kernel/vmlinuz` is the kernel, `guest.cpio` a small Linux to be somebody's guest, `host.cpio` one
//! that can itself run an agent. Both read commands from a virtio port (see `vm_image/init.sh`).
//! Everything lies in `target/vm-image`; what is there already is made again only when its inputs
//! have changed. Images of the same inputs are the same to the byte.

mod contents;
mod kernel;
mod newc;
mod packages;
mod programs;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::progress::Progress;
use crate::setup::{self, Consent, Purpose};
use contents::Contents;
use kernel::Kernel;

/// Arguments of `cargo xtask vm-image`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The `clearway` binary that the host's image gets [default: a debug build of this tree]
    #[arg(long, value_name = "FILE")]
    clearway: Option<PathBuf>,
    /// Download the packages again, in whatever versions there are now
    #[arg(long)]
    update: bool,
}

/// What the programs of the guest's image are for: to load a network and to measure it.
const GUEST_PROGRAMS: [&str; 1] = ["iperf3"];
/// Programs of a host, besides `clearway`; busybox has no network namespaces and no veth.
const HOST_PROGRAMS: [&str; 4] = ["iperf3", "ip", "nft", "tc"];

/// Runs `cargo xtask vm-image`.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if std::env::consts::ARCH != "x86_64" {
        bail!("images for virtual machines are made on x86_64 only");
    }
    setup::ensure(&Purpose::Vm.needs(), Consent::Ask)?;
    let clearway = match &arguments.clearway {
        Some(file) => file.clone(),
        None => build_clearway()?,
    };
    let folder = crate::repository().join("target/vm-image");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // Tests ask for their images at the same time; the lock ends with us, however we do.
    let lock = File::create(folder.join("lock")).context("cannot make the lock of the images")?;
    lock.lock().context("cannot lock the images")?;
    sweep(&folder)?;

    let progress = Progress::start("looking at the packages");
    let kernel = Kernel::provide(&folder, arguments.update, &progress)?;
    let busybox = packages::busybox(&folder, arguments.update, &progress)?;
    let guest = guest(&kernel, &busybox)?;
    let host = host(&kernel, &busybox, &clearway)?;
    for (name, contents) in [("guest.cpio", guest), ("host.cpio", host)] {
        provide(&folder.join(name), &contents, &progress)?;
    }
    progress.keep(&format!(
        "Linux {} for virtual machines is in {}",
        kernel.release(),
        folder.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// A machine with busybox, drivers of virtual NICs and a traffic generator.
fn guest(kernel: &Kernel, busybox: &Path) -> Result<Contents> {
    let mut contents = Contents::default();
    contents.add_file("bin/busybox", busybox, true);
    contents.add_text("init", include_str!("vm_image/init.sh"), true);
    contents.add_text("etc/dhcp.sh", include_str!("vm_image/dhcp.sh"), true);
    let modules = kernel::AT_BOOT.map(|name| format!("{name}\n")).concat();
    contents.add_text("etc/modules", &modules, false);
    for folder in ["dev", "proc", "root", "run", "sys", "tmp", "var/lib"] {
        contents.add_folder(folder);
    }
    kernel.add_modules(&mut contents)?;
    for program in GUEST_PROGRAMS {
        programs::add_installed(&mut contents, program)?;
    }
    Ok(contents)
}

/// The same, able to run an agent and its guests.
fn host(kernel: &Kernel, busybox: &Path, clearway: &Path) -> Result<Contents> {
    let mut contents = guest(kernel, busybox)?;
    for program in HOST_PROGRAMS {
        programs::add_installed(&mut contents, program)?;
    }
    programs::add_stripped(&mut contents, "clearway", clearway)?;
    Ok(contents)
}

/// Writes an image, unless the one that is there was made of the same.
fn provide(image: &Path, contents: &Contents, progress: &Progress) -> Result<()> {
    let stamp = image.with_extension("inputs");
    let inputs = contents.inputs()?;
    if image.is_file() && fs::read_to_string(&stamp).is_ok_and(|known| known == inputs) {
        return Ok(());
    }
    progress.note(&format!("writing {}", file_name(image)));
    // Whoever has the old image open keeps it whole; nobody ever sees half of one.
    let aside = image.with_extension("new");
    contents
        .write(&aside)
        .with_context(|| format!("cannot write {}", aside.display()))?;
    fs::rename(&aside, image).with_context(|| format!("cannot replace {}", image.display()))?;
    fs::write(&stamp, inputs).with_context(|| format!("cannot write {}", stamp.display()))
}

/// Removes what a run that was killed has left.
fn sweep(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with(packages::ASIDE)
        {
            fs::remove_dir_all(entry.path()).context("cannot remove what an earlier run left")?;
        }
    }
    Ok(())
}

/// The binary of a debug build: what tests run as well, and ready in seconds.
fn build_clearway() -> Result<PathBuf> {
    let mut command = process::cargo();
    command
        .args(["build", "--package", "clearway"])
        .arg("--message-format=json-render-diagnostics")
        .stderr(std::process::Stdio::inherit());
    let output = command.output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("`{}` failed", process::shown(&command));
    }
    crate::clearway::executable(&String::from_utf8_lossy(&output.stdout))
        .context("cargo does not say where it put `clearway`")
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;
