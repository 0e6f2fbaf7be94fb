//! What a link does in place of the stack: checksums, segmentation, merging (ethtool features).

#![expect(
    unsafe_code,
    reason = "SIOCETHTOOL passes a pointer to a value inside a request"
)]

use std::{
    fmt, io,
    os::fd::{AsRawFd, OwnedFd},
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::{
    error::{Context, Error},
    name::LinkName,
    netns::Namespace,
    socket::link_request,
};

/// A feature, or a group of them, that ethtool switches by one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Offload {
    /// `rx`: received checksums are checked by the device.
    RxChecksum,
    /// `tx`: checksums to be sent are filled in by the device; off makes the stack do it.
    TxChecksum,
    /// `sg`: a frame may lie in several pieces of memory; segmentation needs it.
    ScatterGather,
    /// `tso`: TCP super-frames are segmented by the device.
    Tso,
    /// `gso`: the stack builds super-frames and segments them as late as possible.
    Gso,
    /// `gro`: received segments are merged to super-frames.
    Gro,
}

impl Offload {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::RxChecksum,
        Self::TxChecksum,
        Self::ScatterGather,
        Self::Tso,
        Self::Gso,
        Self::Gro,
    ];

    /// The commands that read and set it (Linux uapi `ethtool.h`).
    fn commands(self) -> (u32, u32) {
        match self {
            Self::RxChecksum => (0x14, 0x15),
            Self::TxChecksum => (0x16, 0x17),
            Self::ScatterGather => (0x18, 0x19),
            Self::Tso => (0x1e, 0x1f),
            Self::Gso => (0x23, 0x24),
            Self::Gro => (0x2b, 0x2c),
        }
    }
}

impl fmt::Display for Offload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RxChecksum => "rx",
            Self::TxChecksum => "tx",
            Self::ScatterGather => "sg",
            Self::Tso => "tso",
            Self::Gso => "gso",
            Self::Gro => "gro",
        })
    }
}

/// A socket through which the links of one namespace are asked and switched.
#[derive(Debug)]
pub struct Ethtool {
    socket: OwnedFd,
}

/// `struct ethtool_value` of Linux uapi `ethtool.h`.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

impl Ethtool {
    /// Opens a socket in `namespace`.
    ///
    /// # Errors
    /// If the namespace cannot be entered, or descriptors run out.
    pub fn open(namespace: &Namespace) -> Result<Self, Error> {
        let open = || {
            socket_with(
                AddressFamily::INET,
                SocketType::DGRAM,
                SocketFlags::CLOEXEC,
                None,
            )
            .map_err(io::Error::from)
        };
        let socket = namespace.run_in(open).flatten();
        let subject = format!("namespace {}", namespace.label());
        Ok(Self {
            socket: socket.context(subject, "open a control socket")?,
        })
    }

    /// Whether `offload` is on.
    ///
    /// # Errors
    /// [`Error::is_missing`] if there is no such link.
    pub fn get(&self, link: &LinkName, offload: Offload) -> Result<bool, Error> {
        let (get, _) = offload.commands();
        let value = self.command(
            link,
            EthtoolValue {
                command: get,
                data: 0,
            },
        );
        Ok(value.context(subject(link, offload), "read it")? != 0)
    }

    /// Switches `offload`, and says what it is afterwards: the kernel remembers the wish, but
    /// keeps off what depends on something that is off (TSO without scatter-gather).
    ///
    /// # Errors
    /// [`Error::is_missing`] if there is no such link; `EOPNOTSUPP` if it can never change.
    pub fn set(&self, link: &LinkName, offload: Offload, on: bool) -> Result<bool, Error> {
        let (_, set) = offload.commands();
        let value = self.command(
            link,
            EthtoolValue {
                command: set,
                data: u32::from(on),
            },
        );
        value.context(subject(link, offload), "switch it")?;
        self.get(link, offload)
    }

    fn command(&self, link: &LinkName, mut value: EthtoolValue) -> io::Result<u32> {
        let mut request = link_request(link);
        request.ifr_ifru.ifru_data = (&raw mut value).cast();
        // SAFETY: the socket is open, `request` is a whole `struct ifreq`, and its data points
        // to a live `struct ethtool_value`, the size all commands of `Offload` read and write.
        let status = unsafe {
            libc::ioctl(
                self.socket.as_raw_fd(),
                libc::SIOCETHTOOL as libc::Ioctl,
                &raw mut request,
            )
        };
        if status < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(value.data)
        }
    }
}

fn subject(link: &LinkName, offload: Offload) -> String {
    format!("offload {offload} of link {link}")
}

#[cfg(test)]
mod tests;
