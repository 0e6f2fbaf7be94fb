//! Frames of one link in batches: the way exceptions come up from a port.
//!
//! The design is `recvmmsg` into a pool made at construction, with the VLAN tag as auxiliary data.
//! Measured against the kernel's memory-mapped rings on a veth pair (Linux 6.18, 2 shared cores,
//! sender and receiver on one each, at most 256 frames under way; median of a lone frame from
//! send to user space, then rate):
//!
//! | | lone 64 B | lone 32 KiB | 64 B frames/s | 32 KiB frames/s |
//! |---|---|---|---|---|
//! | `recvmmsg`, 32 a call | 18 us | 28 us | 1,040,000 | 190,000 |
//! | TPACKET_V2, 128 KiB slots | 16 us | 23 us | 770,000 | 205,000 |
//! | TPACKET_V3, 256 KiB blocks, 1 ms | 640 us | 636 us | 288,000 | 280,000 |
//!
//! TPACKET_V3 hands a block over when it is full or its timer of at least 1 ms ends, which a lone
//! packet would wait for. TPACKET_V2 needs a slot as long as the longest frame for every frame,
//! copies in the sender's context, and is no faster. With slots of 256 bytes, and longer frames by
//! `PACKET_COPY_THRESH`, a sender gets rid of 500,000 frames a second at most, where the plain socket
//! takes the 700,000 that are offered. Nor does Linux give a slot back whose virtio-net header could
//! not be written, so that one frame of a kind unknown to virtio would stop such a ring.

#![expect(unsafe_code, reason = "recvmmsg(2) takes arrays of pointers")]

use std::{
    io, mem,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    ptr,
};

use rustix::{io::Errno, net::sockopt};

use crate::{
    VNET_HEADER_LEN, VnetHeader,
    socket::{self, CONTROL_LEN, ControlBuffer, SocketDrops, Vlan},
};

/// The most bytes of a frame, from the Ethernet header on. Links pass on less than 64 KiB unless
/// their `gso_max_size` is raised; the rest is room for tags and tunnel headers in front.
pub const FRAME_LEN_MAX: usize = SLOT_LEN - VNET_HEADER_LEN;

/// 68 KiB and one cache line. A multiple of the page size would put the headers of all frames
/// into the same set of the first-level cache.
const SLOT_LEN: usize = 68 * 1024 + 64;

/// The most frames of a batch.
pub const BATCH_MAX: usize = 1024;

/// Frames taken by one system call; its arrays (4.5 KiB) live on the stack.
const CHUNK: usize = 32;

/// Bytes of frames the kernel keeps for us: a full batch of super-frames and as many again.
/// (The kernel doubles what it is told, and counts more than the frame's own bytes.)
const KERNEL_BUFFER: usize = 16 << 20;

/// A socket that receives the frames arriving on one link, never those leaving by it.
///
/// Lifecycle: [`FrameReceiver::new`]; wait until the descriptor is readable; then
/// [`FrameReceiver::recv_batch`] and [`FrameReceiver::frames`] until a batch comes back empty.
#[derive(Debug)]
pub struct FrameReceiver {
    socket: OwnedFd,
    pool: Box<[u8]>,
    slots: Box<[Slot]>,
    /// Slots that the last batch filled.
    filled: usize,
    counters: ReceiveCounters,
    /// An error that came after frames of the same batch, kept for the next call.
    pending: Option<Errno>,
}

/// A received frame, valid until the next batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Which checksum is still to be filled in, and how to segment.
    pub vnet: VnetHeader,
    /// From the Ethernet header on, without the tag in `vlan_tci`.
    pub bytes: &'a [u8],
    /// The VLAN tag the kernel took out of the bytes: priority, drop eligible, identifier.
    pub vlan_tci: Option<u16>,
    /// The protocol of that tag, `0x8100` or `0x88a8`; of no meaning without one.
    pub vlan_tpid: u16,
}

/// A received frame that may be rewritten in place.
#[derive(Debug)]
pub struct FrameMut<'a> {
    /// As [`Frame::vnet`].
    pub vnet: VnetHeader,
    /// As [`Frame::bytes`].
    pub bytes: &'a mut [u8],
    /// As [`Frame::vlan_tci`].
    pub vlan_tci: Option<u16>,
}

/// Frames that were received but not handed on, since construction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReceiveCounters {
    /// Longer than [`FRAME_LEN_MAX`].
    pub truncated: u64,
    /// Super-frames of a kind that a virtio-net header cannot say (SCTP, tunnels).
    pub not_expressible: u64,
}

/// What is known of a filled slot of the pool.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// Bytes with the virtio-net header; 0 if the slot holds nothing to hand on.
    len: usize,
    vlan: Option<Vlan>,
}

impl FrameReceiver {
    /// Opens a receiver on a link of the calling thread's namespace, of up to `batch` frames
    /// (1 to [`BATCH_MAX`]) a time.
    ///
    /// # Errors
    /// `EINVAL` for another `batch`, `ENODEV` if there is no such link, `EPERM` without
    /// `CAP_NET_RAW` there.
    pub fn new(link_index: u32, batch: usize) -> io::Result<Self> {
        if !(1..=BATCH_MAX).contains(&batch) {
            return Err(Errno::INVAL.into());
        }
        let socket = socket::open_packet()?;
        for option in [
            libc::PACKET_VNET_HDR,
            libc::PACKET_AUXDATA,
            libc::PACKET_IGNORE_OUTGOING,
        ] {
            socket::set_option(socket.as_fd(), libc::SOL_PACKET, option, 1)?;
        }
        // Only the host's own administrator may go beyond the host's limit; inside a user
        // namespace the limit has to do.
        if sockopt::set_socket_recv_buffer_size_force(&socket, KERNEL_BUFFER).is_err() {
            sockopt::set_socket_recv_buffer_size(&socket, KERNEL_BUFFER)?;
        }
        socket::bind_to_link(socket.as_fd(), link_index)?;
        Ok(Self {
            socket,
            pool: vec![0; batch * SLOT_LEN].into_boxed_slice(),
            slots: vec![Slot::default(); batch].into_boxed_slice(),
            filled: 0,
            counters: ReceiveCounters::default(),
            pending: None,
        })
    }

    /// Takes the frames that have arrived, up to the batch size, without waiting; the frames of
    /// the batch before are gone. Returns how many [`FrameReceiver::frames`] will give, 0 if
    /// nothing has arrived.
    ///
    /// # Errors
    /// `ENETDOWN` once each time the link goes down or away. After down the receiver receives
    /// again as soon as the link is up; after away it never does.
    pub fn recv_batch(&mut self) -> io::Result<usize> {
        self.filled = 0;
        if let Some(errno) = self.pending.take() {
            return Err(errno.into());
        }
        // Each frame that cannot be expressed costs a call of its own.
        let mut refusals_left = self.slots.len();
        while self.filled < self.slots.len() {
            let asked = CHUNK.min(self.slots.len() - self.filled);
            match self.recv_chunk(asked) {
                Ok(received) if received < asked => break,
                Ok(_) => {}
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(Errno::INVAL) => {
                    self.counters.not_expressible += 1;
                    refusals_left -= 1;
                    if refusals_left == 0 {
                        break;
                    }
                }
                Err(errno) if self.filled == 0 => return Err(errno.into()),
                Err(errno) => {
                    self.pending = Some(errno);
                    break;
                }
            }
        }
        Ok(self.slots[..self.filled]
            .iter()
            .filter(|slot| slot.len != 0)
            .count())
    }

    /// The frames of the last batch, in the order of arrival.
    pub fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        let filled = self.slots[..self.filled].iter();
        filled
            .zip(self.pool.chunks_exact(SLOT_LEN))
            .filter_map(|(slot, memory)| {
                let (vnet, bytes) = memory.get(..slot.len)?.split_first_chunk()?;
                Some(Frame {
                    vnet: *vnet,
                    bytes,
                    vlan_tci: slot.vlan.map(|vlan| vlan.tci),
                    vlan_tpid: slot.vlan.map_or(0, |vlan| vlan.tpid),
                })
            })
    }

    /// The same, to be rewritten where they lie.
    pub fn frames_mut(&mut self) -> impl Iterator<Item = FrameMut<'_>> {
        let filled = self.slots[..self.filled].iter();
        filled
            .zip(self.pool.chunks_exact_mut(SLOT_LEN))
            .filter_map(|(slot, memory)| {
                let (vnet, bytes) = memory.get_mut(..slot.len)?.split_first_chunk_mut()?;
                Some(FrameMut {
                    vnet: *vnet,
                    bytes,
                    vlan_tci: slot.vlan.map(|vlan| vlan.tci),
                })
            })
    }

    /// Frames received but not handed on.
    #[must_use]
    pub fn counters(&self) -> ReceiveCounters {
        self.counters
    }

    /// Frames that reached the socket and that it dropped, since this was last asked.
    ///
    /// # Errors
    /// None that the kernel documents.
    pub fn socket_drops(&self) -> io::Result<SocketDrops> {
        socket::drops(&self.socket)
    }

    /// One system call, for `asked` (at most [`CHUNK`]) slots from `filled` on.
    fn recv_chunk(&mut self, asked: usize) -> Result<usize, Errno> {
        let mut control = [ControlBuffer::EMPTY; CHUNK];
        let mut parts = [libc::iovec {
            iov_base: ptr::null_mut(),
            iov_len: 0,
        }; CHUNK];
        // SAFETY: `mmsghdr` is a C struct of pointers and integers, for which zero is a value.
        let mut messages: [libc::mmsghdr; CHUNK] = unsafe { mem::zeroed() };
        let memory = self.pool.chunks_exact_mut(SLOT_LEN).skip(self.filled);
        for (((message, part), control), memory) in messages
            .iter_mut()
            .zip(&mut parts)
            .zip(&mut control)
            .zip(memory)
            .take(asked)
        {
            *part = libc::iovec {
                iov_base: memory.as_mut_ptr().cast(),
                iov_len: SLOT_LEN,
            };
            message.msg_hdr.msg_iov = part;
            message.msg_hdr.msg_iovlen = 1;
            message.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            message.msg_hdr.msg_controllen = CONTROL_LEN as _;
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most CHUNK")]
        let asked = asked as libc::c_uint;
        // SAFETY: the first `asked` messages each point to one part and one control buffer of
        // the lengths given, all alive and borrowed by nobody else until the call returns.
        let received = unsafe {
            libc::recvmmsg(
                self.socket.as_raw_fd(),
                messages.as_mut_ptr(),
                asked,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let received = usize::try_from(received).map_err(|_| last_errno())?;
        let arrived = messages.iter().zip(&control).take(received);
        for ((message, control), slot) in arrived.zip(&mut self.slots[self.filled..]) {
            let whole = message.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            self.counters.truncated += u64::from(!whole);
            *slot = Slot {
                len: if whole { message.msg_len as usize } else { 0 },
                vlan: socket::parse_control(&control.0).vlan,
            };
        }
        self.filled += received;
        Ok(received)
    }
}

impl AsFd for FrameReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests;
