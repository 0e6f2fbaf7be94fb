use std::fmt;
use std::io;
use std::path::Path;

use rustix::fs::statfs;
use rustix::thread::{CapabilitySet, capabilities};
use thiserror::Error;

use crate::Hook;

/// A Linux release, as far as it says what the kernel can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion {
    /// The first number.
    pub major: u16,
    /// The second.
    pub minor: u16,
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What a host that can run the engine offers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelSupport {
    /// The running kernel.
    pub kernel: KernelVersion,
    /// The hook [`Hook::Auto`] would choose.
    pub hook: Hook,
    /// Whether a bpffs is mounted on `/sys/fs/bpf`. If not, `mount -t bpf bpf /sys/fs/bpf` does it,
    /// or the pin directory may lie on another bpffs.
    pub bpffs_mounted: bool,
}

/// Why a host cannot run the engine, and what to do about it.
#[derive(Debug, Error)]
pub enum Unsupported {
    /// The kernel lacks what the program uses.
    #[error("kernel {found} is too old: the eBPF engine needs {needed} or newer")]
    Kernel {
        /// The running kernel.
        found: KernelVersion,
        /// The oldest that will do on this processor.
        needed: KernelVersion,
    },
    /// The kernel calls itself something without a version.
    #[error("kernel release {0:?} has no version")]
    Release(String),
    /// The process may not load programs.
    #[error(
        "capability {missing} is not effective: run as root, or grant CAP_BPF and CAP_NET_ADMIN"
    )]
    Privilege {
        /// What it lacks.
        missing: &'static str,
    },
    /// The process's own capabilities cannot be read.
    #[error("capabilities of this process")]
    Capabilities(#[source] io::Error),
}

/// 5.15 for its helpers and map operations. The JIT for arm64 knows atomic operations other than
/// addition since 5.18.
pub(crate) const OLDEST: KernelVersion = KernelVersion {
    major: 5,
    minor: if cfg!(target_arch = "aarch64") {
        18
    } else {
        15
    },
};

/// The first kernel with tcx.
pub(crate) const TCX: KernelVersion = KernelVersion { major: 6, minor: 6 };

/// Whether this process on this host can open an engine, and how the engine would hook in.
pub fn supported() -> Result<KernelSupport, Unsupported> {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let kernel = parse_release(&release).ok_or_else(|| Unsupported::Release(release.into()))?;
    if kernel < OLDEST {
        return Err(Unsupported::Kernel {
            found: kernel,
            needed: OLDEST,
        });
    }
    check_capabilities()?;
    Ok(KernelSupport {
        kernel,
        hook: if kernel >= TCX {
            Hook::Tcx
        } else {
            Hook::Clsact
        },
        bpffs_mounted: is_bpffs(Path::new("/sys/fs/bpf")).unwrap_or(false),
    })
}

/// Whether `path` lies on a bpffs.
pub(crate) fn is_bpffs(path: &Path) -> io::Result<bool> {
    const BPF_FS_MAGIC: u64 = 0xcafe_4a11;
    // The type of f_type differs between architectures; the magic is its low 32 bits in all.
    let kind = statfs(path)?.f_type.cast_unsigned();
    Ok(kind & 0xffff_ffff == BPF_FS_MAGIC)
}

fn check_capabilities() -> Result<(), Unsupported> {
    let sets = capabilities(None).map_err(|errno| Unsupported::Capabilities(errno.into()))?;
    if !sets
        .effective
        .intersects(CapabilitySet::BPF | CapabilitySet::SYS_ADMIN)
    {
        return Err(Unsupported::Privilege { missing: "CAP_BPF" });
    }
    if !sets.effective.contains(CapabilitySet::NET_ADMIN) {
        return Err(Unsupported::Privilege {
            missing: "CAP_NET_ADMIN",
        });
    }
    Ok(())
}

/// `6.18.44-generic`, `5.15.0+`, `6.1-rc3`.
fn parse_release(release: &str) -> Option<KernelVersion> {
    let (major, rest) = release.split_once('.')?;
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    Some(KernelVersion {
        major: major.parse().ok()?,
        minor: rest[..digits].parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::{KernelVersion, OLDEST, Unsupported, parse_release};

    #[test]
    fn releases_are_read_as_distributions_write_them() {
        let version = |major, minor| Some(KernelVersion { major, minor });
        assert_eq!(parse_release("6.18.44-generic"), version(6, 18));
        assert_eq!(parse_release("5.15.0+"), version(5, 15));
        assert_eq!(parse_release("6.1-rc3"), version(6, 1));
        assert_eq!(parse_release("linux"), None);
        assert_eq!(parse_release("6."), None);
        assert_eq!(parse_release(""), None);
    }

    #[test]
    fn an_old_kernel_is_told_what_is_needed() {
        let found = parse_release("5.10.0-32-amd64").unwrap();
        assert!(found < OLDEST);
        let message = Unsupported::Kernel {
            found,
            needed: OLDEST,
        }
        .to_string();
        assert!(
            message.contains("5.10") && message.contains(&OLDEST.to_string()),
            "{message}"
        );
    }
}
