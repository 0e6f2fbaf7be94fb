//! The socket's file: made, guarded and removed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Stat, chmodat, statat, unlinkat};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen,
    socket_with,
};

use super::connection::{Connection, TransportError};

/// Peers that may wait while one is served. A device has one front end.
const BACKLOG: i32 = 1;

/// Why nobody can connect to this path.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Something answers there.
    #[error("socket {0} in use by another process")]
    InUse(PathBuf),
    /// There is something that is not a socket.
    #[error("{0} exists and is no socket")]
    NotASocket(PathBuf),
    /// The kernel refused.
    #[error("socket {path}: {source}")]
    System {
        /// The path.
        path: PathBuf,
        /// What it said.
        source: Errno,
    },
}

/// A listening socket; its file is removed with it, if it is still the same one.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    path: PathBuf,
    /// Device and inode of the file.
    identity: (u64, u64),
}

impl Listener {
    /// Listens at `path`, whose file gets `mode`. A socket file that nobody listens on any more is
    /// replaced; anything else is left alone.
    ///
    /// # Errors
    /// What [`ListenError`] lists.
    pub fn bind(path: &Path, mode: Mode) -> Result<Self, ListenError> {
        let failed = |source| ListenError::System {
            path: path.to_owned(),
            source,
        };
        let address = SocketAddrUnix::new(path).map_err(failed)?;
        let socket = new_socket().map_err(failed)?;
        if let Err(error) = bind(&socket, &address) {
            if error != Errno::ADDRINUSE {
                return Err(failed(error));
            }
            remove_stale(path, &address)?;
            bind(&socket, &address).map_err(failed)?;
        }
        // Nobody can connect before `listen`, so the file's first mode lets nobody in.
        let made = chmodat(CWD, path, mode, AtFlags::empty())
            .and_then(|()| stat(path))
            .and_then(|stat| listen(&socket, BACKLOG).map(|()| identity(&stat)));
        match made {
            Ok(identity) => Ok(Self {
                socket,
                path: path.to_owned(),
                identity,
            }),
            Err(error) => {
                // The file is ours, and of no use.
                let _ = unlinkat(CWD, path, AtFlags::empty());
                Err(failed(error))
            }
        }
    }

    /// The next peer, if one is waiting.
    ///
    /// # Errors
    /// [`TransportError::System`], such as for want of descriptors; the listener stays usable.
    pub fn accept(&self) -> Result<Option<Connection>, TransportError> {
        match accept_with(&self.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(socket) => Connection::new(socket).map(Some),
            Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => Ok(None),
            Err(error) => Err(TransportError::System(error)),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let still_ours = stat(&self.path).is_ok_and(|stat| identity(&stat) == self.identity);
        if still_ours {
            // If this fails, the next one to listen finds a stale file and replaces it.
            let _ = unlinkat(CWD, &self.path, AtFlags::empty());
        }
    }
}

/// A non-blocking Unix stream socket.
pub(super) fn new_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// Removes a socket file that refuses connections: its listener is gone.
fn remove_stale(path: &Path, address: &SocketAddrUnix) -> Result<(), ListenError> {
    let failed = |source| ListenError::System {
        path: path.to_owned(),
        source,
    };
    let there = stat(path).map_err(failed)?;
    if FileType::from_raw_mode(there.st_mode) != FileType::Socket {
        return Err(ListenError::NotASocket(path.to_owned()));
    }
    let probe = new_socket().map_err(failed)?;
    match connect(&probe, address) {
        Err(Errno::CONNREFUSED) => {}
        Ok(()) | Err(Errno::AGAIN) => return Err(ListenError::InUse(path.to_owned())),
        Err(error) => return Err(failed(error)),
    }
    // Whoever replaced the file meanwhile keeps it.
    let now = stat(path).map_err(failed)?;
    if identity(&now) != identity(&there) {
        return Err(ListenError::InUse(path.to_owned()));
    }
    unlinkat(CWD, path, AtFlags::empty()).map_err(failed)
}

fn stat(path: &Path) -> Result<Stat, Errno> {
    statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}
