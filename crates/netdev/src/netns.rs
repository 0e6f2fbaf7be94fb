//! Network namespaces, named the way `ip netns` names them.
//!
//! A namespace lives as long as something refers to it: a process, an open descriptor, or the
//! bind mount `/run/netns/NAME` which [`Namespace::create`] makes and [`Namespace::delete`] takes
//! away. Entering one is a property of a thread, so work inside one always gets a thread of its
//! own ([`Namespace::run_in`]) or a process of its own ([`Namespace::enter_before_exec`]).

#![expect(
    unsafe_code,
    reason = "unshare(2) and the type query of a namespace have no safe form"
)]

mod exec;

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    },
    panic,
    path::{Path, PathBuf},
    process, thread,
};

use rustix::{
    fs::{FlockOperation, FsWord, flock, statfs},
    io::Errno,
    mount::{
        MountPropagationFlags, UnmountFlags, mount_bind, mount_bind_recursive, mount_change,
        unmount,
    },
    thread::{
        LinkNameSpaceType, UnshareFlags, move_into_link_name_space as set_namespace, unshare_unsafe,
    },
};

use crate::{
    error::{Context, Error},
    name::NamespaceName,
};

/// Where named namespaces are bind-mounted, as iproute2 has it.
pub const DIRECTORY: &str = "/run/netns";

/// `NSFS_MAGIC` of Linux uapi `magic.h`: what a namespace's file system calls itself.
const NSFS_MAGIC: FsWord = 0x6e73_6673;

/// `NS_GET_NSTYPE`, `_IO(0xb7, 3)` of Linux uapi `nsfs.h`: the `CLONE_NEW*` flag of a namespace.
const NS_GET_NSTYPE: libc::Ioctl = 0xb703;

/// An open network namespace; it stays alive while this does, even when its name is deleted.
#[derive(Debug)]
pub struct Namespace {
    fd: OwnedFd,
    label: String,
}

/// Which namespace it is, whatever it was opened through: equal for the same one only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NamespaceId {
    device: u64,
    inode: u64,
}

impl Namespace {
    /// Creates a namespace and names it, as `ip netns add` does: its loopback is down, and
    /// `ip netns exec` can enter it.
    ///
    /// A file that a crash left without a namespace behind it is taken over.
    ///
    /// # Errors
    /// [`Error::is_already_present`] if the name is taken; otherwise what the kernel refused.
    pub fn create(name: &NamespaceName) -> Result<Self, Error> {
        let subject = format!("namespace {name}");
        let _lock = share_directory().context(&subject, "prepare /run/netns")?;
        let path = path_of(name);
        if is_namespace(&path) {
            return Err(Error::new(&subject, "create it", Errno::EXIST));
        }
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o444)
            .open(&path)
            .context(&subject, "create its mount point")?;
        let made = mount_new_namespace(&path).and_then(|()| open_checked(&path));
        match made {
            Ok(fd) => Ok(Self {
                fd,
                label: name.to_string(),
            }),
            Err(error) => {
                // What failed is what the caller must hear; a file left behind is taken over
                // by the next attempt.
                let _ = unmount(&path, UnmountFlags::DETACH);
                let _ = fs::remove_file(&path);
                Err(Error::new(&subject, "create it", error))
            }
        }
    }

    /// Opens a namespace by the name that [`Namespace::create`] or `ip netns add` gave it.
    ///
    /// # Errors
    /// [`Error::is_missing`] if there is none of that name.
    pub fn open_name(name: &NamespaceName) -> Result<Self, Error> {
        let fd = open_checked(&path_of(name)).context(format!("namespace {name}"), "open it")?;
        Ok(Self {
            fd,
            label: name.to_string(),
        })
    }

    /// Opens a namespace by a path, such as a bind mount that a container runtime made.
    ///
    /// # Errors
    /// If there is nothing there, or something that is no network namespace.
    pub fn open_path(path: &Path) -> Result<Self, Error> {
        let label = path.display().to_string();
        let fd = open_checked(path).context(format!("namespace {label}"), "open it")?;
        Ok(Self { fd, label })
    }

    /// Opens the namespace in which process `pid` is now.
    ///
    /// # Errors
    /// [`Error::is_missing`] if there is no such process.
    pub fn open_pid(pid: u32) -> Result<Self, Error> {
        Self::open_path(Path::new(&format!("/proc/{pid}/ns/net")))
    }

    /// Opens the namespace of the calling thread.
    ///
    /// # Errors
    /// If `/proc` is not mounted.
    pub fn current() -> Result<Self, Error> {
        Self::open_path(Path::new("/proc/thread-self/ns/net"))
    }

    /// Takes a name away. The namespace itself goes when nothing refers to it any more, and its
    /// links with it. `false` if there was no such name.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn delete(name: &NamespaceName) -> Result<bool, Error> {
        let path = path_of(name);
        let subject = format!("namespace {name}");
        match unmount(&path, UnmountFlags::DETACH) {
            // INVAL: a file on which nothing is mounted, left by a crash.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(Errno::NOENT) => return Ok(false),
            Err(errno) => return Err(Error::new(subject, "unmount it", errno)),
        }
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(Error::new(subject, "remove its mount point", error)),
        }
    }

    /// Whether a namespace of that name is there (a plain file of that name is none).
    #[must_use]
    pub fn exists(name: &NamespaceName) -> bool {
        is_namespace(&path_of(name))
    }

    /// The named namespaces, sorted. None if nothing ever made one.
    ///
    /// # Errors
    /// If [`DIRECTORY`] cannot be read.
    pub fn list() -> Result<Vec<NamespaceName>, Error> {
        let entries = match fs::read_dir(DIRECTORY) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::new(DIRECTORY, "list namespaces", error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.context(DIRECTORY, "list namespaces")?;
            let name = entry
                .file_name()
                .to_str()
                .and_then(|name| NamespaceName::new(name).ok());
            names.extend(name.filter(Self::exists));
        }
        names.sort();
        Ok(names)
    }

    /// What to call it in messages: its name, or the path it was opened through.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Which namespace this is.
    ///
    /// # Errors
    /// None that the kernel documents for an open namespace.
    pub fn id(&self) -> io::Result<NamespaceId> {
        let metadata = File::from(self.fd.try_clone()?).metadata()?;
        Ok(NamespaceId {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    /// A second handle to the same namespace.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            fd: self.fd.try_clone()?,
            label: self.label.clone(),
        })
    }

    /// Runs `work` on a fresh thread that has entered this namespace, and waits for it.
    ///
    /// Sockets that `work` opens belong to the namespace for good, so they may be returned and
    /// used from anywhere. A panic of `work` continues in the caller.
    ///
    /// # Errors
    /// If the thread cannot be started or may not enter; `work` has then not run.
    pub fn run_in<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        thread::scope(|scope| {
            let entered = move || {
                set_namespace(self.fd.as_fd(), Some(LinkNameSpaceType::Network))?;
                Ok(work())
            };
            let worker = thread::Builder::new()
                .name("netns".to_owned())
                .spawn_scoped(scope, entered)?;
            worker
                .join()
                .unwrap_or_else(|cause| panic::resume_unwind(cause))
        })
    }

    /// Starts `command` in this namespace, as [`Namespace::enter_before_exec`] prepares it.
    ///
    /// # Errors
    /// If it cannot be prepared or started.
    pub fn spawn_in(&self, command: &mut process::Command) -> io::Result<process::Child> {
        self.enter_before_exec(command)?;
        command.spawn()
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn path_of(name: &NamespaceName) -> PathBuf {
    Path::new(DIRECTORY).join(name.as_str())
}

fn is_namespace(path: &Path) -> bool {
    statfs(path).is_ok_and(|stat| stat.f_type == NSFS_MAGIC)
}

/// Opens `path` and refuses what is no network namespace.
fn open_checked(path: &Path) -> io::Result<OwnedFd> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    // SAFETY: the descriptor is open for the whole call, and this request takes no argument.
    let kind = unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_NSTYPE) };
    if kind == libc::CLONE_NEWNET {
        return Ok(file.into());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "not a network namespace",
    ))
}

/// Makes [`DIRECTORY`] a shared mount, so that a name deleted here also goes from the mount
/// namespaces that inherited it (else its links would live on there). Returned is the lock under
/// which iproute2 does the same.
fn share_directory() -> io::Result<File> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(DIRECTORY)?;
    let lock = File::open(DIRECTORY)?;
    flock(&lock, FlockOperation::LockExclusive)?;
    let shared = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
    match mount_change(DIRECTORY, shared) {
        // INVAL: not a mount point yet.
        Err(Errno::INVAL) => {
            mount_bind_recursive(DIRECTORY, DIRECTORY)?;
            mount_change(DIRECTORY, shared)?;
        }
        outcome => outcome?,
    }
    Ok(lock)
}

/// Makes a namespace on a thread of its own and pins it to `path` from there.
fn mount_new_namespace(path: &Path) -> io::Result<()> {
    let make = || {
        // SAFETY: only the network namespace of this thread changes, and the thread ends with
        // this closure; memory, descriptors and file system stay shared with the process.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET)? };
        mount_bind("/proc/thread-self/ns/net", path)?;
        Ok(())
    };
    thread::scope(|scope| {
        let maker = thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, make)?;
        maker
            .join()
            .unwrap_or_else(|cause| panic::resume_unwind(cause))
    })
}

#[cfg(test)]
mod tests;
