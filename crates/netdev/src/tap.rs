//! TAP devices: an Ethernet link whose other end is a descriptor
//! (Linux `Documentation/networking/tuntap.rst`).

#![expect(unsafe_code, reason = "TAPs are set up by ioctl(2)")]

use std::{
    ffi::CStr,
    fs::OpenOptions,
    io::{self, IoSlice},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};

use crate::{
    error::{Context, Error},
    name::LinkName,
    socket::link_request,
};

/// The most parts of a frame that [`Tap::write_frame`] takes.
pub const PARTS_MAX: usize = 16;

/// The virtio-net header before each frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TapHeader {
    /// None: no checksum or segmentation offload either.
    None,
    /// 10 bytes, as packet sockets have it ([`crate::VnetHeader`]).
    Short,
    /// 12 bytes, with `num_buffers`, as a virtio 1.x driver has it.
    Long,
}

/// How to make or open a TAP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TapOptions {
    /// The link's name.
    pub name: LinkName,
    /// Whether it may have several queues; each further open of the name adds one. All opens
    /// of a name must agree.
    pub multi_queue: bool,
    /// The header before each frame. All queues must agree.
    pub header: TapHeader,
    /// Whether the link stays when all its descriptors are closed; `false` leaves a link that
    /// is there as it is.
    pub persist: bool,
    /// The user who may open it without privilege.
    pub owner: Option<u32>,
}

/// One queue of a TAP; reading and writing never wait.
#[derive(Debug)]
pub struct Tap {
    fd: OwnedFd,
    name: LinkName,
    link_index: u32,
    header: TapHeader,
}

/// What the reader of a TAP can take, so that the kernel need not do it. Each bit is a promise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct TapOffloads {
    /// Checksums still to be filled in. Without it there is no segmentation either.
    pub checksum: bool,
    /// TCP super-frames over IPv4.
    pub tso4: bool,
    /// TCP super-frames over IPv6.
    pub tso6: bool,
    /// TCP super-frames with ECN.
    pub tso_ecn: bool,
    /// UDP super-frames over IPv4 and IPv6 (Linux 6.2).
    pub uso: bool,
}

impl TapHeader {
    /// Its bytes.
    #[must_use]
    pub const fn len(self) -> usize {
        match self {
            Self::None => 0,
            Self::Short => 10,
            Self::Long => 12,
        }
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        matches!(self, Self::None)
    }
}

impl TapOffloads {
    /// Everything a virtio-net device of today can take.
    pub const ALL: Self = Self {
        checksum: true,
        tso4: true,
        tso6: true,
        tso_ecn: true,
        uso: true,
    };

    fn bits(self) -> libc::c_ulong {
        let bits = [
            (self.checksum, libc::TUN_F_CSUM),
            (self.checksum && self.tso4, libc::TUN_F_TSO4),
            (self.checksum && self.tso6, libc::TUN_F_TSO6),
            // The kernel takes ECN only beside one of the two.
            (
                self.checksum && self.tso_ecn && (self.tso4 || self.tso6),
                libc::TUN_F_TSO_ECN,
            ),
            // Nor one half of UDP segmentation without the other.
            (
                self.checksum && self.uso,
                libc::TUN_F_USO4 | libc::TUN_F_USO6,
            ),
        ];
        bits.iter()
            .filter(|(on, _)| *on)
            .fold(0, |all, (_, bit)| all | libc::c_ulong::from(*bit))
    }
}

impl Tap {
    /// Makes the TAP in the calling thread's namespace, or opens a queue of it if it is there.
    ///
    /// # Errors
    /// `EPERM` for one that belongs to another user, `EBUSY` if it has all its queues,
    /// `EINVAL` if the link of that name is no TAP or `multi_queue` differs.
    pub fn open(options: &TapOptions) -> Result<Self, Error> {
        let subject = format!("TAP {}", options.name);
        let mut file = OpenOptions::new();
        file.read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC);
        let fd: OwnedFd = file
            .open("/dev/net/tun")
            .context(&subject, "open /dev/net/tun")?
            .into();
        let name = attach(fd.as_fd(), options).context(&subject, "make or open it")?;
        let link_index = index_of(&name).context(&subject, "find its link")?;
        let tap = Self {
            fd,
            name,
            link_index,
            header: options.header,
        };
        if !options.header.is_empty() {
            tap.set_header_len()
                .context(&subject, "set the header's length")?;
        }
        if let Some(owner) = options.owner {
            let set = tap.set_value(libc::TUNSETOWNER, libc::c_ulong::from(owner));
            set.context(&subject, "set its owner")?;
        }
        if options.persist {
            tap.set_persist(true)?;
        }
        Ok(tap)
    }

    /// The link's name when it was opened.
    #[must_use]
    pub fn name(&self) -> &LinkName {
        &self.name
    }

    /// The link's index in the namespace it was opened in.
    #[must_use]
    pub fn link_index(&self) -> u32 {
        self.link_index
    }

    /// The header before each frame.
    #[must_use]
    pub fn header(&self) -> TapHeader {
        self.header
    }

    /// Tells the kernel what the reader takes, of `wanted` as much as this kernel knows (UDP
    /// segmentation only since Linux 6.2). Returns what is in force, for all queues.
    ///
    /// # Errors
    /// `EINVAL` without a header, as offloads are announced in it.
    pub fn set_offloads(&self, wanted: TapOffloads) -> Result<TapOffloads, Error> {
        let subject = format!("TAP {}", self.name);
        if self.header.is_empty() && wanted.bits() != 0 {
            return Err(Error::new(
                subject,
                "set offloads",
                rustix::io::Errno::INVAL,
            ));
        }
        let without_uso = TapOffloads {
            uso: false,
            ..wanted
        };
        let taken = match self.set_value(libc::TUNSETOFFLOAD, wanted.bits()) {
            Ok(()) => Ok(wanted),
            Err(error) if wanted.uso && error.raw_os_error() == Some(libc::EINVAL) => self
                .set_value(libc::TUNSETOFFLOAD, without_uso.bits())
                .map(|()| without_uso),
            Err(error) => Err(error),
        };
        taken.context(subject, "set offloads")
    }

    /// Takes the next frame that the host sent to the link, header first. Returns its bytes with
    /// the header; a frame longer than `buffer` is cut to it.
    ///
    /// # Errors
    /// `EAGAIN` if there is none, `EBADFD` or `EIO` when the link is gone.
    pub fn read_frame(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(&self.fd, buffer)?)
    }

    /// Hands a frame to the host as received by the link, given in parts, header first. Returns
    /// its bytes with the header.
    ///
    /// # Errors
    /// `EINVAL` for more than [`PARTS_MAX`] parts, too short a frame or a header that contradicts
    /// it; `EIO` while the link is down.
    pub fn write_frame(&self, parts: &[&[u8]]) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); PARTS_MAX];
        if parts.len() > PARTS_MAX {
            return Err(rustix::io::Errno::INVAL.into());
        }
        for (slice, part) in slices.iter_mut().zip(parts) {
            *slice = IoSlice::new(part);
        }
        Ok(rustix::io::writev(&self.fd, &slices[..parts.len()])?)
    }

    /// Sets whether the link stays when its last descriptor is closed.
    ///
    /// # Errors
    /// None that the kernel documents for an attached TAP.
    pub fn set_persist(&self, persist: bool) -> Result<(), Error> {
        self.set_value(libc::TUNSETPERSIST, libc::c_ulong::from(persist))
            .context(format!("TAP {}", self.name), "set whether it stays")
    }

    /// Deletes the link, once its other queues are closed too.
    ///
    /// # Errors
    /// As [`Tap::set_persist`].
    pub fn delete(self) -> Result<(), Error> {
        self.set_persist(false)
    }

    fn set_header_len(&self) -> io::Result<()> {
        #[expect(clippy::cast_possible_truncation, reason = "at most 12")]
        let len = self.header.len() as libc::c_int;
        // SAFETY: the descriptor is open, and this request reads one `int`.
        let status =
            unsafe { libc::ioctl(self.fd.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const len) };
        if status < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// A request whose argument is the value itself, not a pointer.
    fn set_value(&self, request: libc::Ioctl, value: libc::c_ulong) -> io::Result<()> {
        // SAFETY: the descriptor is open; TUNSETOWNER, TUNSETPERSIST and TUNSETOFFLOAD, the
        // only requests made here, take a plain number and follow no pointer.
        let status = unsafe { libc::ioctl(self.fd.as_raw_fd(), request, value) };
        if status < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Makes the descriptor a queue of the link; the name the kernel gave it.
fn attach(fd: BorrowedFd<'_>, options: &TapOptions) -> io::Result<LinkName> {
    let mut flags = libc::IFF_TAP | libc::IFF_NO_PI;
    if options.multi_queue {
        flags |= libc::IFF_MULTI_QUEUE;
    }
    if !options.header.is_empty() {
        flags |= libc::IFF_VNET_HDR;
    }
    let mut request = link_request(&options.name);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the flags are 16 bits of the kernel ABI"
    )]
    {
        request.ifr_ifru.ifru_flags = flags as libc::c_short;
    }
    // SAFETY: the descriptor is open, and the kernel reads and writes one whole `struct ifreq`.
    let status = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    let name = request.ifr_name.map(|c| c.to_ne_bytes()[0]);
    let name = CStr::from_bytes_until_nul(&name).map_err(io::Error::other)?;
    LinkName::new(name.to_str().map_err(io::Error::other)?).map_err(io::Error::other)
}

fn index_of(name: &LinkName) -> io::Result<u32> {
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    Ok(netdevice::name_to_index(socket, name.as_str())?)
}

#[cfg(test)]
mod tests;
