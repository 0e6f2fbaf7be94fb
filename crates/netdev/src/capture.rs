//! Frames of one link one by one, with time stamp and direction: for captures and for tests.

#![expect(
    unsafe_code,
    reason = "recvmsg(2) with a link-layer address has no safe form"
)]

use std::{
    io, mem,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    ptr,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::sockopt,
};

use crate::{
    VNET_HEADER_LEN, VnetHeader,
    socket::{self, CONTROL_LEN, ControlBuffer, SocketDrops, Vlan},
};

/// What a [`RawSocket`] receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaptureOptions {
    /// Also frames that leave by the link.
    pub outgoing: bool,
    /// Also frames for other addresses, on a link that would filter them.
    pub promiscuous: bool,
    /// Whether each frame comes with the time the kernel received it.
    pub timestamps: bool,
    /// Bytes of frames the kernel keeps until they are read.
    pub kernel_buffer: usize,
}

/// A packet socket on one link.
#[derive(Debug)]
pub struct RawSocket {
    socket: OwnedFd,
}

/// What is known of a received frame; its bytes are in the caller's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Which checksum is still to be filled in, and how to segment.
    pub vnet: VnetHeader,
    /// Bytes in the buffer.
    pub len: usize,
    /// Bytes of the frame, more than `len` if the buffer was too short.
    pub frame_len: usize,
    /// The VLAN tag the kernel took out of the bytes.
    pub vlan: Option<Vlan>,
    /// Whether it was leaving by the link.
    pub outgoing: bool,
    /// When the kernel received it, since the epoch, if asked for.
    pub timestamp: Option<Duration>,
}

impl Default for CaptureOptions {
    /// Arriving frames the link accepts, without time stamps, 4 MiB.
    fn default() -> Self {
        Self {
            outgoing: false,
            promiscuous: false,
            timestamps: false,
            kernel_buffer: 4 << 20,
        }
    }
}

impl RawSocket {
    /// Opens a socket on a link of the calling thread's namespace.
    ///
    /// # Errors
    /// `ENODEV` if there is no such link, `EPERM` without `CAP_NET_RAW` there.
    pub fn new(link_index: u32, options: &CaptureOptions) -> io::Result<Self> {
        let socket = socket::open_packet()?;
        let fd = socket.as_fd();
        let set = |option, on| socket::set_option(fd, libc::SOL_PACKET, option, i32::from(on));
        set(libc::PACKET_VNET_HDR, true)?;
        set(libc::PACKET_AUXDATA, true)?;
        set(libc::PACKET_IGNORE_OUTGOING, !options.outgoing)?;
        let timestamps = i32::from(options.timestamps);
        socket::set_option(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, timestamps)?;
        if sockopt::set_socket_recv_buffer_size_force(fd, options.kernel_buffer).is_err() {
            sockopt::set_socket_recv_buffer_size(fd, options.kernel_buffer)?;
        }
        if options.promiscuous {
            socket::set_promiscuous(fd, link_index)?;
        }
        socket::bind_to_link(fd, link_index)?;
        Ok(Self { socket })
    }

    /// Waits until a frame can be read; `false` if none came within `timeout`.
    ///
    /// # Errors
    /// `EINTR` if a signal came first.
    pub fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        Ok(poll(&mut fds, Some(&timeout))? != 0)
    }

    /// Takes the next frame, from the Ethernet header on, without waiting. A frame longer than
    /// `buffer` is cut.
    ///
    /// # Errors
    /// `EAGAIN` if there is none; `ENETDOWN` once when the link goes down; `EINVAL` for a
    /// super-frame that a virtio-net header cannot express, which is then gone.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut vnet: VnetHeader = [0; VNET_HEADER_LEN];
        let mut control = ControlBuffer::EMPTY;
        // SAFETY: `sockaddr_ll` is a C struct of integers, for which zero is a value.
        let mut from: libc::sockaddr_ll = unsafe { mem::zeroed() };
        let mut parts = [
            libc::iovec {
                iov_base: vnet.as_mut_ptr().cast(),
                iov_len: vnet.len(),
            },
            libc::iovec {
                iov_base: buffer.as_mut_ptr().cast(),
                iov_len: buffer.len(),
            },
        ];
        // SAFETY: `msghdr` is a C struct of pointers and integers, for which zero is a value.
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        message.msg_name = ptr::from_mut(&mut from).cast();
        message.msg_namelen = socket::socklen::<libc::sockaddr_ll>();
        message.msg_iov = parts.as_mut_ptr();
        message.msg_iovlen = parts.len() as _;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = CONTROL_LEN as _;
        let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
        // SAFETY: name, parts and control point to live memory of the lengths given, which
        // nobody else uses until the call returns.
        let len = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut message, flags) };
        let Ok(len) = usize::try_from(len) else {
            return Err(io::Error::last_os_error());
        };
        let ancillary = socket::parse_control(&control.0);
        let frame_len = len.saturating_sub(VNET_HEADER_LEN);
        Ok(Received {
            vnet,
            len: frame_len.min(buffer.len()),
            frame_len,
            vlan: ancillary.vlan,
            outgoing: from.sll_pkttype == libc::PACKET_OUTGOING,
            timestamp: ancillary.timestamp,
        })
    }

    /// Frames that reached the socket and that it dropped, since this was last asked.
    ///
    /// # Errors
    /// None that the kernel documents.
    pub fn socket_drops(&self) -> io::Result<SocketDrops> {
        socket::drops(&self.socket)
    }
}

impl AsFd for RawSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests;
