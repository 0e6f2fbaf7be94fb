//! The distribution's kernel: its image, and of its modules those that virtual NICs, agents and
//! their tests use, with what these need.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::contents::Contents;
use super::packages::{self, Unpacked};
use crate::process;
use crate::progress::Progress;
use crate::setup::apt;

/// The package that always depends on the newest kernel.
const NEWEST: &str = "linux-image-amd64";
const PREFIX: &str = "linux-image-";

/// Modules that are loaded when a machine starts: nobody asks for a driver by its name.
pub(super) const AT_BOOT: [&str; 6] = [
    "virtio_pci",
    "virtio_console",
    "virtio_rng",
    "virtio_net",
    "e1000e",
    "tun",
];

/// Modules that the kernel loads when they are asked for.
const ON_DEMAND: [&str; 24] = [
    "failover",
    "net_failover",
    "pktgen",
    "veth",
    "dummy",
    "bridge",
    "vxlan",
    "8021q",
    "sch_ingress",
    "cls_bpf",
    "act_bpf",
    "sch_fq",
    "sch_netem",
    "nf_tables",
    "nf_conntrack",
    "nft_ct",
    "nft_limit",
    "nft_log",
    "nft_reject_inet",
    // These have no dependency on an implementation of their checksum, and fail without one.
    "crc32c_generic",
    "crc32c_intel",
    "libcrc32c",
    "inet_diag",
    "tcp_diag",
];

/// What `depmod` reads besides modules.
const LISTS: [&str; 3] = [
    "modules.builtin",
    "modules.builtin.modinfo",
    "modules.order",
];

/// A kernel that lies in `kernel`, beside the images.
pub(super) struct Kernel {
    folder: PathBuf,
    release: String,
}

impl Kernel {
    /// The kernel that is there, or the newest that the distribution has.
    pub(super) fn provide(folder: &Path, update: bool, progress: &Progress) -> Result<Self> {
        let place = folder.join("kernel");
        let wanted = wanted().collect::<Vec<_>>().join("\n");
        let stamp = place.join("inputs");
        if update || fs::read_to_string(stamp).ok().as_ref() != Some(&wanted) {
            let package = apt::dependency(NEWEST, PREFIX, progress)?;
            let unpacked = Unpacked::of(&package, folder, progress)?;
            let staged = packages::aside(folder)?;
            stage(unpacked.path(), staged.path())
                .with_context(|| format!("cannot use the package {package}"))?;
            fs::write(staged.path().join("inputs"), wanted)?;
            if place.exists() {
                fs::remove_dir_all(&place).context("cannot remove the old kernel")?;
            }
            fs::rename(staged.keep(), &place).context("cannot put the kernel in its place")?;
        }
        let release = release_in(&place)?;
        Ok(Self {
            folder: place,
            release,
        })
    }

    /// Its version, as `uname -r` says it.
    pub(super) fn release(&self) -> &str {
        &self.release
    }

    /// Adds all its modules.
    pub(super) fn add_modules(&self, contents: &mut Contents) -> Result<()> {
        for file in files_below(&self.folder.join("lib"))? {
            let path = file.strip_prefix(&self.folder)?.display().to_string();
            contents.add_file(&path, &file, false);
        }
        Ok(())
    }
}

fn wanted() -> impl Iterator<Item = &'static str> {
    AT_BOOT.into_iter().chain(ON_DEMAND)
}

/// Copies the kernel and the modules that are wanted from an unpacked package.
fn stage(package: &Path, staged: &Path) -> Result<()> {
    let release = release_in(package)?;
    let image = package.join("boot").join(format!("vmlinuz-{release}"));
    fs::copy(image, staged.join("vmlinuz")).context("cannot find the kernel")?;
    depmod(package, &release)?;
    let modules = Path::new("lib/modules").join(&release);
    let read = |name: &str| {
        let path = package.join(&modules).join(name);
        fs::read_to_string(path).with_context(|| format!("cannot read {name}"))
    };
    let (from, to) = (package.join(&modules), staged.join(&modules));
    let chosen = closure(&read("modules.dep")?, &read("modules.builtin")?, wanted())?;
    let lists = LISTS.iter().map(|name| (*name).to_owned());
    for file in chosen.into_iter().chain(lists) {
        let place = to.join(&file);
        fs::create_dir_all(place.parent().context("a module's folder")?)?;
        fs::copy(from.join(&file), place).with_context(|| format!("cannot copy {file}"))?;
    }
    depmod(staged, &release)
}

/// Writes down which modules there are, what they depend on and who asks for them.
fn depmod(root: &Path, release: &str) -> Result<()> {
    let mut depmod = process::tool("depmod");
    process::capture(depmod.arg("--basedir").arg(root).arg(release)).map(drop)
}

/// The files of these modules and of what they depend on, by what `depmod` wrote down.
///
/// # Errors
/// When one is neither a module nor part of the kernel.
pub(super) fn closure<'n>(
    dependencies: &str,
    builtin: &str,
    names: impl Iterator<Item = &'n str>,
) -> Result<BTreeSet<String>> {
    let known: BTreeMap<String, (&str, &str)> = dependencies
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(file, needs)| (name_of(file), (file, needs)))
        .collect();
    let builtin: BTreeSet<String> = builtin.lines().map(name_of).collect();
    let mut files = BTreeSet::new();
    for name in names {
        match known.get(name) {
            Some((file, needs)) => {
                files.insert((*file).to_owned());
                files.extend(needs.split_whitespace().map(str::to_owned));
            }
            None if builtin.contains(name) => {}
            None => bail!("the kernel has no module {name}"),
        }
    }
    Ok(files)
}

/// The name of the module in a file, such as `crc32c_intel` for `.../crc32c-intel.ko.xz`.
fn name_of(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split(".ko").next().unwrap_or(name).replace('-', "_")
}

/// The one kernel whose modules are in `lib/modules`.
fn release_in(root: &Path) -> Result<String> {
    let folder = root.join("lib/modules");
    let mut entries = fs::read_dir(folder).context("cannot find the kernel's modules")?;
    let entry = entries.next().context("the kernel has no modules")??;
    Ok(entry.file_name().to_string_lossy().into_owned())
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(files_below(&entry.path())?);
        } else {
            files.push(entry.path());
        }
    }
    Ok(files)
}
