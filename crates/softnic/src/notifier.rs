//! Kicks, calls and errors: a descriptor that one side writes to and the other waits for.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl, fstatfs};
use rustix::io::{Errno, read, write};

/// File systems of what may be a notifier (`linux/magic.h`): event descriptors, and pipes.
const ANON_INODE_MAGIC: u64 = 0x0904_1934;
const PIPE_MAGIC: u64 = 0x5049_5045;

/// Why a descriptor is not used to notify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotifierError {
    /// Neither an event descriptor nor a pipe, but on a file system of this type: a write to it could
    /// wait.
    #[error("notifier on a file system of type {0:#x}, neither eventfd nor pipe")]
    Kind(u64),
    /// The kernel refused.
    #[error("notifier refused: {0}")]
    System(Errno),
}

/// An event descriptor or a pipe that never blocks us. Clones are the same descriptor.
#[derive(Clone, Debug)]
pub struct Notifier(Arc<OwnedFd>);

impl Notifier {
    /// A descriptor that the other side made. It is made non-blocking for both sides: an eventfd whose
    /// counter somebody has filled up would block whoever signals it.
    ///
    /// # Errors
    /// What [`NotifierError`] lists.
    pub fn foreign(file: OwnedFd) -> Result<Self, NotifierError> {
        let kind = fstatfs(&file).map_err(NotifierError::System)?.f_type;
        let kind = u64::from_ne_bytes(kind.to_ne_bytes());
        if kind != ANON_INODE_MAGIC && kind != PIPE_MAGIC {
            return Err(NotifierError::Kind(kind));
        }
        let flags = fcntl_getfl(&file).map_err(NotifierError::System)?;
        if !flags.contains(OFlags::NONBLOCK) {
            fcntl_setfl(&file, flags | OFlags::NONBLOCK).map_err(NotifierError::System)?;
        }
        Ok(Self(Arc::new(file)))
    }

    /// A new event descriptor.
    ///
    /// # Errors
    /// [`NotifierError::System`] for want of descriptors.
    pub fn new() -> Result<Self, NotifierError> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let file = eventfd(0, flags).map_err(NotifierError::System)?;
        Ok(Self(Arc::new(file)))
    }

    /// Notifies. If nobody has taken the notifications that wait, there is nothing to add to them.
    pub fn signal(&self) {
        let _ = write(&*self.0, &1u64.to_ne_bytes());
    }

    /// Takes the notifications that wait; whether there were any.
    #[must_use]
    pub fn take(&self) -> bool {
        let mut count = [0; 8];
        matches!(read(&*self.0, &mut count), Ok(bytes) if bytes > 0)
    }

    /// A descriptor of its own for the other side.
    ///
    /// # Errors
    /// [`NotifierError::System`] for want of descriptors.
    pub fn share(&self) -> Result<OwnedFd, NotifierError> {
        rustix::io::fcntl_dupfd_cloexec(&*self.0, 0).map_err(NotifierError::System)
    }
}

impl AsFd for Notifier {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests;
