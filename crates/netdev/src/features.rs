//! What this process and this kernel can do.

use std::{fmt, io, path::Path, str::FromStr};

use rustix::{
    fs::{FsWord, statfs},
    mount::{MountFlags, mount},
    system::uname,
    thread::{CapabilitySet, capabilities},
};

use crate::error::{Context, Error};

/// Where the file system of eBPF objects is mounted by custom.
pub const BPFFS: &str = "/sys/fs/bpf";

/// `BPF_FS_MAGIC` of Linux uapi `magic.h`.
const BPF_FS_MAGIC: FsWord = 0xcafe_4a11;

/// A kernel's version; two of them compare as versions do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelVersion {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number; 0 if the release has none.
    pub patch: u32,
}

/// A release that does not begin like a kernel's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("kernel release {0:?} does not begin with a version")]
pub struct KernelVersionError(String);

impl KernelVersion {
    /// A version to compare with.
    #[must_use]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// The running kernel's.
    ///
    /// # Errors
    /// If it names itself in an unknown way.
    pub fn running() -> Result<Self, KernelVersionError> {
        uname().release().to_string_lossy().parse()
    }
}

impl FromStr for KernelVersion {
    type Err = KernelVersionError;

    /// Reads a release such as `6.1.0-18-amd64`, `6.18.44-fc` or `5.15`.
    fn from_str(release: &str) -> Result<Self, KernelVersionError> {
        let error = || KernelVersionError(release.to_owned());
        let numbers = release
            .split(|c: char| !c.is_ascii_digit() && c != '.')
            .next();
        let mut numbers = numbers.unwrap_or_default().split('.').map(str::parse);
        let mut next = || numbers.next().and_then(Result::ok);
        let (major, minor) = (next().ok_or_else(error)?, next().ok_or_else(error)?);
        Ok(Self {
            major,
            minor,
            patch: next().unwrap_or(0),
        })
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Whether the calling thread may administer networks (`CAP_NET_ADMIN` effective).
///
/// # Errors
/// None that the kernel documents for the caller itself.
pub fn has_net_admin() -> io::Result<bool> {
    Ok(capabilities(None)?
        .effective
        .contains(CapabilitySet::NET_ADMIN))
}

/// Whether the calling thread may enter and pin namespaces (`CAP_SYS_ADMIN` effective).
///
/// # Errors
/// None that the kernel documents for the caller itself.
pub fn has_sys_admin() -> io::Result<bool> {
    Ok(capabilities(None)?
        .effective
        .contains(CapabilitySet::SYS_ADMIN))
}

/// Mounts the file system of eBPF objects at [`BPFFS`] if it is not there; `true` if it was not.
///
/// # Errors
/// If the kernel has none, or mounting is not allowed.
pub fn ensure_bpffs() -> Result<bool, Error> {
    if is_bpffs(Path::new(BPFFS)) {
        return Ok(false);
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RELATIME;
    mount("bpf", BPFFS, "bpf", flags, Some(c"mode=0700")).context(BPFFS, "mount it")?;
    Ok(true)
}

/// Whether `path` lies in a file system of eBPF objects.
#[must_use]
pub fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|stat| stat.f_type == BPF_FS_MAGIC)
}

#[cfg(test)]
mod tests;
