//! Starting a program inside a namespace, with the view of the file system that fits it.

use std::{
    ffi::CString,
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{ffi::OsStrExt, process::CommandExt},
    },
    path::Path,
    process::Command,
};

use rustix::{
    fs::{CWD, StatVfsMountFlags, statvfs},
    mount::{
        MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount,
        mount_bind, mount_change, move_mount, open_tree, unmount,
    },
    thread::{LinkNameSpaceType, UnshareFlags, unshare_unsafe},
};

use super::{Namespace, set_namespace};

/// Mounts below `/sys` that are worth keeping when `/sys` is replaced, as iproute2 keeps them.
const KEPT: [&std::ffi::CStr; 2] = [c"/sys/fs/cgroup", c"/sys/fs/bpf"];

/// What the child mounts. Everything is prepared before the fork: between fork and exec nothing
/// may allocate.
struct View {
    sysfs: MountFlags,
    /// Bind mounts, source and target: `/etc/netns/NAME/resolv.conf` over `/etc/resolv.conf`.
    etc: Vec<(CString, CString)>,
}

impl Namespace {
    /// Makes `command` enter this namespace before it executes; nothing else of it changes.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn enter_before_exec(&self, command: &mut Command) -> io::Result<()> {
        let namespace = self.fd.try_clone()?;
        let enter = move || enter(&namespace);
        // SAFETY: `enter` makes one system call and touches no lock and no heap, which is all
        // that is allowed between fork and exec.
        unsafe { command.pre_exec(enter) };
        Ok(())
    }

    /// As [`Namespace::enter_before_exec`], and the program sees what `ip netns exec` shows it:
    /// `/sys` of this namespace's links, and the files of `/etc/netns/NAME` over those of `/etc`.
    /// Both happen in a mount namespace of its own, so nobody else sees them.
    ///
    /// # Errors
    /// When `/etc/netns/NAME` is there but cannot be read, or descriptors run out. Mounts that
    /// fail in the child make starting it fail.
    pub fn enter_like_ip_netns_exec(&self, command: &mut Command) -> io::Result<()> {
        let namespace = self.fd.try_clone()?;
        let view = View::prepare(&self.label)?;
        let enter_with_view = move || {
            enter(&namespace)?;
            view.mount()
        };
        // SAFETY: the closure makes system calls on paths prepared here (short C strings pass
        // through rustix without a copy), and touches no lock and no heap, which is all that is
        // allowed between fork and exec.
        unsafe { command.pre_exec(enter_with_view) };
        Ok(())
    }
}

fn enter(namespace: &OwnedFd) -> io::Result<()> {
    Ok(set_namespace(
        namespace.as_fd(),
        Some(LinkNameSpaceType::Network),
    )?)
}

impl View {
    fn prepare(label: &str) -> io::Result<Self> {
        let mut sysfs = MountFlags::empty();
        // A container may have /sys read-only; replacing it must not widen that.
        if statvfs("/sys").is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY)) {
            sysfs |= MountFlags::RDONLY;
        }
        // A label that is a path (a container's namespace) has no directory of that kind.
        let etc = if label.contains('/') {
            Vec::new()
        } else {
            etc_binds(label)?
        };
        Ok(Self { sysfs, etc })
    }

    /// Runs in the child, between fork and exec.
    fn mount(&self) -> io::Result<()> {
        // SAFETY: the child has one thread and leaves this program at exec; a mount namespace
        // of its own takes nothing from memory or descriptors.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS)? };
        mount_change(
            c"/",
            MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC,
        )?;
        let kept = KEPT.map(|path| {
            let how = OpenTreeFlags::OPEN_TREE_CLONE
                | OpenTreeFlags::OPEN_TREE_CLOEXEC
                | OpenTreeFlags::AT_RECURSIVE;
            open_tree(CWD, path, how).ok()
        });
        // There may be no /sys to take away; what counts is whether the new one can be mounted.
        let _ = unmount(c"/sys", UnmountFlags::DETACH);
        mount(c"sysfs", c"/sys", c"sysfs", self.sysfs, None)?;
        for (tree, path) in kept.iter().zip(KEPT) {
            if let Some(tree) = tree {
                // Convenience only, as in iproute2: the program can do without.
                let _ = move_mount(
                    tree,
                    c"",
                    CWD,
                    path,
                    MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
                );
            }
        }
        for (source, target) in &self.etc {
            mount_bind(source.as_c_str(), target.as_c_str())?;
        }
        Ok(())
    }
}

/// The files of `/etc/netns/LABEL` that have a counterpart in `/etc`.
fn etc_binds(label: &str) -> io::Result<Vec<(CString, CString)>> {
    let directory = Path::new("/etc/netns").join(label);
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut binds = Vec::new();
    for entry in entries {
        let source = entry?.path();
        let Some(name) = source.file_name() else {
            continue;
        };
        let target = Path::new("/etc").join(name);
        // A bind mount needs something to cover; iproute2 only warns about the rest.
        if target.exists() {
            binds.push((c_path(&source)?, c_path(&target)?));
        }
    }
    Ok(binds)
}

fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}
