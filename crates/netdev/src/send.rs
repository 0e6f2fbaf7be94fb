//! Frames to links in batches: the way a verdict of the slow path leaves.
//!
//! A [`SendBatch`] is filled frame by frame, each for a link of its own, and handed over by one
//! system call for every [`CHUNK`] frames. A frame that the kernel refuses is counted by the
//! reason and skipped; those behind it still go.

#![expect(unsafe_code, reason = "sendmmsg(2) takes arrays of pointers")]

use std::{
    io, mem,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    ptr,
};

use rustix::{io::Errno, net::sockopt};

use crate::{VNET_HEADER_LEN, VnetHeader, socket};

/// Frames handed over by one system call; its arrays (2.5 KiB) live on the stack.
pub const CHUNK: usize = 32;

/// The most frames of a batch.
pub const BATCH_MAX: usize = 1024;

/// Bytes under way that the kernel counts against the socket: some full-sized super-frames.
const KERNEL_BUFFER: usize = 8 << 20;

/// Whether frames pass the link's queueing discipline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queueing {
    /// Through the discipline and the TC egress hook, as the stack's own packets.
    Discipline,
    /// Straight to the driver (`PACKET_QDISC_BYPASS`): faster, but past TC egress programs and
    /// invisible to captures on the link; a full device queue drops.
    Bypass,
}

/// A packet socket that sends frames to links of one namespace and receives nothing.
#[derive(Debug)]
pub struct FrameSender {
    socket: OwnedFd,
}

/// Frames to be sent, in memory made at construction.
#[derive(Debug)]
pub struct SendBatch {
    /// Frames one behind the other, each with its virtio-net header before it.
    memory: Box<[u8]>,
    used: usize,
    entries: Box<[Entry]>,
    count: usize,
}

/// Why a frame was not taken into a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The batch is full; after sending it the frame fits.
    #[error("send batch is full")]
    Full,
    /// The frame is longer than the whole batch; it never fits.
    #[error("frame of {len} bytes is longer than the send batch")]
    TooLong {
        /// Bytes of the frame.
        len: usize,
    },
    /// No link can have that index.
    #[error("link index {0} is out of range")]
    LinkIndex(u32),
}

/// Why the kernel refused a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// No memory, or no room in the device's queue or the socket's buffer
    /// (`ENOBUFS`, `EAGAIN`, `ENOMEM`).
    NoRoom,
    /// The link is down (`ENETDOWN`).
    LinkDown,
    /// There is no such link (`ENXIO`, `ENODEV`).
    NoLink,
    /// Longer than the link's MTU and not marked for segmentation (`EMSGSIZE`).
    TooLong,
    /// A virtio-net header that contradicts the frame, or too short a frame (`EINVAL`).
    Malformed,
    /// Anything else.
    Other,
}

/// A frame that the kernel did not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedFrame {
    /// Its place in the batch, from zero.
    pub index: usize,
    /// Where it was to go.
    pub link_index: u32,
    /// Its bytes.
    pub len: usize,
    /// Why it was not taken.
    pub why: Refusal,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SendReport {
    /// Frames the kernel took.
    pub sent: u32,
    /// Frames refused as [`Refusal::NoRoom`].
    pub no_room: u32,
    /// Frames refused as [`Refusal::LinkDown`].
    pub link_down: u32,
    /// Frames refused as [`Refusal::NoLink`].
    pub no_link: u32,
    /// Frames refused as [`Refusal::TooLong`].
    pub too_long: u32,
    /// Frames refused as [`Refusal::Malformed`].
    pub malformed: u32,
    /// Frames refused as [`Refusal::Other`].
    pub other: u32,
}

/// Where a frame of a batch lies, and where it goes.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    start: usize,
    /// Bytes with the virtio-net header.
    len: usize,
    link_index: u32,
}

impl FrameSender {
    /// Opens a sender to the links of the calling thread's namespace.
    ///
    /// # Errors
    /// `EPERM` without `CAP_NET_RAW` there.
    pub fn new(queueing: Queueing) -> io::Result<Self> {
        let socket = socket::open_packet()?;
        socket::set_option(socket.as_fd(), libc::SOL_PACKET, libc::PACKET_VNET_HDR, 1)?;
        if queueing == Queueing::Bypass {
            socket::set_option(
                socket.as_fd(),
                libc::SOL_PACKET,
                libc::PACKET_QDISC_BYPASS,
                1,
            )?;
        }
        // Only the host's own administrator may go beyond the host's limit; inside a user
        // namespace the limit has to do.
        if sockopt::set_socket_send_buffer_size_force(&socket, KERNEL_BUFFER).is_err() {
            sockopt::set_socket_send_buffer_size(&socket, KERNEL_BUFFER)?;
        }
        Ok(Self { socket })
    }
}

impl AsFd for FrameSender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl SendBatch {
    /// An empty batch for `frames` frames (at most [`BATCH_MAX`], taken as that beyond) of `bytes`
    /// bytes together, [`VNET_HEADER_LEN`] for each frame included.
    #[must_use]
    pub fn with_capacity(frames: usize, bytes: usize) -> Self {
        Self {
            memory: vec![0; bytes].into_boxed_slice(),
            used: 0,
            entries: vec![Entry::default(); frames.min(BATCH_MAX)].into_boxed_slice(),
            count: 0,
        }
    }

    /// Frames in the batch.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Forgets all frames.
    pub fn clear(&mut self) {
        (self.count, self.used) = (0, 0);
    }

    /// Copies a frame in, given in parts from the Ethernet header on: headers to be pushed and
    /// the rest of a received frame need no buffer in between.
    ///
    /// # Errors
    /// See [`PushError`]; the batch is then as before.
    pub fn push(
        &mut self,
        link_index: u32,
        vnet: &VnetHeader,
        parts: &[&[u8]],
    ) -> Result<(), PushError> {
        if !(1..=i32::MAX.cast_unsigned()).contains(&link_index) {
            return Err(PushError::LinkIndex(link_index));
        }
        let frame_len = parts
            .iter()
            .fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        let len = frame_len.saturating_add(VNET_HEADER_LEN);
        if len > self.memory.len() {
            return Err(PushError::TooLong { len: frame_len });
        }
        if self.count == self.entries.len() || len > self.memory.len() - self.used {
            return Err(PushError::Full);
        }
        let start = self.used;
        let mut rest = &mut self.memory[start..start + len];
        for part in std::iter::once(vnet.as_slice()).chain(parts.iter().copied()) {
            let (here, behind) = rest.split_at_mut(part.len());
            here.copy_from_slice(part);
            rest = behind;
        }
        self.entries[self.count] = Entry {
            start,
            len,
            link_index,
        };
        self.count += 1;
        self.used += len;
        Ok(())
    }

    /// Sends all frames in order and empties the batch. `refused` is told of each frame that the
    /// kernel did not take.
    pub fn send(
        &mut self,
        sender: &FrameSender,
        mut refused: impl FnMut(RefusedFrame),
    ) -> SendReport {
        let mut report = SendReport::default();
        let mut done = 0;
        while done < self.count {
            let chunk = &self.entries[done..self.count.min(done + CHUNK)];
            match send_chunk(sender, &self.memory, chunk) {
                // The kernel stops at a frame it refuses, and says why only if it is the first.
                Ok(sent) => {
                    report.sent += sent;
                    done += sent as usize;
                }
                Err(Errno::INTR) => {}
                Err(errno) => {
                    let refusal = Refusal::from(errno);
                    *report.refused_mut(refusal) += 1;
                    let entry = &self.entries[done];
                    refused(RefusedFrame {
                        index: done,
                        link_index: entry.link_index,
                        len: entry.len - VNET_HEADER_LEN,
                        why: refusal,
                    });
                    done += 1;
                }
            }
        }
        self.clear();
        report
    }
}

impl SendReport {
    /// Frames refused, whatever the reason.
    #[must_use]
    pub fn refused(&self) -> u32 {
        self.no_room + self.link_down + self.no_link + self.too_long + self.malformed + self.other
    }

    fn refused_mut(&mut self, refusal: Refusal) -> &mut u32 {
        match refusal {
            Refusal::NoRoom => &mut self.no_room,
            Refusal::LinkDown => &mut self.link_down,
            Refusal::NoLink => &mut self.no_link,
            Refusal::TooLong => &mut self.too_long,
            Refusal::Malformed => &mut self.malformed,
            Refusal::Other => &mut self.other,
        }
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOBUFS | Errno::AGAIN | Errno::NOMEM => Self::NoRoom,
            Errno::NETDOWN => Self::LinkDown,
            Errno::NXIO | Errno::NODEV => Self::NoLink,
            Errno::MSGSIZE => Self::TooLong,
            Errno::INVAL => Self::Malformed,
            _ => Self::Other,
        }
    }
}

/// One system call for at most [`CHUNK`] frames; how many the kernel took.
fn send_chunk(sender: &FrameSender, memory: &[u8], chunk: &[Entry]) -> Result<u32, Errno> {
    let mut parts = [libc::iovec {
        iov_base: ptr::null_mut(),
        iov_len: 0,
    }; CHUNK];
    // SAFETY: `sockaddr_ll` is a C struct of integers, for which zero is a value.
    let mut addresses: [libc::sockaddr_ll; CHUNK] = unsafe { mem::zeroed() };
    // SAFETY: `mmsghdr` is a C struct of pointers and integers, for which zero is a value.
    let mut messages: [libc::mmsghdr; CHUNK] = unsafe { mem::zeroed() };
    for (((message, part), address), entry) in messages
        .iter_mut()
        .zip(&mut parts)
        .zip(&mut addresses)
        .zip(chunk)
    {
        let frame = &memory[entry.start..entry.start + entry.len];
        // The kernel only reads what the part points to.
        *part = libc::iovec {
            iov_base: frame.as_ptr().cast_mut().cast(),
            iov_len: frame.len(),
        };
        *address = socket::link_address(entry.link_index).map_err(|_| Errno::NXIO)?;
        message.msg_hdr.msg_name = (&raw mut *address).cast();
        message.msg_hdr.msg_namelen = socket::socklen::<libc::sockaddr_ll>();
        message.msg_hdr.msg_iov = part;
        message.msg_hdr.msg_iovlen = 1;
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most CHUNK")]
    let count = chunk.len().min(CHUNK) as libc::c_uint;
    // SAFETY: the first `count` messages each point to one address and one part, whose bytes lie
    // in `memory`; all of it is alive, and only read, until the call returns.
    let sent = unsafe {
        libc::sendmmsg(
            sender.socket.as_raw_fd(),
            messages.as_mut_ptr(),
            count,
            libc::MSG_DONTWAIT as _,
        )
    };
    u32::try_from(sent)
        .map_err(|_| Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO))
}

#[cfg(test)]
mod tests;
